"""The guest's stream over a port of virtio-serial, on a named pipe in its place: a double, at whose
other end there is a host from the start."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from uuid import uuid4

import pytest
import win32file
import win32pipe

from guestwake_guest.transports.api import StreamClosed
from guestwake_guest.windows.windows_port import Port, PortStream


def until(true: Callable[[], object]) -> bool:
    deadline = time.monotonic() + 20
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def path() -> str:
    return rf"\\.\pipe\GuestwakeTest-{uuid4().hex}"


@pytest.fixture
def host(path: str) -> Iterator[object]:
    kind = win32pipe.PIPE_TYPE_BYTE | win32pipe.PIPE_READMODE_BYTE | win32pipe.PIPE_WAIT
    made = win32pipe.CreateNamedPipe(
        path, win32pipe.PIPE_ACCESS_DUPLEX, kind, 1, 65536, 65536, 0, None
    )
    yield made
    made.Close()


def test_both_hear_each_other_and_an_end_is_heard(host: object, path: str) -> None:
    transport = Port(lambda: None, path)
    stream = transport.look()
    assert stream is not None
    assert transport.look() is None  # it is open
    assert until(stream.connected)
    win32file.WriteFile(host, b"hello")
    heard = b""

    def hears() -> bool:
        nonlocal heard
        heard += stream.receive(3)
        return heard == b"hello"

    assert until(hears)
    assert stream.send(b"report") == 6
    assert win32file.ReadFile(host, 100)[1] == b"report"
    host.Close()  # type: ignore[attr-defined]
    assert until(lambda: is_over(stream))
    stream.close()
    transport.lost()
    assert transport.look() is None  # not at once


def is_over(stream: PortStream) -> bool:
    with suppress(StreamClosed):
        stream.receive(100)
        return False
    return True


def test_one_that_is_closed_while_it_waits_lets_go_of_the_port(host: object, path: str) -> None:
    stream = PortStream(path, lambda: None)
    assert until(stream.connected)
    stream.close()
    assert until(lambda: is_over(stream))
    with pytest.raises(StreamClosed):
        stream.send(b"report")


def test_a_port_that_is_not_there_is_looked_for_again(path: str) -> None:
    assert Port(lambda: None, path).look() is None
