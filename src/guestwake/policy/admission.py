"""Whose turn it is: how many VMs may be waking, being saved and awake at once on one host.

A limit against boot storms and against a host that runs out of memory or disk (contract,
section 2, MaxConcurrentStarts to DiskReserve; promise I5). Where MaxAwake limits, the workspace
that has been without a window longest goes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from guestwake.policy.limits import Limits
from guestwake.policy.words import Deadline, HostFacts, Now

_NEVER = datetime.min.replace(tzinfo=UTC)


class Wait(StrEnum):
    """Why a workspace is not admitted yet."""

    STARTS = "starts"  # as many as allowed are waking or being saved
    TURN = "turn"  # as many as allowed are awake, or another has waited longer
    MEMORY = "memory"
    DISK = "disk"


@dataclass(frozen=True, slots=True)
class Candidate:
    workspace: str
    last_window: datetime | None  # end of its last window; None: it never had one
    memory: int  # MiB that waking takes; 0: it is in memory already (paused, suspended)
    image: int  # MiB that its saved image may take


@dataclass(frozen=True, slots=True)
class Other:
    """Another workspace's open run on this host. It keeps its slot for TaskTimeout at the most,
    the bound on one task, so that one that hangs or died never blocks the others (I9)."""

    workspace: str
    alive: bool
    waiting: Wait | None  # what for; None: it does not wait for admission
    slot: Deadline | None  # when it began to wake or save; None: it does neither
    woke: Deadline | None
    awake: bool
    memory: int
    image: int
    last_window: datetime | None


def admit(
    me: Candidate, others: Sequence[Other], host: HostFacts, limits: Limits, now: Now
) -> Wait | None:
    """None: it may wake now."""
    queue = [other for other in others if _goes_before(other, me)]
    ahead = sum(1 for other in queue if other.waiting in (Wait.STARTS, Wait.TURN))
    if _slots(others, limits, now) + ahead >= limits.max_concurrent_starts:
        return Wait.STARTS
    awake = sum(1 for other in others if other.awake)
    if limits.max_awake and awake + ahead >= limits.max_awake:
        return Wait.TURN
    if me.memory and not _memory_for(me, queue, others, host, limits, now):
        return Wait.MEMORY
    owed = sum(other.image for other in others if other.awake)
    if host.disk_available is not None and (
        host.disk_available - owed - me.image < limits.disk_reserve
    ):
        return Wait.DISK
    return None


def is_first(me: Candidate, others: Iterable[Other]) -> bool:
    """Whether nobody waits for a start or a turn who has been without a window longer. Each has
    limits of its own: what I may, may be what keeps that one from going."""
    turns = (Wait.STARTS, Wait.TURN)
    return not any(other.waiting in turns and _goes_before(other, me) for other in others)


def slot_free(others: Iterable[Other], limits: Limits, now: Now) -> bool:
    """Whether one more may begin to be saved."""
    return _slots(others, limits, now) < limits.max_concurrent_starts


def _slots(others: Iterable[Other], limits: Limits, now: Now) -> int:
    return sum(1 for other in others if other.slot and -other.slot.left(now) < limits.task_timeout)


def _goes_before(other: Other, me: Candidate) -> bool:
    if other.waiting is None or not other.alive:
        return False
    mine = (me.last_window or _NEVER, me.workspace)
    return (other.last_window or _NEVER, other.workspace) < mine


def _memory_for(
    me: Candidate,
    queue: Sequence[Other],
    others: Sequence[Other],
    host: HostFacts,
    limits: Limits,
    now: Now,
) -> bool:
    if host.memory_available is None:
        return True
    free = host.memory_available - _settling(others, limits, now) - limits.memory_reserve
    held = sum(other.memory for other in others if other.awake)
    # Room is kept for those who have waited longer, unless they would not fit into an empty
    # host either: one that is too large must not keep the others from their windows (I9).
    kept = sum(
        other.memory
        for other in queue
        if other.waiting is Wait.MEMORY and other.memory <= free + held
    )
    return free - kept >= me.memory


def _settling(others: Iterable[Other], limits: Limits, now: Now) -> int:
    # A guest that has just been woken has not yet touched all its memory: the kernel still
    # counts that as available.
    return sum(
        other.memory
        for other in others
        if other.slot or (other.woke and -other.woke.left(now) < limits.task_timeout)
    )
