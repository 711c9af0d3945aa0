"""Who runs this on Windows, and where Windows keeps such files.

Names of users are those that Windows takes at a logon, without the computer's own name before them.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import ctypes
import os
import winreg
from collections.abc import Mapping
from ctypes import wintypes
from pathlib import Path

_NAME_CHARS = 1024
_PATH_CHARS, _FOR_ALL = 260, 0x23  # MAX_PATH, CSIDL_COMMON_APPDATA
_SAM_COMPATIBLE = 2  # NameSamCompatible: DOMAIN\user
_PROFILES = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion\ProfileList"
_MACHINE = r"SOFTWARE\Microsoft\Cryptography"
_NONE_MAPPED = 1332
_USER = 1  # SidTypeUser


def is_administrator() -> bool:
    """Of this process: an administrator's that was not elevated is an ordinary user's."""
    return bool(ctypes.windll.shell32.IsUserAnAdmin())


def account_name() -> str:
    """Of who runs this. Raises OSError."""
    buffer, size = ctypes.create_unicode_buffer(_NAME_CHARS), wintypes.ULONG(_NAME_CHARS)
    named = ctypes.WinDLL("secur32", use_last_error=True).GetUserNameExW
    if not named(_SAM_COMPATIBLE, buffer, ctypes.byref(size)):
        raise ctypes.WinError(ctypes.get_last_error())
    domain, _, name = buffer.value.rpartition("\\")
    return name if domain.lower() == _computer().lower() else buffer.value


def machine_id() -> str:
    """Of this installation of Windows; a computer that is renamed keeps it. Raises OSError."""
    access = winreg.KEY_READ | winreg.KEY_WOW64_64KEY
    with winreg.OpenKeyEx(winreg.HKEY_LOCAL_MACHINE, _MACHINE, 0, access) as key:
        return str(winreg.QueryValueEx(key, "MachineGuid")[0])


def sid_of(user: str) -> str | None:
    """None: this host knows no such user. Raises OSError where that cannot be told now, as with a
    domain that does not answer."""
    import pywintypes
    import win32security

    try:
        sid, _, kind = win32security.LookupAccountName(None, user)
    except pywintypes.error as err:
        if err.winerror == _NONE_MAPPED:
            return None
        raise ctypes.WinError(err.winerror) from err
    return str(win32security.ConvertSidToStringSid(sid)) if kind == _USER else None


def profile(user: str) -> Path | None:
    """The folder of that user's own files, which is made at the first logon. None: this host knows
    no such user. Raises OSError likewise."""
    sid = sid_of(user)
    if sid is None:
        return None
    access = winreg.KEY_READ | winreg.KEY_WOW64_64KEY
    with winreg.OpenKeyEx(winreg.HKEY_LOCAL_MACHINE, _PROFILES, 0, access) as profiles:
        try:
            with winreg.OpenKeyEx(profiles, sid, 0, access) as own:
                return Path(_folder(own, "ProfileImagePath"))
        except FileNotFoundError:
            return Path(_folder(profiles, "ProfilesDirectory")) / user.rpartition("\\")[2]


def data_folder(environ: Mapping[str, str], *, administrator: bool) -> Path | None:
    """Where this program may keep things for the whole host, or for who runs it. None: Windows does
    not tell. The host's is asked of Windows itself: an environment is anybody's, and a service may
    have another than a prompt."""
    folder = _for_all() if administrator else environ.get("LOCALAPPDATA", "")
    return Path(folder) / "Guestwake" if os.path.isabs(folder) else None


def _for_all() -> str:
    buffer = ctypes.create_unicode_buffer(_PATH_CHARS)
    failed = ctypes.windll.shell32.SHGetFolderPathW(None, _FOR_ALL, None, 0, buffer)
    return "" if failed else buffer.value


def _folder(key: winreg.HKEYType, name: str) -> str:
    value, _ = winreg.QueryValueEx(key, name)
    return os.path.expandvars(str(value))


def _computer() -> str:
    buffer, size = ctypes.create_unicode_buffer(_NAME_CHARS), wintypes.DWORD(_NAME_CHARS)
    ctypes.windll.kernel32.GetComputerNameW(buffer, ctypes.byref(size))
    return buffer.value
