"""Lines for the system's journal: one each, with the priority in front that journald reads.

The logging module would cost a megabyte and more; there is one reader, and it keeps the time.
"""

from __future__ import annotations

import sys

from guestwake_wire.messages import clean

_LINE_MAX = 400  # characters


def tell(text: str) -> None:
    _write(6, text)


def warn(text: str) -> None:
    _write(4, text)


def _write(priority: int, text: str) -> None:
    try:
        sys.stderr.write(f"<{priority}>{clean(text, _LINE_MAX)}\n")
        sys.stderr.flush()
    except OSError:
        pass  # no journal: the host is told all the same
