"""The two ends that there are, joined in memory: the guest's talk and the host's, byte by byte."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from guestwake.channels.parser import InProcess
from guestwake.conversation import ASK_AGAIN, OPEN_AGAIN
from guestwake.conversation import Conversation as HostTalk
from guestwake.hypervisors.memory import Guest, MemoryHypervisor, MemoryMachine
from guestwake.policy.words import Now, Power
from guestwake_guest.conversation import Conversation as GuestTalk
from guestwake_wire.messages import (
    Message,
    Nudge,
    Report,
    RestartNotice,
    Window,
    WindowOver,
    encode,
)


class MemoryStream:
    """The guest's end of the port, and what the machine has of it. `bytes_max`: how much goes
    through in one go."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.there = False
        self.to_guest, self.to_host = b"", b""

    # as the guest has it

    def fileno(self) -> int:
        raise AssertionError("nobody waits for it: both ends lie in memory")

    def connected(self) -> bool:
        return self.there

    def receive(self, bytes_max: int) -> bytes:
        size = min(bytes_max, self.bytes_max)
        data, self.to_guest = self.to_guest[:size], self.to_guest[size:]
        return data

    def send(self, data: bytes) -> int:
        self.to_host += data[: self.bytes_max]
        return len(data[: self.bytes_max])

    def close(self) -> None:
        pass

    # as the machine has it

    def take(self, data: bytes) -> None:
        self.to_guest += data

    def give(self, bytes_max: int) -> bytes:
        size = min(bytes_max, self.bytes_max)
        data, self.to_host = self.to_host[:size], self.to_host[size:]
        return data


class Joined:
    def __init__(self, bytes_max: int) -> None:
        self.elapsed, self.number = 1000.0, 0
        machine = MemoryMachine(self.now)
        self.port = MemoryStream(bytes_max)
        self.port_of_machine = _Machine(self.port)
        vm = machine.add(
            "web01", Power.RUNNING, has_channel=True, guest=Guest(service=self.port_of_machine)
        )
        parser = InProcess(lambda: self.elapsed)
        driver = MemoryHypervisor(machine)
        self.host = HostTalk(driver, driver, vm, parser, lambda: None)
        self.guest = GuestTalk(self.port)
        self.heard: list[Message] = []

    def now(self) -> Now:
        wall = datetime(2026, 11, 24, tzinfo=UTC) + timedelta(seconds=self.elapsed)
        return Now(wall, self.elapsed, "boot")

    def talk(self, seconds: int) -> Report | None:
        """Both in turns, once a second; the last report that came."""
        last = None
        for _ in range(seconds):
            last = self.host.listen(self.now()) or last
            self.heard += self.guest.hear()
            if self.guest.wants_all:
                self.guest.wants_all = False
                self.guest.say_hello()
                self.number += 1
                self.guest.say(encode(Report(self.number, 0, "boot", "", "zoë", "", busy=None)))
            self.guest.send()
            self.elapsed += 1
        return last


class _Machine:
    """The host connects, and leaves what was not read."""

    def __init__(self, port: MemoryStream) -> None:
        self._port = port
        self.take, self.give = port.take, port.give

    def connected(self) -> None:
        self._port.there = True


@pytest.fixture(params=[7, 100, 16384])
def joined(request: pytest.FixtureRequest) -> Joined:
    return Joined(request.param)


def test_they_greet_each_other_and_the_host_hears_a_report(joined: Joined) -> None:
    report = joined.talk(40)
    assert report is not None
    assert report.os == "zoë"
    assert joined.host.is_answered
    assert joined.host.refused == joined.guest.bad == 0


def test_the_guest_hears_the_hosts_few_words(joined: Joined) -> None:
    joined.talk(40)
    joined.host.tell_window(timedelta(hours=4), timedelta(seconds=3), joined.now())
    joined.host.say(Nudge())
    joined.host.say(RestartNotice(600))
    joined.host.tell_window(None, timedelta(seconds=9), joined.now())
    joined.talk(40)
    assert joined.heard == [Window(14400, 3), Nudge(), RestartNotice(600), WindowOver()]


def test_a_guest_that_has_said_nothing_for_long_is_asked(joined: Joined) -> None:
    first = joined.talk(40)
    second = joined.talk(int(ASK_AGAIN) + 40)
    assert first is not None
    assert second is not None
    assert second.number == first.number + 1


def test_half_a_frame_of_the_connection_before_does_no_harm(joined: Joined) -> None:
    joined.port.to_host = b'\x1e{"type":"report","num'
    joined.port.to_guest = b'ype":"nudge"}\n\x1e{"type":"nu'
    assert joined.talk(40) is not None
    joined.host.close()
    joined.port.there = False
    joined.talk(1)
    joined.elapsed += OPEN_AGAIN
    joined.port.to_guest = b"\x1e{"
    assert joined.talk(60) is not None
    assert joined.host.refused == joined.guest.bad == 0
    assert joined.heard == []
