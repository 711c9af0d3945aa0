"""Lines for the system's journal: one each, with the priority in front that journald reads.

The logging module would cost a megabyte and more; there is one reader, and it keeps the time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Optional

from guestwake_wire.messages import clean

_LINE_MAX = 400  # characters


def tell(text: str) -> None:
    _write(6, text)


def warn(text: str) -> None:
    _write(4, text)


def write_to(other: Callable[[int, str], None]) -> None:
    """In place of stderr: priority (4 a warning, 6 not) and text. It must not raise."""
    global _other
    _other = other


_other: Optional[Callable[[int, str], None]] = None


def _write(priority: int, text: str) -> None:
    line = clean(text, _LINE_MAX)
    if _other is not None:
        _other(priority, line)
        return
    try:
        sys.stderr.write(f"<{priority}>{line}\n")
        sys.stderr.flush()
    except OSError:
        pass  # no journal: the host is told all the same
