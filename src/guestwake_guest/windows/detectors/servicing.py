"""Component Based Servicing: features, cumulative updates, drivers.

Its keys come and go while something is being installed, so they count once they have stood for
fifteen seconds (contract, section 6).
"""

from __future__ import annotations

from guestwake_guest.view import Finding
from guestwake_guest.windows.view import WindowsView
from guestwake_wire.messages import Reason, Strength

SOURCE = "component-based-servicing"
SETTLES = 15.0
_PARENT = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing"
_KEYS = ("RebootPending", "RebootInProgress", "PackagesPending")
WATCHED = (_PARENT,)


def find(view: WindowsView) -> Finding:
    there = [name for name in _KEYS if view.registry.has_key(rf"{_PARENT}\{name}")]
    if not there:
        return None
    return Reason(SOURCE, Strength.STRONG, None, f"Windows' servicing says {', '.join(there)}")
