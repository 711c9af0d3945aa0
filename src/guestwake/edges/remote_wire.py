"""Calls to the host's service over the system bus, or to others on another bus, each with a time
limit. jeepney's own connection would wait for the bus's first answer for ever."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from jeepney import (  # type: ignore[import-untyped]  # it carries no types
    DBusAddress,
    HeaderFields,
    Message,
    MessageFlag,
    MessageType,
    Parser,
    new_method_call,
)
from jeepney.bus import get_bus  # type: ignore[import-untyped]
from jeepney.bus_messages import message_bus  # type: ignore[import-untyped]
from jeepney.io.blocking import prep_socket  # type: ignore[import-untyped]

from guestwake.edges.dbus_words import SERVICE, Interface


class Silent(Exception):
    """No bus, no service, or no answer in time."""


class ErrorAnswer(Exception):
    """The service, or the bus, answered with an error of that name."""

    def __init__(self, name: str, sentence: str) -> None:
        super().__init__(sentence)
        self.name = name


class Wire:
    def __init__(self, authenticated: socket.socket) -> None:
        self._socket = authenticated
        self._parser = Parser()
        self._serials = itertools.count(1)
        self._greeting = message_bus.Hello().serialise(next(self._serials))

    def call(
        self, path: str, interface: Interface, name: str, body: tuple[object, ...], deadline: float
    ) -> tuple[object, ...]:
        """`deadline`: of time.monotonic(). No service is started for it. Raises Silent,
        ErrorAnswer."""
        (method,) = (one for one in interface.methods if one.name == name)
        message = method_call(SERVICE, path, interface.name, name, method.signature, body)
        message.header.flags |= MessageFlag.no_auto_start
        message.header.flags |= MessageFlag.allow_interactive_authorization
        return self.ask(message, deadline)

    def ask(self, message: Message, deadline: float) -> tuple[object, ...]:
        """The body of its answer. Raises Silent, ErrorAnswer."""
        serial = next(self._serials)
        try:
            answer = self._exchange(message.serialise(serial), serial, deadline)
        except (OSError, ValueError) as err:
            raise Silent(str(err)) from err
        if answer.header.message_type is MessageType.method_return:
            return tuple(answer.body)
        name = str(answer.header.fields.get(HeaderFields.error_name, ""))
        raise ErrorAnswer(name, str(answer.body[0]) if answer.body else name)

    def _exchange(self, data: bytes, serial: int, deadline: float) -> Message:
        self._bound(deadline)
        self._socket.sendall(self._greeting + data)
        self._greeting = b""
        while True:
            message = self._receive(deadline)
            if _answers_to(message) == serial:
                return message

    def _receive(self, deadline: float) -> Message:
        while (message := self._parser.get_next_message()) is None:
            self._bound(deadline)
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionResetError("the bus hung up")
            self._parser.add_data(data)
        return message

    def _bound(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        self._socket.settimeout(left)


def _answers_to(message: Message) -> int:
    """0: it is no answer. A signal may carry such a number as well, and anybody may send us one."""
    if message.header.message_type not in (MessageType.method_return, MessageType.error):
        return 0
    return int(message.header.fields.get(HeaderFields.reply_serial, 0))


def method_call(
    service: str, path: str, interface: str, name: str, signature: str, body: tuple[object, ...]
) -> Message:
    address = DBusAddress(path, bus_name=service, interface=interface)
    return new_method_call(address, name, signature or None, body)


@contextmanager
def connected(deadline: float, bus: str = "SYSTEM") -> Iterator[Wire]:
    """`bus`: its address, or the system's. Raises Silent."""
    left = max(deadline - time.monotonic(), 0.001)
    try:
        taken = prep_socket(get_bus(bus), timeout=left)
    except Exception as err:  # jeepney raises whatever a malformed greeting trips over
        raise Silent(str(err)) from err
    with taken:
        yield Wire(taken)
