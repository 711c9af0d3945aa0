"""The registry of this Windows, asked and watched."""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import winreg
from contextlib import suppress
from typing import Any

import win32api
import win32con
import win32event

_VIEW = winreg.KEY_READ | winreg.KEY_WOW64_64KEY
_CHANGES = win32api.REG_NOTIFY_CHANGE_NAME | win32api.REG_NOTIFY_CHANGE_LAST_SET


class WindowsRegistry:
    """A Registry."""

    def has_key(self, key: str) -> bool:
        try:
            winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key, 0, _VIEW).Close()
        except FileNotFoundError:
            return False
        return True

    def value(self, key: str, name: str) -> Any:
        try:
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key, 0, _VIEW) as opened:
                return winreg.QueryValueEx(opened, name)[0]
        except FileNotFoundError:
            return None


class Watched:
    """A key and all below it. `event`: a handle that is signalled once after each `arm`, and when
    the thread ends that has armed it. Of a key that is not there its parent is watched, so that its
    coming is heard."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._opened: Any = None
        self._at = ""
        self.event = win32event.CreateEvent(None, 0, 0, None)

    def arm(self) -> None:
        """Never raises: what cannot be watched is looked at every half minute all the same."""
        at = self._nearest()
        if at != self._at or self._opened is None:
            self.close()
            self._at = at
        with suppress(win32api.error):
            if self._opened is None:
                access = win32con.KEY_NOTIFY | winreg.KEY_WOW64_64KEY
                self._opened = win32api.RegOpenKeyEx(win32con.HKEY_LOCAL_MACHINE, at, 0, access)
            is_there = int(at == self._key)
            win32api.RegNotifyChangeKeyValue(self._opened, is_there, _CHANGES, self.event, 1)

    def close(self) -> None:
        if self._opened is not None:
            self._opened.Close()
            self._opened = None
            win32event.ResetEvent(self.event)  # closing it signals

    def _nearest(self) -> str:
        there, registry = self._key, WindowsRegistry()
        with suppress(OSError):
            while "\\" in there and not registry.has_key(there):
                there = there.rpartition("\\")[0]
        return there
