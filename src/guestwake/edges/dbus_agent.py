"""The buses of the agent in a user's session: services in, notifications and the menu out.

Each service is read as a whole whenever it signals that something of it has changed; between two
signals nothing runs. Buses, services and notification servers may come and go. What is shown, and
how it is said, is `agent_prompts.py`'s; the menu is `dbus_menu.py`'s.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from typing import Any

from dbus_fast import Message, MessageType, NameFlag, RequestNameReply, Variant
from dbus_fast.aio import MessageBus

from guestwake.edges import agent_menu
from guestwake.edges.agent_prompts import RELEVANT, Asked, Board, Key, Show, asked_of
from guestwake.edges.dbus_calls import PATIENCE, Failed, Objects, act, call, objects
from guestwake.edges.dbus_menu import Menu
from guestwake.edges.dbus_words import MANAGER_PATH, OBJECT_MANAGER, PROPERTIES, SERVICE, WORKSPACE
from guestwake.hosts.message_bus import connected

log = logging.getLogger(__name__)

NAME = "org.guestwake.Agent1"  # of which there is one in a session

_GATHER = 0.1  # seconds in which signals are one change
_PATIENCE_AT_THE_END = 2.0
_PAUSE = 1.0  # before what failed is tried again; doubled each time,
_PAUSE_MAX = 300.0  # up to this

_BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
_NOTIFICATIONS = (
    "org.freedesktop.Notifications",
    "/org/freedesktop/Notifications",
    "org.freedesktop.Notifications",
)
_RELEVANT = RELEVANT | agent_menu.RELEVANT
_NEVER = 0  # when a notification goes by itself
_NORMAL, _CRITICAL = 1, 2


class AgentThere(Exception):
    """Another agent has this session."""


class Agent:
    """For one event loop. `bus`: the session's, connected. `menu`: of the same user."""

    def __init__(self, bus: MessageBus, user: str, menu: Menu) -> None:
        self._bus = bus
        self._user = user
        self._menu = menu
        self._board = Board()
        self._services: dict[str, MessageBus] = {}  # where each is reached
        self._heard: deque[Message] = deque()  # of the notification server, in order
        self._changed = asyncio.Event()
        self._can: frozenset[str] | None = None
        self._pause = _PAUSE
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, system: str) -> None:
        """Until the session's bus is lost, or cancelled. `system`: address of the system's bus.
        Raises AgentThere, Failed, and what losing a bus raises."""
        await self._begin()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._show_all())
                group.create_task(self._menu.run())
                group.create_task(self._follow_own())
                group.create_task(self._follow_system(system))
                await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
                raise Failed("the session's bus is lost", absent=True)
        finally:
            await self._end()

    async def _begin(self) -> None:
        self._bus.add_message_handler(self._hear)
        service, path, interface = _NOTIFICATIONS
        await _match(self._bus, _of_name(service))
        await _match(
            self._bus, f"type='signal',sender='{service}',path='{path}',interface='{interface}'"
        )
        taken = await self._bus.request_name(NAME, NameFlag.DO_NOT_QUEUE)
        if taken not in (RequestNameReply.PRIMARY_OWNER, RequestNameReply.ALREADY_OWNER):
            raise AgentThere("another agent asks in this session already")

    async def _end(self) -> None:
        """Buttons that nobody listens to any more are taken away."""
        self._bus.remove_message_handler(self._hear)
        for task in self._tasks:
            task.cancel()
        for number in self._board.shown() if self._bus.connected else ():
            await self._close(number, _PATIENCE_AT_THE_END)

    # services

    async def _follow_own(self) -> None:
        await self._follow("session", self._bus)

    async def _follow_system(self, address: str) -> None:
        loop, pause = asyncio.get_running_loop(), _PAUSE
        while True:
            began = loop.time()
            try:
                async with connected(address) as bus, asyncio.TaskGroup() as group:
                    following = group.create_task(self._follow("system", bus))
                    await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
                    following.cancel()
            except Exception as err:  # dbus-fast raises whatever a malformed message trips over
                log.debug("the bus at '%s' is lost: %r", address, err)
            finally:
                self._services.pop("system", None)
            pause = _PAUSE if loop.time() - began > _PAUSE_MAX else pause
            log.debug("the bus at '%s' is tried again in %s s", address, pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _PAUSE_MAX)

    async def _follow(self, name: str, bus: MessageBus) -> None:
        """Tell the board what the service on `bus` wants to have shown, as long as it is
        connected. A service that goes leaves what it said until it comes back."""
        self._services[name] = bus
        news = _News()
        bus.add_message_handler(news.hear)
        await _match(bus, _of_name(SERVICE))
        await _match(bus, f"type='signal',sender='{SERVICE}',path_namespace='{MANAGER_PATH}'")
        pause = _PAUSE
        while True:
            await news.wait()
            try:
                found, news.sender = await objects(bus)
            except Failed as err:
                log.debug("the service on the %s bus: %s", name, err)
                if not err.absent:  # one that is not there says when it comes
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _PAUSE_MAX)
                    news.note()
                continue
            pause = _PAUSE
            self._board.tell(name, _asked(found, self._user))
            self._changed.set()
            self._menu.tell(name, bus, found)

    # notifications

    def _hear(self, message: Message) -> bool:
        """Signals may come before the answer that they are about: kept in order, heard in turn."""
        is_signal = message.message_type is MessageType.SIGNAL
        if is_signal and (_owner_of(_NOTIFICATIONS[0], message) or _is_about_one(message)):
            self._heard.append(message)
            self._changed.set()
        return False

    async def _show_all(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._heard:
                self._take(self._heard.popleft())
            try:
                await self._settle()
                self._pause = _PAUSE
            except Failed as err:
                log.debug("notifications: %s", err)
                if not err.absent:
                    loop = asyncio.get_running_loop()
                    loop.call_later(self._pause, self._changed.set)
                    self._pause = min(2 * self._pause, _PAUSE_MAX)

    def _take(self, message: Message) -> None:
        if owner := _owner_of(_NOTIFICATIONS[0], message):
            self._can = None
            self._board.server_is(owner[0])
            return
        number, said = message.body
        if message.member == "NotificationClosed":
            self._board.closed(number, message.sender or "")
        elif answer := self._board.answered(number, said, message.sender or ""):
            self._begin_task(self._answer(*answer))

    async def _settle(self) -> None:
        """Make what is seen what is to be seen. Raises Failed."""
        for number in self._board.to_close():
            await self._close(number, PATIENCE)
        if self._board.is_empty:
            return
        if self._can is None:
            self._can = await self._capabilities()
        for show in self._board.to_show(self._can):
            answer = await self._call("Notify", "susssasa{sv}i", _notify(show))
            self._board.took(show, answer.body[0], str(answer.sender))
        for key in self._board.to_tell():
            self._begin_task(self._tell_seen(key))

    async def _capabilities(self) -> frozenset[str]:
        return frozenset((await self._call("GetCapabilities", "", [])).body[0])

    async def _close(self, number: int, patience: float) -> None:
        try:
            await self._call("CloseNotification", "u", [number], patience)
        except Failed as err:  # then nobody sees it either
            log.debug("notification %s: %s", number, err)

    async def _call(
        self, member: str, signature: str, body: list[Any], patience: float = PATIENCE
    ) -> Message:
        message = Message(*_NOTIFICATIONS, member, signature=signature, body=body)
        return await call(self._bus, message, patience)

    # answers

    async def _tell_seen(self, key: Key) -> None:
        try:
            await self._act(key, "PromptSeen")
        except Failed as err:
            log.debug("'%s' could not be told that it was seen: %s", key[1], err)
            self._board.untold(key)

    async def _answer(self, key: Key, method: str) -> None:
        try:
            await self._act(key, method)
        except Failed as err:
            log.warning("%s of '%s': %s", method, key[1], err)
            self._board.failed(key, f"That did not work: {err}")
            self._changed.set()

    async def _act(self, key: Key, method: str) -> None:
        service, path = key
        if service not in self._services:
            raise Failed("Guestwake's service cannot be reached")
        await act(self._services[service], path, method)

    def _begin_task(self, does: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(does)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _News:
    """That a service has something new to tell."""

    def __init__(self) -> None:
        self.sender: str | None = None  # its unique name; None: not known
        self._event = asyncio.Event()
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()
        await asyncio.sleep(_GATHER)
        self._event.clear()

    def note(self) -> None:
        self._event.set()

    def hear(self, message: Message) -> bool:
        if message.message_type is not MessageType.SIGNAL:
            return False
        if owner := _owner_of(SERVICE, message):
            self.sender = owner[0]
            if self.sender is not None:
                self.note()
        elif self.sender in (None, message.sender) and _changes_something(message):
            self.note()
        return False


def _changes_something(message: Message) -> bool:
    match message.interface, message.member, message.body:
        case OBJECT_MANAGER.name, _, _:
            return True
        case PROPERTIES.name, "PropertiesChanged", [WORKSPACE.name, dict(changed), *_]:
            return not _RELEVANT.isdisjoint(changed)
    return False


def _asked(found: Objects, user: str) -> dict[str, Asked]:
    return {path: one for path, values in found.items() if (one := asked_of(values, user))}


def _notify(show: Show) -> list[Any]:
    said = show.notification
    hints = {"urgency": Variant("y", _CRITICAL if said.critical else _NORMAL)}
    actions = [word for action in said.actions for word in action]
    icon = "system-software-update"
    return ["Guestwake", show.replaces, icon, said.summary, said.body, actions, hints, _NEVER]


def _is_about_one(message: Message) -> bool:
    if (message.path, message.interface) != _NOTIFICATIONS[1:]:
        return False
    return (message.member, message.signature) in (
        ("NotificationClosed", "uu"),
        ("ActionInvoked", "us"),
    )


def _of_name(name: str) -> str:
    service, path, interface = _BUS
    return (
        f"type='signal',sender='{service}',path='{path}',interface='{interface}',"
        f"member='NameOwnerChanged',arg0='{name}'"
    )


def _owner_of(name: str, message: Message) -> tuple[str | None] | None:
    """Who has that name from now on, if that is what the bus says; (None,): nobody."""
    said = (message.sender, message.interface, message.member)
    if said != (_BUS[0], _BUS[2], "NameOwnerChanged"):
        return None
    match message.body:
        case [str(one), _, str(new)] if one == name:
            return (new or None,)
    return None


async def _match(bus: MessageBus, rule: str) -> None:
    await call(bus, Message(*_BUS, "AddMatch", signature="s", body=[rule]))
