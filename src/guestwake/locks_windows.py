"""`locks.py` on Windows: whoever has the file open to write holds it, and the system closes it when
its holder ends, however it ends. A look opens it to read, and lets nobody open it to write for that
moment: who wants to hold it tries for a little longer than a look takes.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pywintypes
import win32con
import win32file
import winerror

_TRIES: Final = 5
_BETWEEN: Final = 0.02  # seconds


@contextmanager
def taken(path: Path) -> Iterator[bool]:
    """Whether it is ours for the length of the block. A missing folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _held(path)
    if handle is None:
        yield False
        return
    try:
        with suppress(pywintypes.error):  # a full disk: it is held all the same
            win32file.SetEndOfFile(handle)
            win32file.WriteFile(handle, f"{os.getpid()}\n".encode())
        try:
            yield True
        finally:  # the next holder is not taken for this process
            with suppress(pywintypes.error):
                win32file.SetFilePointer(handle, 0, win32con.FILE_BEGIN)
                win32file.SetEndOfFile(handle)
    finally:
        handle.Close()


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """As `taken`, but waits for whoever is there before."""
    while True:
        with taken(path) as ours:
            if ours:
                yield
                return
        time.sleep(_BETWEEN)


def is_held(path: Path) -> bool:
    try:
        handle = _open(path, win32con.GENERIC_READ, win32con.FILE_SHARE_READ)
    except pywintypes.error as err:
        return bool(err.winerror == winerror.ERROR_SHARING_VIOLATION)
    handle.Close()
    return False


def written_pid(path: Path) -> int | None:
    everything = win32con.FILE_SHARE_READ | win32con.FILE_SHARE_WRITE
    try:
        handle = _open(path, win32con.GENERIC_READ, everything)
    except pywintypes.error:
        return None
    try:
        text = bytes(win32file.ReadFile(handle, 32)[1]).strip()
    finally:
        handle.Close()
    return int(text) if text.isdigit() else None


def _held(path: Path) -> Any:
    """None: somebody else holds it. Raises OSError."""
    for tried in range(_TRIES):
        try:
            return _open(
                path,
                win32con.GENERIC_READ | win32con.GENERIC_WRITE,
                win32con.FILE_SHARE_READ,
                win32con.OPEN_ALWAYS,
            )
        except pywintypes.error as err:
            if err.winerror != winerror.ERROR_SHARING_VIOLATION:
                raise OSError(0, err.strerror, str(path), err.winerror) from err
        if tried + 1 < _TRIES:
            time.sleep(_BETWEEN)
    return None


def _open(path: Path, access: int, share: int, create: int = win32con.OPEN_EXISTING) -> Any:
    return win32file.CreateFile(str(path), access, share, None, create, 0, None)
