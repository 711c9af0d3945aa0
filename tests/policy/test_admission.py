"""Whose turn it is: starts, MaxAwake, memory, disk, fairness (contract, section 2; I5, I9)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from scene import other

from guestwake.policy.admission import Candidate, Other, Wait, admit, slot_free
from guestwake.policy.limits import Limits
from guestwake.policy.words import HostFacts, Now

NOW = Now(datetime(2026, 6, 9, 3, tzinfo=UTC), 100_000.0, "boot-1")
LONG_AGO, LAST_WEEK, YESTERDAY = (NOW.wall - timedelta(days=days) for days in (60, 7, 1))
JUST_NOW = NOW.after(timedelta(0))
TASK_TIMEOUT = Limits().task_timeout
TIMED_OUT = NOW.after(-TASK_TIMEOUT)
ALMOST = NOW.after(timedelta(seconds=1) - TASK_TIMEOUT)
ME = Candidate("web01", LAST_WEEK, memory=1024, image=1024)
ONE_START, ONE_AWAKE = {"max_concurrent_starts": 1}, {"max_awake": 1}
ANY_ROOM = HostFacts()


def room(memory: int | None = None, disk: int | None = None) -> HostFacts:
    return HostFacts(memory_available=memory, disk_available=disk)


CASES: list[tuple[str, dict[str, int], HostFacts, list[Other], Wait | None]] = [
    ("alone", {}, ANY_ROOM, [], None),
    # MaxConcurrentStarts
    ("two are waking", {}, ANY_ROOM,
     [other("a", slot=JUST_NOW), other("b", slot=JUST_NOW)], Wait.STARTS),
    ("one is waking", {}, ANY_ROOM, [other("a", slot=JUST_NOW), other("b", awake=True)], None),
    ("a dead holder keeps its slot for TaskTimeout", ONE_START, ANY_ROOM,
     [other(alive=False, slot=ALMOST)], Wait.STARTS),
    ("a dead holder keeps its slot no longer", ONE_START, ANY_ROOM,
     [other(alive=False, slot=TIMED_OUT)], None),
    ("nor does a living one that hangs", ONE_START, ANY_ROOM, [other(slot=TIMED_OUT)], None),
    ("one that has waited longer goes first", ONE_START, ANY_ROOM,
     [other(waiting=Wait.STARTS, last_window=LONG_AGO)], Wait.STARTS),
    ("one that never had a window goes first", ONE_START, ANY_ROOM,
     [other(waiting=Wait.STARTS)], Wait.STARTS),
    ("one that has waited less does not", ONE_START, ANY_ROOM,
     [other(waiting=Wait.STARTS, last_window=YESTERDAY)], None),
    ("one that has waited longer and is dead does not", ONE_START, ANY_ROOM,
     [other(waiting=Wait.STARTS, alive=False)], None),
    ("one that has waited longer for the network does not", ONE_START, ANY_ROOM, [other()], None),
    ("equals go by name", ONE_START, ANY_ROOM,
     [other("a", waiting=Wait.STARTS, last_window=LAST_WEEK)], Wait.STARTS),
    ("equals go by name, after us", ONE_START, ANY_ROOM,
     [other("z", waiting=Wait.STARTS, last_window=LAST_WEEK)], None),
    # MaxAwake
    ("as many as allowed are awake", ONE_AWAKE, ANY_ROOM, [other(awake=True)], Wait.TURN),
    ("MaxAwake 0 is no limit", {}, ANY_ROOM, [other(str(n), awake=True) for n in range(9)], None),
    ("room for one, and another has waited longer", ONE_AWAKE, ANY_ROOM,
     [other(waiting=Wait.TURN, last_window=LONG_AGO)], Wait.TURN),
    ("room for one, and another has waited less", ONE_AWAKE, ANY_ROOM,
     [other(waiting=Wait.TURN, last_window=YESTERDAY)], None),
    # memory
    ("memory just enough", {}, room(memory=2048), [], None),
    ("one MiB too little", {}, room(memory=2047), [], Wait.MEMORY),
    ("MemoryReserve", {"memory_reserve": 0}, room(memory=1024), [], None),
    ("a guest just woken has not touched its memory yet", {}, room(memory=3071),
     [other(awake=True, woke=ALMOST)], Wait.MEMORY),
    ("a guest that is waking neither", {}, room(memory=3071),
     [other(awake=True, slot=JUST_NOW)], Wait.MEMORY),
    ("a guest woken a while ago has", {}, room(memory=3071),
     [other(awake=True, woke=TIMED_OUT)], None),
    ("room is kept for one that has waited longer for memory", {}, room(memory=3071),
     [other(waiting=Wait.MEMORY)], Wait.MEMORY),
    ("one that would not fit into an empty host keeps nobody from a window", {}, room(memory=3071),
     [other(waiting=Wait.MEMORY, memory=64 * 1024)], None),
    ("one that fits once the others are back keeps its turn", {}, room(memory=2048),
     [other("a", waiting=Wait.MEMORY, memory=4096), other("b", awake=True, memory=4096)],
     Wait.MEMORY),
    ("memory that nobody can tell", {}, room(memory=None), [], None),
    # disk
    ("disk just enough for the image", {}, room(disk=2048 + 1024), [], None),
    ("disk one MiB too little", {}, room(disk=2048 + 1023), [], Wait.DISK),
    ("the images that are owed to those awake", {}, room(disk=2048 + 2 * 1024 - 1),
     [other(awake=True)], Wait.DISK),
    ("those at rest have theirs", {}, room(disk=2048 + 1024), [other()], None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "host", "others", "wait"), [row[1:] for row in CASES], ids=[r[0] for r in CASES]
)
def test_admission(
    settings: dict[str, int], host: HostFacts, others: list[Other], wait: Wait | None
) -> None:
    assert admit(ME, others, host, Limits(**settings), NOW) is wait


def test_a_vm_in_memory_already_is_not_asked_for_memory() -> None:
    paused = Candidate("web01", LAST_WEEK, memory=0, image=1024)
    assert admit(paused, [], room(memory=0), Limits(), NOW) is None


def test_a_slot_to_be_saved_in_is_counted_alike() -> None:
    limits = Limits(max_concurrent_starts=1)
    assert slot_free([other()], limits, NOW)
    assert not slot_free([other(slot=JUST_NOW)], limits, NOW)
    assert slot_free([other(alive=False, slot=TIMED_OUT)], limits, NOW)


def test_nobody_goes_without_a_turn_twice_while_another_has_two() -> None:
    """Five workspaces, one awake at a time, two turns a night: a week's turns are even."""
    limits = Limits(max_awake=1)
    last: dict[str, datetime | None] = dict.fromkeys("abcde")
    turns = dict.fromkeys("abcde", 0)
    for night in range(10):
        had: set[str] = set()
        for turn in range(2):
            queue = [name for name in last if name not in had]
            for name in queue:
                rest = [
                    other(each, waiting=Wait.TURN, last_window=last[each])
                    for each in queue
                    if each != name
                ]
                if admit(Candidate(name, last[name], 1, 1), rest, ANY_ROOM, limits, NOW) is None:
                    had.add(name)
                    turns[name] += 1
                    last[name] = NOW.wall + timedelta(days=night, hours=turn)
                    break
        assert len(had) == 2
        assert max(turns.values()) - min(turns.values()) <= 1
