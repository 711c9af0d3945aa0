"""Files that are to be renamed or removed at the next start: a weak sign. Many programs leave such,
browsers' updaters among them, and few of those need a restart for it."""

from __future__ import annotations

from guestwake_guest.view import Finding
from guestwake_guest.windows.view import WindowsView
from guestwake_wire.messages import Reason, Strength

SOURCE = "pending-file-renames"
_KEY = r"SYSTEM\CurrentControlSet\Control\Session Manager"
_VALUES = ("PendingFileRenameOperations", "PendingFileRenameOperations2")
WATCHED = (_KEY,)


def find(view: WindowsView) -> Finding:
    """Pairs of names, the second one empty where the file is to go."""
    values = [view.registry.value(_KEY, name) for name in _VALUES]
    number = sum(len(value) // 2 for value in values if isinstance(value, list))
    if not number:
        return None
    return Reason(SOURCE, Strength.WEAK, None, f"{number} files change at the next start")
