"""hvsocket in a Windows guest, on sockets of this machine in place of Hyper-V's: a double."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from windows_scene import until

from guestwake_guest.transports.api import StreamClosed
from guestwake_guest.windows import hvsocket
from guestwake_guest.windows.hvsocket import HvSocket
from guestwake_guest.windows.streams import SocketStream


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def host(listener: socket.socket) -> socket.socket:
    return socket.create_connection(listener.getsockname(), 20)


def taken(transport: HvSocket) -> SocketStream:
    found: list[SocketStream] = []

    def look() -> bool:
        stream = transport.look()
        found.extend([stream] if stream else [])
        return bool(found)

    assert until(look)
    return found[0]


def heard(stream: SocketStream) -> bytes:
    data: list[bytes] = []

    def hears() -> bytes:
        with suppress(StreamClosed):
            data.append(stream.receive(100))
        return b"".join(data)

    assert until(hears)
    return b"".join(data)


def test_a_host_that_connects_is_heard_and_hears(listener: socket.socket) -> None:
    transport = HvSocket(lambda: None, listener)
    with host(listener) as there:
        stream = taken(transport)
        there.sendall(b"hello")
        assert heard(stream) == b"hello"
        assert stream.send(b"report") == 6
        assert there.recv(100) == b"report"
        stream.close()
        assert there.recv(100) == b""
    assert transport.look() is None


def test_the_latest_of_two_counts_and_the_other_one_is_closed(listener: socket.socket) -> None:
    transport = HvSocket(lambda: None, listener)
    with host(listener) as first, host(listener) as second:
        assert first.recv(100) == b""  # nobody had looked in between
        stream = taken(transport)
        second.sendall(b"hello")
        assert heard(stream) == b"hello"
        stream.close()


class Failing(socket.socket):
    """A double: each second `accept` fails."""

    fails = False

    def accept(self) -> tuple[socket.socket, object]:
        self.fails = not self.fails
        if self.fails:
            raise OSError("no room")
        return super().accept()


def test_one_that_fails_is_tried_again_after_a_pause() -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) > 4:  # the listener is gone, and this thread is done
            threading.Event().wait()

    with Failing(socket.AF_INET) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        transport = HvSocket(lambda: None, listener, pause)
        for _ in range(3):
            with host(listener):
                taken(transport).close()
        assert until(lambda: len(pauses) == 4)
        assert set(pauses) == {1.0}


def test_a_windows_without_such_sockets_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python knows the family; the system does not."""
    monkeypatch.setattr(socket, "AF_HYPERV", 100, raising=False)
    monkeypatch.setattr(socket, "HV_PROTOCOL_RAW", 1, raising=False)
    assert hvsocket.listening() is None
    assert HvSocket(lambda: None).look() is None
