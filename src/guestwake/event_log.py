"""An event as the log has it: a line for people, and its id for whoever keeps events by those."""

from __future__ import annotations

import logging
from typing import Final

from guestwake.events import Event, Level

LEVELS: Final = {
    Level.ERROR: logging.ERROR,
    Level.WARNING: logging.WARNING,
    Level.INFORMATION: logging.INFO,
    Level.DEBUG: logging.DEBUG,
}

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())  # or Python itself prints where nobody else has a handler


def write(event: Event, *, name: str = "", detail: str = "", recorded: bool = True) -> None:
    """`name` of the workspace. `recorded`: EventLogLevel lets it be kept; the record of the log has
    `event`, `workspace` and `detail` then."""
    sentence = event.sentence.replace("{name}", f"'{name}'")
    kept = {"event": event, "workspace": name, "detail": detail} if recorded else None
    text = f"{sentence} ({detail})" if detail else sentence
    log.log(LEVELS[event.level], "%s", text, extra=kept)
