"""The ESD signal: whatever else installs software here has set MED-V's event (contract, section
7; the page, "Reboot Notification Using your ESD System")."""

from __future__ import annotations

from guestwake_guest.view import Finding, Unclear
from guestwake_guest.windows.view import WindowsView
from guestwake_wire.messages import Reason, Strength

SOURCE = "esd-signal"
WATCHED = ()


def find(view: WindowsView) -> Finding:
    if view.signal is None or isinstance(view.signal, Unclear):
        return view.signal
    since = max(0, int(view.elapsed - view.signal))
    return Reason(SOURCE, Strength.STRONG, since, "asked for without a reason")
