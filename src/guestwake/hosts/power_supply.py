"""Does the host run on AC power, by `/sys/class/power_supply`.

For hosts without UPower. What the host itself feeds (a mouse, a headset, a phone) has the scope
"Device" and says nothing about the host. A UPS that a daemon of its own watches is not seen here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from guestwake.hosts.kernel_files import text_of


@dataclass(frozen=True, slots=True)
class _Supply:
    kind: str  # Mains, USB…, Wireless, Battery, UPS, Unknown
    online: bool | None  # None: does not say
    status: str  # of a battery or UPS: Charging, Discharging, Not charging, Full, Unknown

    @property
    def is_line(self) -> bool:
        return self.kind in ("Mains", "Wireless") or self.kind.startswith("USB")


def on_ac_power(root: Path) -> bool | None:
    """A host without a battery is on AC. None: the folder cannot be read."""
    try:
        supplies = list(_supplies(root / "sys/class/power_supply"))
    except FileNotFoundError:
        return True  # a kernel that knows of no supplies: no battery
    except OSError:
        return None
    if any(supply.kind == "UPS" and supply.status == "Discharging" for supply in supplies):
        return False  # the wall is dead, whatever the host's own supply says
    if any(supply.is_line and supply.online for supply in supplies):
        return True
    return not any(supply.kind == "Battery" and _drains(supply, supplies) for supply in supplies)


def has_battery(root: Path) -> bool | None:
    """One that the host itself can run on; a UPS is none. None: the folder cannot be read."""
    try:
        return any(one.kind == "Battery" for one in _supplies(root / "sys/class/power_supply"))
    except FileNotFoundError:
        return False
    except OSError:
        return None


def _drains(battery: _Supply, supplies: list[_Supply]) -> bool:
    # Some firmware does not say what the battery does; then a charger known to be unplugged does.
    unplugged = any(supply.kind == "Mains" and supply.online is False for supply in supplies)
    return battery.status == "Discharging" or (battery.status == "Unknown" and unplugged)


def _supplies(folder: Path) -> Iterator[_Supply]:
    """Those that can feed the host and are there."""
    for supply in folder.iterdir():
        if text_of(supply / "scope") == "Device" or text_of(supply / "present") == "0":
            continue
        online = text_of(supply / "online")
        yield _Supply(
            kind=text_of(supply / "type") or "Unknown",
            # 2 is "online, with a programmable supply"
            online=None if online is None else online != "0",
            status=text_of(supply / "status") or "Unknown",
        )
