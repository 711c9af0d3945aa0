"""A connection to a D-Bus bus that cannot hang: for whoever uses dbus-fast."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dbus_fast.aio import MessageBus

_PATIENCE = 10.0  # seconds for one answer of the bus


class _Bus(MessageBus):
    """dbus-fast 1.84, which is Debian 12's, never returns to the event loop when the bus hangs up
    during the greeting. Later ones do what this does."""

    async def _auth_readline(self) -> str:
        assert self._sock is not None
        line = b""
        while not line.endswith(b"\r\n"):
            data = await self._loop.sock_recv(self._sock, 1024)
            if not data:
                raise ConnectionResetError("the bus hung up during the greeting")
            line += data
        return line[:-2].decode()


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
