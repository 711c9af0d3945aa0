"""A connection to a D-Bus bus that cannot hang: for whoever uses dbus-fast."""

from __future__ import annotations

import asyncio
import io
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

from dbus_fast import Message, MessageFlag
from dbus_fast._private.unmarshaller import Unmarshaller
from dbus_fast.aio import MessageBus, message_bus
from dbus_fast.constants import MESSAGE_FLAG_MAP

from guestwake.hosts.message_bytes import is_wrong, marshalled
from guestwake.hosts.message_size import Cut

log = logging.getLogger(__name__)

_PATIENCE = 10.0  # seconds for one answer of the bus
_CHUNK_BYTES = 256 << 10

# dbus-fast 1.84 knows each flag alone, and loses its connection over two of them in one message:
# anybody could put us off the bus.
for _flags in range(256):
    MESSAGE_FLAG_MAP.setdefault(_flags, MessageFlag(_flags))


class _Bus(MessageBus):
    """dbus-fast 1.84, which is Debian 12's, never returns to the event loop when the bus hangs up
    during the greeting. Later ones do what this does."""

    def __init__(self, bus_address: str) -> None:
        super().__init__(bus_address=bus_address)
        writer: Any = self._writer
        if is_wrong():
            writer.buffer_message = partial(_buffer, writer)

    async def connect(self) -> MessageBus:
        await super().connect()
        writer: Any = self._writer
        writer.sock = _Unhurried(writer.sock)
        return self

    async def _auth_readline(self) -> str:
        assert self._sock is not None
        line = b""
        while not line.endswith(b"\r\n"):
            data = await self._loop.sock_recv(self._sock, 1024)
            if not data:
                raise ConnectionResetError("the bus hung up during the greeting")
            line += data
        return line[:-2].decode()


class _Unhurried:
    """A socket of which dbus-fast's writer waits while it is full. It would lose the connection
    over that: anybody who asks faster than the bus takes answers could put us off it."""

    def __init__(self, full_or_not: socket.socket) -> None:
        self._socket = full_or_not

    def send(self, data: memoryview) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0


def _reader(*given: Any) -> Callable[[], None]:
    """In place of dbus-fast's own, which takes apart what is of any size. What that is given
    differs with the version; in all the bus's own methods are among it."""
    bus = next(one.__self__ for one in given if callable(one))
    return partial(_read, bus, Cut())


setattr(message_bus, "build_message_reader", _reader)  # noqa: B010  it is not exported


def _read(bus: Any, cut: Cut) -> None:
    """What has come in; the loop calls again where there is more."""
    try:
        data = bus._sock.recv(_CHUNK_BYTES)
        if not data:
            raise EOFError
        for whole in cut.feed(data):
            stream: Any = io.BytesIO(whole)
            message = Unmarshaller(stream, None).unmarshall()
            if message is not None:
                _process(bus, message)
    except BlockingIOError:
        return
    except Exception as err:
        bus._finalize(err)


def _process(bus: Any, message: Message) -> None:
    """What it trips over ends no connection."""
    try:
        bus._process_message(message)
    except Exception:
        log.exception("a message could not be dealt with")


def _buffer(writer: Any, message: Message, future: Any = None) -> None:
    """That one takes from the right."""
    writer.messages.appendleft((marshalled(message), [], future))


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[MessageBus]:
    """`address`: as D-Bus writes it. Raises what connecting raises, TimeoutError among it."""
    bus = _Bus(bus_address=address)
    try:
        async with asyncio.timeout(_PATIENCE):
            await bus.connect()
        yield bus
    finally:
        if bus.connected or bus.unique_name is None:
            bus.disconnect()
        elif bus._sock is not None:  # 1.84 leaves it open when it gives up, and our name taken
            with suppress(OSError):
                bus._sock.shutdown(socket.SHUT_RDWR)
