"""The Configuration Manager client waits for a restart."""

from __future__ import annotations

from guestwake_guest.view import Finding
from guestwake_guest.windows.view import WindowsView
from guestwake_wire.messages import Reason, Strength

SOURCE = "configuration-manager"
_PARENT = r"SOFTWARE\Microsoft\SMS\Mobile Client\Reboot Management"
_KEY = rf"{_PARENT}\RebootData"
WATCHED = (_PARENT,)


def find(view: WindowsView) -> Finding:
    if not view.registry.has_key(_KEY):
        return None
    return Reason(SOURCE, Strength.STRONG, None, "asked for by Configuration Manager")
