"""Who holds a lock, read from /proc/locks. A lock is never taken to find out: unattended-upgrades
gives up when somebody who only wanted to know holds its own.

The kernel names a file by the device of its file system and by its inode. stat(2) gives another
device for btrfs and overlayfs, so that of the mount counts as well.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from guestwake_guest.system import System

_TABLE = "/proc/locks"
_MOUNTS = "/proc/self/mountinfo"


def held(system: System, files: Iterable[str]) -> bool | None:
    """Is one of them locked for writing? None: the kernel does not say."""
    table = system.text(_TABLE)
    if table is None:
        return None
    locked = _locked(table)
    if not locked:
        return False
    return any(_name(system, file) & locked for file in files)


def _locked(table: str) -> set[str]:
    """`fe:00:1234` of each that is held; a line with an arrow waits for one."""
    words = (line.split() for line in table.splitlines())
    return {word[5] for word in words if len(word) > 5 and word[1] != "->" and word[3] == "WRITE"}


def _name(system: System, file: str) -> set[str]:
    path = os.path.realpath(system.path(file))
    try:
        status = os.stat(path)
    except OSError:
        return set()
    devices = {(os.major(status.st_dev), os.minor(status.st_dev)), *_of_mount(system, path)}
    return {f"{major:02x}:{minor:02x}:{status.st_ino}" for major, minor in devices}


def _of_mount(system: System, path: str) -> list[tuple[int, int]]:
    """The device of the file system that `path` lies on, as mountinfo has it (proc(5))."""
    found = (line.split(" ", 5) for line in (system.text(_MOUNTS) or "").splitlines())
    mounts = [(words[4], words[2]) for words in found if len(words) > 5 and _is_on(path, words[4])]
    # The innermost; of several at one place the last one hides the others.
    innermost = max((len(point) for point, _ in mounts), default=0)
    devices = [device for point, device in mounts if len(point) == innermost]
    return [tuple(map(int, device.split(":"))) for device in devices[-1:]]  # type: ignore[misc]


def _is_on(path: str, point: str) -> bool:
    return point == "/" or path == point or path.startswith(f"{point}/")
