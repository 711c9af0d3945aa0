"""One look at this guest: detectors, update clients, presence → Findings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from guestwake_guest.busy import is_busy
from guestwake_guest.children import Children
from guestwake_guest.detectors import DETECTORS
from guestwake_guest.journal import warn
from guestwake_guest.presence import Presence
from guestwake_guest.questions import Questions
from guestwake_guest.report import Findings, Identity
from guestwake_guest.system import System
from guestwake_guest.update_clients import CLIENTS
from guestwake_guest.view import Unclear, View
from guestwake_wire.messages import Reason, Strength


class Looker:
    """`window_since`: by the wall clock, when the window was opened that is open now."""

    def __init__(self, system: System, children: Children) -> None:
        self.window_since: float | None = None
        self._system = system
        self._questions = Questions(system, children)
        self._presence = Presence()
        # When each source began to say so, by the elapsed clock, and what it said last.
        self._began: dict[str, float] = {}
        self._said: dict[str, Reason] = {}
        self._failing: set[str] = set()

    def look(self) -> Findings:
        view = self.view()
        clients = tuple(client.client(view) for client in CLIENTS if client.is_here(view))
        busy = is_busy(view, clients)
        self._questions.busy = busy is True
        return Findings(busy, self._restart(view), clients, self._presence.sessions(view))

    def view(self) -> View:
        return View(self._system, self._questions, self.window_since)

    def asks(self) -> bool:
        """A command is under way whose answer the next look will have."""
        return self._questions.under_way(apart=True)

    def is_unsure(self) -> bool:
        """Who is here, or whether the guest is busy, will be known in a moment."""
        return self._questions.under_way(apart=False)

    def _restart(self, view: View) -> tuple[Reason, ...]:
        """Strong ones first."""
        found = (self._found(view, detector) for detector in DETECTORS)
        reasons = [self._dated(reason) for reason in found if reason]
        self._forget_all_but({reason.source for reason in reasons})
        return tuple(sorted(reasons, key=lambda reason: reason.strength is Strength.WEAK))

    def _found(self, view: View, detector: Any) -> Reason | None:
        """What a source cannot tell now is what it told last. One that fails takes no other with
        it."""
        source: str = detector.SOURCE
        try:
            found = detector.find(view)
        except Exception as error:  # whatever it is: it must not silence the others
            self._warn_once(source, error)
            found = Unclear.CANNOT_TELL
        else:
            self._failing.discard(source)
        return self._said.get(source) if found is Unclear.CANNOT_TELL else found

    def _dated(self, reason: Reason) -> Reason:
        """Its age by the elapsed clock from when it was first seen: a file's own time is by the
        clock that is set when the guest is restored."""
        now = self._system.elapsed()
        began = self._began.setdefault(reason.source, now - (reason.since or 0))
        self._said[reason.source] = reason
        return reason._replace(since=max(0, int(now - began)))

    def _forget_all_but(self, sources: Iterable[str]) -> None:
        for source in set(self._began) - set(sources):
            del self._began[source], self._said[source]

    def _warn_once(self, source: str, error: Exception) -> None:
        if source not in self._failing:
            warn(f"'{source}' cannot tell: {type(error).__name__}: {error}, asking on")
            self._failing.add(source)


def wanted_units(view: View) -> list[str]:
    """The units of the update clients here that let them look now."""
    here = (client for client in CLIENTS if client.is_here(view))
    return [unit for client in here for unit in client.wanted_units(view)]


def identity(system: System) -> Identity:
    return Identity(
        boot_id=system.line("/proc/sys/kernel/random/boot_id") or "unknown",
        os=_name_of(system.text("/etc/os-release") or system.text("/usr/lib/os-release") or ""),
        kernel=system.line("/proc/sys/kernel/osrelease"),
    )


def _name_of(os_release: str) -> str:
    pairs = (line.partition("=") for line in os_release.splitlines())
    names = {name: value.strip("\"'") for name, _, value in pairs}
    return names.get("PRETTY_NAME", "Linux")
