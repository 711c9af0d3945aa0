"""Twenty windows open at once on a host with room for eight (contract, section 10, I5 and I9).

The VMs and their managers are real. What the host says of its free memory stands still here, as
what else this machine does must not decide how many have room: a double of /proc/meminfo.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event, Thread

import pytest
from faults import journal_of
from stories import Host, until

from guestwake.policy.put_back import slot_since
from guestwake.policy.run import Phase, WakeRun, Why
from lab.bare import MEMORY, hibernated_bare_guest
from lab.guests import Lab

MANY, ROOM, STARTS = 20, 8, 2
AVAILABLE = 10_000  # MiB
LATE = 600.0  # seconds
LOOKS_EACH = 0.05  # seconds


@pytest.fixture
def memory_stands_still(private_mounts: None, tmp_path: Path) -> Iterator[None]:
    told = tmp_path / "meminfo"
    told.write_text(f"MemTotal: {2 * AVAILABLE * 1024} kB\nMemAvailable: {AVAILABLE * 1024} kB\n")
    subprocess.run(["mount", "--bind", str(told), "/proc/meminfo"], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", "/proc/meminfo"], check=True)


def sets_windows(host: Host, minutes: int) -> None:
    """Of today, open since this morning; TaskTimeout is so long that none of them counts as having
    taken its memory already."""
    host.set(
        'time_zone = "UTC"',
        f'guest_update_time = "{OPENS}"',
        f"guest_update_duration = {minutes}",
        f"memory_reserve = {AVAILABLE - ROOM * MEMORY - MEMORY // 2}",
        f"max_concurrent_starts = {STARTS}",
        "task_timeout = 36000",
    )


OPENS = datetime.now(UTC).strftime("%H:%M")
OPEN, CLOSED = 1440, 0


def runs(host: Host) -> Mapping[str, WakeRun]:
    with journal_of(host) as journal:
        return {each.workspace: each.run for each in journal.open_runs()}


@dataclass
class Most:
    """At any one time, as far as was seen."""

    starts: int = 0
    awake: int = 0


@contextmanager
def watched(host: Host, lab: Lab) -> Iterator[Most]:
    most, over = Most(), Event()

    def watch() -> None:
        while not over.wait(LOOKS_EACH):
            starts = sum(1 for run in runs(host).values() if slot_since(run))
            processes = len(list(lab.folder.glob("run/libvirt/qemu/run/web*.pid")))
            most.starts, most.awake = max(most.starts, starts), max(most.awake, processes)

    watcher = Thread(target=watch)
    watcher.start()
    try:
        yield most
    finally:
        over.set()
        watcher.join()


def settled(host: Host, left: int) -> bool:
    """As many hold as have room, the rest wait for it."""
    found = Counter(
        Phase.HOLDING if run.phase is Phase.HOLDING else run.why for run in runs(host).values()
    )
    held = min(left, ROOM)
    waits = {Why.WAITS_FOR_MEMORY: left - held} if left > held else {}
    return found == Counter({Phase.HOLDING: held, **waits})


@pytest.mark.parametrize("rounds", [1, pytest.param(3, marks=pytest.mark.full)])
@pytest.mark.usefixtures("memory_stands_still")
def test_eight_are_woken_two_at_a_time_and_the_rest_come_first_the_next_time(
    lab: Lab, host: Host, rounds: int
) -> None:
    names = [f"web{number:02}" for number in range(MANY)]
    with ThreadPoolExecutor(max_workers=4) as hands:
        guests = list(hands.map(partial(hibernated_bare_guest, lab), names))
        list(hands.map(host.looks_after, guests))
    sets_windows(host, CLOSED)
    host.guestwake("hold", guests[0].name, "--for", "1m")  # so that there is a journal
    host.guestwake("hold", guests[0].name, "--release")
    without = {guest.uuid: guest for guest in guests}
    for _ in range(rounds):
        images = {uuid: guest.saved_image.read_bytes() for uuid, guest in without.items()}
        sets_windows(host, OPEN)
        with watched(host, lab) as most:
            managers = {
                guest.uuid: host.sets_going("wake", "--scheduled", guest.name) for guest in guests
            }
            until(lambda: settled(host, len(without)), LATE)
            held = {uuid for uuid, run in runs(host).items() if run.phase is Phase.HOLDING}
            sets_windows(host, CLOSED)
            for uuid, manager in managers.items():
                manager.ends(6 if uuid in without and uuid not in held else 0, LATE)
        assert most.starts <= STARTS
        assert most.awake <= ROOM
        assert held <= without.keys()
        for uuid in held:
            assert host.outcomes(without.pop(uuid))[-1] == "put-back"
        for uuid, guest in without.items():
            assert host.outcomes(guest)[-1] == "no-memory"
            assert guest.saved_image.read_bytes() == images[uuid]
        assert [guest.state() for guest in guests] == ["saved"] * MANY
        assert runs(host) == {}
    assert len(without) == max(0, MANY - rounds * ROOM)
