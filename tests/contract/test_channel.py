"""What every hypervisor promises of the Guest Update Service's channel, without a guest."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from worlds import World, has, until

from guestwake.channels.api import Channel, ChannelClosed
from guestwake.hypervisors.api import (
    ChangesChannel,
    ChannelIs,
    HypervisorError,
    NoChannel,
    NotAllowed,
    OpensChannel,
    Vm,
    VmBusy,
    VmNotFound,
)
from guestwake.hypervisors.libvirt import Libvirt
from guestwake.hypervisors.libvirt_library import libvirt
from guestwake.policy.words import Power, Verb


@pytest.fixture
def able(world: World) -> World:
    if not world.can_have_channel:
        pytest.skip("its VMs have no ports")
    return world


def nothing() -> None:
    """For who does not wait."""


def closed(channel: Channel) -> bool:
    try:
        channel.receive(100)
    except ChannelClosed:
        return True
    return False


# -- in the definition


@pytest.mark.parametrize("power", [Power.OFF, Power.RUNNING, Power.SAVED])
def test_a_vm_without_it_says_so(world: World, power: Power) -> None:
    has(world, ChangesChannel)
    world.bring_to(power)
    assert world.hypervisor.channel(world.vm) is ChannelIs.MISSING
    assert not world.hypervisor.traits(world.vm).has_channel
    assert world.hypervisor.remove_channel(world.vm) is ChannelIs.MISSING


def test_where_it_cannot_be_added_that_is_refused(world: World) -> None:
    has(world, ChangesChannel)
    if world.can_have_channel:
        pytest.skip("it can")
    with pytest.raises(HypervisorError, match="channel"):
        world.hypervisor.add_channel(world.vm)
    assert world.hypervisor.channel(world.vm) is ChannelIs.MISSING


def test_who_may_only_look_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libvirt, "open", libvirt.openReadOnly)
    driver = Libvirt("test:///default")
    with pytest.raises(NotAllowed, match="add the channel to 'test'"):
        driver.add_channel(driver.find("test"))
    driver.close()


@pytest.mark.parametrize("power", [Power.OFF, Power.RUNNING, Power.PAUSED])
def test_it_is_there_at_once_unless_the_vm_is_saved(able: World, power: Power) -> None:
    able.bring_to(power)
    for _ in range(2):
        assert able.hypervisor.add_channel(able.vm) is ChannelIs.LIVE
        assert able.another().channel(able.vm) is ChannelIs.LIVE
    assert able.hypervisor.traits(able.vm).has_channel
    for _ in range(2):
        assert able.hypervisor.remove_channel(able.vm) is ChannelIs.MISSING
        assert able.another().channel(able.vm) is ChannelIs.MISSING
    assert not able.hypervisor.traits(able.vm).has_channel


def test_a_saved_image_stays_without_it_until_the_next_boot(able: World) -> None:
    able.bring_to(Power.SAVED)
    assert able.hypervisor.add_channel(able.vm) is ChannelIs.AT_NEXT_BOOT
    assert able.hypervisor.traits(able.vm).has_channel
    able.do(Verb.START)
    assert able.hypervisor.channel(able.vm) is ChannelIs.AT_NEXT_BOOT
    with pytest.raises(NoChannel, match=able.name):
        able.hypervisor.open_channel(able.vm, nothing)
    able.do(Verb.POWER_OFF, Verb.START)
    assert able.hypervisor.channel(able.vm) is ChannelIs.LIVE


def test_a_vm_that_came_back_without_it_can_have_it_at_once(able: World) -> None:
    able.bring_to(Power.SAVED)
    able.hypervisor.add_channel(able.vm)
    able.do(Verb.START)
    assert able.hypervisor.add_channel(able.vm) is ChannelIs.LIVE
    able.hypervisor.open_channel(able.vm, nothing).close()


def test_a_saved_image_keeps_it_until_the_next_boot(able: World) -> None:
    able.hypervisor.add_channel(able.vm)
    able.bring_to(Power.SAVED)
    assert able.hypervisor.channel(able.vm) is ChannelIs.LIVE
    assert able.hypervisor.remove_channel(able.vm) is ChannelIs.UNTIL_NEXT_BOOT
    able.do(Verb.START)
    able.hypervisor.open_channel(able.vm, nothing).close()
    able.do(Verb.POWER_OFF)
    assert able.hypervisor.channel(able.vm) is ChannelIs.MISSING


def test_a_vm_that_is_not_there_has_none(able: World) -> None:
    ghost = Vm("00000000-0000-4000-8000-000000000000", "ghost")
    for ask in ("channel", "add_channel", "remove_channel"):
        with pytest.raises(VmNotFound, match="ghost"):
            getattr(able.hypervisor, ask)(ghost)


# -- open


@pytest.fixture
def running(able: World) -> World:
    able.hypervisor.add_channel(able.vm)
    able.do(Verb.START)
    return able


def test_a_vm_that_runs_without_it_opens_none(world: World) -> None:
    has(world, OpensChannel)
    world.do(Verb.START)
    with pytest.raises(NoChannel, match=world.name):
        world.hypervisor.open_channel(world.vm, nothing)


@pytest.mark.parametrize("power", [Power.OFF, Power.SAVED])
def test_a_vm_that_does_not_run_opens_none_yet(able: World, power: Power) -> None:
    able.hypervisor.add_channel(able.vm)
    able.bring_to(power)
    with pytest.raises(VmBusy, match=able.name):
        able.hypervisor.open_channel(able.vm, nothing)


def test_a_guest_that_says_nothing_keeps_nobody_waiting(running: World) -> None:
    channel = running.hypervisor.open_channel(running.vm, nothing)
    assert channel.receive(100) == b""
    channel.close()
    channel.close()


def test_there_is_one_holder_at_a_time(running: World) -> None:
    channel = running.hypervisor.open_channel(running.vm, nothing)
    with pytest.raises(VmBusy, match=running.name):
        running.another().open_channel(running.vm, nothing)
    assert channel.receive(100) == b""
    channel.close()
    other = running.another()
    assert until(lambda: opens(other, running))


def test_a_driver_that_is_closed_holds_no_channel(running: World) -> None:
    first, second = running.another(), running.another()
    channel = first.open_channel(running.vm, nothing)
    first.close()
    assert closed(channel)
    assert until(lambda: opens(second, running))


def opens(driver: Any, world: World) -> bool:
    try:
        driver.open_channel(world.vm, nothing)
    except VmBusy:
        return False
    return True


@pytest.mark.parametrize("rest", [Verb.POWER_OFF, Verb.SAVE])
def test_it_ends_with_the_start_of_the_vm_and_that_is_told(running: World, rest: Verb) -> None:
    told = threading.Event()
    channel = running.hypervisor.open_channel(running.vm, told.set)
    assert channel.receive(100) == b""
    running.do(rest)
    assert told.wait(10)
    assert until(lambda: closed(channel))
    with pytest.raises(ChannelClosed):
        channel.send(b"word")
    running.do(Verb.START)
    assert closed(channel)
    running.hypervisor.open_channel(running.vm, nothing).close()


def test_it_stays_open_over_a_pause(running: World) -> None:
    channel = running.hypervisor.open_channel(running.vm, nothing)
    running.do(Verb.PAUSE)
    assert channel.receive(100) == b""
    running.do(Verb.RESUME)
    assert channel.receive(100) == b""


def test_it_ends_when_it_is_removed(running: World) -> None:
    told = threading.Event()
    channel = running.hypervisor.open_channel(running.vm, told.set)
    assert channel.receive(100) == b""
    assert running.hypervisor.remove_channel(running.vm) is ChannelIs.MISSING
    assert told.wait(10)
    assert until(lambda: closed(channel))
