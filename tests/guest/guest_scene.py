"""A guest in a folder: its files, its programs, and clocks that a test moves."""

from __future__ import annotations

import os
import time
from pathlib import Path

from guestwake_guest.children import Children
from guestwake_guest.questions import Questions
from guestwake_guest.system import System
from guestwake_guest.view import View

RECORDED = Path(__file__).parent / "recorded"
BOOT = "11111111-2222-3333-4444-555555555555"
KERNEL = "6.1.0-40-amd64"
UP = 1000.0  # seconds that it has been up
WALL = float(int(time.time()))

# What systemd-run does, as far as it matters here.
SYSTEMD_RUN = 'while [ "${1#--}" != "$1" ]; do shift; done; exec "$@"'


class Guest:
    """`elapsed` and `wall`: its clocks."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.elapsed = UP
        self.wall = WALL
        self.system = System(str(root), elapsed=lambda: self.elapsed, wall=lambda: self.wall)
        self.children = Children()
        self.questions = Questions(self.system, self.children)
        self.write("/proc/sys/kernel/random/boot_id", f"{BOOT}\n")
        self.write("/proc/sys/kernel/osrelease", f"{KERNEL}\n")
        self.write("/etc/os-release", 'NAME="Debian GNU/Linux"\nPRETTY_NAME="Debian 12"\n')
        self.write("/proc/locks", "")
        self.program("/usr/bin/systemd-run", SYSTEMD_RUN)

    def write(self, name: str, text: str = "", *, age: float = 0) -> Path:
        """`age`: seconds, by the wall clock."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.touch(name, age)
        return path

    def touch(self, name: str, age: float) -> None:
        os.utime(self.path(name), (self.wall - age, self.wall - age))

    def remove(self, name: str) -> None:
        self.path(name).unlink()

    def path(self, name: str) -> Path:
        return self.root / name.lstrip("/")

    def program(self, name: str, script: str) -> None:
        self.write(name, f"#!/bin/sh\n{script}\n").chmod(0o755)

    def says(self, name: str, recorded: str, code: int = 0) -> None:
        """The program says what was recorded, and appends its arguments to `NAME.calls`."""
        calls = self.path(f"{name}.calls")
        self.program(name, f'echo "$@" >>"{calls}"; cat "{RECORDED / recorded}"; exit {code}')

    def calls(self, name: str) -> list[str]:
        calls = self.path(f"{name}.calls")
        return calls.read_text().splitlines() if calls.exists() else []

    def passes(self, seconds: float) -> None:
        self.elapsed += seconds
        self.wall += seconds

    def clock_is_set(self, seconds: float) -> None:
        """As after a restore: only the wall clock moves."""
        self.wall += seconds

    def view(self, window_since: float | None = None) -> View:
        return View(self.system, self.questions, window_since)

    def hears_answers(self) -> None:
        """Waits for the commands that are under way: the only real waiting here."""
        until = time.monotonic() + 20
        while self.children.outputs() and time.monotonic() < until:
            self.children.tend(self.elapsed)
            time.sleep(0.002)
