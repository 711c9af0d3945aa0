"""The thread that waits for what others do: the ESD event, and the registry's keys."""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import threading
import time
from collections.abc import Iterable
from typing import Any, Callable, Optional

import pywintypes
import win32event

from guestwake_guest.journal import warn
from guestwake_guest.windows.windows_event import NAME, RestartEvent, Squatted
from guestwake_guest.windows.windows_registry import Watched

EACH = 30.0  # seconds: an event that is somebody else's is asked for anew
_PAUSE = 1.0  # seconds after something was heard: a flood costs no more than that


class Watch:
    """`signalled` and `changed` are called from its thread."""

    def __init__(
        self,
        keys: Iterable[str],
        signalled: Callable[[], None],
        changed: Callable[[], None],
        event_name: str = NAME,
    ) -> None:
        self._signalled, self._changed, self._name = signalled, changed, event_name
        self._stop = win32event.CreateEvent(None, 1, 0, None)
        self._event: Optional[RestartEvent] = None
        self._warned: Optional[str] = None
        self._keys = tuple(map(Watched, keys))
        self._make_event()
        threading.Thread(target=self._work, daemon=True).start()

    def close(self) -> None:
        win32event.SetEvent(self._stop)

    def _make_event(self) -> None:
        """One of our own, where there is none yet, or only somebody else's."""
        if self._event is not None:
            if self._event.squatted is None:
                return
            self._event.close()
        why: Optional[str]
        try:
            self._event = RestartEvent(self._name)
            why = self._event.squatted
        except (Squatted, pywintypes.error) as error:
            self._event, why = None, str(error)
        if why is not None and why != self._warned:
            warn(f"{why}; a signal may be missed")
        self._warned = why

    def _work(self) -> None:
        for key in self._keys:
            key.arm()  # in this thread, which lives on: what it asks for ends with it
        if self._keys:
            self._changed()  # before they were watched, perhaps
        ask_at = time.monotonic() + EACH
        while not _is_set(self._stop, 0.0):
            now = time.monotonic()
            if now >= ask_at:
                self._make_event()
                ask_at = now + EACH
            self._hear(ask_at - now)

    def _hear(self, seconds: float) -> None:
        """Each of them once: one that is set on and on keeps nobody from being heard."""
        event = [self._event.handle] if self._event else []
        handles = [self._stop, *event, *(key.event for key in self._keys)]
        which = win32event.WaitForMultipleObjects(handles, 0, int(seconds * 1000) + 1)
        at = which - win32event.WAIT_OBJECT_0
        if at == 0 or which == win32event.WAIT_TIMEOUT:
            return
        # The wait has reset the one that it tells of.
        are_set = [number == at or _is_set(handle, 0.0) for number, handle in enumerate(handles)]
        if self._event and are_set[1]:
            self._event.reset()
            self._signalled()
        first = len(handles) - len(self._keys)
        keys = [key for number, key in enumerate(self._keys, first) if are_set[number]]
        for key in keys:
            key.arm()
        if keys:
            self._changed()
        _is_set(self._stop, _PAUSE)


def _is_set(handle: Any, seconds: float) -> bool:
    """Within so long. One that resets itself is reset by that."""
    which = win32event.WaitForSingleObject(handle, int(seconds * 1000))
    return bool(which == win32event.WAIT_OBJECT_0)
