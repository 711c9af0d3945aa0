"""Has the file that this program was started from been replaced by another one?

An upgrade puts a new file in its place; the service then ends well, and systemd starts the new
one. Ten seconds without a further change, so that a copy under way is not started.
"""

from __future__ import annotations

import os

from guestwake_guest.system import Identity

SETTLED = 10.0


class Replaced:
    """`file`: a path of this machine, never under another root."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._ours = _identity(file)
        self._seen = self._ours
        self._seen_at = 0.0

    def settled(self, now: float) -> bool:
        """A file that is missing is no successor."""
        seen = _identity(self._file)
        if seen != self._seen:
            self._seen, self._seen_at = seen, now
        return self.is_settling() and now >= self._seen_at + SETTLED

    def is_settling(self) -> bool:
        return self._seen is not None and self._seen != self._ours


def _identity(file: str) -> Identity:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
