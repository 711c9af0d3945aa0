"""When a terminal last got input: the time of access of its device.

The kernel moves that on in steps of eight seconds, by the wall clock. So a change that is seen
between two looks is dated by the elapsed clock: when the clock of a restored guest is set, the
input of a minute ago does not become one of last night.
"""

from __future__ import annotations

import os

from guestwake_guest.system import System


class Terminals:
    def __init__(self) -> None:
        # For each session: the time of access last seen, when it happened and when it was seen, by
        # the elapsed clock. It happened None: not since the session began.
        self._seen: dict[str, tuple[float, float | None, float]] = {}

    def input(self, system: System, session: str, tty: str, began: float) -> int | None:
        """Seconds since the last input of `session` on `tty`; -1: none since it began, at unix
        seconds `began`; None: cannot be told."""
        at = _accessed(system, tty)
        if at is None:
            return None
        now = system.elapsed()
        seen, happened, looked = self._seen.get(session, (None, None, 0.0))
        if at != seen:
            is_input = seen is not None or int(at) > int(began)
            happened = max(looked, now - max(0.0, system.wall() - at)) if is_input else None
        self._seen[session] = (at, happened, now)
        return -1 if happened is None else max(0, int(now - happened))

    def forget_all_but(self, sessions: set[str]) -> None:
        self._seen = {name: seen for name, seen in self._seen.items() if name in sessions}


def _accessed(system: System, tty: str) -> float | None:
    if not tty or ".." in tty:
        return None
    try:
        return os.stat(system.path(f"/dev/{tty}")).st_atime
    except OSError:
        return None
