"""When to look at the host again: services on a real, private bus send what logind, systemd,
NetworkManager and UPower send. Nothing here says what has changed; a look tells that."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fake_bus import (
    LOGIND,
    NM,
    SYSTEMD,
    UPOWER,
    Bus,
    FakeService,
    bus_daemon,
    deaf_bus,
    logind,
    network_manager,
    systemd,
    upower,
)
from jeepney import (  # type: ignore[import-untyped]  # it carries no types
    DBusAddress,
    HeaderFields,
    new_signal,
)
from jeepney.bus_messages import message_bus  # type: ignore[import-untyped]
from jeepney.io.blocking import open_dbus_connection  # type: ignore[import-untyped]

from guestwake.hosts.linux_events import HOST, LinuxEvents, Signal, unit_path

LOGIND_PATH, NM_PATH = "/org/freedesktop/login1", "/org/freedesktop/NetworkManager"
UPOWER_PATH, SYSTEMD_PATH = "/org/freedesktop/UPower", "/org/freedesktop/systemd1"
PROPERTIES = "org.freedesktop.DBus.Properties"
SESSION_OBJECT = f"{LOGIND_PATH}/session/_33"
TIMER = "guestwake@4f.timer"
TIMER_OBJECT = f"{SYSTEMD_PATH}/unit/guestwake_404f_2etimer"

OK = b"OK 0123456789abcdef0123456789abcdef\r\n"
LONG = 10.0  # seconds that a busy machine may take for what takes milliseconds
QUIET = 0.2  # seconds in which nothing is to happen


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guestwake.hosts.linux_events._GATHER", 0.02)


@dataclass
class Heard:
    """Counts the calls, and waits for the next."""

    calls: int = 0
    rings: asyncio.Event = field(default_factory=asyncio.Event)

    def on_change(self) -> None:
        self.calls += 1
        self.rings.set()

    async def one(self) -> None:
        await asyncio.wait_for(self.rings.wait(), LONG)
        self.rings.clear()

    async def none(self) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self.rings.wait(), QUIET)


@dataclass
class RecordingPause:
    """Remembers how long it was to wait, and waits no time at all."""

    pauses: list[float] = field(default_factory=list)
    enough: int = 1_000_000

    async def __call__(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0.01 if len(self.pauses) < self.enough else LONG)


@asynccontextmanager
async def listening(
    address: str,
    signals: Iterable[Signal] = HOST,
    units: Iterable[str] = (),
    pause: RecordingPause | None = None,
) -> AsyncIterator[tuple[Heard, LinuxEvents]]:
    heard = Heard()
    events = LinuxEvents(address, heard.on_change, signals, sleep=pause or RecordingPause())
    if units:
        events.watch_units(units)
    running = asyncio.ensure_future(events.run())
    try:
        yield heard, events
    finally:
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


def told(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 6 * LONG))


def changed(service: FakeService, path: str, interface: str, name: str, value: Any) -> None:
    service.emit(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", (interface, {name: value}, []))


# --- the host


@pytest.mark.parametrize(
    ("service", "sends"),
    [
        (logind, lambda it: it.emit(LOGIND_PATH, MANAGER, "PrepareForSleep", "b", (True,))),
        (logind, lambda it: it.emit(LOGIND_PATH, MANAGER, "PrepareForSleep", "b", (False,))),
        (logind, lambda it: it.emit(LOGIND_PATH, MANAGER, "PrepareForShutdown", "b", (True,))),
        (
            logind,
            lambda it: it.emit(LOGIND_PATH, MANAGER, "SessionNew", "so", ("3", SESSION_OBJECT)),
        ),
        (
            logind,
            lambda it: it.emit(LOGIND_PATH, MANAGER, "SessionRemoved", "so", ("3", SESSION_OBJECT)),
        ),
        (network_manager, lambda it: it.emit(NM_PATH, NM, "StateChanged", "u", (20,))),
        (network_manager, lambda it: changed(it, NM_PATH, NM, "Metered", ("u", 1))),
        (upower, lambda it: changed(it, UPOWER_PATH, UPOWER, "OnBattery", ("b", True))),
        # Of another shape than is documented: it is only a reason to look.
        (logind, lambda it: it.emit(LOGIND_PATH, MANAGER, "PrepareForSleep", "s", ("soon",))),
        (logind, lambda it: it.emit(LOGIND_PATH, MANAGER, "SessionNew", "", ())),
    ],
)
def test_what_the_host_does_is_a_reason_to_look(
    bus: Bus, service: Callable[[], FakeService], sends: Callable[[FakeService], None]
) -> None:
    async def story() -> None:
        served = bus.serve(service())
        async with listening(bus.address) as (heard, _):
            await heard.one()  # it listens: what was before, nobody knows
            sends(served)
            await heard.one()
        assert heard.calls == 2

    told(story())


MANAGER = f"{LOGIND}.Manager"


def test_what_others_do_is_none(bus: Bus) -> None:
    async def story() -> None:
        sessions, network = bus.serve(logind()), bus.serve(network_manager())
        async with listening(bus.address) as (heard, _):
            await heard.one()
            sessions.emit(LOGIND_PATH, MANAGER, "SeatNew", "so", ("seat1", "/"))
            changed(sessions, SESSION_OBJECT, f"{LOGIND}.Session", "IdleHint", ("b", True))
            changed(network, f"{NM_PATH}/Devices/1", f"{NM}.Device", "State", ("u", 1))
            # An impostor: not the one who has the name.
            network.emit(LOGIND_PATH, MANAGER, "PrepareForShutdown", "b", (True,))
            await heard.none()

    told(story())


def test_a_signal_to_us_alone_is_from_anybody(bus: Bus) -> None:
    """The bus asks no match for it."""

    async def story() -> None:
        bus.serve(logind())
        async with listening(bus.address) as (heard, _):
            await heard.one()
            at = DBusAddress(LOGIND_PATH, interface=MANAGER)
            with open_dbus_connection(bus.address) as anybody:
                names = anybody.send_and_get_reply(message_bus.ListNames(), timeout=LONG).body[0]
                for name in names:
                    signal = new_signal(at, "PrepareForSleep", "b", (True,))
                    signal.header.fields[HeaderFields.destination] = name
                    anybody.send(signal)
                anybody.send_and_get_reply(message_bus.GetId(), timeout=LONG)
                await heard.none()

    told(story())


def test_a_burst_is_one_change(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guestwake.hosts.linux_events._GATHER", 0.2)

    async def story() -> None:
        service = bus.serve(logind())
        async with listening(bus.address) as (heard, _):
            await heard.one()
            for number in range(100):
                body = (str(number), SESSION_OBJECT)
                service.emit(LOGIND_PATH, MANAGER, "SessionNew", "so", body)
            await heard.one()
            await asyncio.sleep(0.4)
        assert heard.calls <= 4  # a busy machine may take longer over them

    told(story())


def test_a_service_that_starts_anew_is_heard(bus: Bus) -> None:
    async def story() -> None:
        async with listening(bus.address) as (heard, _):
            await heard.one()
            for _ in range(2):
                service = bus.serve(logind())
                service.emit(LOGIND_PATH, MANAGER, "PrepareForSleep", "b", (True,))
                await heard.one()
                service.stop()

    told(story())


# --- units


def unit_changed(service: FakeService, path: str) -> None:
    changed(service, path, f"{SYSTEMD}.Unit", "ActiveState", ("s", "inactive"))


def job_removed(service: FakeService, name: str) -> None:
    body = (7, f"{SYSTEMD_PATH}/job/7", name, "done")
    service.emit(SYSTEMD_PATH, f"{SYSTEMD}.Manager", "JobRemoved", "uoss", body)


@pytest.mark.parametrize(
    "sends",
    [
        lambda it: it.emit(SYSTEMD_PATH, f"{SYSTEMD}.Manager", "UnitFilesChanged", "", ()),
        lambda it: it.emit(SYSTEMD_PATH, f"{SYSTEMD}.Manager", "Reloading", "b", (False,)),
        lambda it: job_removed(it, TIMER),
        lambda it: unit_changed(it, TIMER_OBJECT),
    ],
)
def test_what_becomes_of_our_units_is_a_reason_to_look(
    bus: Bus, sends: Callable[[FakeService], None]
) -> None:
    async def story() -> None:
        service = bus.serve(systemd("running"))
        async with listening(bus.address, (), [TIMER]) as (heard, _):
            await heard.one()
            sends(service)
            await heard.one()

    told(story())


def test_other_units_are_none_of_our_business(bus: Bus) -> None:
    async def story() -> None:
        service = bus.serve(systemd("running"))
        async with listening(bus.address, (), [TIMER]) as (heard, _):
            await heard.one()
            job_removed(service, "apt-daily.service")
            unit_changed(service, f"{SYSTEMD_PATH}/unit/apt_2ddaily_2eservice")
            await heard.none()

    told(story())


def test_units_come_and_go(bus: Bus) -> None:
    async def story() -> None:
        service = bus.serve(systemd("running"))
        async with listening(bus.address, (), [TIMER]) as (heard, events):
            await heard.one()
            events.watch_units([TIMER])
            await heard.none()
            events.watch_units(["another.timer"])
            await heard.one()  # what became of it before, nobody knows
            job_removed(service, TIMER)
            await heard.none()
            job_removed(service, "another.timer")
            await heard.one()

    told(story())


def test_systemd_is_asked_for_its_signals_whenever_it_comes(bus: Bus) -> None:
    asked = asyncio.Event()

    def subscribable(loop: asyncio.AbstractEventLoop) -> FakeService:
        service = systemd("running")

        def subscribe(_: tuple[Any, ...]) -> tuple[str, tuple[object, ...]]:
            loop.call_soon_threadsafe(asked.set)
            return "", ()

        service.methods[SYSTEMD_PATH, f"{SYSTEMD}.Manager", "Subscribe"] = subscribe
        return service

    async def story() -> None:
        loop = asyncio.get_running_loop()
        async with listening(bus.address, (), [TIMER]) as (heard, _):
            await heard.one()
            for _ in range(2):  # after us; and anew, as `systemctl daemon-reexec` has it
                service = bus.serve(subscribable(loop))
                await asyncio.wait_for(asked.wait(), LONG)
                await heard.one()
                asked.clear()
                service.stop()
                await heard.one()

    told(story())


def test_a_systemd_that_hangs_holds_no_other_news_up(bus: Bus) -> None:
    async def story() -> None:
        bus.serve(systemd("running")).hangs = True
        sessions = bus.serve(logind())
        async with listening(bus.address, HOST, [TIMER]) as (heard, _):
            await heard.one()
            sessions.emit(LOGIND_PATH, MANAGER, "PrepareForSleep", "b", (True,))
            await heard.one()

    told(story())


def test_without_units_systemd_is_not_asked(bus: Bus) -> None:
    async def story() -> None:
        service = bus.serve(systemd("running"))
        async with listening(bus.address) as (heard, _):
            await heard.one()
            await heard.none()
        assert service.asked == 0

    told(story())


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("guestwake.service", "guestwake_2eservice"),
        ("guestwake-wake@a_b.timer", "guestwake_2dwake_40a_5fb_2etimer"),
        ("4all.timer", "_34all_2etimer"),
        ("é.timer", "_c3_a9_2etimer"),
    ],
)
def test_a_unit_has_the_object_that_systemd_gives_it(name: str, ends: str) -> None:
    assert unit_path(name) == f"/org/freedesktop/systemd1/unit/{ends}"


# --- the bus


def test_a_bus_that_is_started_anew_is_found_again(bus: Bus) -> None:
    async def story() -> None:
        pause = RecordingPause()
        async with listening(bus.address, HOST, [TIMER], pause) as (heard, _):
            await heard.one()
            bus.daemon.kill()
            bus.daemon.wait()
            (bus.folder / "bus").unlink()
            while len(pause.pauses) < 3:
                await asyncio.sleep(0.01)
            with bus_daemon(bus.folder / "bus.conf"):
                await heard.one()
                bus.serve(systemd("running"))
                await heard.one()
                service = bus.serve(logind())
                service.emit(LOGIND_PATH, MANAGER, "SessionNew", "so", ("3", SESSION_OBJECT))
                await heard.one()

    told(story())


def _lost(folder: Path, kind: str) -> str:
    return f"unix:path={folder}/{kind}"


def test_a_bus_that_is_not_there_is_tried_again_ever_more_rarely(tmp_path: Path) -> None:
    async def story() -> None:
        pause = RecordingPause(enough=9)
        async with listening(_lost(tmp_path, "none"), pause=pause) as (heard, _):
            while len(pause.pauses) < pause.enough:
                await asyncio.sleep(0.01)
        assert pause.pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
        assert heard.calls == 0

    told(story())


@pytest.mark.parametrize("first_words", [b"", OK, b"REJECTED EXTERNAL\r\n", b"\xff\xfe\r\n"])
def test_a_bus_that_hangs_up_holds_up_nobody(tmp_path: Path, first_words: bytes) -> None:
    async def story() -> None:
        pause = RecordingPause(enough=4)
        with deaf_bus(tmp_path, first_words, hangs_up=True, after=b"AUTH") as deaf:
            async with listening(deaf.address, pause=pause) as (heard, _):
                while len(pause.pauses) < pause.enough:
                    await asyncio.sleep(0.01)
        assert pause.pauses == [1, 2, 4, 8]
        assert heard.calls == 0

    told(story())


@pytest.mark.parametrize("first_words", [b"", OK], ids=["at once", "after the greeting"])
def test_a_bus_that_hangs_is_given_up(
    tmp_path: Path, first_words: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guestwake.hosts.message_bus._PATIENCE", 0.1)

    async def story() -> None:
        pause = RecordingPause(enough=3)
        with deaf_bus(tmp_path, first_words) as deaf:
            async with listening(deaf.address, pause=pause):
                while len(pause.pauses) < pause.enough:
                    await asyncio.sleep(0.01)

    told(story())


def test_fifty_lost_connections_leave_nothing_open(bus: Bus) -> None:
    def open_ones() -> int:
        gc.collect()  # dbus-fast 1.84 leaves its sockets to it
        return len(os.listdir("/proc/self/fd"))

    async def story() -> None:
        bus.daemon.kill()
        bus.daemon.wait()
        (bus.folder / "bus").unlink()
        pause = RecordingPause()
        with deaf_bus(bus.folder, OK, hangs_up=True, after=b"AUTH") as deaf:
            async with listening(deaf.address, pause=pause):
                while len(pause.pauses) < 5:
                    await asyncio.sleep(0.01)
                before = open_ones() - len(deaf.callers)
                while len(pause.pauses) < 55:
                    await asyncio.sleep(0.01)
                assert open_ones() - len(deaf.callers) <= before + 5

    told(story())


def test_whoever_ends_it_ends_it_at_once_and_hears_nothing_more(bus: Bus) -> None:
    async def story() -> None:
        service = bus.serve(logind())
        async with listening(bus.address) as (heard, _):
            await heard.one()
            service.emit(LOGIND_PATH, MANAGER, "SessionNew", "so", ("3", SESSION_OBJECT))
        heard.rings.clear()  # what was sent before its end may have been heard
        service.emit(LOGIND_PATH, MANAGER, "SessionNew", "so", ("3", SESSION_OBJECT))
        await heard.none()

    told(story())
