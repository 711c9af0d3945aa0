"""A Linux guest as the loop knows it: what was found, who it is, what lets its clients look."""

from __future__ import annotations

from collections.abc import Iterable

from guestwake_guest.children import Children
from guestwake_guest.journal import tell, warn
from guestwake_guest.look import Looker, identity, wanted_units
from guestwake_guest.report import Findings, Identity
from guestwake_guest.system import System

NUDGE_SECONDS_MAX = 60.0

_SYSTEMCTL = "/usr/bin/systemctl"


class LinuxGuest:
    def __init__(self, system: System) -> None:
        self._system = system
        self._children = Children()
        self._looker = Looker(system, self._children)
        self.identity: Identity = identity(system)
        self.elapsed = system.elapsed
        self.wall = system.wall

    def opened(self, since: float | None) -> None:
        self._looker.window_since = since

    def look(self) -> Findings:
        return self._looker.look()

    def is_unsure(self) -> bool:
        return self._looker.is_unsure()

    def tend(self, now: float) -> bool:
        return self._children.tend(now)

    def next_end(self, now: float) -> float | None:
        return self._children.next_end(now)

    def outputs(self) -> Iterable[int]:
        return self._children.outputs()

    def nudge(self, now: float) -> None:
        """The client's own units, so its own configuration rules; its own process, so that we are
        no installer's parent."""
        units = wanted_units(self._looker.view())
        if not units:
            tell("asked to let the update clients look, but none here has a unit for that")
            return
        tell(f"letting the update clients look now: {', '.join(units)}")
        command = (self._system.path(_SYSTEMCTL), "start", "--no-block", *units)
        if not self._children.start(command, now + NUDGE_SECONDS_MAX, _nudged):
            warn("systemctl could not be started: the update clients look when they do")


def _nudged(code: int, text: str) -> None:
    if code:
        warn(f"systemctl start ended with {code}: the update clients may not look now")
