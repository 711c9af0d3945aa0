"""What the agent in a user's session asks of Guestwake's services over D-Bus."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from dbus_fast import DBusError, Message, MessageFlag, MessageType
from dbus_fast.aio import MessageBus

from guestwake.edges.dbus_words import MANAGER_PATH, OBJECT_MANAGER, PROPERTIES, SERVICE, WORKSPACE
from guestwake.edges.text import printable

PATIENCE = 30.0  # for an answer, in seconds; the bus itself starts a service within 25
_PATIENCE_WITH_A_PERSON = 150.0  # polkit may ask for a password

_ABSENT = (
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.DBus.Error.NameHasNoOwner",
)
_NO_OBJECT = "org.freedesktop.DBus.Error.UnknownObject"

Objects = Mapping[str, Mapping[str, object]]


class Failed(Exception):
    """A call came to nothing. `absent`: there is nobody to answer. `no_object`: somebody answers,
    and knows no such object."""

    def __init__(self, sentence: str, *, absent: bool = False, no_object: bool = False) -> None:
        super().__init__(sentence)
        self.absent = absent
        self.no_object = no_object


async def objects(bus: MessageBus) -> tuple[Objects, str]:
    """The properties of each workspace of the service on `bus`, by object, and the service's
    unique name. No service is started for it. Raises Failed."""
    answer = await call(
        bus,
        Message(
            SERVICE,
            MANAGER_PATH,
            OBJECT_MANAGER.name,
            "GetManagedObjects",
            flags=MessageFlag.NO_AUTOSTART,
        ),
    )
    if answer.signature != "a{oa{sa{sv}}}":
        raise Failed(f"GetManagedObjects gave '{answer.signature}'")
    found = {
        path: {name: one.value for name, one in interfaces[WORKSPACE.name].items()}
        for path, interfaces in answer.body[0].items()
        if WORKSPACE.name in interfaces
    }
    return found, str(answer.sender)


async def act(bus: MessageBus, path: str, method: str) -> None:
    """A method of Workspace1 without arguments. Raises Failed."""
    flags = MessageFlag.ALLOW_INTERACTIVE_AUTHORIZATION
    message = Message(SERVICE, path, WORKSPACE.name, method, flags=flags)
    await call(bus, message, _PATIENCE_WITH_A_PERSON)


async def icon(bus: MessageBus, path: str, application: str) -> bytes:
    """Of a published one; empty: it has none. Raises Failed."""
    answer = await call(bus, _asking(path, WORKSPACE.name, "Icon", "s", [application]))
    if answer.signature != "ay":
        raise Failed(f"Icon gave '{answer.signature}'")
    return bytes(answer.body[0])


async def is_gone(bus: MessageBus, path: str) -> bool:
    """Whether the service says that there is no such workspace; one that it could not look at
    yet is among the objects neither."""
    try:
        await call(bus, _asking(path, PROPERTIES.name, "Get", "ss", [WORKSPACE.name, "Uuid"]))
    except Failed as err:
        return err.no_object
    return False


def _asking(path: str, interface: str, member: str, signature: str, body: list[object]) -> Message:
    flags = MessageFlag.NO_AUTOSTART
    return Message(SERVICE, path, interface, member, flags=flags, signature=signature, body=body)


async def call(bus: MessageBus, message: Message, patience: float = PATIENCE) -> Message:
    """Its answer. Raises Failed."""
    try:
        async with asyncio.timeout(patience):  # wait_for of Python 3.11 may lose a cancellation
            answer = await bus.call(message)
    except TimeoutError as err:
        raise Failed(f"no answer within {patience:.0f} s") from err
    except (DBusError, EOFError, OSError) as err:
        raise Failed("the connection to the bus was lost", absent=True) from err
    if answer is None:
        raise Failed("no answer")
    if answer.message_type is MessageType.ERROR:
        said, name = (answer.body[0] if answer.body else answer.error_name), answer.error_name
        raise Failed(printable(str(said)), absent=name in _ABSENT, no_object=name == _NO_OBJECT)
    return answer
