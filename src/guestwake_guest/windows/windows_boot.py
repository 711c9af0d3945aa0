"""What belongs to one boot of this Windows: its id, and a signal that was given in it.

The id is the counter that Windows keeps of its own boots, in the page that it shares with every
process (ntddk.h, KUSER_SHARED_DATA.BootId). A guest that was saved comes back with the same. Where
it is 0, and for the signal, a volatile key of the registry serves: gone with the boot.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import ctypes
import uuid
import winreg
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from guestwake_guest.windows.view import Given

_BOOT_ID_ADDRESS = 0x7FFE0000 + 0x2C4
# Below a key that lasts: Windows lets no lasting key be made below a volatile one.
KEY = r"SOFTWARE\Guestwake\Guest of this boot"
_REG_OPTION_VOLATILE = 1


def boot_id() -> str:
    """Raises OSError."""
    number = ctypes.c_uint32.from_address(_BOOT_ID_ADDRESS).value
    if number:
        return f"boot-{number}"
    with _opened() as key:
        with suppress(FileNotFoundError):
            return str(winreg.QueryValueEx(key, "Id")[0])
        winreg.SetValueEx(key, "Id", 0, winreg.REG_SZ, str(uuid.uuid4()))
        return str(winreg.QueryValueEx(key, "Id")[0])


class KeptSignal:
    """A Kept."""

    def read(self) -> Given | None:
        with _opened() as key:
            try:
                return Given(float(winreg.QueryValueEx(key, "SignalAt")[0]), "")
            except (FileNotFoundError, ValueError):
                return None

    def write(self, given: Given) -> None:
        with _opened() as key:
            winreg.SetValueEx(key, "SignalAt", 0, winreg.REG_SZ, repr(given.at))


@contextmanager
def _opened() -> Iterator[int]:
    """winreg makes lasting keys only."""
    advapi32, handle = ctypes.WinDLL("advapi32"), ctypes.c_void_p()
    access = winreg.KEY_READ | winreg.KEY_SET_VALUE | winreg.KEY_WOW64_64KEY
    root = ctypes.c_void_p(winreg.HKEY_LOCAL_MACHINE)
    volatile = (0, None, _REG_OPTION_VOLATILE, access, None, ctypes.byref(handle), None)
    error = advapi32.RegCreateKeyExW(root, KEY, *volatile)
    if error:
        raise ctypes.WinError(error)
    try:
        yield handle.value or 0
    finally:
        advapi32.RegCloseKey(handle)
