"""A guest's last report, read back from the journal's row as strictly as it came from the guest.

Light, as `status` waits for it; what follows from a report is in `guest_report.py`.
"""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache

from guestwake.journal import Said
from guestwake.policy.words import Now
from guestwake_wire import messages
from guestwake_wire.messages import Report

FRESH_FOR = timedelta(minutes=5)  # a guest says something every two minutes


def report_of(said: Said) -> Report | None:
    """None: it cannot be understood any more."""
    return _report(said.text)


def is_fresh(said: Said, now: Now) -> bool:
    """Whether the guest's next word is not overdue."""
    return -said.at.left(now) <= FRESH_FOR


@lru_cache(maxsize=64)
def _report(text: str) -> Report | None:
    """None: a later version wrote it, or somebody else did."""
    try:
        message = messages.decode(text.encode())
    except messages.BadMessage:
        return None
    return message if isinstance(message, Report) else None
