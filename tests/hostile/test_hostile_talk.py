"""A conversation with a guest that floods, is silent, does not read, or breaks the reader: what it
costs whoever holds the hypervisor, counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from guestwake.channels.api import CHUNK_BYTES_MAX, Heard, Parses, ReaderFailed
from guestwake.channels.parser import InProcess
from guestwake.conversation import (
    CHUNKS_MAX,
    LISTENS_AGAIN,
    LISTENS_AT_ONCE,
    OPEN_AGAIN,
    UNSENT_MAX,
    Conversation,
)
from guestwake.hypervisors.api import HypervisorError, NotAllowed, Unreachable, VmBusy
from guestwake.hypervisors.memory import (
    Guest,
    MemoryChannel,
    MemoryHypervisor,
    MemoryMachine,
)
from guestwake.policy.words import Now, Power
from guestwake_wire.messages import Hello, Report, encode

HELLO = encode(Hello((1,), "agent"))
REPORT = Report(1, 0, "boot", "", "", "", busy=None)


class HostileService:
    """Gives `endless` again and again, after what `to_give` holds."""

    def __init__(self) -> None:
        self.to_give, self.endless, self.gave, self.taken = b"", b"", 0, 0

    def connected(self) -> None:
        pass

    def take(self, data: bytes) -> None:
        self.taken += len(data)

    def give(self, bytes_max: int) -> bytes:
        if not self.to_give:
            self.to_give = self.endless * (bytes_max // max(1, len(self.endless)))
        given, self.to_give = self.to_give[:bytes_max], self.to_give[bytes_max:]
        self.gave += len(given)
        return given


class FakeParser:
    """Fails, so many times."""

    def __init__(self, fails: int) -> None:
        self.fails, self.real = fails, InProcess()

    def parse(self, stream: int, data: bytes) -> Heard:
        if self.fails:
            self.fails -= 1
            raise ReaderFailed("it has ended")
        return self.real.parse(stream, data)

    def forget(self, stream: int) -> None:
        self.real.forget(stream)


class Scene:
    def __init__(self, parser: Parses | None = None) -> None:
        self.elapsed = 1000.0
        self.machine = MemoryMachine(self.now)
        self.guest = HostileService()
        vm = self.machine.add(
            "web01", Power.RUNNING, has_channel=True, guest=Guest(service=self.guest)
        )
        self.driver = MemoryHypervisor(self.machine)
        parser = parser or InProcess(lambda: self.elapsed)
        self.talk = Conversation(self.driver, self.driver, vm, parser, lambda: None)

    def now(self) -> Now:
        wall = datetime(2026, 11, 24, tzinfo=UTC) + timedelta(seconds=self.elapsed)
        return Now(wall, self.elapsed, "boot")

    def listen(self) -> Report | None:
        return self.talk.listen(self.now())


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.talk.close()


FLOODS = {"a line": b"x", "hellos": HELLO, "reports": encode(REPORT)}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_a_flood_is_taken_in_at_a_fixed_rate(flood: bytes, scene: Scene) -> None:
    scene.guest.endless = flood
    seconds = 3
    for _ in range(seconds):
        for _ in range(20):  # as often as it may hurry us
            scene.listen()
        scene.elapsed += LISTENS_AGAIN
    goes = LISTENS_AT_ONCE + seconds
    assert scene.guest.gave <= goes * CHUNKS_MAX * CHUNK_BYTES_MAX
    assert scene.talk.look_within == timedelta(seconds=LISTENS_AGAIN)


def test_after_a_flood_an_honest_report_is_heard(scene: Scene) -> None:
    scene.guest.endless = b"\x1e{}\n"
    for _ in range(30):
        scene.listen()
    scene.guest.endless, scene.guest.to_give = b"", b""
    scene.elapsed += 60
    scene.guest.to_give = b"\n" + HELLO + encode(REPORT)
    assert scene.listen() == REPORT


def test_a_flood_that_closes_one_channel_after_another_is_one_line_of_the_log(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    for times in range(1, 11):
        scene.guest.to_give = HELLO + b"\x1e{}\n"
        scene.listen()
        assert scene.talk.refused == times
        scene.machine.fail("receive", Unreachable("it sends too fast"), times=1)
        scene.listen()
        assert scene.talk.start is None
        scene.elapsed += OPEN_AGAIN
    assert len(caplog.messages) == 1
    vm = next(iter(scene.machine.all())).vm
    scene.machine.stops(vm)
    scene.machine.starts(vm)
    scene.guest.to_give = HELLO + encode(REPORT)
    assert scene.listen() == REPORT
    assert scene.talk.refused == 0


def test_cve_2019_20485_a_silent_guest_is_asked_and_not_waited_for(scene: Scene) -> None:
    for _ in range(100):
        assert scene.listen() is None
        assert scene.talk.look_within is None
        scene.elapsed += 60
    assert not scene.talk.is_answered
    assert scene.guest.taken < 1000  # one hello, and nothing to who does not answer


def test_a_guest_that_does_not_read_is_told_no_more(scene: Scene) -> None:
    scene.guest.to_give = HELLO
    scene.listen()
    scene.talk._channel.send = lambda data: 0  # type: ignore[union-attr,method-assign]
    for left in range(10_000):
        scene.talk.tell_window(timedelta(minutes=left + 1), timedelta(0), scene.now())
    assert 0 < len(scene.talk._unsent) <= UNSENT_MAX


def test_a_reader_that_failed_is_given_time() -> None:
    scene = Scene(FakeParser(fails=1))
    scene.guest.to_give = HELLO + encode(REPORT)
    assert scene.listen() is None
    assert scene.talk.start is None
    scene.guest.to_give = HELLO + encode(REPORT)
    scene.elapsed += OPEN_AGAIN - 1
    assert scene.listen() is None
    scene.elapsed += 2
    assert scene.listen() == REPORT


def test_a_guest_without_a_common_version_is_not_heard(scene: Scene) -> None:
    scene.guest.to_give = encode(Hello((2, 3), "later")) + encode(REPORT)
    assert scene.listen() is None
    assert not scene.talk.is_answered


def test_a_report_before_the_hello_is_not_heard(scene: Scene) -> None:
    scene.guest.to_give = encode(REPORT)
    assert scene.listen() is None
    scene.guest.to_give = HELLO + encode(REPORT)
    assert scene.listen() == REPORT


REFUSALS = [VmBusy("it is locked"), NotAllowed("access denied"), HypervisorError("internal error")]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda error: error.code)
def test_a_hypervisor_that_cannot_say_how_the_vm_is_opens_no_channel(
    refusal: HypervisorError, scene: Scene
) -> None:
    scene.guest.to_give = HELLO + encode(REPORT)
    scene.machine.fail("state", refusal, times=1)
    assert scene.listen() is None
    scene.elapsed += OPEN_AGAIN
    assert scene.listen() == REPORT


@pytest.mark.parametrize("refusal", [*REFUSALS, Unreachable("gone")], ids=lambda error: error.code)
def test_a_channel_of_a_vm_that_cannot_be_looked_at_any_more_is_closed(
    refusal: HypervisorError, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left open it would hold the port, and no other could be opened."""

    def opened(*arguments: Any) -> MemoryChannel:
        channel = real(*arguments)
        scene.machine.fail("state", refusal, times=1)
        monkeypatch.undo()
        return channel

    real = scene.driver.open_channel
    monkeypatch.setattr(scene.driver, "open_channel", opened)
    scene.guest.to_give = HELLO + encode(REPORT)
    with suppress(Unreachable):
        assert scene.listen() is None
    assert scene.talk.start is None
    scene.elapsed += OPEN_AGAIN
    assert scene.listen() == REPORT
