"""What every hypervisor back end promises; where one cannot, it says so and is skipped there."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from worlds import World, has, until

from guestwake.hypervisors.api import (
    AgentSilent,
    AsksGuestAgent,
    HypervisorError,
    ImageUnusable,
    MarksStart,
    ReadsSavedImage,
    SetsGuestClock,
    TellsAddresses,
    TellsAutostart,
    TellsChanges,
    TellsVersion,
    TellsViewers,
    Vm,
    VmBusy,
    VmNotFound,
)
from guestwake.policy.words import Autostart, Power, StoppedBy, Verb

NASTY = "workspace='a' <&>\"\n\tĳ 😀 ]]> <!-- -->"


# -- who else starts it


def test_autostart_is_told(world: World) -> None:
    has(world, TellsAutostart)
    assert world.hypervisor.autostart(world.vm) is Autostart.NEVER
    world.autostart()
    assert world.hypervisor.autostart(world.vm) is Autostart.ALWAYS


def test_the_version_is_told(world: World) -> None:
    has(world, TellsVersion)
    assert (0, 0, 0) < world.hypervisor.version() < (1000, 0, 0)


def test_a_vm_that_nobody_else_made_is_kept_by_nobody(world: World) -> None:
    has(world, TellsAutostart)
    assert world.hypervisor.kept_by(world.vm) is None


# -- finding


def test_a_vm_is_found_by_name_and_by_uuid(world: World) -> None:
    assert world.hypervisor.find(world.vm.uuid) == world.vm
    assert world.vm in tuple(world.hypervisor.vms())


@pytest.mark.parametrize("name", ["no-such-vm", str(uuid4()), "", "'; rm -rf /"])
def test_an_unknown_vm_is_not_found(world: World, name: str) -> None:
    with pytest.raises(VmNotFound):
        world.hypervisor.find(name)


def test_a_vm_that_is_not_there_is_gone_and_can_be_asked_nothing(world: World) -> None:
    ghost = Vm(str(uuid4()), "ghost")
    assert world.hypervisor.state(ghost).power is Power.GONE
    assert world.hypervisor.verbs(ghost) == frozenset()
    for verb in Verb:
        with pytest.raises(VmNotFound, match="ghost"):
            world.hypervisor.apply(ghost, verb)
    with pytest.raises(VmNotFound, match="ghost"):
        world.hypervisor.traits(ghost)


def test_traits_are_told_of_a_vm_that_is_off(world: World) -> None:
    traits = world.hypervisor.traits(world.vm)
    assert traits.memory_mib > 0
    assert traits.can_be_saved
    assert traits.why_not is None


# -- states and verbs


def test_a_vm_that_is_off_can_only_be_started(world: World) -> None:
    assert world.hypervisor.verbs(world.vm) == {Verb.START}


@pytest.mark.parametrize("power", [Power.OFF, Power.RUNNING, Power.PAUSED, Power.SAVED])
def test_what_is_not_among_the_verbs_is_refused_and_changes_nothing(
    world: World, power: Power
) -> None:
    world.bring_to(power)
    before = world.hypervisor.state(world.vm)
    offered = world.hypervisor.verbs(world.vm)
    for verb in sorted(frozenset(Verb) - offered):
        with pytest.raises(HypervisorError):
            world.hypervisor.apply(world.vm, verb)
        assert world.hypervisor.state(world.vm) == before, verb


def test_the_wrong_moment_is_worth_asking_again(world: World) -> None:
    with pytest.raises(VmBusy):
        world.hypervisor.apply(world.vm, Verb.SAVE)


def test_a_start_runs_it(world: World) -> None:
    world.do(Verb.START)
    state = world.hypervisor.state(world.vm)
    assert state.power is Power.RUNNING
    assert state.start is not None
    assert state.stopped_by is None


def test_pause_and_resume(world: World) -> None:
    world.bring_to(Power.PAUSED)
    world.do(Verb.RESUME)
    assert world.power() is Power.RUNNING


def test_a_power_off_was_the_hosts_doing(world: World) -> None:
    world.do(Verb.START, Verb.POWER_OFF)
    state = world.hypervisor.state(world.vm)
    assert (state.power, state.stopped_by, state.start) == (Power.OFF, StoppedBy.HOST, None)


def test_a_crash_is_told(world: World) -> None:
    world.do(Verb.START)
    world.crash()
    assert until(lambda: world.power() is Power.OFF)
    assert world.hypervisor.state(world.vm).stopped_by is StoppedBy.CRASH


# -- saved


def test_a_saved_vm_comes_back_running(world: World) -> None:
    world.bring_to(Power.SAVED)
    assert world.hypervisor.state(world.vm).start is None
    assert world.hypervisor.state(world.vm).stopped_by is StoppedBy.HOST
    assert world.hypervisor.verbs(world.vm) == {Verb.START}
    world.do(Verb.START)
    assert world.power() is Power.RUNNING


def test_a_vm_saved_as_paused_comes_back_paused_and_can_be_resumed(world: World) -> None:
    world.do(Verb.START, Verb.SAVE_PAUSED)
    assert world.power() is Power.SAVED
    world.do(Verb.START)
    assert world.power() is Power.PAUSED
    world.do(Verb.RESUME)
    assert world.power() is Power.RUNNING


def test_a_paused_vm_can_be_saved_as_paused(world: World) -> None:
    world.bring_to(Power.PAUSED)
    world.do(Verb.SAVE_PAUSED, Verb.START)
    assert world.power() is Power.PAUSED


def test_a_paused_vm_can_be_saved_so_that_it_comes_back_running(world: World) -> None:
    world.bring_to(Power.PAUSED)
    world.do(Verb.SAVE, Verb.START)
    assert world.power() is Power.RUNNING


def test_the_image_is_told_and_goes_with_the_restore(world: World) -> None:
    has(world, ReadsSavedImage)
    assert world.hypervisor.saved_image_ok(world.vm) is None
    world.bring_to(Power.SAVED)
    assert world.hypervisor.saved_image_ok(world.vm) is True
    world.do(Verb.START)
    assert world.hypervisor.saved_image_ok(world.vm) is None


def test_an_image_that_will_not_do_is_kept_and_never_booted_over(world: World) -> None:
    has(world, ReadsSavedImage)
    world.bring_to(Power.SAVED)
    world.spoil_image()
    assert world.hypervisor.saved_image_ok(world.vm) is False
    with pytest.raises(ImageUnusable, match=world.name):
        world.hypervisor.apply(world.vm, Verb.START)
    assert world.power() is Power.SAVED
    assert world.hypervisor.saved_image_ok(world.vm) is False


# -- the identity of a start


def test_a_start_is_the_same_for_every_driver_and_over_pause(world: World) -> None:
    world.do(Verb.START)
    start = world.hypervisor.state(world.vm).start
    assert world.another().state(world.vm).start == start
    world.do(Verb.PAUSE)
    assert world.hypervisor.state(world.vm).start == start
    world.do(Verb.RESUME)
    assert world.hypervisor.state(world.vm).start == start


def test_a_restart_of_the_guest_is_the_same_start(world: World) -> None:
    world.do(Verb.START)
    start = world.hypervisor.state(world.vm).start
    world.do(Verb.RESTART)
    assert world.hypervisor.state(world.vm).start == start


@pytest.mark.parametrize("rest", [Verb.POWER_OFF, Verb.SAVE])
def test_each_start_is_another_one(world: World, rest: Verb) -> None:
    world.do(Verb.START)
    first = world.hypervisor.state(world.vm).start
    world.do(rest, Verb.START)
    assert world.hypervisor.state(world.vm).start != first


def test_a_start_is_dated_on_the_hosts_elapsed_clock(world: World) -> None:
    if not world.start_at_is_told:
        pytest.skip("cannot tell when a VM was started")
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    world.do(Verb.START)
    after = time.clock_gettime(time.CLOCK_BOOTTIME)
    tick = 0.011
    assert before - tick <= world.hypervisor.state(world.vm).start.at <= after + tick


# -- marks


def test_a_mark_is_read_back_by_anybody_until_it_is_taken_off(world: World) -> None:
    has(world, MarksStart)
    world.do(Verb.START)
    assert world.hypervisor.marked(world.vm) is None
    world.hypervisor.mark(world.vm, "first")
    world.hypervisor.mark(world.vm, NASTY)
    assert world.another().marked(world.vm) == NASTY
    world.hypervisor.unmark(world.vm)
    assert world.hypervisor.marked(world.vm) is None
    world.hypervisor.unmark(world.vm)


def test_a_mark_ends_with_its_start(world: World) -> None:
    has(world, MarksStart)
    world.do(Verb.START)
    world.hypervisor.mark(world.vm, "ours")
    world.do(Verb.POWER_OFF)
    assert world.hypervisor.marked(world.vm) is None
    world.hypervisor.unmark(world.vm)
    world.do(Verb.START)
    assert world.hypervisor.marked(world.vm) is None


def test_a_mark_comes_back_with_the_saved_image(world: World) -> None:
    has(world, MarksStart)
    if not world.image_keeps_mark:
        pytest.skip("its saved images hold no marks")
    world.do(Verb.START)
    world.hypervisor.mark(world.vm, "ours")
    world.do(Verb.SAVE)
    assert world.hypervisor.marked(world.vm) is None
    world.do(Verb.START)
    assert world.hypervisor.marked(world.vm) == "ours"


def test_a_vm_at_rest_takes_no_mark(world: World) -> None:
    has(world, MarksStart)
    with pytest.raises(HypervisorError):
        world.hypervisor.mark(world.vm, "ours")


# -- the guest


def test_a_silent_agent_is_told_as_one(world: World) -> None:
    if world.guest_has_agent:
        pytest.skip("its agent always answers")
    world.do(Verb.START)
    has(world, SetsGuestClock)
    with pytest.raises(AgentSilent):
        world.hypervisor.set_guest_clock(world.vm, datetime.now(UTC))
    has(world, AsksGuestAgent)
    with pytest.raises(AgentSilent):
        world.hypervisor.ask_agent(world.vm, "guest-ping")
    assert world.hypervisor.verbs(world.vm).isdisjoint({Verb.SHUT_DOWN, Verb.SUSPEND})
    assert Verb.PRESS_POWER_BUTTON in world.hypervisor.verbs(world.vm)


def test_the_guests_clock_can_be_set(world: World) -> None:
    has(world, SetsGuestClock)
    if not world.guest_has_agent:
        pytest.skip("nobody answers in its guest")
    world.do(Verb.START)
    world.hypervisor.set_guest_clock(world.vm, datetime.now(UTC))


def test_a_guest_without_a_network_has_no_addresses(world: World) -> None:
    has(world, TellsAddresses)
    assert world.hypervisor.addresses(world.vm) == frozenset()


def test_viewers_come_and_go_each_under_a_name_that_stays(world: World) -> None:
    has(world, TellsViewers)
    assert world.hypervisor.viewers(world.vm) == frozenset()
    world.do(Verb.START)
    first_leaves = world.view()
    (first,) = world.hypervisor.viewers(world.vm)
    if not world.several_viewers:
        first_leaves()
        assert world.hypervisor.viewers(world.vm) == frozenset()
        return
    second_leaves = world.view()
    both = world.another().viewers(world.vm)
    assert first in both
    assert len(both) == 2
    first_leaves()
    assert until(lambda: world.hypervisor.viewers(world.vm) == both - {first})
    second_leaves()
    assert until(lambda: world.hypervisor.viewers(world.vm) == frozenset())


# -- changes


def test_a_change_is_told(world: World) -> None:
    has(world, TellsChanges)
    told = threading.Event()
    listening = world.another()
    listening.on_change(told.set)
    assert listening.state(world.vm).power is Power.OFF
    assert not told.is_set()
    world.do(Verb.START)
    assert told.wait(10)


def test_a_closed_driver_tells_nothing_more(world: World) -> None:
    has(world, TellsChanges)
    closed, open_ = world.another(), world.another()
    told, also_told = threading.Event(), threading.Event()
    for driver, event in ((closed, told), (open_, also_told)):
        driver.on_change(event.set)
        assert driver.state(world.vm).power is Power.OFF
    closed.close()
    world.do(Verb.START)
    assert also_told.wait(10)
    assert not told.is_set()


def test_a_closed_driver_can_be_asked_again(world: World) -> None:
    other = world.another()
    other.close()
    other.close()
    assert other.state(world.vm).power is Power.OFF
