"""What the memory machine can do beyond the contract that all back ends keep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from guestwake.hypervisors.api import (
    AgentSilent,
    HypervisorError,
    ImageUnusable,
    PowerState,
    Unreachable,
    Vm,
    VmBusy,
    VmNotFound,
)
from guestwake.hypervisors.memory import Guest, MemoryHypervisor, MemoryMachine
from guestwake.policy.words import Now, Power, StoppedBy, Verb

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = Now(NOON, 1000.0, "boot-1")

    def __call__(self) -> Now:
        return self.now

    def goes_on(self, seconds: float) -> None:
        wall = self.now.wall + timedelta(seconds=seconds)
        self.now = Now(wall, self.now.elapsed + seconds, self.now.boot_id)

    def starts_anew(self, seconds: float) -> None:
        self.now = Now(self.now.wall + timedelta(seconds=seconds), 5.0, "boot-2")


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def machine(time: Time) -> MemoryMachine:
    return MemoryMachine(time)


@pytest.fixture
def driver(machine: MemoryMachine) -> MemoryHypervisor:
    return MemoryHypervisor(machine)


STATES = (
    *(Power.OFF, Power.RUNNING, Power.PAUSED, Power.SUSPENDED),
    *(Power.SAVED, Power.CRASHED, Power.ELSEWHERE),
)


@pytest.mark.parametrize("power", STATES)
def test_a_vm_can_be_made_in_any_state(
    machine: MemoryMachine, driver: MemoryHypervisor, power: Power
) -> None:
    vm = machine.add("web01", power)
    state = driver.state(vm)
    assert state.power is power
    started = power in (Power.RUNNING, Power.PAUSED, Power.SUSPENDED, Power.CRASHED)
    assert (state.start is not None) is started


def test_uuids_are_the_same_in_each_run(machine: MemoryMachine, time: Time) -> None:
    assert machine.add("a") == MemoryMachine(time).add("a")
    assert machine.add("a").uuid != machine.add("a").uuid


def test_all_outlives_the_driver(machine: MemoryMachine, driver: MemoryHypervisor) -> None:
    vm = machine.add("web01")
    driver.apply(vm, Verb.START)
    driver.mark(vm, "ours")
    start = driver.state(vm).start
    driver.close()
    other = MemoryHypervisor(machine)
    assert (other.marked(vm), other.state(vm).start) == ("ours", start)


# -- somebody else


def test_somebody_who_starts_it_anew_makes_another_start(
    machine: MemoryMachine, driver: MemoryHypervisor
) -> None:
    vm = machine.add("web01", Power.RUNNING)
    driver.mark(vm, "ours")
    ours = driver.state(vm).start
    machine.stops(vm)
    assert driver.state(vm) == PowerState(Power.OFF, None, StoppedBy.HOST)
    machine.starts(vm)
    assert driver.state(vm).start not in (ours, None)
    assert driver.marked(vm) is None


def test_who_stopped_it_is_told(machine: MemoryMachine, driver: MemoryHypervisor) -> None:
    def after(act: object) -> PowerState:
        vm = machine.add("web01", Power.RUNNING)
        assert callable(act)
        act(vm)
        return driver.state(vm)

    assert after(machine.guest_shuts_down) == PowerState(Power.OFF, None, StoppedBy.GUEST)
    assert after(machine.crashes) == PowerState(Power.OFF, None, StoppedBy.CRASH)
    assert after(machine.saves) == PowerState(Power.SAVED, None, StoppedBy.HOST)
    gone = after(machine.migrates_away)
    assert gone == PowerState(Power.ELSEWHERE, None, StoppedBy.MIGRATION)
    assert after(lambda vm: machine.crashes(vm, kept=True)).power is Power.CRASHED
    assert after(machine.deletes).power is Power.GONE


def test_one_that_was_migrated_comes_back_as_another_start_with_its_mark(
    machine: MemoryMachine, driver: MemoryHypervisor
) -> None:
    vm = machine.add("web01", Power.RUNNING)
    driver.mark(vm, "ours")
    ours = driver.state(vm).start
    machine.migrates_away(vm)
    assert driver.state(vm).power is Power.ELSEWHERE
    machine.migrates_back(vm)
    assert driver.state(vm).power is Power.RUNNING
    assert driver.state(vm).start not in (ours, None)
    assert driver.marked(vm) == "ours"


def test_one_that_was_deleted_is_off_once_it_is_defined_again(
    machine: MemoryMachine, driver: MemoryHypervisor
) -> None:
    vm = machine.add("web01", Power.SAVED)
    it = machine.get(vm)
    machine.deletes(vm)
    machine.defines(it)
    assert driver.state(vm).power is Power.OFF
    assert driver.saved_image_ok(vm) is None


def test_a_driver_may_lie_for_a_while(machine: MemoryMachine, driver: MemoryHypervisor) -> None:
    vm = machine.add("web01", Power.RUNNING)
    machine.lies(vm, PowerState(Power.SAVED))
    assert driver.state(vm) == PowerState(Power.SAVED)
    machine.lies(vm, None)
    assert driver.state(vm).power is Power.RUNNING


def test_a_renamed_vm_is_found_by_its_new_name_only(
    machine: MemoryMachine, driver: MemoryHypervisor
) -> None:
    vm = machine.add("web01")
    assert machine.renames(vm, "web02") == Vm(vm.uuid, "web02") == driver.find("web02")
    with pytest.raises(VmNotFound):
        driver.find("web01")
    assert driver.state(vm).power is Power.OFF


def test_a_host_that_restarts_leaves_saved_what_was_saved(
    machine: MemoryMachine, driver: MemoryHypervisor, time: Time
) -> None:
    running, saved = machine.add("a", Power.RUNNING), machine.add("b", Power.SAVED)
    before = driver.state(running).start
    time.starts_anew(60)
    machine.host_restarts()
    assert driver.state(running) == PowerState(Power.OFF, None, None)
    assert driver.state(saved).power is Power.SAVED
    driver.apply(running, Verb.START)
    start = driver.state(running).start
    assert start is not None
    assert start != before
    assert start.at == 5.0


def test_changes_are_told_until_the_driver_is_closed(
    machine: MemoryMachine, driver: MemoryHypervisor
) -> None:
    vm, told = machine.add("web01"), []
    driver.on_change(lambda: told.append(driver.state(vm).power))
    machine.starts(vm)
    machine.connects(vm, "viewer")
    assert told
    assert set(told) == {Power.RUNNING}
    driver.close()
    before = len(told)
    machine.stops(vm)
    assert len(told) == before


# -- the guest


def test_a_saved_guests_clock_stands_until_it_is_set(
    machine: MemoryMachine, driver: MemoryHypervisor, time: Time
) -> None:
    vm = machine.add("web01", Power.RUNNING)
    assert machine.guest_clock(vm) == NOON
    driver.apply(vm, Verb.SAVE)
    time.goes_on(3600)
    driver.apply(vm, Verb.START)
    assert machine.guest_clock(vm) == NOON
    time.goes_on(10)
    assert machine.guest_clock(vm) == NOON + timedelta(seconds=10)
    driver.set_guest_clock(vm, time.now.wall)
    assert machine.guest_clock(vm) == time.now.wall
    time.goes_on(5)
    assert machine.guest_clock(vm) == time.now.wall


def test_a_paused_guest_falls_behind_and_a_suspended_or_booted_one_does_not(
    machine: MemoryMachine, driver: MemoryHypervisor, time: Time
) -> None:
    vm = machine.add("web01", Power.RUNNING)
    for rest, go_on in ((Verb.SUSPEND, Verb.WAKE_UP), (Verb.POWER_OFF, Verb.START)):
        driver.apply(vm, rest)
        time.goes_on(60)
        driver.apply(vm, go_on)
        assert machine.guest_clock(vm) == time.now.wall
    driver.apply(vm, Verb.PAUSE)
    time.goes_on(60)
    driver.apply(vm, Verb.RESUME)
    assert machine.guest_clock(vm) == time.now.wall - timedelta(seconds=60)


def test_boots_of_the_guest_are_counted_as_a_boot_id_changes(
    machine: MemoryMachine, driver: MemoryHypervisor
) -> None:
    vm = machine.add("web01", Power.RUNNING)
    boots = [machine.get(vm).guest_boot]

    def count(*verbs: Verb) -> int:
        for verb in verbs:
            driver.apply(vm, verb)
        boots.append(machine.get(vm).guest_boot)
        return boots[-1] - boots[-2]

    assert count(Verb.SAVE, Verb.START) == 0
    assert count(Verb.RESTART) == 1
    assert count(Verb.POWER_OFF, Verb.START) == 1
    machine.guest_hibernates(vm)
    assert driver.state(vm) == PowerState(Power.OFF, None, StoppedBy.GUEST)
    assert count(Verb.START) == 0
    machine.guest_restarts(vm)
    assert count() == 1


def test_an_agent_answers_while_its_guest_runs(
    machine: MemoryMachine, driver: MemoryHypervisor
) -> None:
    guest = Guest(answers={"guest-ping": {}, "echo": lambda arguments: arguments["word"]})
    vm = machine.add("web01", Power.RUNNING, guest=guest)
    assert driver.ask_agent(vm, "guest-ping") == {}
    assert driver.ask_agent(vm, "echo", {"word": "hello"}) == "hello"
    with pytest.raises(HypervisorError, match="no-such"):
        driver.ask_agent(vm, "no-such")
    guest.agent = False
    with pytest.raises(AgentSilent):
        driver.ask_agent(vm, "guest-ping")
    with pytest.raises(AgentSilent):
        driver.apply(vm, Verb.SHUT_DOWN)
    guest.agent = True
    driver.apply(vm, Verb.PAUSE)
    with pytest.raises(AgentSilent):
        driver.ask_agent(vm, "guest-ping")


def test_a_guest_may_hear_and_not_obey(machine: MemoryMachine, driver: MemoryHypervisor) -> None:
    deaf = Guest(obeys_agent=False, obeys_button=False)
    vm = machine.add("web01", Power.RUNNING, guest=deaf)
    for verb in (Verb.SHUT_DOWN, Verb.PRESS_POWER_BUTTON, Verb.RESTART, Verb.SUSPEND):
        driver.apply(vm, verb)
        assert driver.state(vm).power is Power.RUNNING
        assert machine.get(vm).guest_boot == 1
    deaf.obeys_button = True
    driver.apply(vm, Verb.PRESS_POWER_BUTTON)
    assert driver.state(vm).stopped_by is StoppedBy.GUEST


# -- faults


def test_a_verb_fails_as_often_as_told_and_does_nothing(
    machine: MemoryMachine, driver: MemoryHypervisor
) -> None:
    vm, other = machine.add("a"), machine.add("b")
    machine.fail(Verb.START, VmBusy("later"), times=2, vm=vm)
    for _ in range(2):
        with pytest.raises(VmBusy, match="later"):
            driver.apply(vm, Verb.START)
        assert driver.state(vm).power is Power.OFF
    driver.apply(other, Verb.START)
    driver.apply(vm, Verb.START)
    assert driver.state(vm).power is Power.RUNNING


def test_everything_fails_until_lifted(machine: MemoryMachine, driver: MemoryHypervisor) -> None:
    vm = machine.add("a", Power.RUNNING)
    machine.fail("everything", Unreachable("nobody answers"))
    for ask in (driver.vms, lambda: driver.find("a"), lambda: driver.state(vm)):
        with pytest.raises(Unreachable):
            ask()
    with pytest.raises(Unreachable):
        driver.apply(vm, Verb.SAVE)
    machine.lift("everything")
    machine.lift("everything")
    assert driver.state(vm).power is Power.RUNNING


def test_a_disk_that_is_full_refuses_saves_and_the_vm_runs_on(
    machine: MemoryMachine, driver: MemoryHypervisor
) -> None:
    vm = machine.add("a", Power.RUNNING)
    machine.fail(Verb.SAVE, HypervisorError("no space left on device"))
    with pytest.raises(HypervisorError, match="no space"):
        driver.apply(vm, Verb.SAVE)
    assert driver.state(vm).power is Power.RUNNING


def test_a_vm_that_cannot_be_saved_says_why(
    machine: MemoryMachine, driver: MemoryHypervisor
) -> None:
    vm = machine.add("a", Power.RUNNING, why_not_saved="it has a PCI device of the host")
    assert driver.traits(vm).why_not == "it has a PCI device of the host"
    with pytest.raises(HypervisorError, match="PCI"):
        driver.apply(vm, Verb.SAVE)


def test_a_slow_save_changes_the_vm_until_its_time_has_come(
    machine: MemoryMachine, driver: MemoryHypervisor, time: Time
) -> None:
    vm = machine.add("a", Power.RUNNING)
    machine.slow(Verb.SAVE, 30)
    driver.apply(vm, Verb.SAVE)
    time.goes_on(29)
    assert driver.state(vm).power is Power.CHANGING
    assert driver.verbs(vm) == frozenset()
    with pytest.raises(VmBusy):
        driver.apply(vm, Verb.POWER_OFF)
    time.goes_on(3600)
    assert driver.state(vm).power is Power.SAVED
    driver.apply(vm, Verb.START)
    assert machine.guest_clock(vm) == NOON  # it stood from the beginning of the save


def test_a_slow_start_has_its_identity_from_the_beginning(
    machine: MemoryMachine, driver: MemoryHypervisor, time: Time
) -> None:
    vm = machine.add("a", Power.SAVED)
    machine.slow(Verb.START, 20)
    driver.apply(vm, Verb.START)
    start = driver.state(vm).start
    assert start is not None
    assert start.at == 1000.0
    time.goes_on(100)
    assert driver.state(vm) == PowerState(Power.RUNNING, start)
    # The guest has run for 80 s by now, from where it stood.
    assert machine.guest_clock(vm) == NOON + timedelta(seconds=80)


def test_somebodys_job_leaves_the_vm_as_it_was(
    machine: MemoryMachine, driver: MemoryHypervisor, time: Time
) -> None:
    vm = machine.add("a", Power.PAUSED)
    before = driver.state(vm)
    machine.works_on(vm, 600)
    assert driver.state(vm) == PowerState(Power.CHANGING, before.start)
    time.goes_on(600)
    assert driver.state(vm) == before


def test_a_spoiled_image_is_kept(machine: MemoryMachine, driver: MemoryHypervisor) -> None:
    vm = machine.add("a", Power.SAVED)
    machine.spoils_image(vm)
    with pytest.raises(ImageUnusable):
        driver.apply(vm, Verb.START)
    assert driver.state(vm).power is Power.SAVED


def test_deeds_tell_who_did_what_in_order(
    machine: MemoryMachine, driver: MemoryHypervisor, time: Time
) -> None:
    vm = machine.add("a")
    driver.apply(vm, Verb.START)
    time.goes_on(1)
    machine.guest_shuts_down(vm)
    machine.starts(vm)
    assert [(deed.at, deed.who, deed.what) for deed in machine.deeds] == [
        (1000.0, "driver", "start"),
        (1001.0, "guest", "shuts down"),
        (1001.0, "somebody", "starts"),
    ]
