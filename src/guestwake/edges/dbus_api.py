"""The D-Bus API of the resident service: objects out, calls in, changes told.

It reads what is recorded and never asks a hypervisor or a guest, so it answers while one hangs.
Each call is a task of its own: one that waits, for polkit or for the disk, delays no other. The
table of the API is `dbus_words.py`, what its methods do `dbus_deeds.py`, who may `dbus_guard.py`.

dbus-fast's own service classes tell a method neither who calls nor whether a person may be asked,
so this takes messages as they come.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from dbus_fast import (
    DBusError,
    ErrorType,
    Message,
    MessageFlag,
    MessageType,
    NameFlag,
    RequestNameReply,
    Variant,
)
from dbus_fast.aio import MessageBus

from guestwake.application import VERSION, Application
from guestwake.edges import dbus_values
from guestwake.edges.dbus_deeds import DEEDS, Body, Desk, Wakes
from guestwake.edges.dbus_guard import Guard, Polkit, Refused, Request, SameUser, Users
from guestwake.edges.dbus_limits import OpenCalls
from guestwake.edges.dbus_values import Value, Values
from guestwake.edges.dbus_words import (
    ALREADY_RUNNING,
    INTROSPECTABLE,
    MANAGER,
    MANAGER_OBJECT,
    MANAGER_PATH,
    NO_SUCH_WORKSPACE,
    NOT_POSSIBLE,
    OBJECT_MANAGER,
    PEER,
    PROPERTIES,
    SCHEDULER,
    SERVICE,
    SETTINGS,
    STATE,
    UNEXPECTED,
    WORKSPACE,
    WORKSPACE_OBJECT,
    Action,
    Interface,
    Method,
    Problem,
    introspection,
    path_of,
    uuid_of,
)
from guestwake.edges.text import cut, printable
from guestwake.journal_file import JournalError
from guestwake.locks import AlreadyRunning
from guestwake.paths import PathsError
from guestwake.schedulers.api import SchedulerError
from guestwake.settings import SettingsError
from guestwake.settings.source import NotWritten
from guestwake.workspaces import UnknownWorkspace, Workspace, WorkspaceError

log = logging.getLogger(__name__)

_THREADS = 4

_PROBLEMS: tuple[tuple[type[Exception], Problem], ...] = (
    (UnknownWorkspace, NO_SUCH_WORKSPACE),
    (WorkspaceError, NOT_POSSIBLE),
    (AlreadyRunning, ALREADY_RUNNING),
    (SchedulerError, SCHEDULER),
    (SettingsError, SETTINGS),
    (NotWritten, SETTINGS),
    (PathsError, SETTINGS),
    (JournalError, STATE),
    (OSError, STATE),
)

# Of the bodies that are read. That of Set may hold anything, and is refused.
_SIGNATURES = {
    method.signature
    for interface in (*MANAGER_OBJECT, *WORKSPACE_OBJECT)
    for method in interface.methods
    if "v" not in method.signature
}

_T = TypeVar("_T")


class NameTaken(Exception):
    """Another process answers to the name already, or this user may not."""


def nothing_changed() -> None:
    """For callers who do not want to know."""


async def export(
    bus: MessageBus,
    application: Application,
    wake: Wakes,
    *,
    on_system_bus: bool,
    changed: Callable[[], None] = nothing_changed,
    guard: Guard | None = None,
) -> Exported:
    """Answer on `bus`, which is connected, from now on, under our name. `wake` is called in a
    thread, and starts a run; `changed` in the loop, after somebody changed something: the next
    pass should be soon. `guard`: given by tests alone. Raises NameTaken."""
    exported = Exported(
        bus,
        Desk(application, wake),
        guard or (Polkit(bus, application) if on_system_bus else SameUser()),
        changed,
    )
    try:
        await exported.refresh()  # before anybody can ask
        bus.add_message_handler(exported.take)
        await _take_name(bus)
    except BaseException:
        exported.close()
        raise
    return exported


async def _take_name(bus: MessageBus) -> None:
    try:
        taken = await bus.request_name(SERVICE, NameFlag.DO_NOT_QUEUE)
    except DBusError as err:
        raise NameTaken(f"the bus does not let this user be '{SERVICE}': {err}") from err
    if taken not in (RequestNameReply.PRIMARY_OWNER, RequestNameReply.ALREADY_OWNER):
        raise NameTaken(f"another process is '{SERVICE}' on this bus already; end that one first")


class Exported:
    """What is told on the bus. For one event loop."""

    def __init__(
        self, bus: MessageBus, desk: Desk, guard: Guard, changed: Callable[[], None]
    ) -> None:
        self._bus = bus
        self._desk = desk
        self._guard = guard
        self._changed = changed
        self._told: dict[str, Values] = {}  # by UUID
        self._looks = 0
        self._looking = asyncio.Lock()
        self._users = Users(bus)
        self._open = OpenCalls()
        self._tasks: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="dbus")

    async def refresh(self) -> None:
        """Look at what is recorded, and tell what has changed since it was last told. Who comes
        while others look waits for one look that begins after that."""
        wanted = self._looks + 1
        async with self._looking:
            if self._looks >= wanted:
                return
            self._looks += 1
            application = self._desk.application
            now = application.clock.now()
            look = partial(dbus_values.look, application.paths, now, dict(self._told))
            try:
                found = await self._in_thread(look)
            except OSError as err:
                log.warning("what is told on the bus stays as it was: %s", err)
                return
            self._tell(found)

    def close(self) -> None:
        """Answer no more. The name and the connection are the caller's to give up."""
        self._bus.remove_message_handler(self.take)
        for task in self._tasks:
            task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    # calls

    def take(self, message: Message) -> bool:
        """A message that has come in; whether it is ours to answer."""
        if message.message_type is not MessageType.METHOD_CALL:
            return False
        if not _is_ours(message):
            return False
        if message.signature not in _SIGNATURES:  # whatever it is, it is refused
            message.body.clear()
        try:
            self._open.begin(message, self._users.known(message.sender or ""))
        except Refused as err:
            self._refuse(message, err)
            return True
        task = asyncio.get_running_loop().create_task(self._answer(message))
        self._tasks.add(task)
        task.add_done_callback(partial(self._answered, message))
        return True

    def _answered(self, message: Message, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._open.end(message)

    async def _answer(self, message: Message) -> None:
        try:
            uid = await self._users.uid_of(message.sender or "")
            with self._open.of_user(uid):
                signature, body = await self._called(message, uid)
            answer = Message.new_method_return(message, signature, body)
        except Refused as err:
            self._refuse(message, err)
        except _NoSuch as err:
            self._send_error(message, err.name.value, str(err))
        except Exception as err:  # whatever it is, the caller is told, and others are served
            self._refuse(message, _refusal(err))
        else:
            if _wants_answer(message):
                self._bus.send(answer)

    async def _called(self, message: Message, caller: int) -> tuple[str, Body]:
        interfaces, workspace = await self._object(message)
        interface, method = _method(message, interfaces)
        if interface is PEER:  # dbus-fast 1.84 does not answer where D-Bus's own file is not there
            asks = method.name == "GetMachineId"
            return method.answer, [await self._in_thread(_machine)] if asks else []
        if interface is INTROSPECTABLE:
            return method.answer, [introspection(interfaces, self._children(message.path or ""))]
        await self._guard.check(
            caller,
            Request(
                caller=message.sender or "",
                action=method.action or Action.READ,
                workspace=workspace or await self._meant(method, message.body),
                may_ask=bool(message.flags & MessageFlag.ALLOW_INTERACTIVE_AUTHORIZATION),
                setting=message.body[1] if method.action is Action.SETTINGS else None,
                method=method.name,
            ),
        )
        if interface in (PROPERTIES, OBJECT_MANAGER):
            return method.answer, await self._read(method, message.body, interfaces, workspace)
        deed = DEEDS[interface.name, method.name]
        subject = () if workspace is None else (workspace,)
        desk = replace(self._desk, caller=caller)
        body = await self._in_thread(partial(deed, desk, *subject, *message.body))
        if method.action is not Action.READ:
            await self.refresh()
            self._changed()
        return method.answer, body

    async def _object(self, message: Message) -> tuple[tuple[Interface, ...], Workspace | None]:
        """The interfaces of what is called, and the workspace that it is. Raises _NoSuch,
        WorkspaceError."""
        path = message.path or ""
        if path == MANAGER_PATH:
            return MANAGER_OBJECT, None
        uuid = uuid_of(path)
        if uuid is not None:
            known = self._desk.application.workspaces
            try:
                found = await self._in_thread(partial(known.find, uuid))
            except UnknownWorkspace:
                found = None
            if found is not None and path_of(found.uuid) == path:
                return WORKSPACE_OBJECT, found
        if self._children(path):
            return (INTROSPECTABLE,), None
        raise _NoSuch(ErrorType.UNKNOWN_OBJECT, f"There is no object {cut(path, 100)}.")

    async def _meant(self, method: Method, body: Body) -> Workspace | None:
        """Of a setting, for the guard. One that there is not is told to who may ask."""
        if method.action is not Action.SETTINGS or not body[0]:
            return None
        try:
            return await self._in_thread(partial(self._desk.application.workspaces.find, body[0]))
        except WorkspaceError:
            return None

    def _children(self, path: str) -> list[str]:
        """Names of the nodes right below that path."""
        below = path.rstrip("/") + "/"
        paths = (MANAGER_PATH, *map(path_of, self._told))
        found = (one.removeprefix(below) for one in paths if one.startswith(below))
        return list(dict.fromkeys(one.partition("/")[0] for one in found))

    # properties

    async def _read(
        self,
        method: Method,
        body: Body,
        interfaces: Iterable[Interface],
        workspace: Workspace | None,
    ) -> Body:
        if method.name == "GetManagedObjects":
            await self.refresh()
            return [
                {
                    path_of(uuid): {WORKSPACE.name: _variants(WORKSPACE, values)}
                    for uuid, values in self._told.items()
                }
            ]
        if method.name == "Set":
            raise _NoSuch(ErrorType.PROPERTY_READ_ONLY, "Properties cannot be set.")
        interface = next((one for one in interfaces if one.name == body[0]), None)
        if interface is None:
            raise _NoSuch(ErrorType.UNKNOWN_INTERFACE, f"No interface {cut(body[0], 100)} here.")
        await self.refresh()
        values = _variants(interface, self._values(interface, workspace))
        if method.name == "GetAll":
            return [values]
        if body[1] not in values:
            raise _NoSuch(ErrorType.UNKNOWN_PROPERTY, f"No property {cut(body[1], 100)} here.")
        return [values[body[1]]]

    def _values(self, interface: Interface, workspace: Workspace | None) -> Values:
        if interface is MANAGER:
            return {"Version": VERSION, "Workspaces": list(map(path_of, self._told))}
        if interface is WORKSPACE and workspace is not None:
            try:
                return self._told[workspace.uuid]
            except KeyError:
                raise WorkspaceError(
                    f"'{workspace.name}' could not be looked at yet: 'guestwake status' says why."
                ) from None
        return {}

    # changes

    def _tell(self, found: dict[str, Values]) -> None:
        before, self._told = self._told, found
        for uuid in before.keys() - found.keys():
            self._signal(
                MANAGER_PATH, OBJECT_MANAGER, "InterfacesRemoved", [path_of(uuid), [WORKSPACE.name]]
            )
        for uuid in (uuid for uuid in found if uuid not in before):
            interfaces = {WORKSPACE.name: _variants(WORKSPACE, found[uuid])}
            self._signal(
                MANAGER_PATH, OBJECT_MANAGER, "InterfacesAdded", [path_of(uuid), interfaces]
            )
        for uuid in (uuid for uuid in found if uuid in before):
            self._tell_changes(path_of(uuid), WORKSPACE, before[uuid], found[uuid])
        old, new = ({"Workspaces": list(map(path_of, those))} for those in (before, found))
        self._tell_changes(MANAGER_PATH, MANAGER, old, new)

    def _tell_changes(self, path: str, interface: Interface, old: Values, new: Values) -> None:
        changes = {name: value for name, value in new.items() if old.get(name) != value}
        if changes:
            body = [interface.name, _variants(interface, changes), []]
            self._signal(path, PROPERTIES, "PropertiesChanged", body)

    def _signal(self, path: str, interface: Interface, name: str, body: Body) -> None:
        (signal,) = (one for one in interface.signals if one.name == name)
        signature = "".join(one.signature for one in signal.carries)
        self._bus.send(Message.new_signal(path, interface.name, name, signature, body))

    # below

    async def _in_thread(self, does: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, does)

    def _refuse(self, message: Message, refused: Refused) -> None:
        self._send_error(message, refused.name, str(refused))

    def _send_error(self, message: Message, name: str, sentence: str) -> None:
        if _wants_answer(message):
            self._bus.send(Message.new_error(message, name, printable(sentence)))


class _NoSuch(Exception):
    """What the bus has names for itself."""

    def __init__(self, name: ErrorType, sentence: str) -> None:
        super().__init__(sentence)
        self.name = name


def _machine() -> str:
    return Path("/etc/machine-id").read_text(encoding="ascii").strip()


def _is_ours(message: Message) -> bool:
    path = message.path or ""
    if path == MANAGER_PATH or path.startswith(f"{MANAGER_PATH}/"):
        return True
    above = MANAGER_PATH.startswith(path.rstrip("/") + "/")
    return above and message.interface == INTROSPECTABLE.name


def _wants_answer(message: Message) -> bool:
    return not message.flags & MessageFlag.NO_REPLY_EXPECTED


def _method(message: Message, interfaces: Iterable[Interface]) -> tuple[Interface, Method]:
    """Without an interface in the message, the first method of that name. Raises _NoSuch."""
    for interface in interfaces:
        for method in interface.methods:
            if message.member != method.name or message.interface not in (interface.name, None, ""):
                continue
            if message.signature != method.signature:
                raise _NoSuch(
                    ErrorType.INVALID_ARGS,
                    f"{method.name} takes '{method.signature}', not '{message.signature}'.",
                )
            return interface, method
    called = cut(f"{message.interface or ''}.{message.member}", 200)
    raise _NoSuch(ErrorType.UNKNOWN_METHOD, f"There is no {called} here.")


def _variants(interface: Interface, values: Mapping[str, Value]) -> dict[str, Any]:
    return {
        one.name: Variant(one.signature, values[one.name])
        for one in interface.properties
        if one.name in values
    }


def _refusal(err: Exception) -> Refused:
    for kind, problem in _PROBLEMS:
        if isinstance(err, kind):
            return Refused(problem, f"{err}")
    log.error("a call over D-Bus ended unexpectedly", exc_info=err)
    return Refused(UNEXPECTED, f"{type(err).__name__}; the service's log tells more.")
