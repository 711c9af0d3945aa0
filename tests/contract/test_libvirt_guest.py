"""The driver and a Debian guest whose agent answers: what one in its BIOS cannot show."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from worlds import until

from guestwake.hypervisors.api import AgentSilent, HypervisorError, Vm
from guestwake.hypervisors.libvirt import AGENT_SECONDS, Libvirt
from guestwake.policy.words import Power, StoppedBy, Verb

if TYPE_CHECKING:
    from lab.guests import Guest, Lab

pytestmark = pytest.mark.qemu


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    from lab.guests import open_lab

    with open_lab() as opened:
        yield opened


@pytest.fixture
def guest(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guest]:
    for name, value in lab.environment.items():
        monkeypatch.setenv(name, value)
    made = lab.hibernated_guest("contract")
    yield made
    made.forget()


class Woken:
    def __init__(self, guest: Guest) -> None:
        self.driver = Libvirt(guest.lab.uri)
        self.vm: Vm = self.driver.find(guest.name)
        self.driver.apply(self.vm, Verb.START)
        assert until(lambda: Verb.SHUT_DOWN in self.driver.verbs(self.vm), 30)

    def power(self) -> Power:
        return self.driver.state(self.vm).power

    def ask(self, command: str, **arguments: Any) -> Any:
        return self.driver.ask_agent(self.vm, command, arguments)


@pytest.fixture
def woken(guest: Guest) -> Iterator[Woken]:
    one = Woken(guest)
    yield one
    one.driver.close()


def test_the_guests_clock_is_set(woken: Woken) -> None:
    def guests_time() -> float:
        return float(woken.ask("guest-get-time")) / 1e9

    assert guests_time() < time.time() - 1  # it stood still in the image
    before = time.time()
    woken.driver.set_guest_clock(woken.vm, datetime.now(UTC))
    assert before - 1 <= guests_time() <= time.time() + 1


def test_an_agent_that_hangs_costs_seconds_and_no_more(woken: Woken, guest: Guest) -> None:
    with pytest.raises(HypervisorError):
        woken.ask("no-such-command")
    # It stops itself, so it never answers this.
    stop = "sleep 2; kill -STOP $(pidof qemu-ga)"
    woken.ask("guest-exec", path="/bin/sh", arg=["-c", stop])
    assert until(lambda: hangs(woken), 30)
    for call in (
        lambda: woken.ask("guest-ping"),
        lambda: woken.driver.set_guest_clock(woken.vm, datetime.now(UTC)),
        lambda: woken.driver.apply(woken.vm, Verb.SHUT_DOWN),
    ):
        before = time.monotonic()
        with pytest.raises(AgentSilent):
            call()
        assert time.monotonic() - before < AGENT_SECONDS + 3
    assert woken.power() is Power.RUNNING


def hangs(woken: Woken) -> bool:
    try:
        woken.ask("guest-ping")
    except AgentSilent:
        return True
    return False


def test_an_answer_without_measure_is_refused(woken: Woken) -> None:
    handle = woken.ask("guest-file-open", path="/dev/zero")
    with pytest.raises(HypervisorError, match="characters"):
        woken.ask("guest-file-read", handle=handle, count=1 << 20)
    assert woken.ask("guest-ping") == {}


def test_the_guest_shuts_down_when_asked(woken: Woken) -> None:
    woken.driver.apply(woken.vm, Verb.SHUT_DOWN)
    assert until(lambda: woken.power() is Power.OFF, 60)
    assert woken.driver.state(woken.vm).stopped_by is StoppedBy.GUEST


@pytest.mark.full
def test_the_guest_restarts_when_asked_and_it_is_the_same_start(woken: Woken) -> None:
    def boot_id() -> object:
        handle = woken.ask("guest-file-open", path="/proc/sys/kernel/random/boot_id")
        return woken.ask("guest-file-read", handle=handle)["buf-b64"]

    start, booted = woken.driver.state(woken.vm).start, boot_id()
    woken.driver.apply(woken.vm, Verb.RESTART)
    seen: set[Power] = set()

    def another_boot() -> bool:
        seen.add(woken.power())
        try:
            return boot_id() != booted
        except HypervisorError:
            return False

    assert until(another_boot, 120)
    assert woken.driver.state(woken.vm).start == start
    assert seen <= {Power.RUNNING, Power.CHANGING}


def test_the_guest_suspends_and_is_woken_up(woken: Woken) -> None:
    start = woken.driver.state(woken.vm).start
    woken.driver.apply(woken.vm, Verb.SUSPEND)
    assert until(lambda: woken.power() is Power.SUSPENDED, 30)
    assert woken.driver.verbs(woken.vm) == {Verb.WAKE_UP, Verb.POWER_OFF}
    woken.driver.apply(woken.vm, Verb.WAKE_UP)
    assert until(lambda: woken.power() is Power.RUNNING, 30)
    assert woken.driver.state(woken.vm).start == start
