"""A desktop for tests of the agent: our real API on one bus, a session's bus with a notification
server on it, and the agent of a user, in a thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from dbus_world import ME, UUID, DbusWorld, Service
from fake_bus import Bus
from fake_notifications import FakeNotifications

from guestwake.edges.agent_menu_files import MenuFiles
from guestwake.edges.dbus_agent import Agent
from guestwake.edges.dbus_menu import Menu
from guestwake.hosts.message_bus import connected
from guestwake.policy import prompt as prompts
from guestwake.policy.prompt import Answer, Prompt
from guestwake.policy.restart import MarkedReason, RestartMark

LONG = 15.0  # seconds that a busy machine may take for what takes milliseconds
QUIET = 0.3  # seconds in which nothing is to happen


@dataclass
class RunningAgent:
    """In a thread of its own, as a process has it."""

    session: str
    system: str
    data: Path
    error: BaseException | None = None
    agent: Agent | None = None
    _ready: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(LONG)

    def stop(self) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(LONG)
        assert not self._thread.is_alive()

    def wait(self) -> None:
        self._thread.join(LONG)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._be())
        except BaseException as err:
            self.error = err
        finally:
            self._loop.close()

    async def _be(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._ready.set()
        async with connected(self.session) as bus:
            menu = Menu(ME, MenuFiles(self.data), ("/usr/bin/guestwake",))
            self.agent = Agent(bus, ME, menu)
            await self.agent.run(self.system)

    def has_forgotten(self) -> bool:
        """It has heard that nothing is asked any more: the next question is a new one."""
        return self.agent is not None and not self.agent._board._shown


@dataclass
class Desk:
    """The host's Guestwake on `world`'s bus, and a session of its owner's."""

    world: DbusWorld
    bus: Bus
    seen: FakeNotifications = field(default_factory=FakeNotifications)
    running: RunningAgent = field(init=False)

    def begin(self, *, owner: str = ME, reasons: tuple[MarkedReason, ...] = ()) -> Service:
        """A workspace whose restart is to be asked about, the service, and the agent."""
        self.world.workspace(owner=owner)
        self.ask(reasons=reasons)
        service = self.world.serve()
        self.bus.serve(self.seen.service)
        self.agent()
        return service

    def agent(self) -> RunningAgent:
        self.running = self.new_agent()
        self.running.start()
        self.bus.cleanup.callback(self.running.stop)
        return self.running

    def new_agent(self) -> RunningAgent:
        return RunningAgent(self.bus.address, self.world.address, self.data)

    @property
    def data(self) -> Path:
        """The user's data folder."""
        return self.bus.folder / "data"

    def ask(self, uuid: str = UUID, *, reasons: tuple[MarkedReason, ...] = ()) -> None:
        """As it is after a look at a VM in which somebody's work may be."""
        now = self.world.clock.now()
        mark = RestartMark(reasons or (MarkedReason("apt", "libc6"),), now.wall, "boot-1")
        with self.world.application.journal() as journal:
            journal.mark_restart(uuid, mark)
            journal.keep_prompt(uuid, prompts.tried(None, mark, Answer.ASK, now))

    def prompt(self) -> Prompt:
        with self.world.application.journal(readonly=True) as journal:
            found = journal.prompt(UUID)
        assert found is not None
        return found

    def keep(self, change: Callable[[Prompt], Prompt]) -> None:
        with self.world.application.journal() as journal:
            journal.keep_prompt(UUID, change(self.prompt()))

    def is_shown(self) -> bool:
        """With all that there is to say."""
        return bool(self.seen.open) and "put off until" in self.seen.only().body


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < deadline, "it has not come"
        time.sleep(0.005)


def quiet(true: Callable[[], object]) -> None:
    """It stays so."""
    until = time.monotonic() + QUIET
    while time.monotonic() < until:
        assert true()
        time.sleep(0.02)
