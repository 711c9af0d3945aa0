"""The registry of this Windows. Always the 64-bit view, and never through a link.

By `winreg`, but for two calls that it does not have: values as they are stored, of a limited size,
and likewise back. What an ordinary user wrote is also read by the host's service.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import ctypes
import winreg
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ctypes import wintypes
from typing import TYPE_CHECKING

from guestwake.paths_windows import sid_of
from guestwake.settings.policy_at_rest_windows import AtWorkError, at_rest
from guestwake.settings.registry_keys import (
    MACHINE,
    NUMBERS,
    POLICIES,
    USERS,
    WHO_CALLS,
    RegistryError,
    RegKey,
    RegValue,
)

if TYPE_CHECKING:
    from winreg import HKEYType

_ROOTS = {
    MACHINE: winreg.HKEY_LOCAL_MACHINE,
    WHO_CALLS: winreg.HKEY_CURRENT_USER,
    USERS: winreg.HKEY_USERS,
}
_OPEN_LINK = 0x8  # REG_OPTION_OPEN_LINK: the link itself, not where it leads
_DEPTH = 3  # below a layer's root: key, workspace, and that there is something below that
_VALUE_NAME_CHARS = 16384  # Windows' own limit, and the end of the text

_MORE_DATA = 234
_NO_MORE_ITEMS = 259
_KEY_DELETED = 1018

_advapi = ctypes.WinDLL("advapi32")


class WindowsRegistry:
    def read(self, path: str, bytes_max: int) -> RegKey | None:
        root, _, below = path.partition("\\")
        # Of other users' policies one cannot tell.
        if root == USERS or below != POLICIES:
            return self._read(path, bytes_max)
        try:
            return at_rest(lambda: self._read(path, bytes_max), machine=root == MACHINE)
        except AtWorkError as err:
            return RegKey(path.rpartition("\\")[2], trouble=str(err))

    def _read(self, path: str, bytes_max: int) -> RegKey | None:
        name = path.rpartition("\\")[2]
        try:
            with opened(path, winreg.KEY_READ) as key:
                return _Reader(bytes_max).tree(name, key, _DEPTH)
        except IsLink as err:
            return RegKey(name, trouble=str(err))
        except OSError as err:
            gone = isinstance(err, FileNotFoundError)
            return None if gone else RegKey(name, trouble=_why(err, "read"))

    def write(self, path: str, value: RegValue) -> None:
        with _translated("written"):
            root, _, below = path.partition("\\")
            access = winreg.KEY_SET_VALUE | winreg.KEY_WOW64_64KEY
            with winreg.CreateKeyEx(_ROOTS[root], below, 0, access) as key:
                code = _advapi.RegSetValueExW(
                    wintypes.HKEY(int(key)),
                    ctypes.c_wchar_p(value.name),
                    wintypes.DWORD(0),
                    wintypes.DWORD(value.type),
                    value.data,
                    wintypes.DWORD(len(value.data)),
                )
                if code:
                    raise ctypes.WinError(code)

    def delete(self, path: str, name: str) -> None:
        with (
            _translated("changed"),
            suppress(FileNotFoundError),
            opened(path, winreg.KEY_SET_VALUE) as key,
        ):
            winreg.DeleteValue(key, name)

    def delete_empty(self, path: str) -> None:
        above, _, name = path.rpartition("\\")
        with _translated("changed"), suppress(FileNotFoundError):
            with opened(path, winreg.KEY_READ) as key:
                keys, values, _ = winreg.QueryInfoKey(key)
            if keys == values == 0:
                with opened(above, winreg.KEY_READ) as parent:
                    winreg.DeleteKeyEx(parent, name, winreg.KEY_WOW64_64KEY)

    def hive_of(self, user: str) -> str | None:
        try:
            sid = sid_of(user)
        except OSError as err:
            raise RegistryError(f"this user cannot be looked up now: {err.strerror}") from err
        return sid and f"{USERS}\\{sid}"

    def is_loaded(self, hive: str) -> bool:
        try:
            with opened(hive, winreg.KEY_READ):
                return True
        except FileNotFoundError:
            return False
        except OSError:
            return True  # one that may not be read is there


# opening


class IsLink(Exception):
    """What is no key, but leads to another."""

    def __init__(self) -> None:
        super().__init__("not read: this is a link; put the key itself here")


@contextmanager
def opened(path: str, access: int) -> Iterator[HKEYType]:
    """Step by step, so that no link on the way is followed. Raises OSError, which is
    FileNotFoundError also where it was deleted meanwhile; IsLink."""
    first, *names = path.split("\\")
    key = winreg.OpenKeyEx(_ROOTS[first], "", 0, _access(access if not names else 0))
    try:
        for at, name in enumerate(names, 1):
            wanted = access if at == len(names) else 0
            below = winreg.OpenKeyEx(key, name, _OPEN_LINK, _access(wanted))
            key.Close()
            key = below
            _check_link(key)
        yield key
    except OSError as err:
        if err.winerror == _KEY_DELETED:
            raise FileNotFoundError(err.errno, err.strerror, path) from err
        raise
    finally:
        key.Close()


def _access(wanted: int) -> int:
    return wanted | winreg.KEY_QUERY_VALUE | winreg.KEY_WOW64_64KEY


def _check_link(key: HKEYType) -> None:
    """Raises IsLink."""
    with suppress(FileNotFoundError):
        _, kind = winreg.QueryValueEx(key, "SymbolicLinkValue")
        if kind == NUMBERS["REG_LINK"]:
            raise IsLink


def _why(err: OSError, done: str) -> str:
    if isinstance(err, PermissionError):
        return f"this process is not allowed to have it {done}"
    return f"it cannot be {done}: {err.strerror}"


@contextmanager
def _translated(done: str) -> Iterator[None]:
    try:
        yield
    except (OSError, IsLink) as err:
        words = _why(err, done) if isinstance(err, OSError) else str(err)
        raise RegistryError(words) from err


# reading


class _Reader:
    """Of one layer. What lies too deep, or is too much, is not read."""

    def __init__(self, bytes_max: int) -> None:
        self._most = self._left = bytes_max
        self._data = ctypes.create_string_buffer(bytes_max)
        self._name = ctypes.create_unicode_buffer(_VALUE_NAME_CHARS)

    def tree(self, name: str, key: HKEYType, depth: int) -> RegKey:
        try:
            return RegKey(name, tuple(self._values(key)), tuple(self._keys(key, depth - 1)))
        except _TooMuch:
            most = f"{self._most // 1024} KiB"
            return RegKey(name, trouble=f"not read: the keys here may have {most} in all")

    def _keys(self, key: HKEYType, depth: int) -> Iterator[RegKey]:
        for name in _names(key):
            self._take(2 * len(name))
            if depth == 0:
                yield RegKey(name)
                continue
            try:
                with winreg.OpenKeyEx(key, name, _OPEN_LINK, _access(winreg.KEY_READ)) as below:
                    _check_link(below)
                    yield self.tree(name, below, depth)
            except IsLink as err:
                yield RegKey(name, trouble=str(err))
            except OSError as err:
                if not isinstance(err, FileNotFoundError) and err.winerror != _KEY_DELETED:
                    yield RegKey(name, trouble=_why(err, "read"))

    def _values(self, key: HKEYType) -> Iterator[RegValue]:
        index = 0
        while (value := self._value(key, index)) is not None:
            yield value
            index += 1

    def _value(self, key: HKEYType, index: int) -> RegValue | None:
        """None: there are no more."""
        kind = wintypes.DWORD()
        chars, length = wintypes.DWORD(_VALUE_NAME_CHARS), wintypes.DWORD(self._left)
        code = _advapi.RegEnumValueW(
            wintypes.HKEY(int(key)),
            wintypes.DWORD(index),
            self._name,
            ctypes.byref(chars),
            None,
            ctypes.byref(kind),
            self._data,
            ctypes.byref(length),
        )
        if code == _NO_MORE_ITEMS:
            return None
        if code == _MORE_DATA:
            raise _TooMuch
        if code:
            raise ctypes.WinError(code)
        self._take(2 * chars.value + length.value)
        data = ctypes.string_at(self._data, length.value)
        return RegValue("".join(self._name[: chars.value]), kind.value, data)

    def _take(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise _TooMuch


class _TooMuch(Exception):
    pass


def _names(key: HKEYType) -> Iterator[str]:
    index = 0
    while True:
        try:
            name = winreg.EnumKey(key, index)
        except OSError as err:
            if err.winerror == _NO_MORE_ITEMS:
                return
            raise
        yield name
        index += 1
