"""Which boot of this Windows it is, for host and guest alike.

The id is the counter that Windows keeps of its own boots, in the page that it shares with every
process (ntddk.h, KUSER_SHARED_DATA.BootId; Windows 10 and newer). A guest that was saved comes back
with the same. Where it is 0 it is a value in a volatile key of the registry: made once, and gone
with the boot.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import ctypes
import uuid
import winreg
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_BOOT_ID_ADDRESS = 0x7FFE0000 + 0x2C4
_REG_OPTION_VOLATILE = 1
_VIEW = winreg.KEY_READ | winreg.KEY_SET_VALUE | winreg.KEY_WOW64_64KEY


def boot_id(key: str) -> str:
    """`key`: a volatile one of ours. Raises OSError."""
    number = ctypes.c_uint32.from_address(_BOOT_ID_ADDRESS).value
    return f"boot-{number}" if number else of_volatile_key(key)


def of_volatile_key(key: str) -> str:
    """Of the host where this user may write that, else of this user. Raises OSError."""
    for root in (winreg.HKEY_LOCAL_MACHINE, winreg.HKEY_CURRENT_USER):
        with suppress(PermissionError), volatile(root, key) as opened:
            with suppress(FileNotFoundError):
                return str(winreg.QueryValueEx(opened, "Id")[0])
            winreg.SetValueEx(opened, "Id", 0, winreg.REG_SZ, str(uuid.uuid4()))
            return str(winreg.QueryValueEx(opened, "Id")[0])
    raise OSError("the registry can be written neither for this host nor for this user")


@contextmanager
def volatile(root: int, key: str) -> Iterator[int]:
    """Gone with the boot; winreg makes lasting keys only. Its parent lasts: below a volatile one no
    key may. Raises OSError."""
    winreg.CreateKeyEx(root, key.rpartition("\\")[0], 0, _VIEW).Close()
    advapi32, handle = ctypes.WinDLL("advapi32"), ctypes.c_void_p()
    rest = (0, None, _REG_OPTION_VOLATILE, _VIEW, None, ctypes.byref(handle), None)
    error = advapi32.RegCreateKeyExW(ctypes.c_void_p(root), key, *rest)
    if error:
        raise ctypes.WinError(error)
    try:
        yield handle.value or 0
    finally:
        advapi32.RegCloseKey(handle)
