"""Asks the reader process, and starts another where one died.

The asker passes bytes on and trusts no answer: too long, too late or not well formed, and the
process is ended. A question costs a second at the worst.
"""

from __future__ import annotations

import logging
import os
import select
import subprocess
import sys
import time

from guestwake.channels.api import CHUNK_BYTES_MAX, Heard, ReaderFailed
from guestwake.channels.reader import ANSWER, ANSWER_BYTES_MAX, QUESTION, heard_of

log = logging.getLogger(__name__)

ANSWER_SECONDS = 1.0
START_SECONDS = 10.0  # the first answer waits for the process to come up, on a slow machine too
_COMMAND = (sys.executable, "-I", "-B", "-m", "guestwake.channels.reader")


class ReaderProcess:
    """One for each asker; started with the first question. Not for two threads at once."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._patience = START_SECONDS

    def parse(self, stream: int, data: bytes) -> Heard:
        assert 0 < len(data) <= CHUNK_BYTES_MAX
        try:
            process = self._alive()  # OSError: no more processes here, or Python was replaced
            deadline = time.monotonic() + self._patience
            self._expect_silence(process)
            self._send(process, QUESTION.pack(stream, len(data)) + data, deadline)
            *counts, length = ANSWER.unpack(self._receive(process, ANSWER.size, deadline))
            if length > ANSWER_BYTES_MAX:
                raise ValueError("an answer that is too long")
            frames = self._receive(process, length, deadline)
            heard = heard_of((counts[0], counts[1], counts[2]), frames)
        except (OSError, ValueError) as err:
            self.close()
            raise ReaderFailed(f"the reader of guests' messages failed: {err}") from err
        self._patience = ANSWER_SECONDS
        return heard

    def forget(self, stream: int) -> None:
        if self._process is not None:
            deadline = time.monotonic() + ANSWER_SECONDS
            try:
                self._send(self._process, QUESTION.pack(stream, 0), deadline)
            except OSError:  # also that it took too long: the number would keep half a frame
                self.close()

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
            process.wait()

    def _alive(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            log.warning("the reader of guests' messages has died; another is started")
            self.close()
        if self._process is None:
            self._patience = START_SECONDS
            self._process = subprocess.Popen(
                _COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                cwd="/",
                env={},
                start_new_session=True,  # a Ctrl-C at the terminal is for the manager
            )
            assert self._process.stdin is not None
            os.set_blocking(self._process.stdin.fileno(), False)
        return self._process

    def _expect_silence(self, process: subprocess.Popen[bytes]) -> None:
        """What it says now would be taken for the answer to what it has not read yet."""
        assert process.stdout is not None
        poll = select.poll()
        poll.register(process.stdout.fileno(), select.POLLIN)
        if poll.poll(0):
            raise ValueError("it has ended, or answers what it was not asked")

    def _send(self, process: subprocess.Popen[bytes], data: bytes, deadline: float) -> None:
        assert process.stdin is not None
        descriptor = process.stdin.fileno()
        while data:
            self._ready(descriptor, select.POLLOUT, deadline)
            data = data[os.write(descriptor, data) :]

    def _receive(self, process: subprocess.Popen[bytes], length: int, deadline: float) -> bytes:
        assert process.stdout is not None
        descriptor, found = process.stdout.fileno(), b""
        while len(found) < length:
            self._ready(descriptor, select.POLLIN, deadline)
            more = os.read(descriptor, length - len(found))
            if not more:
                raise OSError("it has ended")
            found += more
        return found

    def _ready(self, descriptor: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise TimeoutError("no answer in time")
