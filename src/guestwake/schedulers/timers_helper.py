"""`guestwake-timers`: the one thing of Guestwake on a host that is root.

systemd starts it for each connection to its socket. It reads one request of one line, does it,
answers one line and ends. It accepts nothing but

    {"write": UUID, "instants": [whole seconds since 1970, ...], "wakes_host": true or false}
    {"remove": UUID}
    {"start": UUID}

and renders the timer itself: no text, path or name of anything else comes from who asks. That must
be root or the user `guestwake`, by the kernel's word.
"""

from __future__ import annotations

import json
import logging
import os
import pwd
import socket
import struct
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from guestwake.policy.words import Timer
from guestwake.schedulers.api import SchedulerError
from guestwake.schedulers.systemd_deeds import Deeds, systemctl
from guestwake.schedulers.systemd_text import is_uuid
from guestwake.schedulers.systemd_units import UnitFolders

log = logging.getLogger(__name__)

USER = "guestwake"
FOLDERS = UnitFolders(Path("/etc/systemd/system"), (Path("/run/systemd/system"),))
REQUEST_BYTES_MAX = 4096
INSTANTS_MAX = 64
LATEST = 253402300799  # the end of year 9999
PATIENCE = 5.0  # seconds for the whole request


class RefusedError(Exception):
    """What was asked is not one of the three, or not for this one to ask: a sentence."""


def main() -> int:
    os.umask(0o022)
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    with socket.socket(fileno=0) as asker:
        answer = answered(asker, Deeds(FOLDERS, systemctl("--system")))
        asker.sendall(json.dumps(answer).encode() + b"\n")
    return 0


def answered(asker: socket.socket, deeds: Deeds) -> dict[str, str]:
    """One request, done or not, and what to say to it. Never raises for what came in."""
    try:
        check(asker)
        do(request(asker), deeds)
    except RefusedError as err:
        log.warning("refused: %s", err)
        return {"refused": str(err)}
    except SchedulerError as err:
        log.error("%s", err)
        return {"failed": str(err)}
    return {"done": "yes"}


def check(asker: socket.socket) -> None:
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", asker.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    if uid not in (0, _uid()):
        raise RefusedError(f"user {uid} may not ask")


def request(asker: socket.socket) -> object:
    """As JSON tells it, up to the end of the line."""
    data, deadline = b"", time.monotonic() + PATIENCE
    try:
        while not data.endswith(b"\n"):
            asker.settimeout(max(0.001, deadline - time.monotonic()))
            more = asker.recv(REQUEST_BYTES_MAX + 1 - len(data))
            data += more
            if not more or len(data) > REQUEST_BYTES_MAX:
                raise RefusedError("no line, or one that is too long")
        asker.settimeout(None)
        return json.loads(data)
    except (OSError, ValueError, RecursionError) as err:
        raise RefusedError("no request that one can read") from err


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


def _uid() -> int:
    try:
        return pwd.getpwnam(USER).pw_uid
    except KeyError:
        return 0


if __name__ == "__main__":
    sys.exit(main())
