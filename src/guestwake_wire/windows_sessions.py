"""Terminal Services' list of sessions (wtsapi32.h). Raises OSError."""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import ctypes
from collections.abc import Iterator
from ctypes import wintypes

from guestwake_wire.terminal_services import Told, untold

_SESSION_INFO = 24  # WTSSessionInfo
_HERE = ctypes.c_void_p(0)  # WTS_CURRENT_SERVER_HANDLE


class _Listed(ctypes.Structure):
    """WTS_SESSION_INFOW"""

    _fields_ = (
        ("id", wintypes.DWORD),
        ("station", wintypes.LPWSTR),
        ("state", ctypes.c_int),
    )


class _Info(ctypes.Structure):
    """WTSINFOW"""

    _fields_ = (
        ("state", ctypes.c_int),
        ("id", wintypes.DWORD),
        ("traffic", wintypes.DWORD * 6),
        ("station", wintypes.WCHAR * 32),
        ("domain", wintypes.WCHAR * 17),
        ("user", wintypes.WCHAR * 21),
        ("connected", ctypes.c_longlong),
        ("disconnected", ctypes.c_longlong),
        ("last_input", ctypes.c_longlong),
        ("logged_on", ctypes.c_longlong),
        ("now", ctypes.c_longlong),
    )


def told() -> tuple[Told, ...]:
    return tuple(_told())


def _told() -> Iterator[Told]:
    wts = ctypes.WinDLL("wtsapi32", use_last_error=True)
    listed, number = ctypes.POINTER(_Listed)(), wintypes.DWORD()
    if not wts.WTSEnumerateSessionsW(_HERE, 0, 1, ctypes.byref(listed), ctypes.byref(number)):
        raise ctypes.WinError(ctypes.get_last_error())
    try:
        for one in listed[: number.value]:
            try:
                session = _one(wts, one.id)
            except OSError as error:
                session = untold(one.id, one.state, getattr(error, "winerror", None) or 0)
            if session is not None:
                yield session
    finally:
        wts.WTSFreeMemory(listed)


def _one(wts: ctypes.WinDLL, number: int) -> Told | None:
    found, size = ctypes.POINTER(_Info)(), wintypes.DWORD()
    if not wts.WTSQuerySessionInformationW(
        _HERE, number, _SESSION_INFO, ctypes.byref(found), ctypes.byref(size)
    ):
        raise ctypes.WinError(ctypes.get_last_error())
    try:
        if size.value < ctypes.sizeof(_Info):
            raise OSError("Windows tells less of a session than it should")
        it = found.contents
        times = (it.logged_on, it.last_input, it.now)
        return Told(it.user, it.state, it.station, *times, it.domain)
    finally:
        wts.WTSFreeMemory(found)
