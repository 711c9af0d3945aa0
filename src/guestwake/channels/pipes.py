"""A child's two pipes, each use with a deadline of the monotonic clock."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from typing import Protocol


class Pipes(Protocol):
    """Raises OSError; TimeoutError where the deadline has passed."""

    def is_silent(self) -> bool:
        """Nothing has come that nobody has asked for, its end neither."""
        ...

    def send(self, data: bytes, deadline: float) -> None: ...
    def receive(self, length: int, deadline: float) -> bytes: ...
    def end(self) -> None:
        """The child has been ended, and nobody uses them any more."""
        ...


def pipes_of(process: subprocess.Popen[bytes]) -> Pipes:
    """They take its ends over."""
    if sys.platform == "win32":
        from guestwake.channels.pipes_windows import ThreadedPipes

        return ThreadedPipes(process)
    return PolledPipes(process)


class PolledPipes:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin.fileno(), process.stdout.fileno()
        os.set_blocking(self._in, False)

    def is_silent(self) -> bool:
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        return not poll.poll(0)

    def send(self, data: bytes, deadline: float) -> None:
        while data:
            self._ready(self._in, select.POLLOUT, deadline)
            data = data[os.write(self._in, data) :]

    def receive(self, length: int, deadline: float) -> bytes:
        found = b""
        while len(found) < length:
            self._ready(self._out, select.POLLIN, deadline)
            more = os.read(self._out, length - len(found))
            if not more:
                raise OSError("it has ended")
            found += more
        return found

    def end(self) -> None:
        """Nothing of it goes on by itself."""

    def _ready(self, descriptor: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise TimeoutError("no answer in time")
