"""The menu's files in a user's data folder: entries among those of others, icons in our own folder.

A file is whole or not there: written as a draft and renamed. Nothing that is not ours is touched,
and no symlink is followed to one.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from guestwake.edges.agent_menu import is_icon, is_ours, uuid_in
from guestwake.whole_file import write_whole

log = logging.getLogger(__name__)

_BYTES_MAX = 16 * 1024  # of an entry; ours have less


class MenuFiles:
    """`data`: the user's XDG_DATA_HOME. Raises OSError."""

    def __init__(self, data: Path) -> None:
        self._entries = data / "applications"
        self._icons = data / "guestwake/icons"
        self._foreign: set[str] = set()  # complained about

    def entries(self) -> dict[str, str]:
        """Those of ours, by the names of their files."""
        found = {name: _read(self._entries / name) for name in _names(self._entries, uuid_in)}
        return {name: text for name, text in found.items() if text and is_ours(name, text)}

    def write(self, name: str, text: str) -> None:
        path = self._entries / name
        if os.path.lexists(path) and not is_ours(name, _read(path) or ""):
            if name not in self._foreign:
                log.warning("'%s' is somebody else's, and stays as it is", path)
                self._foreign.add(name)
            return
        _write(path, text.encode(errors="surrogateescape"))

    def remove(self, name: str) -> None:
        (self._entries / name).unlink(missing_ok=True)

    # icons

    def icon_path(self, name: str) -> str:
        return str(self._icons / name)

    def icons(self) -> list[str]:
        return _names(self._icons, is_icon)

    def has_icon(self, name: str, size: int) -> bool:
        with suppress(OSError):
            found = (self._icons / name).lstat()
            return stat.S_ISREG(found.st_mode) and found.st_size == size
        return False

    def write_icon(self, name: str, icon: bytes) -> None:
        if not self.has_icon(name, len(icon)):
            _write(self._icons / name, icon)

    def remove_icon(self, name: str) -> None:
        (self._icons / name).unlink(missing_ok=True)


def _names(folder: Path, is_wanted: Callable[[str], object]) -> list[str]:
    with suppress(FileNotFoundError, NotADirectoryError):
        return sorted(name for name in os.listdir(folder) if is_wanted(name))
    return []


def _read(path: Path) -> str | None:
    """None: it is no file of ours."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            return None
        found = os.read(opened, _BYTES_MAX + 1)
    finally:
        os.close(opened)
    return found.decode(errors="surrogateescape") if len(found) <= _BYTES_MAX else None


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data, 0o644)
