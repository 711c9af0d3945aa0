"""systemd's units, as their files and cgroups show them: nothing is asked, nothing is started."""

from __future__ import annotations

from collections.abc import Iterable

from guestwake_guest.system import System

_GROUPS = ("/sys/fs/cgroup/system.slice", "/sys/fs/cgroup/systemd/system.slice")
_UNIT_FOLDERS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
_WANTED_BY_TIMERS = "/etc/systemd/system/timers.target.wants"


def one_runs(system: System, units: Iterable[str]) -> bool:
    """A unit's cgroup is there as long as it has processes; an old one may outlast them."""
    return any(_has_processes(system, f"{group}/{unit}") for unit in units for group in _GROUPS)


def _has_processes(system: System, group: str) -> bool:
    events = system.text(f"{group}/cgroup.events")
    if events is not None:
        return "populated 1" in events
    return bool(system.text(f"{group}/cgroup.procs"))


def there(system: System, unit: str) -> bool:
    """It is installed, and nobody has masked it. The first folder that has it counts."""
    for folder in _UNIT_FOLDERS:
        if system.exists(f"{folder}/{unit}"):
            # A mask is a link to /dev/null, or an empty file.
            return bool(system.text(f"{folder}/{unit}"))
    return False


def timer_enabled(system: System, timer: str) -> bool:
    return system.exists(f"{_WANTED_BY_TIMERS}/{timer}")
