"""Keys of a registry as values, and what a registry can be asked.

A path begins with HKLM (the machine's), HKCU (of who calls) or HKU (of all users, by their SIDs).
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

MACHINE = "HKLM"
WHO_CALLS = "HKCU"
USERS = "HKU"
OURS = r"SOFTWARE\Microsoft\MEDV\v2"
POLICIES = r"SOFTWARE\Policies\Microsoft\MEDV\v2"

TYPES = {
    0: "REG_NONE",
    1: "REG_SZ",
    2: "REG_EXPAND_SZ",
    3: "REG_BINARY",
    4: "REG_DWORD",
    5: "REG_DWORD_BIG_ENDIAN",
    6: "REG_LINK",
    7: "REG_MULTI_SZ",
    11: "REG_QWORD",
}
NUMBERS = {name: number for number, name in TYPES.items()}
NAME_CHARS_MAX = 255  # of a key


class RegistryError(Exception):
    """A sentence."""


class RegValue(NamedTuple):
    """`data` as it is stored. `name` empty: the key's default value."""

    name: str
    type: int
    data: bytes


class RegKey(NamedTuple):
    """With all below it. `trouble`: why it cannot be read; it has nothing then."""

    name: str
    values: tuple[RegValue, ...] = ()
    keys: tuple[RegKey, ...] = ()
    trouble: str | None = None


class Registry(Protocol):
    def read(self, path: str, bytes_max: int) -> RegKey | None:
        """None: there is no such key. Never raises for what is in it; what holds more than
        `bytes_max` in names and values is trouble."""
        ...

    def write(self, path: str, value: RegValue) -> None:
        """Makes the key where it is not there. Raises RegistryError."""
        ...

    def delete(self, path: str, name: str) -> None:
        """The value. Does nothing where it is not there. Raises RegistryError."""
        ...

    def delete_empty(self, path: str) -> None:
        """The key, where nothing is left in it. Raises RegistryError."""
        ...

    def hive_of(self, user: str) -> str | None:
        """Where that user's keys lie while their registry is loaded. None: this host knows no such
        user. Raises RegistryError where that cannot be told now."""
        ...

    def is_loaded(self, hive: str) -> bool:
        """A user's is from logon to logoff."""
        ...


def dword(name: str, number: int) -> RegValue:
    return RegValue(name, NUMBERS["REG_DWORD"], number.to_bytes(4, "little"))


def text(name: str, words: str) -> RegValue:
    return RegValue(name, NUMBERS["REG_SZ"], f"{words}\0".encode("utf-16-le"))


def texts(name: str, words: list[str]) -> RegValue:
    data = "".join(f"{word}\0" for word in words) + "\0"
    return RegValue(name, NUMBERS["REG_MULTI_SZ"], data.encode("utf-16-le"))
