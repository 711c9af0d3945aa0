"""Tells when keys of the registry change. Never what, so it decides nothing.

Each key is watched with all below it; of one that is not there the nearest above it, until it is.
A thread sleeps in Windows between two changes.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import logging
import threading
import winreg
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from typing import Any, NamedTuple

import pywintypes
import win32api
import win32event
import winerror

from guestwake.paths import Paths
from guestwake.settings.registry import RegistrySource
from guestwake.settings.registry_windows import IsLink, WindowsRegistry, opened

log = logging.getLogger(__name__)

_KEYS_MAX = win32event.MAXIMUM_WAIT_OBJECTS - 1
_AT_ONCE, _STAYS, _UNSET = False, True, False  # of an event of Windows
_ANY, _ASYNCHRONOUS = False, True
_CHANGES = winreg.REG_NOTIFY_CHANGE_NAME | winreg.REG_NOTIFY_CHANGE_LAST_SET


class SettingsWatch:
    """Of all layers."""

    def __init__(self, paths: Paths, heard: Callable[[], None]) -> None:
        self._paths, self._keys = paths, RegistryWatch(heard)

    def keep(self, owners: Iterable[str]) -> None:
        registry = WindowsRegistry()
        sources = [RegistrySource(self._paths, owner, registry) for owner in (None, *owners)]
        self._keys.keep(root for source in sources for root in source.roots())

    def close(self) -> None:
        self._keys.close()


class RegistryWatch:
    """Calls `heard`, from a thread of its own, for each change in or below one of the keys."""

    def __init__(self, heard: Callable[[], None]) -> None:
        self._heard = heard
        self._wanted: tuple[str, ...] = ()
        self._stops = False
        # Something else is wanted; it is over with the first wait that it ends.
        self._told = win32event.CreateEvent(None, _AT_ONCE, _UNSET, None)
        self._thread = threading.Thread(target=self._run, name="registry", daemon=True)
        self._thread.start()

    def keep(self, paths: Iterable[str]) -> None:
        """From now on these and no others."""
        wanted = tuple(dict.fromkeys(paths))
        if len(wanted) > _KEYS_MAX:
            log.warning("keys from '%s' on are looked at every ten minutes only", wanted[_KEYS_MAX])
        if wanted[:_KEYS_MAX] != self._wanted:
            self._wanted = wanted[:_KEYS_MAX]
            win32event.SetEvent(self._told)

    def close(self) -> None:
        self._stops = True
        win32event.SetEvent(self._told)
        self._thread.join()

    def _run(self) -> None:
        while True:
            with ExitStack() as stack:
                events = self._armed(stack)
                # What came before the keys were watched is found by who hears this.
                self._heard()
                win32event.WaitForMultipleObjects([self._told, *events], _ANY, win32event.INFINITE)
            if self._stops:
                return

    def _armed(self, stack: ExitStack) -> list[Any]:
        """What Windows signals at the next change. The keys are open until the stack ends."""
        events = []
        for path in self._wanted:
            event = win32event.CreateEvent(None, _STAYS, _UNSET, None)
            if _notify(path, event, stack):
                events.append(event)
        return events


def _notify(path: str, event: Any, stack: ExitStack) -> bool:
    """False: it cannot be watched."""
    while True:
        try:
            place = _nearest(path)
            key = stack.enter_context(opened(place.path, winreg.KEY_NOTIFY))
            kinds = _CHANGES if place.is_it else winreg.REG_NOTIFY_CHANGE_NAME
            win32api.RegNotifyChangeKeyValue(int(key), place.is_it, kinds, event, _ASYNCHRONOUS)
            if _nearest(path) == place:  # and was not made meanwhile
                return True
        except FileNotFoundError:
            continue  # gone since
        except (OSError, IsLink, pywintypes.error) as err:
            if getattr(err, "winerror", None) == winerror.ERROR_KEY_DELETED:
                continue
            log.warning("'%s' is looked at every ten minutes only: %s", path, err)
            return False


class _Place(NamedTuple):
    path: str
    is_it: bool


def _nearest(path: str) -> _Place:
    """The key, or the nearest above it that is there and is no link."""
    names = path.split("\\")
    for end in range(len(names), 1, -1):
        place = "\\".join(names[:end])
        with suppress(FileNotFoundError, IsLink), opened(place, winreg.KEY_NOTIFY):
            return _Place(place, is_it=end == len(names))
    return _Place(names[0], is_it=False)
