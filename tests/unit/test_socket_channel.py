"""A channel over a plain socket, watched by libvirt's event thread as a vsock would be."""

from __future__ import annotations

import errno
import queue
import socket
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest

from guestwake.channels.api import ChannelClosed
from guestwake.channels.socket import SocketChannel
from guestwake.hypervisors.api import NoChannel, VmBusy
from guestwake.hypervisors.libvirt_channel import HandleWatch, open_vsock
from guestwake.hypervisors.libvirt_library import libvirt

SECONDS = 10.0


class Pair:
    def __init__(self) -> None:
        ours, self.guest = socket.socketpair(socket.AF_UNIX)
        self.told: queue.Queue[str] = queue.Queue()
        watch = HandleWatch(ours.fileno(), lambda: self.told.put("ready"))
        self.channel = SocketChannel(ours, watch)

    def is_told(self) -> bool:
        """Waits for it."""
        return self.told.get(timeout=SECONDS) == "ready"


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.channel.close()
    made.guest.close()


def test_bytes_go_both_ways(pair: Pair) -> None:
    assert pair.channel.receive(100) == b""
    pair.guest.send(b"hello, host")
    assert pair.is_told()
    assert pair.channel.receive(6) == b"hello,"
    assert pair.channel.receive(100) == b" host"
    assert pair.channel.send(b"hello, guest") == 12
    assert pair.guest.recv(100) == b"hello, guest"


def test_a_flood_is_told_once_until_nothing_is_left(pair: Pair) -> None:
    pair.guest.send(b"x" * 100)
    assert pair.is_told()
    pair.guest.send(b"x" * 100)
    while pair.channel.receive(50):
        assert pair.told.empty()
    pair.guest.send(b"x")
    assert pair.is_told()
    assert pair.told.empty()


def test_a_guest_that_reads_nothing_keeps_nobody_waiting(pair: Pair) -> None:
    while pair.channel.send(b"x" * 4096):
        pass
    assert pair.channel.send(b"x") == 0


@pytest.mark.parametrize("left_unread", [False, True])
def test_it_closes_with_the_guests_end(pair: Pair, left_unread: bool) -> None:
    if left_unread:  # then the kernel says "connection reset"
        pair.channel.send(b"word")
    assert pair.channel.receive(100) == b""
    pair.guest.close()
    assert pair.is_told()
    for _ in range(2):
        with pytest.raises(ChannelClosed):
            pair.channel.receive(100)
    with pytest.raises(ChannelClosed):
        pair.channel.send(b"word")
    pair.channel.close()


def test_a_send_into_a_closed_end_is_told(pair: Pair) -> None:
    pair.guest.close()
    with pytest.raises(ChannelClosed):
        pair.channel.send(b"word")


def test_nothing_is_told_of_one_that_was_closed(pair: Pair) -> None:
    pair.channel.close()
    pair.guest.close()
    other = Pair()
    other.guest.close()
    assert other.is_told()  # so the event thread has come round
    assert pair.told.empty()
    other.channel.close()


@pytest.mark.parametrize("cid", [0, 1, 2])
def test_the_host_itself_is_never_taken_for_a_guest(cid: int) -> None:
    with pytest.raises(NoChannel, match="web01"):
        open_vsock("web01", cid, lambda: None)


def test_a_host_without_vsock_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> NoReturn:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", unknown)
    with pytest.raises(VmBusy, match="not supported"):
        open_vsock("web01", 3, lambda: None)


def test_what_comes_while_the_watch_is_still_being_made_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def made_late(descriptor: int, events: int, call: Callable[..., None], opaque: object) -> int:
        call(0, descriptor, events, opaque)  # the event thread was quicker
        return int(real(descriptor, events, call, opaque))

    real = libvirt.virEventAddHandle
    monkeypatch.setattr(libvirt, "virEventAddHandle", made_late)
    late = Pair()
    late.guest.send(b"hello, host")
    assert late.is_told()
    late.channel.close()
    late.guest.close()
