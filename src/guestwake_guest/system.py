"""This guest: where its files are and what its clocks say. Nothing is judged here.

Every path goes through one root, so that tests have a guest in a folder. What is read is bounded,
and a file that is missing or may not be read is None.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Optional

TEXT_BYTES_MAX = 65536

# What is compared to find out whether a file is still the same: inode, mtime in ns, size.
Identity = Optional[tuple[int, int, int]]


class System:
    """`elapsed`: seconds by CLOCK_MONOTONIC, which nobody sets and which stands while the guest is
    saved; `wall`: unix seconds, which jump when the clock of a restored guest is set."""

    def __init__(
        self,
        root: str = "/",
        *,
        elapsed: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.root = root.rstrip("/")
        self.elapsed = elapsed
        self.wall = wall

    def path(self, name: str) -> str:
        return self.root + name

    def text(self, name: str) -> str | None:
        """The first 64 KiB."""
        return self._read(name, from_end=False)

    def end_of(self, name: str) -> str | None:
        """The last 64 KiB, from the first whole line on."""
        return self._read(name, from_end=True)

    def line(self, name: str) -> str:
        """The first line; empty where there is none."""
        return (self.text(name) or "").partition("\n")[0].strip()

    def exists(self, name: str) -> bool:
        """A link counts whether or not it leads anywhere."""
        return os.path.lexists(self.path(name))

    def runs(self, *names: str) -> str | None:
        """The first of these programs that is installed."""
        return next((name for name in names if os.access(self.path(name), os.X_OK)), None)

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(self.path(folder)))
        except OSError:
            return []

    def changed_at(self, name: str) -> float | None:
        """Unix seconds of the last change; of a link itself."""
        status = self._status(name)
        return status.st_mtime if status else None

    def age(self, name: str) -> int | None:
        """Seconds since it changed, by the wall clock, and never longer than the guest is up."""
        at = self.changed_at(name)
        return None if at is None else self.bounded(self.wall() - at)

    def bounded(self, seconds: float) -> int:
        """An age by the wall clock of something in this boot. The clock may have been set since."""
        return int(max(0.0, min(seconds, self.elapsed())))

    def identity(self, name: str) -> Identity:
        status = self._status(name)
        return (status.st_ino, status.st_mtime_ns, status.st_size) if status else None

    def _status(self, name: str) -> os.stat_result | None:
        try:
            return os.lstat(self.path(name))
        except OSError:
            return None

    def _read(self, name: str, *, from_end: bool) -> str | None:
        try:
            with open(self.path(name), "rb") as file:
                begin = max(0, os.fstat(file.fileno()).st_size - TEXT_BYTES_MAX) if from_end else 0
                file.seek(begin)
                data = file.read(TEXT_BYTES_MAX)
        except OSError:
            return None
        text = data.decode("utf-8", "replace")
        return text.partition("\n")[2] if begin else text
