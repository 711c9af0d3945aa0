"""Writes a settings file, whole or not at all, by the rules by which it is read.

What would not be read is not written: a link, somebody else's file, one that is no TOML, one that
grows too large. Two writers take turns: who holds the draft has the turn, by a lock that dies with
its holder.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from guestwake.paths import Paths
from guestwake.settings.source import Edit, Entry, Layer, NotWritten, section_of
from guestwake.settings.table import printable
from guestwake.settings.toml_edit import CannotEdit, edited, sections
from guestwake.settings.toml_files import (
    Place,
    TomlFiles,
    UnreadableError,
    check_folder,
    read,
)
from guestwake.settings.toml_text import parse

POLICY_FILE = "50-settings.toml"
_PATIENCE = 5.0  # seconds for another writer
_LOOKS = 0.05
_MODE = 0o644


class TomlWriter:
    """Of one file: that of a layer which is written to."""

    def __init__(self, paths: Paths, layer: Layer, owner: str | None = None) -> None:
        place = TomlFiles(paths, owner).place(layer)
        if place is None:
            raise NotWritten(f"'{owner}': this host has no such user, and so no settings of one")
        self._place: Place = place
        self.file: Path = place.file or place.drop_ins / POLICY_FILE

    @property
    def place(self) -> str:
        return str(self.file)

    def holds(self, place: str) -> bool:
        return place.rpartition(":")[0] == printable(self.place)

    def entries(self) -> tuple[Entry, ...]:
        return parse(str(self.file), self._data()).entries

    def sections(self) -> list[str]:
        return sections(_text(self.file, self._data()))

    def section_of(self, name: str) -> str:
        return section_of(name)

    def can_name(self, section: str) -> bool:
        return True

    def write(self, edits: Sequence[Edit]) -> None:
        """All of them at once. Raises NotWritten."""
        try:
            _make_folder(self.file.parent, self._place)
            path = self.file.with_name(f".{self.file.name}.new")
            with open(_draft(path), "wb") as draft:  # and so locked to the end
                try:
                    if not self._filled(draft, edits):
                        path.unlink()
                        return
                    path.replace(self.file)
                except BaseException:
                    path.unlink(missing_ok=True)
                    raise
            _sync(self.file.parent)
        except OSError as err:
            raise NotWritten(
                f"{self.file}: it cannot be written: {err.strerror}. Is its folder there, and "
                "yours to write?"
            ) from err

    def _filled(self, draft: BinaryIO, edits: Sequence[Edit]) -> bool:
        """Whether there is anything to change."""
        old = self._data()
        new = _edited(self.file, old, edits)
        if new == old:
            return False
        if len(new) > self._place.bytes_max:
            raise NotWritten(f"{self.file}: with that it would be too large to be read")
        _as_before(draft.fileno(), self.file)
        draft.write(new)
        draft.flush()
        os.fsync(draft.fileno())
        return True

    def _data(self) -> bytes:
        try:
            for folder in self._place.folders:
                check_folder(folder, self._place.owners)
            return read(self.file, self._place, self._place.bytes_max)
        except FileNotFoundError:
            return b""
        except UnreadableError as err:
            raise NotWritten(f"{err.path}: {err.sentence}; nothing was written") from err


def _text(file: Path, data: bytes) -> str:
    """Raises NotWritten where it cannot be read."""
    part = parse(str(file), data)
    if part.broken:
        raise NotWritten(f"{part.problems[0]}; put that right first, nothing was written")
    return data.decode("utf-8-sig").replace("\r\n", "\n")


def _edited(file: Path, data: bytes, edits: Sequence[Edit]) -> bytes:
    try:
        text = edited(_text(file, data), edits)
    except CannotEdit as err:
        raise NotWritten(
            f"{printable(str(file))}: '{err}' is written there in a way that only a person can "
            "change: edit the file"
        ) from err
    if parse(str(file), text.encode()).broken:
        raise NotWritten(f"{printable(str(file))}: with that it could not be read any more")
    if b"\r\n" in data:
        text = text.replace("\n", "\r\n")
    new = text.encode()
    return b"\xef\xbb\xbf" + new if data.startswith(b"\xef\xbb\xbf") else new


def _make_folder(folder: Path, place: Place) -> None:
    """An administrator's for all to read, whatever the umask."""
    if not place.folders:
        folder.mkdir(parents=True, exist_ok=True)
        return
    for each in place.folders:
        if folder.is_relative_to(each):
            with suppress(FileExistsError):
                each.parent.mkdir(parents=True, exist_ok=True)
                each.mkdir()
                each.chmod(0o755)


def _draft(path: Path) -> int:
    """Its descriptor, locked for as long as it is open. Waits for another writer's, and takes away
    that of one that died. Raises NotWritten."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            draft = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            if _is_cleared(path):
                continue
        else:
            if _is_taken(draft, path):
                return draft
            os.close(draft)  # somebody took it for a dead one's
        if time.monotonic() >= until:
            raise NotWritten(f"{path}: the file is being written by another; try again")
        time.sleep(_LOOKS)


def _is_cleared(path: Path) -> bool:
    try:
        draft = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        if not _is_taken(draft, path):
            return False
        path.unlink()
        return True
    finally:
        os.close(draft)


def _is_taken(descriptor: int, path: Path) -> bool:
    """Whether we have the lock on what lies at `path` now: so nobody else puts it in place."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except (BlockingIOError, FileNotFoundError):
        return False


def _as_before(descriptor: int, file: Path) -> None:
    """Mode and owner of the file that it will replace; for a new one, for all to read."""
    try:
        before = file.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, _MODE)
        return
    mode = before.st_mode & 0o777
    now = os.fstat(descriptor)
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        try:
            os.fchown(descriptor, before.st_uid, before.st_gid)
        except PermissionError:
            mode &= ~0o022  # what another group may write nobody would read
    os.fchmod(descriptor, mode)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
