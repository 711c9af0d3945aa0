"""Asks the reader process, and starts another where one died.

The asker passes bytes on and trusts no answer: too long, too late or not well formed, and the
process is ended. A question costs a second at the worst.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time

from guestwake.channels.api import CHUNK_BYTES_MAX, Heard, ReaderFailed
from guestwake.channels.pipes import Pipes, pipes_of
from guestwake.channels.reader import ANSWER, ANSWER_BYTES_MAX, QUESTION, heard_of

log = logging.getLogger(__name__)

ANSWER_SECONDS = 1.0
START_SECONDS = 10.0  # the first answer waits for the process to come up, on a slow machine too
_COMMAND = (sys.executable, "-I", "-B", "-m", "guestwake.channels.reader")


class ReaderProcess:
    """One for each asker; started with the first question. Not for two threads at once."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._pipes: Pipes | None = None
        self._patience = START_SECONDS

    def parse(self, stream: int, data: bytes) -> Heard:
        assert 0 < len(data) <= CHUNK_BYTES_MAX
        try:
            pipes = self._alive()  # OSError: no more processes here, or Python was replaced
            deadline = time.monotonic() + self._patience
            if not pipes.is_silent():
                # What it says now would be taken for the answer to what it has not read yet.
                raise ValueError("it has ended, or answers what it was not asked")
            pipes.send(QUESTION.pack(stream, len(data)) + data, deadline)
            *counts, length = ANSWER.unpack(pipes.receive(ANSWER.size, deadline))
            if length > ANSWER_BYTES_MAX:
                raise ValueError("an answer that is too long")
            frames = pipes.receive(length, deadline)
            heard = heard_of((counts[0], counts[1], counts[2]), frames)
        except (OSError, ValueError) as err:
            self.close()
            raise ReaderFailed(f"the reader of guests' messages failed: {err}") from err
        self._patience = ANSWER_SECONDS
        return heard

    def forget(self, stream: int) -> None:
        if self._pipes is not None:
            deadline = time.monotonic() + ANSWER_SECONDS
            try:
                self._pipes.send(QUESTION.pack(stream, 0), deadline)
            except OSError:  # also that it took too long: the number would keep half a frame
                self.close()

    def close(self) -> None:
        process, self._process = self._process, None
        pipes, self._pipes = self._pipes, None
        if process is not None:
            process.kill()
            if pipes is not None:
                pipes.end()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
            process.wait()

    def _alive(self) -> Pipes:
        if self._process is not None and self._process.poll() is not None:
            log.warning("the reader of guests' messages has died; another is started")
            self.close()
        if self._process is None or self._pipes is None:
            self._patience = START_SECONDS
            self._process = subprocess.Popen(
                _COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                cwd=os.path.abspath(os.sep),
                env=_environment(),
                # A Ctrl-C at the terminal is for the manager.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
            self._pipes = pipes_of(self._process)
        return self._pipes


def _environment() -> dict[str, str]:
    """Nothing; Windows starts no Python without its own folder."""
    root = os.environ.get("SYSTEMROOT")
    return {"SYSTEMROOT": root} if root and sys.platform == "win32" else {}
