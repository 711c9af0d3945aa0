"""Services on the system bus: a few questions, all asked at once, with one short time limit.

A bus or service that is absent, hangs or dies is no error: its answers are simply missing. One
that kept us waiting is not asked again for five minutes, so that holding costs nothing. No
service is started by asking. docs/decisions/0002 says why jeepney, which only `dbus_wire.py` knows.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guestwake.hosts.dbus_wire import Wire

log = logging.getLogger(__name__)

PROPERTIES = "org.freedesktop.DBus.Properties"
_REST = 300.0  # seconds without asking one that kept us waiting
_BUS = "org.freedesktop.DBus"


@dataclass(frozen=True, slots=True)
class Call:
    """One method call. `body`: as D-Bus's `signature` says."""

    service: str
    path: str
    interface: str
    method: str
    signature: str = ""
    body: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error that was answered: its D-Bus name, and what it says to people."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Property:
    service: str
    path: str
    interface: str
    name: str

    @property
    def get(self) -> Call:
        asked = (self.interface, self.name)
        return Call(self.service, self.path, PROPERTIES, "Get", "ss", asked)


Answer = (
    tuple[object, ...] | Refusal
)  # a body, as jeepney decodes it: a variant is (signature, value)


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
        self._wire: Wire | None = None

    def deadline(self) -> float:
        """For questions of which one needs another's answer, and which share one patience."""
        return self._monotonic() + self._patience

    def ask(
        self, wanted: Iterable[Property], deadline: float | None = None
    ) -> dict[Property, object]:
        """Value of each property that was told. Never raises; `deadline` as for `call`."""
        calls = {one.get: one for one in wanted}
        told = {calls[call]: _value(answer) for call, answer in self.call(calls, deadline).items()}
        return {one: value for one, value in told.items() if value is not None}

    def call(self, calls: Iterable[Call], deadline: float | None = None) -> dict[Call, Answer]:
        """What was answered; who was silent is not in it. Never raises, never waits beyond
        `deadline`, which without one is `patience` from now."""
        asked = [one for one in calls if not self._rests(one.service)]
        if not asked or self._rests(_BUS) or not self._may_be_there():
            return {}
        deadline = self.deadline() if deadline is None else deadline
        try:
            if self._wire is None:
                self._wire = self._connected(deadline)
            answers = self._wire.exchange(asked, deadline)
        except TimeoutError as err:
            self._give_up(err)
            self._let_rest(_BUS)
            return {}
        except Exception as err:  # jeepney raises whatever a malformed message trips over
            self._give_up(err)
            return {}
        for service in {one.service for one in asked if one not in answers}:
            log.debug("'%s' did not answer in %s s", service, self._patience)
            self._let_rest(service)
        return answers

    def descriptor(self, call: Call) -> int | Refusal | None:
        """What a method that hands out a file descriptor gave: the caller must close it. None: no
        answer, or none with a descriptor. Over a connection of its own: on the kept one nobody
        can hand us any."""
        if self._rests(call.service) or self._rests(_BUS) or not self._may_be_there():
            return None
        deadline = self.deadline()
        try:
            wire = self._connected(deadline, descriptors=True)
            try:
                return wire.descriptor(call, deadline)
            finally:
                wire.close()
        except Exception as err:  # as above
            log.debug("no descriptor from '%s': %s", call.service, err)
            return None

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

    def _connected(self, deadline: float, *, descriptors: bool = False) -> Wire:
        from guestwake.hosts.dbus_wire import connected

        return connected(self._address, deadline, self._monotonic, descriptors=descriptors)


def _value(answer: Answer) -> object | None:
    match answer:
        case ((str(), value),):
            return value
    return None
