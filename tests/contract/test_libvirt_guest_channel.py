"""The channel and a Debian guest at its other end: one guest for all of this, as each costs
seconds. Its own service is stopped: what speaks here is a few lines of shell and Python."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from worlds import until

from guestwake.channels.api import PORT_NAME, Channel, ChannelClosed
from guestwake.hypervisors.api import ChannelIs, VmBusy
from guestwake.hypervisors.libvirt import Libvirt
from guestwake.policy.words import Power, Verb

if TYPE_CHECKING:
    from lab.guests import Guest

pytestmark = pytest.mark.qemu

PORTS = "/dev/virtio-ports"
PORT = f"{PORTS}/{PORT_NAME}"
ECHO = f"""
import os, time
port = os.open({PORT!r}, os.O_RDWR)
while True:
    data = os.read(port, 4096)  # nothing: nobody on the host
    os.write(port, data) if data else time.sleep(0.05)
"""


class Place:
    """A guest that runs and has the channel, added while it ran."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.driver = Libvirt(guest.lab.uri)
        self.vm = self.driver.find(guest.name)
        self.told: queue.Queue[str] = queue.Queue()
        self.driver.apply(self.vm, Verb.START)
        guest.wait_until_agent_answers()
        guest.run("systemctl stop 'guestwake-guest*'")

    def has_port(self) -> bool:
        return PORT_NAME in self.guest.run(f"ls {PORTS}").stdout.split()

    def open(self) -> Channel:
        """Also where whoever had it has only just let it go."""
        deadline = time.monotonic() + 10
        told = self.told = queue.Queue()  # what is told of an earlier one is not heard
        while True:
            try:
                return self.driver.open_channel(self.vm, lambda: told.put("ready"))
            except VmBusy:
                assert time.monotonic() < deadline

    def runs(self, *words: str) -> None:
        """From now on, in the guest, until its `stop`."""
        run = ["systemd-run", "--quiet", "--collect", "--unit=test-channel", *words]
        assert self.guest.run(run).code == 0

    def stop(self) -> None:
        self.guest.run("systemctl kill --signal=KILL test-channel; systemctl stop test-channel")


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    from lab.guests import open_lab

    with open_lab() as lab, pytest.MonkeyPatch.context() as patched:
        for name, value in lab.environment.items():
            patched.setenv(name, value)
        made = Place(lab.hibernated_guest("channel"))
        yield made
        made.driver.close()


def heard(channel: Channel, place: Place, length: int) -> bytes:
    """Waits for it, as who holds a channel does."""
    data = b""
    while len(data) < length:
        came = channel.receive(4096)
        data += came
        if not came:
            assert place.told.get(timeout=20) == "ready"
    return data


def test_the_guest_sees_the_port_go_and_come(place: Place) -> None:
    assert place.driver.remove_channel(place.vm) is ChannelIs.MISSING
    assert until(lambda: not place.has_port())
    assert place.driver.add_channel(place.vm) is ChannelIs.LIVE
    assert until(place.has_port)


def test_bytes_go_both_ways_and_over_a_hibernation(place: Place) -> None:
    place.runs("python3", "-c", ECHO)
    channel = place.open()
    for said in (b"hello, guest", bytes(range(256)) * 16):
        assert channel.send(said) == len(said)
        assert heard(channel, place, len(said)) == said
    assert channel.receive(100) == b""
    place.driver.apply(place.vm, Verb.SAVE)
    assert place.told.get(timeout=20) == "ready"
    with pytest.raises(ChannelClosed):
        channel.receive(100)
    place.driver.apply(place.vm, Verb.START)
    again = place.open()
    assert again.send(b"still there?") == 12
    assert heard(again, place, 12) == b"still there?"
    again.close()
    place.stop()


def test_a_flood_that_nobody_reads_is_told_once_and_closes_it(place: Place) -> None:
    channel = place.open()
    assert channel.receive(100) == b""
    place.runs("sh", "-c", f"cat /dev/zero > {PORT}")
    assert place.told.get(timeout=20) == "ready"
    assert place.driver.state(place.vm).power is Power.RUNNING
    assert place.told.empty()
    assert until(lambda: closed(channel))
    place.stop()
    place.runs("python3", "-c", ECHO)
    again = place.open()
    again.send(b"quiet now?")
    heard(again, place, 10)
    again.close()
    place.stop()


def closed(channel: Channel) -> bool:
    try:
        channel.receive(1)
    except ChannelClosed as err:
        return "faster" in str(err)
    return False
