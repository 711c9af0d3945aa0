"""update.exe, of hotfixes that are installed by hand: a number that is not 0 until the restart."""

from __future__ import annotations

from guestwake_guest.view import Finding
from guestwake_guest.windows.view import WindowsView
from guestwake_wire.messages import Reason, Strength

SOURCE = "update-exe"
_KEY = r"SOFTWARE\Microsoft\Updates"
WATCHED = (_KEY,)


def find(view: WindowsView) -> Finding:
    value = view.registry.value(_KEY, "UpdateExeVolatile")
    if not isinstance(value, int) or value == 0:
        return None
    return Reason(SOURCE, Strength.STRONG, None, "asked for by a hotfix")
