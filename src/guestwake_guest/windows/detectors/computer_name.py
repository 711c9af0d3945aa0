"""The computer was renamed: its new name counts after a restart."""

from __future__ import annotations

from guestwake_guest.view import Finding
from guestwake_guest.windows.view import WindowsView
from guestwake_wire.messages import Reason, Strength

SOURCE = "computer-name"
_KEY = r"SYSTEM\CurrentControlSet\Control\ComputerName"
_NAME = "ComputerName"
WATCHED = (_KEY,)


def find(view: WindowsView) -> Finding:
    now = view.registry.value(rf"{_KEY}\ActiveComputerName", _NAME)
    then = view.registry.value(rf"{_KEY}\ComputerName", _NAME)
    if not isinstance(now, str) or not isinstance(then, str) or now.lower() == then.lower():
        return None
    return Reason(SOURCE, Strength.STRONG, None, f"'{now}' is to be called '{then}'")
