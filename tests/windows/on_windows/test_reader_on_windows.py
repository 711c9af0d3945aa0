"""The reader of guests' messages on Windows. What it gives up there is asked for under Wine, which
holds it to none of that: it has neither integrity levels nor limits of memory."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from guestwake.channels import reading
from guestwake.channels.api import ReaderFailed
from guestwake.channels.reading import ReaderProcess
from guestwake_wire.messages import Hello, encode

HELLO = Hello((1,), "somebody")


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python takes its time to start under Wine."""
    monkeypatch.setattr(reading, "START_SECONDS", 60.0)


def test_it_reads_what_a_guest_says() -> None:
    reader = ReaderProcess()
    for _ in range(3):
        assert reader.parse(0, encode(HELLO)).hello == HELLO
    assert reader.parse(1, b"junk" * 1000).junk == 4000
    reader.forget(1)
    reader.close()


def test_one_that_dies_is_replaced() -> None:
    reader = ReaderProcess()
    assert reader.parse(0, encode(HELLO)).hello == HELLO
    assert reader._process is not None
    reader._process.kill()
    reader._process.wait(60)
    time.sleep(0.2)
    assert reader.parse(0, encode(HELLO)).hello == HELLO
    reader.close()


@pytest.mark.parametrize(
    "program",
    [
        "import sys; sys.stdin.buffer.read(3)",
        "import sys, time; sys.stdin.buffer.read(1); time.sleep(60)",
        "import sys\nwhile True: sys.stdout.buffer.write(b'x' * 9999)",
    ],
)
def test_one_that_answers_badly_is_ended(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_COMMAND", (sys.executable, "-I", "-c", program))
    monkeypatch.setattr(reading, "START_SECONDS", 5.0)
    before = set(threading.enumerate())
    reader = ReaderProcess()
    with pytest.raises(ReaderFailed):
        reader.parse(0, encode(HELLO))
    assert reader._process is None
    for one in set(threading.enumerate()) - before:  # what listened to it ends too
        one.join(60)
        assert not one.is_alive()
