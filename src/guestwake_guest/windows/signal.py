"""The ESD signal as the loop knows it: heard from an event, recorded for this boot.

Whoever sets the event again and again is heard once a second.
"""

from __future__ import annotations

import threading
from typing import Callable, Optional, Protocol

from guestwake_guest.journal import tell, warn

PAUSE = 1.0


class Kept(Protocol):
    """When the first signal of this boot came, by the elapsed clock. Raises OSError."""

    def read(self) -> Optional[float]: ...
    def write(self, at: float) -> None: ...


class WindowsSignal:
    """A Signal. `heard` is called from the thread that waits for the event; no reason comes with
    it, as an event has none."""

    end = None

    def __init__(self, kept: Kept, elapsed: Callable[[], float]) -> None:
        self._kept = kept
        self._elapsed = elapsed
        self._heard = threading.Event()
        self._is_warned = False
        self.paused_until = 0.0

    def heard(self) -> None:
        self._heard.set()

    def is_readable(self) -> bool:
        return self._heard.is_set()

    def take(self) -> bool:
        now = self._elapsed()
        self.paused_until = now + PAUSE
        try:
            known = self._kept.read()
            if known is None:
                self._kept.write(now)
        except OSError as error:
            if not self._is_warned:
                warn(f"a restart signal could not be recorded: {error}, trying again each second")
            self._is_warned = True
            return False
        self._is_warned = False
        self._heard.clear()
        if known is None:
            tell("a restart was asked for by the event")
        return known is None
