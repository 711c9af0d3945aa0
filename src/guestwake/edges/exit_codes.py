"""What `guestwake` ends with: one number for each thing that a script may want to tell apart.

The table of docs/commands.md and of the man page is made from this file. A number never changes
its meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING

# Late: most commands run nothing.
if TYPE_CHECKING:
    from guestwake.policy.run import Why


class Exit(IntEnum):
    """Each with the sentence that the documentation shows."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Exit:
        made = int.__new__(cls, code)
        made._value_ = code
        made.meaning = meaning
        return made

    DONE = (
        0,
        "done: the VM was put back, watched, or lent and later closed; or there was nothing to do",
    )
    UNEXPECTED = (1, "something that nobody foresaw: please report it")
    USAGE = (2, "the command line is not understood; nothing was done")
    NO_WORKSPACE = (3, "no such workspace, or its file cannot be read, or it is there already")
    ALREADY_RUNNING = (4, "another process has this workspace's run")
    GUARDED = (5, "no window: the host had no network, or no AC power")
    NO_ROOM = (6, "no window: no turn, too little memory or disk, or a job never ended")
    HANDED_OVER = (7, "the VM changed hands inside its window, and was left as it is")
    NOT_PUT_BACK = (8, "the VM stays up, because the hypervisor refuses to put it back")
    LOST = (9, "the VM crashed, or went down with its host, or does not exist any more")
    IMAGE_UNUSABLE = (10, "the saved image cannot be restored; it is kept")
    HYPERVISOR = (11, "the hypervisor cannot be reached, knows no such VM, or refused the wake")
    JOURNAL = (12, "the journal or another state file cannot be read or written")
    SETTINGS = (13, "settings have problems, or could not be written")
    ATTENTION = (14, "`status --check` or `doctor` found something that needs attention")
    NOT_RESTARTED = (16, "the guest was to be restarted and did not; it still needs to be")
    HOST_REFUSED = (17, "the host's Guestwake refused it to this user, or did not answer")
    NOT_INSTALLED = (18, "the service could not be installed, or not be removed, or not all of it")
    NOT_READY = (19, "`open`: the guest was not ready in time, or could not be started")
    NOT_SHOWN = (20, "`open`: the program that shows it is missing, or failed")
    NOT_CONFIRMED = (21, "`setup` showed what it would do, and nobody has agreed: nothing was done")
    STOPPED = (15, "stopped by a signal; what had been woken was put back, or is on record")


@cache
def codes() -> Mapping[Why, Exit]:
    """Of every answer with which a run can end."""
    from guestwake.policy.run import Why

    return {
        Why.WATCHED: Exit.DONE,
        Why.RUNS_ALREADY: Exit.DONE,
        Why.NOT_WANTED: Exit.DONE,
        Why.RESTARTED_IN_USE: Exit.DONE,
        Why.RESTART_NOT_NEEDED: Exit.DONE,
        Why.RESTART_FAILED: Exit.NOT_RESTARTED,
        Why.PUT_BACK: Exit.DONE,
        Why.PUT_BACK_OWED_OFF: Exit.DONE,
        Why.CLOSED: Exit.DONE,
        Why.GUEST_STOPPED_ITSELF: Exit.HANDED_OVER,
        Why.STOPPED_BY_SOMEBODY: Exit.HANDED_OVER,
        Why.STARTED_BY_SOMEBODY: Exit.HANDED_OVER,
        Why.WHO_STARTED_IT_UNKNOWN: Exit.HANDED_OVER,
        Why.MIGRATED_AWAY: Exit.HANDED_OVER,
        Why.REMOVED_IN_USE: Exit.HANDED_OVER,
        Why.NOT_PUT_BACK_REFUSED: Exit.NOT_PUT_BACK,
        Why.VM_GONE: Exit.LOST,
        Why.CRASHED: Exit.LOST,
        Why.CRASHED_TOO_OFTEN: Exit.LOST,
        Why.IMAGE_UNUSABLE: Exit.IMAGE_UNUSABLE,
        Why.NO_NETWORK: Exit.GUARDED,
        Why.NO_AC_POWER: Exit.GUARDED,
        Why.NO_TURN: Exit.NO_ROOM,
        Why.NO_MEMORY: Exit.NO_ROOM,
        Why.NO_DISK: Exit.NO_ROOM,
        Why.NEVER_SETTLED: Exit.NO_ROOM,
        Why.HYPERVISOR_UNREACHABLE: Exit.HYPERVISOR,
        Why.WAKE_REFUSED: Exit.HYPERVISOR,
        Why.NOT_RECORDED: Exit.JOURNAL,
        Why.STOPPED_BEFORE_WAKE: Exit.DONE,
    }


def of_run(why: Why, *, stopped: bool) -> Exit:
    """`why`: the last answer of a run, whether it is over or its record stays open. `stopped`: a
    signal told us to end; that shows only where all else went well."""
    code = codes().get(why, Exit.STOPPED)
    return Exit.STOPPED if stopped and code is Exit.DONE else code
