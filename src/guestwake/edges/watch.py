"""Tells when files change: settings, workspaces, units. Never what, so it decides nothing.

By watchdog, which sleeps in the kernel between two changes. Where the machine allows no more
watches, changes are seen at the next pass.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from os import sep
from pathlib import Path
from threading import Thread

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import ObservedWatch

log = logging.getLogger(__name__)

_LOOKS = 3600  # seconds; its own default is to wake up every second
_NO_CHANGE = ("opened", "closed_no_write")


class Watches(FileSystemEventHandler):
    """Calls `heard`, from a thread of its own, for each change in one of the folders."""

    def __init__(self, heard: Callable[[], None]) -> None:
        super().__init__()
        self._heard = heard
        self._wanted: frozenset[str] = frozenset()
        self._watched: dict[Path, ObservedWatch] = {}
        self._refused: set[Path] = set()
        self._observer = Observer(timeout=_LOOKS)
        self._observer.daemon = True
        self._observer.start()

    def keep(self, folders: Iterable[Path]) -> None:
        """From now on these and no others. One that is not there yet shows once it is made."""
        wanted = frozenset(folders)
        self._wanted = frozenset(map(str, wanted))
        places = {place for folder in wanted if (place := _nearest(folder)) is not None}
        for place in self._watched.keys() - places:
            self._observer.unschedule(self._watched.pop(place))
        for place in places - self._watched.keys() - self._refused:
            try:
                self._watched[place] = self._observer.schedule(self, str(place))
            except OSError as err:
                self._refused.add(place)
                log.warning("'%s' is looked at every ten minutes only: %s", place, err)

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in _NO_CHANGE:
            return
        # Only a move has the second, with watchdog 2.2, which is Debian 12's.
        paths = (str(event.src_path), str(getattr(event, "dest_path", "")))
        if any(_touches(path, wanted) for path in paths if path for wanted in self._wanted):
            self._heard()

    def close(self) -> None:
        """Not waited for: who ends has nothing more to hear, and a folder on a disk that hangs
        would be waited for."""
        Thread(target=self._observer.stop, daemon=True).start()


def _touches(path: str, wanted: str) -> bool:
    return path == wanted or path.startswith(wanted + sep) or wanted.startswith(path + sep)


def _nearest(folder: Path) -> Path | None:
    """The folder, or the nearest above it that is there."""
    return next((each for each in (folder, *folder.parents) if each.is_dir()), None)
