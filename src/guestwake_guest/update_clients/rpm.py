"""What dnf and zypper share: rpm's lock and its database of packages."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

from guestwake_guest.system import System
from guestwake_guest.update_clients import locks, units
from guestwake_guest.view import View
from guestwake_wire.messages import ClientState

_FOLDERS = ("/usr/lib/sysimage/rpm", "/var/lib/rpm")
_FILES = ("rpmdb.sqlite", "Packages.db", "Packages")
LOCKS = tuple(f"{folder}/.rpm.lock" for folder in _FOLDERS)


def state(view: View, services: Iterable[str], nothing_left: Callable[[View], bool]) -> ClientState:
    """`nothing_left` is asked in a window alone: outside it nobody wants to know."""
    locked = locks.held(view.system, LOCKS)
    if locked or units.one_runs(view.system, services):
        return ClientState.BUSY
    if locked is None:
        return ClientState.UNKNOWN
    done = view.window_since is not None and nothing_left(view)
    return ClientState.NOTHING_LEFT if done else ClientState.IDLE


def package_database(system: System) -> Hashable:
    """Something that is another after packages have changed."""
    return tuple(system.identity(f"{folder}/{file}") for folder in _FOLDERS for file in _FILES)
