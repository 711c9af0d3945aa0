"""The FIFO's reading end, held open by the socket unit and handed to the service by systemd
(sd_listen_fds(3)): a writer never hangs, and what it wrote outlives a restart of the service.

Anybody in the guest may write. First the signal is recorded, then the FIFO is emptied: whoever
dies in between finds it readable again. The first line is the reason; of what comes later in the
same boot nothing is kept.
"""

from __future__ import annotations

import os
import select
import stat

from guestwake_guest.esd_signal import state
from guestwake_guest.journal import tell, warn
from guestwake_guest.system import System
from guestwake_wire.messages import clean

PATH = "/run/guestwake/restart-required"
REASON_BYTES_MAX = 512  # written in one piece (PIPE_BUF)
_READ_BYTES_MAX = 65536  # what a FIFO holds
# Whoever floods it is read this often and no more.
PAUSE = 1.0
_FIRST_PASSED = 3


class Fifo:
    def __init__(self, system: System, end: int) -> None:
        self._system = system
        self.end = end
        self.paused_until = 0.0
        os.set_blocking(end, False)
        self._now = select.poll()
        self._now.register(end, select.POLLIN)

    def is_readable(self) -> bool:
        return bool(self._now.poll(0))

    def take(self) -> bool:
        """Called when it can be read. True: a signal that is new in this boot."""
        self.paused_until = self._system.elapsed() + PAUSE
        known = state.read(self._system)
        signal = known or state.Signal(self._system.elapsed(), "")
        try:
            if known is None:
                state.write(self._system, signal)
            text = _reason(self._drained())
            if known is None or (text and not known.text):
                state.write(self._system, signal._replace(text=text))
        except OSError as error:
            warn(f"a restart signal could not be recorded: {error}, trying again")
            return False
        if known is None:
            tell(f"a restart was asked for: '{text}'")
        return known is None

    def _drained(self) -> bytes:
        """What was in it, up to what it can hold: a flood is not followed to its end."""
        first, left = b"", _READ_BYTES_MAX
        try:
            while left > 0:
                data = os.read(self.end, 4096)
                if not data:
                    break
                first = first or data
                left -= len(data)
        except BlockingIOError:
            pass
        return first


def _reason(data: bytes) -> str:
    line = data[:REASON_BYTES_MAX].partition(b"\n")[0]
    return clean(line.decode("utf-8", "replace").strip())


def handed_over(environment: dict[str, str]) -> int | None:
    """The FIFO's descriptor, if systemd has handed this process one."""
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return None
    try:
        last = _FIRST_PASSED + min(int(environment.get("LISTEN_FDS", "0")), 8)
    except ValueError:
        return None
    found = [end for end in range(_FIRST_PASSED, last) if _is_fifo(end)]
    for end in found:
        os.set_inheritable(end, False)  # noqa: FBT003  its only form
    return found[0] if found else None


def _is_fifo(descriptor: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except OSError:
        return False


class NoSignal(Exception):
    """One sentence: why the signal could not be given, and what to do."""


def give(system: System, reason: str) -> None:
    """For any user. Raises NoSignal."""
    path = system.path(PATH)
    try:
        end = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError as error:
        raise NoSignal(
            f"cannot write to '{path}' ({error.strerror}): is guestwake-guest.socket started?"
        ) from error
    try:
        if not _is_fifo(end):
            raise NoSignal(f"'{path}' is no FIFO: restart guestwake-guest.socket")
        line = clean(reason).encode("utf-8", "replace")[: REASON_BYTES_MAX - 1]
        os.write(end, line + b"\n")
    except BlockingIOError:
        pass  # full of signals that nobody has read yet: one is as good as many
    except OSError as error:
        raise NoSignal(f"cannot write to '{path}': {error.strerror}") from error
    finally:
        os.close(end)
