"""A Windows host: way out, power, room, whether it goes down, who is logged on, remote desktops.

What psutil tells is asked of that, the rest of Windows itself (`windows_calls.py`). What neither
can tell is None. No look starts or changes anything.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

from guestwake.hosts.api import HostError, Inhibited
from guestwake.policy.words import HostFacts, Logon, Network
from guestwake_wire.terminal_services import PEOPLE, Told

RDP_PORT: Final = 3389
_FILETIME_BEGINS: Final = datetime(1601, 1, 1, tzinfo=UTC)
_TICKS: Final = 10  # a microsecond, in FILETIME's

# NL_NETWORK_CONNECTIVITY_LEVEL_HINT and _COST_HINT of nldef.h
_UNKNOWN, _NONE, _CONSTRAINED = 0, 1, 4  # constrained: by a captive portal
_METERED = frozenset({2, 3})  # a fixed amount, or by what is used


class Win32(Protocol):
    """What only Windows' own calls tell or do. None: this Windows does not tell."""

    def connectivity(self) -> tuple[int, int] | None:
        """Level and cost, as nldef.h has them."""
        ...

    def has_route(self) -> bool | None: ...
    def shutting_down(self) -> bool: ...
    def suspend(self) -> None:
        """Raises OSError."""
        ...

    def sessions(self) -> Iterable[Told]:
        """Raises OSError."""
        ...

    def computer(self) -> str:
        """Its NetBIOS name. Raises OSError."""
        ...

    def awake(self, why: str) -> AbstractContextManager[None]:
        """A power request for the length of the block. Entering raises OSError."""
        ...


class WindowsHost:
    """A Host. `win32`, `psutil`: given by tests alone."""

    def __init__(self, win32: Win32 | None = None, psutil: Any = None) -> None:
        self._win32, self._psutil = win32 or _windows(), psutil or _imported()

    def look(self, image_folder: str | None) -> HostFacts:
        return HostFacts(
            network=self._network(),
            on_ac_power=self._on_ac_power(),
            shutting_down=self._win32.shutting_down(),
            memory_available=self._psutil.virtual_memory().available >> 20,
            disk_available=None if image_folder is None else _disk_available(image_folder),
        )

    def logons(self) -> tuple[Logon, ...] | None:
        """Sessions at the console and over RDP; a service has none."""
        try:
            told, computer = self._win32.sessions(), self._win32.computer()
        except OSError:
            return None
        people = [one for one in told if one.user and one.state in PEOPLE]
        return tuple(
            Logon(_account(one, computer), _since(one))
            for one in sorted(people, key=lambda one: one.logged_on)
        )

    def rdp_peers(self) -> frozenset[str]:
        try:
            told = self._psutil.net_connections("tcp")
        except (OSError, self._psutil.Error):
            return frozenset()
        return frozenset(
            one.raddr.ip
            for one in told
            if one.raddr and one.raddr.port == RDP_PORT and one.status == "ESTABLISHED"
        )

    def is_alive(self, process: str) -> bool:
        """`process`: as `name_of` names it."""
        pid, _, began = process.partition("/")
        if not pid.isdigit():
            return False
        try:
            return bool(self._began(int(pid)) == began)
        except self._psutil.NoSuchProcess:
            return False
        except (OSError, self._psutil.Error):
            return True

    def name_of(self, pid: int) -> str | None:
        """A process by a name that no other will ever have: number, and when it began. None: there
        is none, or it is hidden."""
        try:
            return f"{pid}/{self._began(pid)}"
        except (OSError, self._psutil.Error):
            return None

    def suspend(self) -> None:
        try:
            self._win32.suspend()
        except OSError as err:
            raise HostError(f"the host does not sleep: {err.strerror}") from err

    def woken_by_alarm(self) -> None:
        """Windows tells a person (powercfg /lastwake), in that person's language."""

    def inhibit(self, inhibited: Inhibited) -> AbstractContextManager[None]:
        """A power request holds up sleep. A shutdown cannot be held up by who has no window: a
        service asks for its time beforehand (SERVICE_CONTROL_PRESHUTDOWN)."""
        if inhibited.what != "sleep":
            raise HostError(f"Windows does not wait with '{inhibited.what}' for a service")
        try:
            return self._win32.awake(f"{inhibited.who}: {inhibited.why}")
        except OSError as err:
            raise HostError(f"the host would not stay awake: {err.strerror}") from err

    def close(self) -> None:
        """Nothing is kept open."""

    def _network(self) -> Network | None:
        level, cost = self._win32.connectivity() or (_UNKNOWN, _UNKNOWN)
        if level == _UNKNOWN:
            has_route = self._win32.has_route()
            if not has_route:
                return None if has_route is None else Network.DOWN
        elif level in (_NONE, _CONSTRAINED):
            return Network.DOWN
        return Network.METERED if cost in _METERED else Network.UP

    def _on_ac_power(self) -> bool | None:
        battery = self._psutil.sensors_battery()
        if battery is None:  # a host without one
            return True
        plugged: bool | None = battery.power_plugged
        return plugged

    def _began(self, pid: int) -> str:
        return f"{self._psutil.Process(pid).create_time():.3f}"


def _account(one: Told, computer: str) -> str:
    """As `paths_windows.account_name` has it: one of this computer's own by the bare name."""
    own = one.domain.lower() in ("", computer.lower())
    return one.user if own else f"{one.domain}\\{one.user}"


def _since(one: Told) -> datetime:
    return _FILETIME_BEGINS + timedelta(microseconds=one.logged_on // _TICKS)


def _windows() -> Win32:
    if sys.platform == "win32":
        from guestwake.hosts.windows_calls import WindowsCalls

        return WindowsCalls()
    raise OSError("this is no Windows")


def _imported() -> Any:
    import psutil

    return psutil


def _disk_available(image_folder: str) -> int | None:
    """MiB; None: it cannot be told. The folder need not exist yet."""
    for place in (Path(image_folder), *Path(image_folder).parents):
        if os.path.isdir(place):
            try:
                return shutil.disk_usage(place).free >> 20
            except OSError:
                return None
    return None
