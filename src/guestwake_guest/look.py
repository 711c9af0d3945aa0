"""One look at this guest: detectors, update clients, presence → Findings."""

from __future__ import annotations

from guestwake_guest.busy import is_busy
from guestwake_guest.children import Children
from guestwake_guest.detectors import DETECTORS
from guestwake_guest.presence import Presence
from guestwake_guest.questions import Questions
from guestwake_guest.reasons import Reasons
from guestwake_guest.report import Findings, Identity
from guestwake_guest.system import System
from guestwake_guest.update_clients import CLIENTS
from guestwake_guest.view import View


class Looker:
    """`window_since`: by the wall clock, when the window was opened that is open now."""

    def __init__(self, system: System, children: Children) -> None:
        self.window_since: float | None = None
        self._system = system
        self._questions = Questions(system, children)
        self._presence = Presence()
        self._reasons = Reasons(system.elapsed)

    def look(self) -> Findings:
        view = self.view()
        clients = tuple(client.client(view) for client in CLIENTS if client.is_here(view))
        busy = is_busy(view, clients)
        self._questions.busy = busy is True
        return Findings(
            busy, self._reasons.found(view, DETECTORS), clients, self._presence.sessions(view)
        )

    def view(self) -> View:
        return View(self._system, self._questions, self.window_since)

    def asks(self) -> bool:
        """A command is under way whose answer the next look will have."""
        return self._questions.under_way(apart=True)

    def is_unsure(self) -> bool:
        """Who is here, or whether the guest is busy, will be known in a moment."""
        return self._questions.under_way(apart=False)


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
