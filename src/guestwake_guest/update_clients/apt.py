"""apt and unattended-upgrades.

Nothing is left when unattended-upgrades has come to its end, and well, after the lists were last
refreshed, and they were refreshed in this window. As its source has it (2.9.1), it writes its
stamp when a run came to its end, also to a bad one; what went badly it logs as WARNING or ERROR,
words that it does not translate. Lists that a failed or a skipped refresh left old say nothing
about today, and the exit codes of apt's units are 0 whatever happened.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from guestwake_guest.system import System
from guestwake_guest.times import unix_seconds
from guestwake_guest.update_clients import locks, units
from guestwake_guest.update_clients.history import Log, installed
from guestwake_guest.view import View
from guestwake_wire.messages import Client, ClientState, Installed

NAME = "apt"
UNITS = ("apt-daily.service", "apt-daily-upgrade.service")
LOCKS = (
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
    "/var/lib/apt/daily_lock",
    "/run/unattended-upgrades.lock",
)

_APT = "/usr/bin/apt-get"
_PERIODIC = "/var/lib/apt/periodic"
_UPGRADED = f"{_PERIODIC}/unattended-upgrades-stamp"
_REFRESHED = (f"{_PERIODIC}/update-stamp", f"{_PERIODIC}/update-success-stamp")
_LISTS = ("/var/lib/apt/lists", "/var/lib/apt/lists/partial")
_LOG = "/var/log/unattended-upgrades/unattended-upgrades.log"
_TROUBLE = re.compile(r"[\d-]+ [\d:,]+ (?:WARNING|ERROR|CRITICAL) |.*--dry-run")
_DAY = 86400.0


def is_here(view: View) -> bool:
    return bool(view.system.runs(_APT))


def client(view: View) -> Client:
    history = _HISTORY.history(view.system)
    return Client(NAME, _state(view), history.installed, history.more)


def wanted_units(view: View) -> tuple[str, ...]:
    """APT::Periodic decides what they do; its timers decide nothing but the hour."""
    return tuple(unit for unit in UNITS if units.there(view.system, unit))


def _state(view: View) -> ClientState:
    locked = locks.held(view.system, LOCKS)
    if locked or units.one_runs(view.system, UNITS):
        return ClientState.BUSY
    if locked is None:
        return ClientState.UNKNOWN
    return ClientState.NOTHING_LEFT if _nothing_left(view) else ClientState.IDLE


def _nothing_left(view: View) -> bool:
    refreshed = _newest(view.system, _REFRESHED)
    upgraded = view.system.changed_at(_UPGRADED)
    if refreshed is None or upgraded is None:
        return False
    recent = view.system.wall() - _DAY if view.window_since is None else view.window_since
    looked = max(refreshed, _newest(view.system, _LISTS) or 0.0)
    return refreshed >= recent and upgraded >= looked and _went_well(view.system, refreshed)


def _went_well(system: System, since: float) -> bool:
    """Nothing in the log says otherwise since then. Its times have whole seconds."""
    log = system.end_of(_LOG)
    if log is None:
        return False
    lines = [line for line in log.splitlines() if (unix_seconds(line) or 0) >= int(since)]
    return bool(lines) and not any(_TROUBLE.match(line) for line in lines)


def _newest(system: System, files: tuple[str, ...]) -> float | None:
    found = (system.changed_at(file) for file in files)
    return max((at for at in found if at is not None), default=None)


# --- what was installed: apt's history.log ---

_ACTIONS = ("Install", "Reinstall", "Upgrade", "Downgrade")
# `name:amd64 (1.0, automatic)` or `name:amd64 (1.0, 2.0)`
_PACKAGE = re.compile(r"([^\s:,()]+)(?::[\w-]+)? \(([^,)]*)(?:, ([^,)]*))?[^)]*\)")


def _parsed(log: str) -> Iterator[Installed]:
    for entry in log.split("\n\n"):
        pairs = (line.partition(": ") for line in entry.splitlines())
        fields = {name: value for name, _, value in pairs}
        at = unix_seconds(fields.get("End-Date", ""))
        if at is not None:  # else it is under way, or was cut off
            for action in _ACTIONS:
                for name, first, second in _PACKAGE.findall(fields.get(action, "")):
                    version = first if action.endswith("nstall") else second
                    yield installed(name, version, at)


_HISTORY = Log("/var/log/apt/history.log", _parsed)
