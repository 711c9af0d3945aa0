"""Timers kept by systemd: the system's manager, or a user's own.

Looking reads files and asks systemd once for all timers together; it needs no rights. Changing
needs those of the manager's owner. The service of the whole host has not got them: it asks
`timers_helper.py`, which does no more than it must.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from guestwake.policy.words import Drift, Found, Timer
from guestwake.schedulers.api import SchedulerError
from guestwake.schedulers.systemd_deeds import Deeds, Systemctl, systemctl
from guestwake.schedulers.systemd_text import (
    TARGET,
    TEMPLATE,
    is_as_written,
    rendered,
    timer_name,
    workspace_of,
)
from guestwake.schedulers.systemd_units import UnitFolders, known, traces
from guestwake.schedulers.timers_client import SOCKET, AskedDeeds

log = logging.getLogger(__name__)

_BOOTED = Path("/run/systemd/system")
_USER_TIMERS_WAKE = 254  # since this version they may wake a host
_CLOCK_BOOTTIME_ALARM = 9
_FRESH = 1.0  # seconds for which what systemd has told may be used, once for each timer
_SYSTEM_UNITS = ("etc/systemd", "run/systemd", "usr/local/lib/systemd", "usr/lib/systemd")


@dataclass(frozen=True, slots=True)
class Manager:
    """One systemd. `sign_of_life` is there while it runs; `templates`: folders of which one holds
    what was installed; `options`: which one systemctl is to talk to."""

    folders: UnitFolders
    sign_of_life: Path
    templates: tuple[Path, ...]
    options: tuple[str, ...] = ("--system",)
    is_of_user: bool = False
    of_host: Path = _BOOTED  # the sign of life of the host's own

    @classmethod
    def of_system(cls, root: Path = Path("/")) -> Manager:
        return cls(
            UnitFolders(root / "etc/systemd/system", (root / "run/systemd/system",)),
            root / _BOOTED.relative_to("/"),
            tuple(root / each / "system" for each in _SYSTEM_UNITS),
        )

    @classmethod
    def of_user(cls, environ: Mapping[str, str], home: Path, root: Path = Path("/")) -> Manager:
        config = _folder(environ, "XDG_CONFIG_HOME", home / ".config")
        data = _folder(environ, "XDG_DATA_HOME", home / ".local/share")
        runtime = _folder(environ, "XDG_RUNTIME_DIR", root / f"run/user/{os.geteuid()}")
        own = (config / "systemd/user", runtime / "systemd/user", data / "systemd/user")
        return cls(
            UnitFolders(own[0], own[1:2]),
            runtime / "systemd/private",
            (*own, *(root / each / "user" for each in _SYSTEM_UNITS)),
            ("--user",),
            is_of_user=True,
            of_host=root / _BOOTED.relative_to("/"),
        )

    def waits_for_logon(self) -> bool:
        """systemd runs here, and for a user it will once that user logs on: su and sudo alone do
        not do that."""
        return self.is_of_user and not self.sign_of_life.exists() and self.of_host.exists()


class Runs(Protocol):
    """How Guestwake runs here. `user` None: for the whole host."""

    @property
    def user(self) -> str | None: ...


def manager_of(how: Runs) -> Manager:
    if how.user is None:
        return Manager.of_system()
    return Manager.of_user(os.environ, Path.home())


def scheduler(how: Runs) -> SystemdScheduler | None:
    """None: nothing here keeps timers, and the log says why."""
    found = SystemdScheduler(manager_of(how))
    if (why := found.why_not()) is not None:
        log.info("no timers are kept: %s", why)
        return None
    return found


class Does(Protocol):
    """What changes timers, with rights or by asking. Raises SchedulerError."""

    def write(self, timer: Timer) -> None: ...
    def remove(self, workspace: str) -> None: ...
    def start(self, workspace: str) -> None: ...


class SystemdScheduler:
    """A Scheduler. All but the manager is given by tests alone."""

    def __init__(
        self,
        manager: Manager,
        *,
        deeds: Does | None = None,
        call: Systemctl | None = None,
        has_alarm: Callable[[], bool] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._manager = manager
        self._has_alarm = has_alarm or _has_alarm
        self._systemctl = call or systemctl(*manager.options)
        self._asks_helper = deeds is None and not manager.is_of_user and os.geteuid() != 0
        if deeds is None:
            asked, own = AskedDeeds(SOCKET), Deeds(manager.folders, self._systemctl)
            deeds = asked if self._asks_helper else own
        self._deeds = deeds
        self._told = _Told(self._systemctl, monotonic)
        self._wakes: str | bool | None = None  # True, or why not; None: not asked yet
        self._has_told = False

    def why_not(self) -> str | None:
        """Why no timers can be kept here, as a sentence. None: they can. Costs a few looks at
        files."""
        manager = self._manager
        if not manager.sign_of_life.exists():
            return "no systemd runs here" + (" for this user" if manager.is_of_user else "")
        template = f"{TEMPLATE}.service"
        if not any((folder / template).exists() for folder in manager.templates):
            return f"systemd knows no {template}: 'guestwake service install' brings it"
        if self._asks_helper and not SOCKET.exists():
            return f"there is no {SOCKET}: 'systemctl enable --now guestwake-timers.socket'"
        return None

    def available(self) -> bool:
        return self.why_not() is None

    def why_no_wake(self) -> str | None:
        """Why a timer cannot wake this host, as a sentence. None: nothing forbids it."""
        if self._wakes is None:
            self._wakes = True
            if not self._has_alarm():
                self._wakes = "this host has no clock whose alarm wakes it"
            elif self._manager.is_of_user and self._version() < _USER_TIMERS_WAKE:
                self._wakes = (
                    "timers of a user's own systemd wake a host only from systemd "
                    f"{_USER_TIMERS_WAKE} on"
                )
        return None if self._wakes is True else str(self._wakes)

    # the protocol

    def workspaces(self) -> frozenset[str]:
        try:
            return known(self._manager.folders)
        except OSError as err:
            raise SchedulerError(f"the timers cannot be listed: {err}") from err

    def look(self, workspace: str, wanted: Timer | None) -> Found | None:
        try:
            there = traces(self._manager.folders, workspace)
        except OSError as err:
            name = timer_name(workspace)
            raise SchedulerError(f"the timer '{name}' cannot be looked at: {err}") from err
        if there is None:
            return None
        if there.text is None or not is_as_written(there.text) or wanted is None:
            return Found(as_wanted=False, as_written=not there.is_edited, drifts=there.drifts)
        state = self._told.of(workspace)
        if not state.is_active:  # as it was when the pass began; a manager renews its own timer
            state = self._told.of(workspace)
        is_wanted = there.text == rendered(self._possible(wanted)) and not state.is_outdated
        stopped = () if state.is_active or Drift.MASKED in there.drifts else (Drift.STOPPED,)
        return Found(is_wanted, as_written=True, drifts=(*there.drifts, *stopped))

    def write(self, timer: Timer) -> None:
        self._deeds.write(self._possible(timer))

    def remove(self, workspace: str) -> None:
        self._deeds.remove(workspace)

    def folders(self) -> tuple[Path, ...]:
        folders = self._manager.folders
        return (folders.home, folders.home / f"{TARGET}.wants", *folders.others)

    def unit(self, workspace: str) -> str:
        return timer_name(workspace)

    def start_run(self, workspace: str) -> None:
        self._deeds.start(workspace)

    def _possible(self, timer: Timer) -> Timer:
        """systemd would refuse a timer that is to wake a host and cannot."""
        if not timer.wakes_host or (why := self.why_no_wake()) is None:
            return timer
        if not self._has_told:
            log.warning("WakeHost has no effect: %s", why)
            self._has_told = True
        return replace(timer, wakes_host=False)

    def _version(self) -> int:
        found = re.match(r"systemd ([0-9]+)", self._systemctl("--version"))
        return int(found[1]) if found else 0


@dataclass(frozen=True, slots=True)
class _State:
    """`is_outdated`: systemd has not read the files since they have changed."""

    is_active: bool = False
    is_outdated: bool = False


class _Told:
    """What systemd says of all our timers, asked once for a pass over them: that is over when one
    is looked at a second time."""

    def __init__(self, call: Systemctl, monotonic: Callable[[], float]) -> None:
        self._systemctl = call
        self._monotonic = monotonic
        self._until = float("-inf")
        self._used: set[str] = set()
        self._states: dict[str, _State] = {}
        self._trouble: SchedulerError | None = None

    def of(self, workspace: str) -> _State:
        """Raises SchedulerError; for one pass the same, so that a systemd that hangs is waited for
        once."""
        if workspace in self._used or self._monotonic() >= self._until:
            self._ask()
        self._used.add(workspace)
        if self._trouble is not None:
            raise SchedulerError(str(self._trouble)) from self._trouble
        return self._states.get(workspace, _State())

    def _ask(self) -> None:
        self._used, self._states, self._trouble = set(), {}, None
        try:
            self._states = _states(
                self._systemctl(
                    "show", "--property=Id,ActiveState,NeedDaemonReload", f"{TEMPLATE}*.timer"
                )
            )
        except SchedulerError as err:
            self._trouble = err
        self._until = self._monotonic() + _FRESH


def _states(shown: str) -> dict[str, _State]:
    """By workspace. Timers that systemd has not loaded are not in it."""
    found = {}
    for block in shown.split("\n\n"):
        told = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if (uuid := workspace_of(told.get("Id", ""))) is not None:
            active = told.get("ActiveState") == "active"
            found[uuid] = _State(active, is_outdated=told.get("NeedDaemonReload") == "yes")
    return found


def _has_alarm() -> bool:
    """The kernel has this clock where there is a real-time clock with an alarm."""
    try:
        time.clock_gettime(_CLOCK_BOOTTIME_ALARM)
    except OSError:
        return False
    return True


def _folder(environ: Mapping[str, str], variable: str, default: Path) -> Path:
    value = environ.get(variable, "")
    return Path(value) if os.path.isabs(value) else default
