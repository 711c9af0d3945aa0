"""zypper, and what runs it by a timer: os-update, transactional-update.

It never says that nothing is left, because none of them leaves a result behind that would prove it.
"""

from __future__ import annotations

from collections.abc import Iterator

from guestwake_guest.times import unix_seconds
from guestwake_guest.update_clients import rpm, units
from guestwake_guest.update_clients.history import Log, installed
from guestwake_guest.view import View
from guestwake_wire.messages import Client, Installed

NAME = "zypper"
_ZYPPER = "/usr/bin/zypper"
_BY_TIMER = ("os-update", "transactional-update", "packagekit-background")
UNITS = tuple(f"{name}.service" for name in _BY_TIMER)


def is_here(view: View) -> bool:
    return bool(view.system.runs(_ZYPPER))


def client(view: View) -> Client:
    history = _HISTORY.history(view.system)
    return Client(NAME, rpm.state(view.system, UNITS), history.installed, history.more)


def wanted_units(view: View) -> tuple[str, ...]:
    return tuple(
        f"{name}.service"
        for name in _BY_TIMER
        if units.timer_enabled(view.system, f"{name}.timer")
        and units.there(view.system, f"{name}.service")
    )


def _parsed(log: str) -> Iterator[Installed]:
    """`2008-09-24 11:53:10|install|name|version|...`, in local time."""
    for line in log.splitlines():
        fields = line.split("|")
        at = unix_seconds(fields[0])
        if len(fields) > 3 and fields[1].strip() == "install" and at is not None:
            yield installed(fields[2], fields[3], at)


_HISTORY = Log("/var/log/zypp/history", _parsed)
