"""What `guestwake-guest` ends with. A number never changes its meaning."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    NOT_SIGNALLED = 3
    NOT_INSTALLED = 4
    RESTART_REQUIRED = 10


MEANINGS = {
    Exit.DONE: "done; of `status`: no restart is required",
    Exit.UNEXPECTED: "something that nobody foresaw: please report it",
    Exit.USAGE: "the command line is not understood; nothing was done",
    Exit.NOT_SIGNALLED: "`require-restart`: the signal could not be given",
    Exit.NOT_INSTALLED: "`install`, `uninstall`, `pair`, `unpair`: not done; the message says why",
    Exit.RESTART_REQUIRED: "`status`: a restart is required",
}
