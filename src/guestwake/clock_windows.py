"""`clock.py` on Windows.

Elapsed time is GetTickCount64, which counts sleep and hibernation. The boot's id is the counter
that Windows keeps of its own boots, in the page that it shares with every process (ntddk.h,
KUSER_SHARED_DATA.BootId; Windows 10 and newer). Where that is 0 it is a value in a volatile key of
the registry: made once, and gone with the boot.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import ctypes
import select
import signal
import socket
import threading
import uuid
import winreg
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Final

from guestwake.policy.words import Now

_BOOT_ID_ADDRESS: Final = 0x7FFE0000 + 0x2C4
_KEY: Final = r"SOFTWARE\Guestwake\Boot"
_REG_OPTION_VOLATILE: Final = 1
_TICKS_A_SECOND: Final = 10_000_000


class WindowsClock:
    """A Clock."""

    def __init__(self) -> None:
        self._kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
        self._kernel32.GetTickCount64.restype = ctypes.c_ulonglong
        # A socket and no Event: a signal of Windows' Python ends a wait on no other thing.
        self._waits_on, self._hurried = socket.socketpair()
        for end in (self._waits_on, self._hurried):
            end.settimeout(0)
        self._boot_id = _boot_id()

    def now(self) -> Now:
        elapsed = self._kernel32.GetTickCount64() / 1000
        awake = ctypes.c_ulonglong()
        self._kernel32.QueryUnbiasedInterruptTime(ctypes.byref(awake))
        return Now(
            wall=datetime.now(UTC),
            elapsed=elapsed,
            boot_id=self._boot_id,
            asleep=max(0.0, elapsed - awake.value / _TICKS_A_SECOND),
        )

    def wait(self, seconds: float) -> None:
        with self._heeding_signals():
            ready, _, _ = select.select([self._waits_on], [], [], max(0.0, seconds))
        if ready:
            with suppress(BlockingIOError):
                self._waits_on.recv(4096)

    def hurry(self) -> None:
        with suppress(BlockingIOError):  # it is full of hurry already
            self._hurried.send(b"\0")

    @contextmanager
    def _heeding_signals(self) -> Iterator[None]:
        """Ctrl-C and Ctrl-Break end the wait too; see SystemClock."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.set_wakeup_fd(self._hurried.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)


def _boot_id() -> str:
    number = ctypes.c_uint32.from_address(_BOOT_ID_ADDRESS).value
    return f"boot-{number}" if number else _of_volatile_key()


def _of_volatile_key() -> str:
    """Of the host where this user may write that, else of this user."""
    for root in (winreg.HKEY_LOCAL_MACHINE, winreg.HKEY_CURRENT_USER):
        with suppress(PermissionError), _volatile(root) as key:
            with suppress(FileNotFoundError):
                return str(winreg.QueryValueEx(key, "Id")[0])
            winreg.SetValueEx(key, "Id", 0, winreg.REG_SZ, str(uuid.uuid4()))
            return str(winreg.QueryValueEx(key, "Id")[0])
    raise OSError("the registry can be written neither for this host nor for this user")


@contextmanager
def _volatile(root: int) -> Iterator[int]:
    """winreg makes lasting keys only."""
    advapi32 = ctypes.WinDLL("advapi32")
    handle = ctypes.c_void_p()
    access = winreg.KEY_READ | winreg.KEY_SET_VALUE | winreg.KEY_WOW64_64KEY
    error = advapi32.RegCreateKeyExW(
        ctypes.c_void_p(root),
        _KEY,
        0,
        None,
        _REG_OPTION_VOLATILE,
        access,
        None,
        ctypes.byref(handle),
        None,
    )
    if error:
        raise ctypes.WinError(error)
    try:
        yield handle.value or 0
    finally:
        advapi32.RegCloseKey(handle)
