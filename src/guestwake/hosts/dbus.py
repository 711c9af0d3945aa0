"""A few properties of services on the system bus, all asked at once, with one short time limit.

A bus or service that is absent, hangs or dies is no error: its properties are simply not among
the answers. One that kept us waiting is not asked again for five minutes, so that holding costs
nothing. No service is started by asking. docs/decisions/0002 says why jeepney.
"""

from __future__ import annotations

import functools
import itertools
import logging
import os
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jeepney import Message  # type: ignore[import-untyped]  # it carries no types

log = logging.getLogger(__name__)

_REST = 300.0  # seconds without asking one that kept us waiting
_BUS = "org.freedesktop.DBus"


@dataclass(frozen=True, slots=True)
class Property:
    service: str
    path: str
    interface: str
    name: str


class SystemBus:
    """One connection, opened when first needed and kept. For one thread."""

    def __init__(
        self,
        address: str | Path,
        *,
        patience: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`address`: the path of a socket, or an address as D-Bus writes it. `patience`: seconds
        that one `ask` may wait altogether. `monotonic`: never leaves this file, it only bounds
        waiting; moved by tests."""
        self._address = address
        self._patience = patience
        self._monotonic = monotonic
        self._rests_until: dict[str, float] = {}
        self._wire: _Wire | None = None

    def ask(self, wanted: Iterable[Property]) -> dict[Property, object]:
        """Value of each property that was told. Never raises, never waits beyond `patience`."""
        asked = [one for one in wanted if not self._rests(one.service)]
        if not asked or self._rests(_BUS) or not self._may_be_there():
            return {}
        deadline = self._monotonic() + self._patience
        try:
            if self._wire is None:
                self._wire = self._connected(deadline)
            answers, silent = self._wire.exchange(asked, deadline)
        except TimeoutError as err:
            self._give_up(err)
            self._let_rest(_BUS)
            return {}
        except Exception as err:  # jeepney raises whatever a malformed message trips over
            self._give_up(err)
            return {}
        for one in silent:
            log.debug("'%s' did not answer in %s s", one.service, self._patience)
            self._let_rest(one.service)
        return answers

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _give_up(self, err: Exception) -> None:
        log.debug("no answer from the bus at '%s': %s", self._address, err)
        self.close()

    def _may_be_there(self) -> bool:
        """Looked at before jeepney is loaded, which costs more than the rest of a run."""
        return not isinstance(self._address, Path) or os.path.exists(self._address)

    def _rests(self, name: str) -> bool:
        return self._monotonic() < self._rests_until.get(name, float("-inf"))

    def _let_rest(self, name: str) -> None:
        self._rests_until[name] = self._monotonic() + _REST

    def _connected(self, deadline: float) -> _Wire:
        from jeepney.bus import get_bus  # type: ignore[import-untyped]
        from jeepney.io.blocking import prep_socket  # type: ignore[import-untyped]

        at = str(self._address) if isinstance(self._address, Path) else get_bus(self._address)
        left = max(deadline - self._monotonic(), 0.001)
        return _Wire(prep_socket(at, timeout=left), self._monotonic)


class _Wire:
    """An authenticated socket. jeepney's own blocking connection waits for ever for the bus's
    first answer and asks one thing after the other; this asks all and then listens."""

    def __init__(self, authenticated: socket.socket, monotonic: Callable[[], float]) -> None:
        from jeepney import Parser

        self._socket = authenticated
        self._monotonic = monotonic
        self._parser = Parser()
        self._serials = itertools.count(1)
        self._greeting = _hello().serialise(next(self._serials))

    def exchange(
        self, asked: Iterable[Property], deadline: float
    ) -> tuple[dict[Property, object], list[Property]]:
        """What was answered, and who was silent. Raises TimeoutError when nobody answered."""
        waiting = {next(self._serials): one for one in asked}
        self._send(waiting, deadline)
        answers: dict[Property, object] = {}
        heard = False
        while waiting:
            try:
                message = self._receive(deadline)
            except TimeoutError:
                if not heard:
                    raise
                break
            # An answer to an earlier exchange that came too late is in nobody's way.
            one = waiting.pop(_answers_to(message), None)
            heard = heard or one is not None
            if one is not None and _is_return(message):
                answers[one] = message.body[0][1]  # a variant: signature, value
        return answers, list(waiting.values())

    def close(self) -> None:
        self._socket.close()

    def _send(self, calls: dict[int, Property], deadline: float) -> None:
        data = b"".join(_get(one).serialise(serial) for serial, one in calls.items())
        self._bound(deadline)
        self._socket.sendall(self._greeting + data)
        self._greeting = b""

    def _receive(self, deadline: float) -> Message:
        while (message := self._parser.get_next_message()) is None:
            self._bound(deadline)
            data = self._socket.recv(4096)
            if not data:
                raise ConnectionResetError("the bus hung up")
            self._parser.add_data(data)
        return message

    def _bound(self, deadline: float) -> None:
        left = deadline - self._monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        self._socket.settimeout(left)


def _hello() -> Message:
    from jeepney.bus_messages import message_bus  # type: ignore[import-untyped]

    return message_bus.Hello()


@functools.cache
def _get(one: Property) -> Message:
    from jeepney import DBusAddress, MessageFlag, Properties

    address = DBusAddress(one.path, bus_name=one.service, interface=one.interface)
    message = Properties(address).get(one.name)
    message.header.flags |= MessageFlag.no_auto_start
    return message


def _answers_to(message: Message) -> int:
    from jeepney import HeaderFields

    serial = message.header.fields.get(HeaderFields.reply_serial, 0)
    return int(serial)


def _is_return(message: Message) -> bool:
    from jeepney import MessageType

    return message.header.message_type is MessageType.method_return
