"""Commands that the service asks something: started, then looked after by the loop; never waited
for. Each has a time limit, and what it says is bounded.

posix_spawn rather than the subprocess module, which costs a megabyte. Python's own files are
closed in a child by themselves.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress

OUTPUT_BYTES_MAX = 65536

# Programs of ours are found here alone, and say what they say in English.
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "SYSTEMD_PAGER": ""}

_ENDING = 0.02  # seconds until a process that closed its output is asked for again

Ended = Callable[[int, str], None]  # exit code (negative: a signal), what it wrote


class Child:
    """A command under way. `output`: a file descriptor to be waited on."""

    def __init__(self, command: Sequence[str], until: float, ended: Ended) -> None:
        """Raises OSError where it cannot be started."""
        self.until = until
        self.output, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            self._pid = os.posix_spawn(
                command[0],
                list(command),
                _ENVIRONMENT,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, theirs, 1),
                    (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
                ],
                setpgroup=0,
            )
        except OSError:
            os.close(self.output)
            raise
        finally:
            os.close(theirs)
        os.set_blocking(self.output, False)
        self._said = bytearray()
        self.is_ending = False  # it has closed its output, which a process does just before its end
        self._ended = ended

    def tend(self, now: float) -> bool:
        """Takes in what it wrote. True: it has ended, and `ended` was called."""
        self._read()
        if now >= self.until:
            self._kill()
        elif not self.is_ending:
            return False
        pid, status = os.waitpid(self._pid, 0 if now >= self.until else os.WNOHANG)
        if pid:
            os.close(self.output)
            self._ended(_code(status), self._said.decode("utf-8", "replace"))
        return bool(pid)

    def _read(self) -> None:
        try:
            while not self.is_ending:
                data = os.read(self.output, 4096)
                self.is_ending = not data
                self._said += data[: OUTPUT_BYTES_MAX - len(self._said)]
        except BlockingIOError:
            pass

    def _kill(self) -> None:
        with suppress(OSError):  # it is gone already
            os.killpg(self._pid, signal.SIGKILL)


class Children:
    def __init__(self) -> None:
        self._under_way: list[Child] = []

    def start(self, command: Sequence[str], until: float, ended: Ended) -> bool:
        """False: it could not be started."""
        try:
            self._under_way.append(Child(command, until, ended))
        except OSError:
            return False
        return True

    def tend(self, now: float) -> bool:
        """True: at least one has ended."""
        before = len(self._under_way)
        self._under_way = [child for child in self._under_way if not child.tend(now)]
        return len(self._under_way) < before

    def outputs(self) -> list[int]:
        """File descriptors that say when there is something to tend."""
        return [child.output for child in self._under_way]

    def next_end(self, now: float) -> float | None:
        """When at the latest to tend again."""
        times = (now + _ENDING if child.is_ending else child.until for child in self._under_way)
        return min(times, default=None)


def _code(status: int) -> int:
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
