"""What dnf and zypper share: rpm's lock and its database of packages."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from guestwake_guest.system import System
from guestwake_guest.update_clients import locks, units
from guestwake_wire.messages import ClientState

_FOLDERS = ("/usr/lib/sysimage/rpm", "/var/lib/rpm")
_FILES = ("rpmdb.sqlite", "Packages.db", "Packages")
LOCKS = tuple(f"{folder}/.rpm.lock" for folder in _FOLDERS)


def state(system: System, services: Iterable[str]) -> ClientState:
    """Of a client that has no proof for "nothing left"."""
    locked = locks.held(system, LOCKS)
    if locked or units.one_runs(system, services):
        return ClientState.BUSY
    return ClientState.UNKNOWN if locked is None else ClientState.IDLE


def package_database(system: System) -> Hashable:
    """Something that is another after packages have changed."""
    return tuple(system.identity(f"{folder}/{file}") for folder in _FOLDERS for file in _FILES)
