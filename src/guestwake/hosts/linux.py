"""A Linux host: way out, power, room, whether it goes down, who is logged on, remote desktops.

Services on the system bus are asked where they run, the kernel's files where they do not. What
neither can tell is None. No look starts or changes anything, or waits, except a second at most for
a bus that hangs. When to look again, `linux_events.py` tells.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from guestwake.hosts import logind, processes, utmp, wake_reason
from guestwake.hosts.api import Inhibited
from guestwake.hosts.dbus import Property, SystemBus
from guestwake.hosts.kernel_files import text_of
from guestwake.hosts.power_supply import on_ac_power
from guestwake.hosts.remote_desktops import peers_by_files, peers_by_netlink
from guestwake.hosts.routes import has_default_route
from guestwake.policy.words import HostFacts, Logon, Network

_NM = ("org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager")
_CONNECTIVITY = Property(*_NM, _NM[0], "Connectivity")
_METERED = Property(*_NM, _NM[0], "Metered")
_UPOWER = ("org.freedesktop.UPower", "/org/freedesktop/UPower")
_ON_BATTERY = Property(*_UPOWER, _UPOWER[0], "OnBattery")
_GOES_DOWN = Property(logind.LOGIND, logind.PATH, logind.MANAGER, "PreparingForShutdown")
_SYSTEMD = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1")
_SYSTEM_STATE = Property(*_SYSTEMD, "org.freedesktop.systemd1.Manager", "SystemState")
_ASKED = (_CONNECTIVITY, _METERED, _ON_BATTERY, _GOES_DOWN, _SYSTEM_STATE)

_OF_LOGIND = "run/systemd/seats"  # it is there where logind runs, elogind too: sd-login(3)
_NM_CONNECTIVITY_PORTAL = 2
_NM_METERED = (1, 3)  # yes, guess-yes; unknown, no and guess-no are not metered

_Told = Mapping[Property, object]


class LinuxHost:
    def __init__(
        self,
        root: Path = Path("/"),
        bus_address: str | None = None,
        *,
        patience: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`root`: the folder taken for /. `bus_address`: as D-Bus writes it; None: the system
        bus below `root`. `patience`: seconds that a look may wait for the bus altogether."""
        self._root = root
        self._bus = SystemBus(
            bus_address or root / "run/dbus/system_bus_socket",
            patience=patience,
            monotonic=monotonic,
        )
        self._goes_down = False

    def look(self, image_folder: str | None) -> HostFacts:
        """Never raises. `image_folder`: absolute, need not exist yet."""
        told = self._bus.ask(_ASKED)
        return HostFacts(
            network=self._network(told),
            on_ac_power=self._on_ac_power(told),
            shutting_down=self._shutting_down(told),
            memory_available=_memory_available(self._root / "proc/meminfo"),
            disk_available=None if image_folder is None else self._disk_available(image_folder),
        )

    def logons(self) -> tuple[Logon, ...] | None:
        told = logind.logons(self._bus)
        # A logind that is silent for a moment ends no logon; not all displays are in utmp.
        if told is None and not (self._root / _OF_LOGIND).exists():
            return utmp.logons(self._root)
        return told

    def rdp_peers(self) -> frozenset[str]:
        """Empty also where nobody can tell. A forwarded port shows the
        forwarder's address, often 127.0.0.1."""
        if self._root == Path("/"):
            with suppress(OSError):
                return peers_by_netlink()
        return peers_by_files(self._root)

    def is_alive(self, process: str) -> bool:
        return processes.is_alive(process, self._root / "proc")

    def suspend(self) -> None:
        logind.suspend(self._bus)

    def woken_by_alarm(self) -> bool | None:
        return wake_reason.woken_by_alarm(self._root)

    def inhibit(self, inhibited: Inhibited) -> AbstractContextManager[None]:
        return logind.inhibit(self._bus, inhibited)

    def close(self) -> None:
        self._bus.close()

    def _network(self, told: _Told) -> Network | None:
        # The route decides, not NetworkManager's State: that knows nothing of interfaces that
        # are set up without it, and takes a network without the Internet for half a network.
        match has_default_route(self._root):
            case None:
                return None
            case False:
                return Network.DOWN
        if told.get(_CONNECTIVITY) == _NM_CONNECTIVITY_PORTAL:
            return Network.DOWN  # a captive portal: every download would be its login page
        return Network.METERED if told.get(_METERED) in _NM_METERED else Network.UP

    def _on_ac_power(self, told: _Told) -> bool | None:
        on_battery = told.get(_ON_BATTERY)
        return not on_battery if isinstance(on_battery, bool) else on_ac_power(self._root)

    def _shutting_down(self, told: _Told) -> bool:
        # systemd also knows of a way down that logind was not asked for. Both and the bus
        # themselves stop on it: silence does not take it back.
        goes_down, state = told.get(_GOES_DOWN), told.get(_SYSTEM_STATE)
        if isinstance(goes_down, bool) or isinstance(state, str):
            self._goes_down = goes_down is True or state == "stopping"
        return self._goes_down

    def _disk_available(self, image_folder: str) -> int | None:
        folder = self._root / image_folder.lstrip("/")
        for place in (folder, *folder.parents):
            try:
                room = os.statvfs(place)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                return None  # a parent may lie on another file system: no guess
            return room.f_bavail * room.f_frsize >> 20
        return None


def _memory_available(meminfo: Path) -> int | None:
    """MiB. None: unreadable, or a kernel before 3.14."""
    for line in (text_of(meminfo) or "").splitlines():
        match line.split():
            case ["MemAvailable:", kib, "kB"]:
                return int(kib) >> 10
    return None
