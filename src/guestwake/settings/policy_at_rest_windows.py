"""Group Policy's keys are read while it is not at work on them.

It takes its values out before it writes them anew, and what is told of a change comes just then:
who read there would for a moment find no policy, and take what a lower layer says for it. Windows
lets a reader hold it up for that long (EnterCriticalPolicySection). It may be at work for minutes,
which is not waited for.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import ctypes
import queue
import threading
from collections.abc import Callable
from ctypes import wintypes
from time import monotonic
from typing import TypeVar

_Found = TypeVar("_Found")

_PATIENCE = 10.0  # seconds
_WAITS_AGAIN = 60.0  # seconds after which one that was waited for in vain is again
_TURNS = {True: threading.Lock(), False: threading.Lock()}  # one at a time waits for each
_not_before = {True: 0.0, False: 0.0}

_userenv = ctypes.WinDLL("userenv")
_userenv.EnterCriticalPolicySection.restype = wintypes.HANDLE
_userenv.LeaveCriticalPolicySection.argtypes = [wintypes.HANDLE]


class AtWorkError(Exception):
    def __init__(self) -> None:
        super().__init__("not read now: Group Policy has been at work on it for long")


def at_rest(read: Callable[[], _Found], *, machine: bool) -> _Found:
    """What `read` finds, in a thread of its own: whoever holds Group Policy up is a thread.
    `machine` False: the policy of who calls. Raises AtWorkError."""
    turn = _TURNS[machine]
    if not turn.acquire(timeout=_PATIENCE if monotonic() >= _not_before[machine] else 0):
        raise AtWorkError
    found: queue.SimpleQueue[_Found] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(read, machine, turn, found), daemon=True).start()
    try:
        return found.get(timeout=_PATIENCE)
    except queue.Empty:
        _not_before[machine] = monotonic() + _WAITS_AGAIN  # all who ask until then are told at once
        raise AtWorkError from None


def _read(
    read: Callable[[], _Found],
    machine: bool,  # noqa: FBT001 - a thread's argument
    turn: threading.Lock,
    found: queue.SimpleQueue[_Found],
) -> None:
    try:
        section = _enter(machine=machine)
        try:
            found.put(read())
        finally:
            if section:
                _userenv.LeaveCriticalPolicySection(section)
    finally:
        turn.release()


def _enter(*, machine: bool) -> int | None:
    """None: this process may not, or Windows itself has given up. It is read all the same."""
    section: int | None = _userenv.EnterCriticalPolicySection(wintypes.BOOL(machine))
    return section
