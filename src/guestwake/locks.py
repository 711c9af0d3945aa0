"""One run at a time for a workspace, across processes, by a lock that dies with its holder.

On Linux an open-file-description lock: the kernel lets go of it when the holder ends, however it
ends, and others can ask who holds it without ever taking it. `locks_windows.py` has the like.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform == "win32":
    from guestwake import locks_windows
else:
    import fcntl

# struct flock of <fcntl.h>: type, whence, start, length, pid
_FLOCK = "hhqqi4x"


class AlreadyRunning(Exception):
    """Another process has this workspace's run."""

    def __init__(self, path: Path, holder: int | None) -> None:
        self.holder = holder
        who = f"process {holder}" if holder else "another process"
        super().__init__(f"{who} is already running it")


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock at `path`. Raises AlreadyRunning; a missing folder is made."""
    if sys.platform == "win32":
        with locks_windows.taken(path) as ours:
            if not ours:
                raise AlreadyRunning(path, locks_windows.written_pid(path))
            yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.fcntl(handle, fcntl.F_OFD_SETLK, _lock(fcntl.F_WRLCK))
        except (BlockingIOError, PermissionError) as err:
            raise AlreadyRunning(path, _written_pid(handle)) from err
        with suppress(OSError):  # a full disk: it is held all the same, and nobody is told by whom
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(handle, 0)  # the next holder is not taken for this process
    finally:
        os.close(handle)


def is_held(path: Path) -> bool:
    """Whether some living process holds it. Never takes it."""
    if sys.platform == "win32":
        return locks_windows.is_held(path)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        answer = fcntl.fcntl(handle, fcntl.F_OFD_GETLK, _lock(fcntl.F_RDLCK))
        kind: int = struct.unpack(_FLOCK, answer)[0]
        return kind != fcntl.F_UNLCK
    finally:
        os.close(handle)


def holder_of(path: Path) -> int | None:
    """Its process. None: nobody holds it, or another process namespace does."""
    if not is_held(path):
        return None
    if sys.platform == "win32":
        return locks_windows.written_pid(path)
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _written_pid(handle)
    finally:
        os.close(handle)


def _lock(kind: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)


def _written_pid(handle: int) -> int | None:
    text = os.pread(handle, 32, 0).strip()
    return int(text) if text.isdigit() else None
