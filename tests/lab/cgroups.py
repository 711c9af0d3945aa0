"""Cgroups for a host of the lab, beside our own ones: without them two hosts would share theirs.

systemd keeps its units in the named hierarchy of version 1, in version 2's, or in both.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MOUNTS = Path("/sys/fs/cgroup")
DEADLINE = 10.0  # seconds, for what was killed to be gone


def create(name: str) -> list[Path]:
    """The files to write a process into that shall live in them."""
    folders = [parent / name for parent in parents()]
    for folder in folders:
        folder.mkdir(exist_ok=True)
    return [folder / "cgroup.procs" for folder in folders]


def remove(name: str) -> None:
    """Waits for what was killed in them to be gone."""
    deadline = time.monotonic() + DEADLINE
    for parent in parents():
        while (parent / name).exists() and time.monotonic() < deadline:
            remove_tree(parent / name)
            if (parent / name).exists():
                time.sleep(0.02)


def sweep(prefix: str, is_over: Callable[[str], bool]) -> None:
    """Removes what killed runs left."""
    for parent in parents():
        for folder in parent.glob(f"{prefix}*"):
            if is_over(folder.name):
                remove_tree(folder)


@contextmanager
def frozen(name: str) -> Iterator[None]:
    """Nothing in them runs until the end of the block. Raises OSError where the kernel has no
    cgroups of version 2."""
    (switch,) = (file for one in parents() if (file := one / name / "cgroup.freeze").exists())
    switch.write_text("1")
    try:
        events = switch.with_name("cgroup.events")
        deadline = time.monotonic() + DEADLINE
        while "frozen 1" not in events.read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        yield
    finally:
        switch.write_text("0")


def parents() -> list[Path]:
    """Our own cgroups in the hierarchies of systemd."""
    folders = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, hierarchy, path = line.split(":", 2)
        if hierarchy == "name=systemd":
            folders.append(MOUNTS / "systemd" / path.lstrip("/"))
        elif number == "0":
            both = (MOUNTS / "unified").is_dir()
            folders.append((MOUNTS / "unified" if both else MOUNTS) / path.lstrip("/"))
    return [folder for folder in folders if os.access(folder, os.W_OK)]


def remove_tree(folder: Path) -> None:
    """As far as nobody lives there."""
    for path, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            os.rmdir(path)
