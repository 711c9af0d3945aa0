"""Whether the host's clock is kept right, as the kernel says: nothing is asked, nothing is set."""

from __future__ import annotations

import ctypes

_TIMEX_BYTES = 256  # of struct timex: 208, and room
_TIME_ERROR = 5  # what adjtimex answers of a clock that nobody synchronizes


def is_synchronized() -> bool | None:
    """By whatever keeps it (chrony, ntpd, systemd-timesyncd). None: the kernel does not tell."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    answer = adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))  # zeros: change nothing
    return None if answer < 0 else bool(answer != _TIME_ERROR)
