"""A screen that nobody sees, on which windows are real."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_WINDOW = re.compile(r'^ +(0x[0-9a-f]+) "(.*?)": \(', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Display:
    """Use `display()`. `name`: as DISPLAY names it."""

    name: str

    def windows(self) -> dict[str, str]:
        """Titles of those that there are, by the window's number."""
        command = ["xwininfo", "-display", self.name, "-root", "-tree"]
        tree = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        return dict(_WINDOW.findall(tree.stdout))

    def titled(self, words: str) -> str | None:
        """The first window with these words in its title."""
        return next((one for one, title in self.windows().items() if words in title), None)

    def close(self, window: str) -> None:
        """Its program loses the screen, and ends."""
        command = ["xkill", "-display", self.name, "-id", window]
        subprocess.run(command, capture_output=True, timeout=30, check=True)


@contextmanager
def display() -> Iterator[Display]:
    reads, writes = os.pipe()
    options = ["-screen", "0", "1024x768x24", "-nolisten", "tcp"]
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writes), *options],
        pass_fds=[writes],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writes)
    try:
        with os.fdopen(reads) as numbers:
            number = numbers.readline().strip()
        assert number, "Xvfb did not start"
        yield Display(f":{number}")
    finally:
        server.terminate()
        server.wait()
