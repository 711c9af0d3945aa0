"""The memory machine's channel: a guest that a test has written at its other end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from guestwake.channels.api import Channel, ChannelClosed
from guestwake.hypervisors.api import Unreachable, Vm
from guestwake.hypervisors.memory import Guest, MemoryHypervisor, MemoryMachine
from guestwake.policy.words import Now, Power, Verb


class RecordingService:
    """Gives what `to_give` holds, and remembers the rest."""

    def __init__(self) -> None:
        self.to_give, self.taken, self.greetings = b"", b"", 0

    def connected(self) -> None:
        self.greetings += 1

    def take(self, data: bytes) -> None:
        self.taken += data

    def give(self, bytes_max: int) -> bytes:
        given, self.to_give = self.to_give[:bytes_max], self.to_give[bytes_max:]
        return given


class Place:
    def __init__(self) -> None:
        self.elapsed, self.calls = 0.0, 0
        start = datetime(2026, 11, 24, tzinfo=UTC)
        self.machine = MemoryMachine(lambda: Now(start, self.elapsed, "boot"))
        self.service = RecordingService()
        guest = Guest(service=self.service)
        self.vm: Vm = self.machine.add("web01", Power.RUNNING, has_channel=True, guest=guest)
        self.driver = MemoryHypervisor(self.machine)

    def ready(self) -> None:
        self.calls += 1

    def open(self) -> Channel:
        return self.driver.open_channel(self.vm, self.ready)


@pytest.fixture
def place() -> Place:
    return Place()


def test_bytes_go_both_ways(place: Place) -> None:
    channel = place.open()
    place.service.to_give = b"hello, host"
    assert channel.receive(6) == b"hello,"
    assert channel.receive(100) == b" host"
    assert channel.send(b"hello, guest") == 12
    assert place.service.taken == b"hello, guest"


def test_ready_is_told_once_for_each_time_that_nothing_came(place: Place) -> None:
    channel = place.open()
    place.machine.guest_speaks(place.vm)
    place.machine.guest_speaks(place.vm)
    assert place.calls == 1
    place.service.to_give = b"x"
    assert channel.receive(100) == b"x"
    place.machine.guest_speaks(place.vm)
    assert place.calls == 1
    assert channel.receive(100) == b""
    place.machine.guest_speaks(place.vm)
    place.machine.guest_speaks(place.vm)
    assert place.calls == 2


def test_the_guest_hears_of_each_who_opens_it_and_again_after_its_restart(place: Place) -> None:
    place.open().close()
    assert place.service.greetings == 0  # nobody has asked it anything yet
    channel = place.open()
    channel.receive(100)
    channel.send(b"word")
    assert place.service.greetings == 1
    place.machine.guest_restarts(place.vm)
    channel.receive(100)
    assert place.service.greetings == 2
    channel.close()
    place.open().receive(100)
    assert place.service.greetings == 3


@pytest.mark.parametrize(
    "rests",
    [
        lambda place: place.machine.pauses(place.vm),
        lambda place: place.driver.apply(place.vm, Verb.SUSPEND),
        lambda place: setattr(place.machine.get(place.vm).guest, "service", None),
    ],
)
def test_a_guest_that_does_not_run_takes_and_gives_nothing(
    place: Place, rests: Callable[[Place], None]
) -> None:
    channel = place.open()
    channel.receive(100)
    rests(place)
    place.service.to_give = b"late"
    assert channel.receive(100) == b""
    assert channel.send(b"word") == 0
    assert place.service.taken == b""


def test_while_it_is_being_saved_it_is_silent_and_then_the_channel_has_closed(place: Place) -> None:
    channel = place.open()
    place.machine.slow(Verb.SAVE, 5)
    place.driver.apply(place.vm, Verb.SAVE)
    place.service.to_give = b"late"
    assert channel.receive(100) == b""
    place.elapsed = 5
    with pytest.raises(ChannelClosed):
        channel.receive(100)
    assert place.calls == 1


def test_a_closed_channel_tells_nothing_more(place: Place) -> None:
    place.open().close()
    place.machine.guest_speaks(place.vm)
    place.machine.stops(place.vm)
    assert place.calls == 0


def test_a_vm_that_is_deleted_closes_it(place: Place) -> None:
    channel = place.open()
    place.machine.deletes(place.vm)
    assert place.calls == 1
    with pytest.raises(ChannelClosed):
        channel.send(b"word")


def test_a_hypervisor_that_is_lost_closes_it(place: Place) -> None:
    channel = place.open()
    place.machine.fail("receive", Unreachable("gone"), times=1)
    with pytest.raises(ChannelClosed):
        channel.receive(100)
    with pytest.raises(ChannelClosed):
        channel.receive(100)
    place.machine.fail("open_channel", Unreachable("gone"), times=1)
    with pytest.raises(Unreachable):
        place.open()
    place.open()
