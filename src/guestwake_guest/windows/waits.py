"""Waiting where threads hear what comes, each in its own way: they call `hurry`."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from guestwake_guest.transports.api import Stream


class HurriedWaits:
    def __init__(self) -> None:
        self._hurried = threading.Event()

    def hurry(self) -> None:
        """End the present wait, or the next one. From any thread."""
        self._hurried.set()

    def add(self, stream: Stream) -> None:
        """It has a thread of its own that hurries."""

    def wait(self, seconds: float, ends: set[int], outputs: Iterable[int]) -> None:
        self._hurried.wait(seconds)
        self._hurried.clear()
