"""Processes of this host by a name that no other process will ever have."""

from __future__ import annotations

import os
from pathlib import Path

_ZOMBIE = "Z"


def name_of(pid: int, proc: Path = Path("/proc")) -> str | None:
    """Boot of the host, number, and when it began. None: there is none, or it is hidden."""
    found, boot = _state_and_start(pid, proc), _boot_id(proc)
    return f"{boot}/{pid}/{found[1]}" if found and boot else None


def is_alive(name: str, proc: Path = Path("/proc")) -> bool:
    """One that cannot be looked at (`hidepid`) counts as alive for as long as its number does."""
    boot, _, rest = name.partition("/")
    pid, _, began = rest.partition("/")
    if boot != _boot_id(proc) or not pid.isdigit():
        return False
    found = _state_and_start(int(pid), proc)
    if found is None:
        return _exists(int(pid)) if proc == Path("/proc") else False
    return found[0] != _ZOMBIE and found[1] == began


def owner_of(pid: int, proc: Path = Path("/proc")) -> int | None:
    """User id; None: there is none, or it is hidden."""
    try:
        return (proc / str(pid)).stat().st_uid
    except OSError:
        return None


def _state_and_start(pid: int, proc: Path) -> tuple[str, str] | None:
    try:
        # The name of the program, in brackets, may hold anything.
        fields = (proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0], fields[19]
    except (OSError, IndexError):
        return None


def _boot_id(proc: Path) -> str | None:
    try:
        return (proc / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
