"""When to look at the host again: sleep, shutdown, logons, power, network, and units of systemd.

Level, not edge: this tells that something may have changed and never what, so it decides nothing,
and a signal that is missed or made up does no harm. For the resident service, in its event loop;
between two signals nothing runs. docs/decisions/0005 says why dbus-fast here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from dbus_fast import Message, MessageFlag, MessageType
from dbus_fast.aio import MessageBus

from guestwake.hosts.message_bus import connected

log = logging.getLogger(__name__)

_PAUSE = 1.0  # seconds before the bus is tried again; doubled each time,
_PAUSE_MAX = 60.0  # up to this
_PATIENCE = 10.0  # seconds for one answer of the bus
_GATHER = 0.1  # seconds in which signals are one change

_BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
_LOGIND = ("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager")
_SYSTEMD = "org.freedesktop.systemd1"
_MANAGER = (_SYSTEMD, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
_NM = ("org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager")
_UPOWER = ("org.freedesktop.UPower", "/org/freedesktop/UPower")
_CHANGED = ("org.freedesktop.DBus.Properties", "PropertiesChanged")


@dataclass(frozen=True, slots=True)
class Signal:
    """`argument`: that one of its arguments, by number, is this text; the bus sorts out the
    rest."""

    service: str
    path: str
    interface: str
    member: str
    argument: tuple[int, str] | None = None

    @property
    def rule(self) -> str:
        rule = (
            f"type='signal',sender='{self.service}',path='{self.path}',"
            f"interface='{self.interface}',member='{self.member}'"
        )
        return (
            rule if self.argument is None else f"{rule},arg{self.argument[0]}='{self.argument[1]}'"
        )


# A logoff whose processes stay shows in nothing that is signalled: the next look finds it.
HOST = (
    *(
        Signal(*_LOGIND, member)
        for member in ("PrepareForSleep", "PrepareForShutdown", "SessionNew", "SessionRemoved")
    ),
    Signal(*_NM, _NM[0], "StateChanged"),
    Signal(*_NM, *_CHANGED),  # also Connectivity and Metered
    Signal(*_UPOWER, *_CHANGED),
)


def of_units(names: Iterable[str]) -> tuple[Signal, ...]:
    """What becomes of these units, and of unit files as such. A file that is edited by hand shows
    when systemd is told to read it."""
    return (
        # It may come to the bus after us, and has then to be asked for its signals.
        Signal(*_BUS, "NameOwnerChanged", (0, _SYSTEMD)),
        Signal(*_MANAGER, "UnitFilesChanged"),
        Signal(*_MANAGER, "Reloading"),
        *(Signal(*_MANAGER, "JobRemoved", (2, name)) for name in names),
        *(Signal(_SYSTEMD, unit_path(name), *_CHANGED) for name in names),
    )


def unit_path(name: str) -> str:
    """The object of a unit: what is no letter or digit is `_` and its hexadecimal number."""
    plain = (
        chr(byte)
        if chr(byte).isascii() and chr(byte).isalnum() and not (at == 0 and chr(byte).isdigit())
        else f"_{byte:02x}"
        for at, byte in enumerate(name.encode())
    )
    return f"/org/freedesktop/systemd1/unit/{''.join(plain)}"


class LinuxEvents:
    """One connection to one bus, made anew when it is lost. For one event loop.

    `on_change` is called in the loop, once for a burst of signals, and once for each new
    connection, since nobody knows what was missed before it; it must not raise or block.
    `signals`: `HOST` on the system bus; none on a user's own, which has only units.
    """

    def __init__(
        self,
        address: str,
        on_change: Callable[[], None],
        signals: Iterable[Signal] = HOST,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`address`: as D-Bus writes it. `sleep`: between two tries; moved by tests."""
        self._address = address
        self._on_change = on_change
        self._always = frozenset(signals)
        self._units: frozenset[Signal] = frozenset()
        self._sleep = sleep
        self._differs = asyncio.Event()  # what we want from what the bus was told
        self._gathered: asyncio.TimerHandle | None = None

    def watch_units(self, names: Iterable[str]) -> None:
        """From now on these units of systemd and no others."""
        units = frozenset(of_units(names))
        if units != self._units:
            self._units = units
            self._differs.set()

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        pause = _PAUSE
        try:
            while True:
                began = loop.time()
                try:
                    await self._listen()
                except Exception as err:  # dbus-fast raises whatever a malformed message trips over
                    log.debug("the bus at '%s' is lost: %r", self._address, err)
                # A bus that comes and goes is no better than one that does not come.
                pause = _PAUSE if loop.time() - began > _PAUSE_MAX else pause
                log.debug("the bus at '%s' is tried again in %s s", self._address, pause)
                await self._sleep(pause)
                pause = min(2 * pause, _PAUSE_MAX)
        finally:
            self._forget_change()

    async def _listen(self) -> None:
        """Until the connection is lost. Raises what connecting and losing raise."""
        async with connected(self._address) as bus:
            bus.add_message_handler(self._hear)
            try:
                async with asyncio.TaskGroup() as group:
                    telling = group.create_task(self._keep_told(bus))
                    await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
                    telling.cancel()
            finally:  # what is read already may come to its handlers still
                bus.remove_message_handler(self._hear)

    async def _keep_told(self, bus: MessageBus) -> None:
        told: frozenset[Signal] | None = None
        while True:
            self._differs.clear()
            wanted = self._always | self._units
            async with asyncio.timeout(_PATIENCE):
                await _tell(bus, told or frozenset(), wanted)
            if wanted != told:
                self._note_change()
            told = wanted
            await self._differs.wait()

    def _hear(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL or message.destination is not None:
            return  # one to us alone is from anybody: the bus sorts out by sender what is to all
        heard = (message.path, message.interface, message.member)
        if heard == (*_BUS[1:], "NameOwnerChanged"):
            self._differs.set()
        if any(
            heard == (one.path, one.interface, one.member) for one in self._always | self._units
        ):
            self._note_change()

    def _note_change(self) -> None:
        if self._gathered is None:
            loop = asyncio.get_running_loop()
            self._gathered = loop.call_later(_GATHER, self._tell_change)

    def _tell_change(self) -> None:
        self._gathered = None
        self._on_change()

    def _forget_change(self) -> None:
        if self._gathered is not None:
            self._gathered.cancel()
            self._gathered = None


async def _tell(bus: MessageBus, told: frozenset[Signal], wanted: frozenset[Signal]) -> None:
    """Have the bus send what is wanted, and no longer what is not. Raises what `call` does."""
    for signal in told - wanted:
        await _match(bus, "RemoveMatch", signal)
    for signal in wanted - told:
        await _match(bus, "AddMatch", signal)
    if any(signal.service == _SYSTEMD for signal in wanted):
        service, path, interface = _MANAGER
        # Not waited for: it may be absent, hang, or be asked already.
        flags = MessageFlag.NO_REPLY_EXPECTED | MessageFlag.NO_AUTOSTART
        await bus.send(Message(service, path, interface, "Subscribe", flags=flags))


async def _match(bus: MessageBus, method: str, signal: Signal) -> None:
    answer = await bus.call(Message(*_BUS, method, signature="s", body=[signal.rule]))
    if answer is not None and answer.message_type is MessageType.ERROR:
        log.warning("no news of '%s': the bus refused: %s", signal.rule, answer.body)
