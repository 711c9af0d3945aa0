"""The user's menu, kept as services tell: the agent's part beside its prompts.

What each file is to say is `agent_menu.py`'s, the files themselves are `agent_menu_files.py`'s.
An icon is never understood here: its first bytes say which ending its file gets, and that is all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from dbus_fast.aio import MessageBus

from guestwake.edges.agent_menu import (
    NO_ICON,
    Entry,
    Texts,
    changes,
    entries_of,
    service_of,
    text,
    unused_icons,
    uuid_in,
)
from guestwake.edges.agent_menu_files import MenuFiles
from guestwake.edges.dbus_calls import Failed, Objects, icon, is_gone
from guestwake.edges.dbus_words import path_of

log = logging.getLogger(__name__)

_PAUSE = 1.0  # seconds before what failed is tried again; doubled each time,
_PAUSE_MAX = 300.0  # up to this


class Menu:
    """Of one user, for one event loop. `program`: the words that call guestwake."""

    def __init__(self, user: str, files: MenuFiles, program: Sequence[str]) -> None:
        self._user = user
        self._files = files
        self._program = program
        self._told: dict[str, tuple[MessageBus, Objects]] = {}  # and not yet heeded
        self._wanted: dict[str, Texts] = {}
        self._icons: dict[tuple[str, Entry], str] = {}  # names of files, by service
        self._changed = asyncio.Event()

    def tell(self, service: str, bus: MessageBus, found: Objects) -> None:
        """All that this service, which is on `bus`, has."""
        self._told[service] = (bus, found)
        self._changed.set()

    async def run(self) -> None:
        """Until it is cancelled. One service after the other, so that no two write at a time."""
        pause = _PAUSE
        while True:
            await self._changed.wait()
            self._changed.clear()
            again = await self.heed()
            if again:
                asyncio.get_running_loop().call_later(pause, self._changed.set)
            pause = min(2 * pause, _PAUSE_MAX) if again else _PAUSE

    async def heed(self) -> bool:
        """What was told. Whether some of it is to be tried again."""
        told, self._told = self._told, {}
        for service, (bus, found) in told.items():
            if not bus.connected:
                continue
            try:
                await self._keep(service, bus, found)
            except Failed as err:
                log.debug("the menu, of the %s bus: %s", service, err)
                if not err.absent:  # one that is not there tells all when it comes
                    self._told.setdefault(service, (bus, found))
            except OSError as err:
                log.warning("the menu cannot be kept: %s; tried again with the next change", err)
        return bool(self._told)

    async def _keep(self, service: str, bus: MessageBus, found: Objects) -> None:
        """Raises Failed, OSError."""
        there = await asyncio.to_thread(self._files.entries)
        wanted, doubtful = {}, await self._not_told(service, bus, found, there)
        for path, values in found.items():
            for entry in entries_of(values, self._user) or ():
                shown = await self._icon(service, bus, path, entry)
                wanted[entry.file] = text(entry, service, self._program, shown)
        self._wanted[service] = wanted
        await asyncio.to_thread(self._write, there, doubtful)

    async def _not_told(
        self, service: str, bus: MessageBus, found: Objects, there: Texts
    ) -> set[str]:
        """Entries of this service's of which it does not say whether they are still published."""
        doubtful = set()
        of = {str(uuid_in(file)) for file, said in there.items() if service_of(said) == service}
        for uuid in of:
            path = path_of(uuid)
            if path not in found:
                is_told = await is_gone(bus, path)
            else:
                is_told = entries_of(found[path], self._user) is not None
            doubtful |= set() if is_told else {uuid}
        return {file for file in there if uuid_in(file) in doubtful}

    async def _icon(self, service: str, bus: MessageBus, path: str, entry: Entry) -> str:
        """As an entry names it."""
        from guestwake.applications import ICON_BYTES_MAX, icon_kind  # late: few need it

        if not 0 < entry.icon_bytes <= ICON_BYTES_MAX:
            return NO_ICON
        known = self._icons.get((service, entry))
        if known is None or not self._files.has_icon(known, entry.icon_bytes):
            found = await icon(bus, path, entry.id)
            kind = icon_kind(found) if len(found) <= ICON_BYTES_MAX else None
            if kind is None:
                return NO_ICON
            known = entry.icon_file(found, kind)
            await asyncio.to_thread(self._files.write_icon, known, found)
            self._icons[service, entry] = known
        return self._files.icon_path(known)

    def _write(self, there: Texts, doubtful: set[str]) -> None:
        """Raises OSError."""
        todo = changes(there, self._wanted, doubtful)
        for file, said in todo.write.items():
            self._files.write(file, said)
        for file in todo.remove:
            self._files.remove(file)
        for file in unused_icons(self._files.icons(), self._files.entries()):
            self._files.remove_icon(file)
