"""A child's two pipes on Windows, where a pipe can only be waited for by a thread that blocks on
it."""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import queue
import subprocess
import threading
import time
from contextlib import suppress
from typing import IO

_CHUNK_BYTES = 4096
_CHUNKS_MAX = 16  # that were not asked for: a child that floods blocks then


class ThreadedPipes:
    """Pipes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._heard: queue.Queue[bytes] = queue.Queue(_CHUNKS_MAX)
        self._to_say: queue.Queue[bytes] = queue.Queue(1)
        self._left = b""
        self._is_over = False
        for work, end in ((self._hear, process.stdout), (self._say, process.stdin)):
            threading.Thread(target=work, args=(end,), daemon=True).start()

    def is_silent(self) -> bool:
        return not self._left and self._heard.empty()

    def send(self, data: bytes, deadline: float) -> None:
        """Taken where the one before it has gone out."""
        try:
            self._to_say.put(data, timeout=max(0.0, deadline - time.monotonic()))
        except queue.Full:
            raise TimeoutError("no answer in time") from None

    def receive(self, length: int, deadline: float) -> bytes:
        while len(self._left) < length:
            try:
                more = self._heard.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise TimeoutError("no answer in time") from None
            if not more:
                raise OSError("it has ended")
            self._left += more
        found, self._left = self._left[:length], self._left[length:]
        return found

    def end(self) -> None:
        self._is_over = True
        with suppress(queue.Full):  # it is just saying something, to who is gone
            self._to_say.put_nowait(b"")
        with suppress(queue.Empty):  # it may wait for room to put what it has heard
            while True:
                self._heard.get_nowait()

    def _hear(self, end: IO[bytes]) -> None:
        """The last that it hears is nothing: the end."""
        more = b"\0"
        while more and not self._is_over:
            try:
                more = end.read(_CHUNK_BYTES) or b""
            except (OSError, ValueError):  # it was closed
                more = b""
            self._heard.put(more)

    def _say(self, end: IO[bytes]) -> None:
        with suppress(OSError, ValueError):
            while data := self._to_say.get():
                while data:
                    data = data[end.write(data) or 0 :]
