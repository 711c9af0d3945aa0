"""`guestwake-timers`: what of Guestwake is root on a host, to write timers.

An errand (`errand.py`). It accepts nothing but

    {"write": UUID, "instants": [whole seconds since 1970, ...], "wakes_host": true or false}
    {"remove": UUID}
    {"start": UUID}

and renders the timer itself: no text, path or name of anything else comes from who asks.
"""

from __future__ import annotations

import socket
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from guestwake import errand
from guestwake.errand import RefusedError
from guestwake.policy.words import Timer
from guestwake.schedulers.api import SchedulerError
from guestwake.schedulers.systemd_deeds import Deeds, systemctl
from guestwake.schedulers.systemd_text import is_uuid
from guestwake.schedulers.systemd_units import UnitFolders

FOLDERS = UnitFolders(Path("/etc/systemd/system"), (Path("/run/systemd/system"),))
INSTANTS_MAX = 64
LATEST = 253402300799  # the end of year 9999


def main() -> int:
    deeds = Deeds(FOLDERS, systemctl("--system"))
    return errand.served(partial(do, deeds=deeds), SchedulerError)


def answered(asker: socket.socket, deeds: Deeds) -> dict[str, str]:
    return errand.answered(asker, partial(do, deeds=deeds), SchedulerError)


def do(asked: object, deeds: Deeds) -> None:
    match asked:
        case {"write": str(uuid), "instants": list(instants), "wakes_host": bool(wakes), **rest}:
            deeds.write(_timer(_known(uuid, rest), instants, wakes_host=wakes))
        case {"remove": str(uuid), **rest}:
            deeds.remove(_known(uuid, rest))
        case {"start": str(uuid), **rest}:
            deeds.start(_known(uuid, rest))
        case _:
            raise RefusedError("nothing that is done here")


def _known(uuid: str, rest: dict[object, object]) -> str:
    if rest or not is_uuid(uuid):
        raise RefusedError("not a UUID, or more than one asks for")
    return uuid


def _timer(uuid: str, instants: list[object], *, wakes_host: bool) -> Timer:
    seconds = [one for one in instants if type(one) is int and 0 <= one <= LATEST]
    if not 0 < len(instants) <= INSTANTS_MAX or len(seconds) < len(instants):
        raise RefusedError("instants must be 1 to 64 whole seconds since 1970")
    return Timer(uuid, tuple(datetime.fromtimestamp(one, UTC) for one in seconds), wakes_host)


if __name__ == "__main__":
    sys.exit(main())
