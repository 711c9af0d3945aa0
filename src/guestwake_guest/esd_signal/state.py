"""The signal that was given in this boot, kept in a file in /run: it outlives the service.

It belongs to one boot, whose id it carries: a restart is what answers it.
"""

from __future__ import annotations

import json
import os
from typing import NamedTuple

from guestwake_guest.system import System
from guestwake_wire.messages import clean

FILE = "/run/guestwake/restart-signal"
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Signal(NamedTuple):
    """`at`: the elapsed clock of the first time. `text`: empty if no reason was given."""

    at: float
    text: str


def read(system: System) -> Signal | None:
    """None also where the file is another boot's, or damaged: only root can have done that."""
    try:
        told = json.loads(system.text(FILE) or "null")
        if not told or told["boot_id"] != system.line(_BOOT_ID):
            return None
        return Signal(float(told["at"]), clean(str(told["text"])))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def write(system: System, signal: Signal) -> None:
    """Whole or not at all. Raises OSError."""
    text = json.dumps({"boot_id": system.line(_BOOT_ID), "at": signal.at, "text": signal.text})
    path = system.path(FILE)
    made = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with open(made, "wb") as file:
        file.write(text.encode())
    os.rename(f"{path}.new", path)
