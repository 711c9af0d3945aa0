"""Windows' own calls that the host needs, through ctypes: one function each, nothing decided."""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import ctypes
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from ctypes import wintypes

import pywintypes
import win32api
import win32con
import win32security

from guestwake_wire.terminal_services import Told
from guestwake_wire.windows_sessions import told

# An address of the Internet, in network order, of which only the way to it is asked. It is one
# that stands for others in documentation: nothing is ever sent.
_SOMEWHERE = int.from_bytes(bytes((198, 51, 100, 1)), "little")
_UNREACHABLE = frozenset({1231, 1232, 1168})  # network, host; no such element
_SHUTTING_DOWN = 0x2000  # SM_SHUTTINGDOWN
_SYSTEM_REQUIRED = 1
_INVALID = ctypes.c_void_p(-1).value


class _Hint(ctypes.Structure):
    _fields_ = (
        ("level", ctypes.c_int),
        ("cost", ctypes.c_int),
        ("flags", ctypes.c_ubyte * 3),
    )


class _Reason(ctypes.Structure):
    _fields_ = (
        ("version", wintypes.ULONG),
        ("flags", wintypes.DWORD),
        ("text", wintypes.LPWSTR),
        ("unused", ctypes.c_void_p * 2),
    )


class WindowsCalls:
    """What `windows.py` asks for: its Win32."""

    def __init__(self) -> None:
        self._kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
        self._iphlpapi = ctypes.WinDLL("iphlpapi")
        self._kernel32.PowerCreateRequest.restype = ctypes.c_void_p

    def connectivity(self) -> tuple[int, int] | None:
        """Since Windows 10, 2004."""
        ask = getattr(self._iphlpapi, "GetNetworkConnectivityHint", None)
        hint = _Hint()
        if ask is None or ask(ctypes.byref(hint)) != 0:
            return None
        return hint.level, hint.cost

    def has_route(self) -> bool | None:
        number = wintypes.DWORD()
        error = self._iphlpapi.GetBestInterface(_SOMEWHERE, ctypes.byref(number))
        if error == 0:
            return True
        return False if error in _UNREACHABLE else None

    def shutting_down(self) -> bool:
        return bool(win32api.GetSystemMetrics(_SHUTTING_DOWN))

    def suspend(self) -> None:
        try:
            _allow(win32security.SE_SHUTDOWN_NAME)
        except pywintypes.error as err:
            raise OSError(0, err.strerror, None, err.winerror) from err
        sleep = ctypes.WinDLL("powrprof", use_last_error=True).SetSuspendState
        sleep.restype = wintypes.BOOLEAN  # a byte: what else is in the register is not its answer
        if not sleep(0, 0, 0):
            raise ctypes.WinError(ctypes.get_last_error())

    def sessions(self) -> tuple[Told, ...]:
        return told()

    def computer(self) -> str:
        try:
            return str(win32api.GetComputerName())
        except pywintypes.error as err:
            raise OSError(0, err.strerror, None, err.winerror) from err

    def awake(self, why: str) -> AbstractContextManager[None]:
        reason = _Reason(0, 1, why)
        request = self._kernel32.PowerCreateRequest(ctypes.byref(reason))
        if request == _INVALID:
            raise ctypes.WinError(ctypes.get_last_error())
        handle = ctypes.c_void_p(request)
        if not self._kernel32.PowerSetRequest(handle, _SYSTEM_REQUIRED):
            error = ctypes.WinError(ctypes.get_last_error())
            self._kernel32.CloseHandle(handle)
            raise error
        return self._until_then(handle)

    @contextmanager
    def _until_then(self, handle: ctypes.c_void_p) -> Iterator[None]:
        try:
            yield
        finally:
            self._kernel32.PowerClearRequest(handle, _SYSTEM_REQUIRED)
            self._kernel32.CloseHandle(handle)


def _allow(privilege: str) -> None:
    """Raises pywintypes.error."""
    access = win32con.TOKEN_ADJUST_PRIVILEGES | win32con.TOKEN_QUERY
    token = win32security.OpenProcessToken(win32api.GetCurrentProcess(), access)
    luid = win32security.LookupPrivilegeValue(None, privilege)
    win32security.AdjustTokenPrivileges(token, 0, [(luid, win32con.SE_PRIVILEGE_ENABLED)])
