"""The thread that waits for what others do: the ESD event, and the registry's keys."""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import threading
from collections.abc import Iterable
from typing import Callable, Optional

import pywintypes
import win32event

from guestwake_guest.journal import warn
from guestwake_guest.windows.windows_event import NAME, RestartEvent, Squatted
from guestwake_guest.windows.windows_registry import watched

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
        self._keys = watched(keys)
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
        while True:
            event = self._event
            others = [key.event for key in self._keys]
            handles = [self._stop, *([event.handle] if event else []), *others]
            which = win32event.WaitForMultipleObjects(handles, 0, int(EACH * 1000))
            at = which - win32event.WAIT_OBJECT_0
            if at == 0:
                return
            if which == win32event.WAIT_TIMEOUT:
                self._make_event()
                continue
            if event is not None and at == 1:
                event.reset()
                self._signalled()
            else:
                self._keys[at - len(handles)].arm()
                self._changed()
            if win32event.WaitForSingleObject(self._stop, int(_PAUSE * 1000)) == 0:
                return
