"""Asks `guestwake-settings`, which is root, to write the machine's settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from guestwake.errand import ErrandError, ask
from guestwake.paths import Paths
from guestwake.settings.change import Writes, as_text
from guestwake.settings.source import Edit, NotWritten

SOCKET = Path("/run/guestwake-settings.sock")


class AskedWrites:
    """One after the other: what is refused in the middle leaves those before it."""

    def __init__(self, path: Path = SOCKET) -> None:
        self._path = path

    def can_name(self, section: str) -> bool:
        return False

    def write(self, edits: Sequence[Edit]) -> None:
        """Raises NotWritten."""
        for edit in edits:
            self._write(edit)

    def _write(self, edit: Edit) -> None:
        what: dict[str, object] = {"set": edit.setting.name, "workspace": edit.section}
        if edit.value is None:
            what = {"clear": edit.setting.name, "workspace": edit.section}
        else:
            what["value"] = as_text(edit.setting, edit.value)
        try:
            ask(self._path, what)
        except ErrandError as err:
            raise NotWritten(f"{err}. Root may change it with 'guestwake settings'") from err


def writes_for(paths: Paths) -> Writes | None:
    """Who writes the machine's file for this process; None: it may itself."""
    own = paths.user is not None or paths.root is not None or paths.euid == 0
    return None if own else AskedWrites()
