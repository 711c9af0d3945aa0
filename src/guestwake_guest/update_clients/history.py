"""What a client last installed, from its own text log: read again only when that has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from guestwake_guest.system import Identity, System
from guestwake_wire.messages import INSTALLED_MAX, NAME_MAX, TIME_MAX, Installed, clean

SPAN = 7 * 86400  # of what is told, seconds before the newest


class History(NamedTuple):
    """`more`: how many others of the same days were left out."""

    installed: tuple[Installed, ...] = ()
    more: int = 0


class Log:
    """`parse`: the end of the file to what was installed, the oldest first."""

    def __init__(self, file: str, parse: Callable[[str], Iterable[Installed]]) -> None:
        self._file = file
        self._parse = parse
        self._read: tuple[str, Identity] | None = None
        self._history = History()

    def history(self, system: System) -> History:
        read = (system.root, system.identity(self._file))
        if read != self._read:
            self._history = _newest(self._parse(system.end_of(self._file) or ""))
            self._read = read
        return self._history


def installed(name: str, version: str, at: float) -> Installed:
    when = min(max(0, int(at)), TIME_MAX)
    return Installed(clean(name, NAME_MAX), clean(version, NAME_MAX), when)


def _newest(found: Iterable[Installed]) -> History:
    ordered = list(reversed(list(found)))
    recent = [one for one in ordered if one.name and one.at > ordered[0].at - SPAN]
    return History(tuple(recent[:INSTALLED_MAX]), max(0, len(recent) - INSTALLED_MAX))
