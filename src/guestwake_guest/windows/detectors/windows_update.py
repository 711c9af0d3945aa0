"""Windows Update has installed what counts after a restart: a key that is there until then."""

from __future__ import annotations

from guestwake_guest.view import Finding
from guestwake_guest.windows.view import WindowsView
from guestwake_wire.messages import Reason, Strength

SOURCE = "windows-update"
_PARENT = r"SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update"
_KEY = rf"{_PARENT}\RebootRequired"
WATCHED = (_PARENT,)


def find(view: WindowsView) -> Finding:
    if not view.registry.has_key(_KEY):
        return None
    return Reason(SOURCE, Strength.STRONG, None, "asked for by Windows Update")
