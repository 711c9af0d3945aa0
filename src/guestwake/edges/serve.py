"""`guestwake serve`: the Guest Restart Management Service as a process.

One event loop that hears, one thread that passes. Whatever is heard (files, the bus, signals)
only makes the next pass come sooner; between two of them nothing runs but systemd's watchdog.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from guestwake import resident
from guestwake.application import Application
from guestwake.edges.exit_codes import Exit
from guestwake.edges.notify import notify, watchdog
from guestwake.edges.watch import Watches
from guestwake.locks import AlreadyRunning, held
from guestwake.restart_service import RestartService, Starts
from guestwake.settings import kept
from guestwake.settings.source import Watch
from guestwake.wishes import Wishes
from guestwake.workspaces import Workspace

if TYPE_CHECKING:
    from guestwake.edges.dbus_api import Exported

log = logging.getLogger(__name__)

# Who tells it to stop, and to look; both may be called from any thread.
Controls = Callable[[Callable[[], None], Callable[[], None]], None]

_GATHER = 0.5  # seconds in which what is heard is one pass
_RETRIED = (Exit.UNEXPECTED, Exit.HYPERVISOR, Exit.JOURNAL)


def serve(arguments: Namespace, application: Application) -> Exit:
    """Until a signal ends it. The managers that it has started go on."""
    if sys.platform == "win32":
        from guestwake.edges.windows_service import hosted

        if hosted(partial(_serve, application, bus=False)):
            return Exit.DONE
        return _serve(application, _console, bus=False)
    return _serve(application, _signals, bus=not arguments.no_bus)


def _serve(application: Application, controls: Controls, *, bus: bool) -> Exit:
    try:
        with held(application.paths.runtime / "serve.lock"):
            return asyncio.run(_Service(application, controls, bus=bus).run())
    except AlreadyRunning as err:
        log.error("%s: there is one service at a time", err)
        return Exit.ALREADY_RUNNING


def _signals(stop: Callable[[], None], hear: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, stop)
    loop.add_signal_handler(signal.SIGHUP, hear)


def _console(stop: Callable[[], None], hear: Callable[[], None]) -> None:
    """Of Windows: Ctrl-C and Ctrl-Break."""
    for name in ("SIGINT", "SIGBREAK"):
        signal.signal(getattr(signal, name), lambda *_: stop())


class _Service:
    def __init__(self, application: Application, controls: Controls, *, bus: bool) -> None:
        self._application, self._controls = application, controls
        self._scheduler = application.scheduler()
        self._starts: Starts = self._scheduler or resident.children(application, _RETRIED)
        self._wants_bus = bus
        self._exported: Exported | None = None
        self._service: RestartService | None = None
        self._stack = ExitStack()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pass")  # the journal is one's own
        self._heard = asyncio.Event()
        self._stops = False
        self._keys: Watch | None = None  # where settings are no files
        self._watch_units: Callable[[Iterable[str]], None] = _nobody

    async def run(self) -> Exit:
        loop = asyncio.get_running_loop()
        self._controls(partial(_in_loop, loop, self._stop), partial(_in_loop, loop, self._hear))
        watches = Watches(partial(_in_loop, loop, self._hear_of_units))
        self._keys = kept.watch(self._application.paths, partial(_in_loop, loop, self._hear))
        beside = [asyncio.create_task(self._listen()), asyncio.create_task(watchdog())]
        try:
            await self._pass_and_pass(watches)
        finally:
            notify("STOPPING=1")
            watches.close()
            if self._keys is not None:
                self._keys.close()
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await loop.run_in_executor(self._thread, self._stack.close)
            self._thread.shutdown()
        return Exit.DONE

    async def _pass_and_pass(self, watches: Watches) -> None:
        loop, ready = asyncio.get_running_loop(), False
        while not self._stops:
            self._heard.clear()
            watches.keep(self._folders())
            if self._keys is not None:
                self._keys.keep(self._owners())
            pause = await loop.run_in_executor(self._thread, self._pass)
            self._watch_units(self._units())
            if self._exported is not None:
                await self._exported.refresh()
            if not ready:
                notify("READY=1")
                ready = True
            log.debug("next pass in %s", pause)
            try:
                async with asyncio.timeout(pause.total_seconds()):
                    await self._heard.wait()
                if not self._stops:
                    await asyncio.sleep(_GATHER)
            except TimeoutError:
                pass

    def _pass(self) -> timedelta:
        """In the thread that has the journal."""
        if self._service is None:
            service = resident.service(self._application, self._scheduler, self._starts)
            self._service = self._stack.enter_context(service)
        return self._service.pass_()

    # what is heard

    def _stop(self) -> None:
        self._stops = True
        self._heard.set()

    def _hear(self) -> None:
        self._heard.set()

    def _hear_of_units(self) -> None:
        if self._service is not None:
            self._service.doubt_timers()
        self._heard.set()

    def _units(self) -> Iterable[str]:
        if self._scheduler is None:
            return []
        known = self._application.workspaces.readable()[0]
        names = (self._scheduler.unit(workspace.uuid) for workspace in known)
        return [name for name in names if name is not None]

    def _folders(self) -> Iterable[Path]:
        """Folders in which a change means something to us."""
        paths = self._application.paths
        yield from (paths.config, paths.policy_dir, paths.state / "workspaces", paths.runtime)
        if self._scheduler is not None:
            yield from self._scheduler.folders()
        if self._keys is None:
            for owner in self._owners():
                own = paths.user_config_dir(owner)
                yield from [own] if own else []

    def _owners(self) -> set[str]:
        known = self._application.workspaces.readable()[0]
        return {workspace.owner for workspace in known if workspace.owner is not None}

    async def _listen(self) -> None:
        """The host's signals and our own API, each where there is a bus for it."""
        if not self._wants_bus:
            return
        from guestwake.edges.dbus_bus import answer

        events = resident.events(self._application, self._hear_of_units)
        self._watch_units = events[-1].watch_units  # of the manager that keeps the timers
        async with asyncio.TaskGroup() as group:
            for each in events:
                group.create_task(each.run())
            group.create_task(answer(self._application, self._wake, self._hear, self._on_bus))

    def _on_bus(self, exported: Exported | None) -> None:
        self._exported = exported

    def _wake(self, workspace: Workspace, duration: timedelta | None) -> None:
        """For the API, in a thread of its own."""
        Wishes(self._application).ask_wake(workspace, duration)
        self._starts.start_run(workspace.uuid)


def _in_loop(loop: asyncio.AbstractEventLoop, heard: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # it has ended
        loop.call_soon_threadsafe(heard)


def _nobody(units: Iterable[str]) -> None:
    """Listens, without a bus."""
