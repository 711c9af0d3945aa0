"""The channel as libvirt opens it on QEMU: lost daemons, greedy hosts, odd definitions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from worlds import World, qemu_world, until, virsh

from guestwake.channels.api import PORT_NAME, Channel, ChannelClosed
from guestwake.hypervisors.api import ChannelIs, NoChannel, Unreachable
from guestwake.hypervisors.libvirt_channel import END_SECONDS, SENT_BYTES_MAX
from guestwake.policy.words import Power, Verb

if TYPE_CHECKING:
    from lab.libvirtd import Libvirtd

pytestmark = pytest.mark.qemu


@pytest.fixture
def world(libvirtd: Libvirtd, tmp_path: Path, as_its_user: None) -> Iterator[World]:
    with qemu_world(libvirtd, tmp_path) as made:
        yield made


@pytest.fixture
def running(world: World) -> World:
    world.hypervisor.add_channel(world.vm)
    world.do(Verb.START)
    return world


def nothing() -> None:
    """For who does not wait."""


def ports(libvirtd: Libvirtd, world: World, *options: str) -> int:
    return virsh(libvirtd, "dumpxml", world.name, *options).count(f"name='{PORT_NAME}'")


# -- the definition


def test_another_sees_one_port_and_no_other_change(libvirtd: Libvirtd, world: World) -> None:
    world.do(Verb.START)
    before = [virsh(libvirtd, "dumpxml", world.name, *how) for how in ((), ("--inactive",))]
    for _ in range(2):
        world.hypervisor.add_channel(world.vm)
    assert (ports(libvirtd, world), ports(libvirtd, world, "--inactive")) == (1, 1)
    world.hypervisor.remove_channel(world.vm)
    after = [virsh(libvirtd, "dumpxml", world.name, *how) for how in ((), ("--inactive",))]
    assert after == before


def test_a_port_added_twice_still_opens(running: World) -> None:
    # libvirt refuses a second one, and removes the socket of the first.
    assert running.hypervisor.add_channel(running.vm) is ChannelIs.LIVE
    channel = running.hypervisor.open_channel(running.vm, nothing)
    assert channel.receive(100) == b""


def test_a_vm_that_runs_without_a_controller_has_it_at_its_next_boot(
    libvirtd: Libvirtd, world: World
) -> None:
    agent = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
    virsh(libvirtd, "detach-device", world.name, "/dev/stdin", "--config", text=agent)
    controller = "<controller type='virtio-serial' index='0'/>"
    virsh(libvirtd, "detach-device", world.name, "/dev/stdin", "--config", text=controller)
    world.do(Verb.START)
    assert world.hypervisor.add_channel(world.vm) is ChannelIs.AT_NEXT_BOOT
    with pytest.raises(NoChannel):
        world.hypervisor.open_channel(world.vm, nothing)
    world.do(Verb.POWER_OFF, Verb.START)
    assert world.hypervisor.channel(world.vm) is ChannelIs.LIVE
    world.hypervisor.open_channel(world.vm, nothing)


def test_a_transient_vm_has_it_for_this_start(libvirtd: Libvirtd, world: World) -> None:
    world.do(Verb.START)
    virsh(libvirtd, "undefine", world.name)
    assert world.hypervisor.add_channel(world.vm) is ChannelIs.LIVE
    assert world.hypervisor.remove_channel(world.vm) is ChannelIs.MISSING


# -- a guest that reads nothing


def test_as_much_as_may_be_sent_makes_no_other_call_wait(running: World) -> None:
    for size in (1, 4096):
        channel = running.hypervisor.open_channel(running.vm, nothing)
        sent = 0
        while not closed(channel):
            before = time.monotonic()
            sent += send(channel, b"x" * size)
            assert running.power() is Power.RUNNING
            assert time.monotonic() - before < 10  # one that is made to wait waits half a minute
        assert 0 < sent < SENT_BYTES_MAX


def send(channel: Channel, data: bytes) -> int:
    try:
        return channel.send(data)
    except ChannelClosed:
        return 0


def closed(channel: Channel) -> bool:
    try:
        channel.receive(100)
    except ChannelClosed:
        return True
    return False


# -- a daemon that is lost


@pytest.fixture
def own_libvirtd() -> Iterator[Libvirtd]:
    """One that a test may kill."""
    from lab.libvirtd import private_libvirtd

    with private_libvirtd() as daemon:
        yield daemon


def test_a_daemon_that_dies_closes_it_and_that_is_told(
    own_libvirtd: Libvirtd, tmp_path: Path
) -> None:
    with qemu_world(own_libvirtd, tmp_path) as world:
        world.hypervisor.add_channel(world.vm)
        world.do(Verb.START)
        told = threading.Event()
        channel = world.hypervisor.open_channel(world.vm, told.set)
        assert channel.receive(100) == b""
        own_libvirtd.kill()
        assert told.wait(10)
        with pytest.raises(ChannelClosed):
            channel.receive(100)
        own_libvirtd.start()
        again = world.another().open_channel(world.vm, nothing)
        assert again.receive(100) == b""


def test_a_loss_that_another_call_met_first_closes_it_too(
    own_libvirtd: Libvirtd, tmp_path: Path
) -> None:
    with qemu_world(own_libvirtd, tmp_path) as world:
        world.hypervisor.add_channel(world.vm)
        world.do(Verb.START)
        hypervisor = world.another()
        channel = hypervisor.open_channel(world.vm, nothing)
        own_libvirtd.kill()
        with pytest.raises(Unreachable):
            hypervisor.state(world.vm)
        with pytest.raises(ChannelClosed):
            channel.receive(100)
        channel.close()
        own_libvirtd.start()


def test_a_daemon_that_hangs_keeps_no_close_waiting(own_libvirtd: Libvirtd, tmp_path: Path) -> None:
    with qemu_world(own_libvirtd, tmp_path) as world:
        world.hypervisor.add_channel(world.vm)
        world.do(Verb.START)
        channel = world.another().open_channel(world.vm, nothing)
        daemon = int((own_libvirtd.folder / "libvirtd.pid").read_text())
        os.kill(daemon, signal.SIGSTOP)
        try:
            before = time.monotonic()
            channel.close()
            assert time.monotonic() - before < END_SECONDS + 3
        finally:
            os.kill(daemon, signal.SIGCONT)


def test_whoever_dies_holds_it_no_more(running: World) -> None:
    code = "import sys, os; from guestwake.hypervisors.libvirt import Libvirt\n"
    code += "driver = Libvirt(sys.argv[1])\n"
    code += "held = driver.open_channel(driver.find(sys.argv[2]), lambda: None)\n"
    code += "print(held.receive(100), flush=True)\n"
    code += "if sys.argv[3] == 'killed': os.kill(os.getpid(), 9)\n"
    for how in ("killed", "ends"):
        words = [sys.executable, "-c", code, running.hypervisor.uri, running.name, how]
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
        assert (done.stdout, done.stderr) == ("b''\n", "")
        assert until(lambda: opens(running))


def opens(world: World) -> bool:
    from guestwake.hypervisors.api import VmBusy

    try:
        world.hypervisor.open_channel(world.vm, nothing).close()
    except VmBusy:
        return False
    return True


EMBEDDED = """
import sys, threading
from guestwake.channels.api import ChannelClosed
from guestwake.hypervisors.libvirt import Libvirt
from guestwake.policy.words import Verb
driver, told = Libvirt(sys.argv[1]), threading.Event()
vm = driver.find("embedded")
print(driver.add_channel(vm))
driver.apply(vm, Verb.START)
channel = driver.open_channel(vm, told.set)
print(channel.receive(100), channel.send(b"word"))
driver.apply(vm, Verb.POWER_OFF)
print(told.wait(10))
try:
    channel.receive(100)
except ChannelClosed:
    print("closed")
driver.apply(vm, Verb.START)
held = driver.open_channel(vm, told.set)
print(held.receive(100), flush=True)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="libvirt embeds for root here")
def test_it_opens_in_an_embedded_libvirt_too(embedded_root: Path) -> None:
    words = [sys.executable, "-c", EMBEDDED, f"qemu:///embed?root={embedded_root}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    said = ["live", "b'' 4", "True", "closed", "b''"]
    assert (done.stdout.splitlines(), done.stderr, done.returncode) == (said, "", 0)


def test_closing_leaves_nothing_behind(running: World) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    running.hypervisor.open_channel(running.vm, nothing).close()
    before = open_files()
    for _ in range(10):
        other = running.another()
        channel = other.open_channel(running.vm, nothing)
        assert channel.receive(100) == b""
        other.close()
    assert until(lambda: open_files() <= before + 1)
    assert until(lambda: not any(it.name == "libvirt-end" for it in threading.enumerate()))
