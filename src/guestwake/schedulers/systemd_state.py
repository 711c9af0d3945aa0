"""How units of systemd stand, whoever they are of: one question, several answers."""

from __future__ import annotations

from dataclasses import dataclass

from guestwake.schedulers.systemd_deeds import Systemctl

_ASKED = "Id,LoadState,ActiveState,UnitFileState"


@dataclass(frozen=True, slots=True)
class UnitState:
    """systemd's own words. `is_there`: it knows such a unit."""

    is_there: bool
    active: str
    enabled: str


def unit_states(call: Systemctl, *names: str) -> dict[str, UnitState]:
    """Raises SchedulerError."""
    found = {}
    for block in call("show", f"--property={_ASKED}", *names).split("\n\n"):
        told = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in told:
            found[told["Id"]] = UnitState(
                is_there=told.get("LoadState") in ("loaded", "masked"),
                active=told.get("ActiveState", ""),
                enabled=told.get("UnitFileState", ""),
            )
    return found
