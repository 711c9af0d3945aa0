"""The journal as a host or a disk that failed leaves it, at each moment of a night: what was woken
is put back, by the journal or by the VM's own mark, and nothing of anybody else's is touched
(contract, section 4.6)."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import count
from pathlib import Path
from unittest.mock import patch
from uuid import UUID

import pytest
import spoiled_journal as spoiled
from day import Day
from random_day import is_untold
from spoiled_journal import Files
from world import Killed

from guestwake.application import Application
from guestwake.events import JOURNAL_SET_ASIDE
from guestwake.journal import Journal
from guestwake.journal_file import JournalDamaged, JournalError, were_set_aside
from guestwake.paths import Paths
from guestwake.policy.words import Network, Power

NAME = "web01"
DAMAGED, REFUSED = "damaged", "refused"
FLIPS = 8  # bits of each file
IN_MEMORY = Path("/dev/shm") if os.path.isdir("/dev/shm") else Path(tempfile.gettempdir())
_MOMENTS = ("after commit", "after mark", "after unmark", "after clock")
LIVE = (Power.RUNNING, Power.PAUSED, Power.SUSPENDED)


def _nothing_more(day: Day) -> None: ...


def _is_lent(day: Day) -> None:
    day.at("00:05:30").person_holds(NAME, hours=0.05)


def _is_restarted(day: Day) -> None:
    day.at("00:05:20").guest_needs_restart(NAME)


def _is_busy(day: Day) -> None:
    day.at("00:05:20").guest_is_busy(NAME)
    day.at("00:07:20").guest_is_busy(NAME, False)


def _waits_first(day: Day) -> None:
    """So that there is a record of before its wake."""
    day.at("00:04").network_is(Network.DOWN)
    day.at("00:05:20").network_is(Network.UP)


def _is_woken_twice(day: Day) -> None:
    day.at("00:05:20").guest_crashes(NAME)


@dataclass(frozen=True)
class Scene:
    """How the VM rests before its window, and what happens in it."""

    power: Power
    happens: Callable[[Day], None] = _nothing_more
    saved_paused: bool = False
    reports: bool = False
    minutes: int = 1

    @property
    def rests(self) -> set[Power]:
        """Saved: what is known of it only by its mark is never shut down unseen. Paused: it had
        come back so from its image, or a person has paused it; who knows only its mark cannot
        tell, and hands it over."""
        return {self.power, Power.SAVED} | ({Power.PAUSED} if self.saved_paused else set())


SCENES = {
    "saved": Scene(Power.SAVED),
    "off": Scene(Power.OFF),
    "paused": Scene(Power.PAUSED),
    "saved-paused": Scene(Power.SAVED, saved_paused=True),
    "suspended": Scene(Power.SUSPENDED),
    "lent": Scene(Power.SAVED, _is_lent),
    "restarted": Scene(Power.OFF, _is_restarted, reports=True, minutes=3),
    "extended": Scene(Power.SAVED, _is_busy, reports=True),
    "waited": Scene(Power.SAVED, _waits_first, minutes=3),
    "crashed": Scene(Power.OFF, _is_woken_twice, minutes=3),
}
_REST = tuple(name for name in SCENES if name not in ("waited", "crashed"))


@contextmanager
def a_night(folder: Path, scene: Scene) -> Iterator[Day]:
    """Its window opens at 00:05. Each is the same as the one before, up to the names of its runs:
    so the journal of one is the journal of another."""
    tokens = (UUID(int=number) for number in count(1))
    with (
        tempfile.TemporaryDirectory(dir=folder) as own,
        Day(Path(own)) as day,
        patch.object(uuid, "uuid4", lambda: next(tokens)),
    ):
        day.workspace(
            NAME,
            scene.power,
            saved_paused=scene.saved_paused,
            reports=scene.reports,
            guest_update_time="00:05",
            guest_update_duration=scene.minutes,
            task_timeout=30,
        )
        scene.happens(day)
        yield day


@dataclass(frozen=True)
class Moment:
    """One at which the world or the journal had changed. `number`: of the point, from 1 on."""

    number: int
    what: str
    files: Files


@dataclass(frozen=True)
class Spoiled:
    """What may become of the journal, from that moment of the night on."""

    since: int
    what: str
    files: Files


@dataclass
class Recorder:
    """Takes the journal's files, as they lie there, at each moment of an undisturbed night."""

    day: Day
    points: int = 0
    moments: list[Moment] = field(default_factory=list)
    before: object = None

    def __call__(self, what: str) -> None:
        self.points += 1
        it = self.day.vm(NAME)
        if what not in _MOMENTS or is_untold(it):  # between start and mark nobody can tell
            return
        files = spoiled.files_of(self.day.office.journal_path)
        run = self.day.record(NAME)
        now = (run and (run.phase, run.goal, run.used), it.power, it.mark, it.start)
        if now != self.before:
            self.before = now
            self.moments.append(Moment(self.points, what, files))


class Spoiler:
    """Kills the manager at a moment, and before it is called again the journal is as `files`."""

    def __init__(
        self, day: Day, moment: Moment, files: Files, then: Callable[[], None] | None = None
    ) -> None:
        self._day, self._moment, self._files, self._then = day, moment, files, then
        self._points = 0
        day.restarts_after = 5.0
        day.on_point = self

    def __call__(self, what: str) -> None:
        self._points += 1
        if self._points == self._moment.number:
            self._day.later(1, self._spoil)
            if self._then:
                self._day.later(2, self._then)
            raise Killed(what)

    def _spoil(self) -> None:
        spoiled.place(self._files, self._day.office.journal_path)

    def told(self, what: str) -> str:
        day, moment = self._day, self._moment
        return (
            f"killed at {moment.number}: {moment.what}; {what}; {day.verbs(NAME)}; {day.vm(NAME)}"
        )


@cache
def moments_of(name: str) -> tuple[str, tuple[Moment, ...]]:
    """And the workspace's UUID."""
    with a_night(IN_MEMORY, SCENES[name]) as day:
        day.on_point = recorder = Recorder(day)
        day.run_until("00:30")
        assert day.power(NAME) is SCENES[name].power
        return day.uuid(NAME), tuple(recorder.moments)


def what_is_found(path: Path, files: Files, workspace: str) -> str:
    """By who opens it to write: all of it can be read, or it is damaged."""
    spoiled.place(files, path)
    try:
        with closing(Journal(path)) as journal:
            return spoiled.said_by(journal, workspace)
    except JournalDamaged:
        return DAMAGED
    except JournalError:  # as if of a newer Guestwake
        return REFUSED


@cache
def by_a_failed_host(name: str) -> tuple[Spoiled, ...]:
    """The WAL only grows: cuts of the last one are those of all before."""
    _, moments = moments_of(name)
    made: list[Spoiled] = []
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as own:
        for at, moment in enumerate(moments):
            torn = spoiled.torn_checkpoints(moment.files, Path(own, "torn.db"))
            made += (Spoiled(at, *each) for each in torn)
            for what, files in spoiled.cut(moment.files):
                if not at or len(files["-wal"]) > len(moments[at - 1].files["-wal"]):
                    made.append(Spoiled(at, what, files))
    return tuple(made)


@cache
def by_a_failed_disk(name: str) -> tuple[Spoiled, ...]:
    """As the files lie there at each moment, and as they do when nobody has them open."""
    _, moments = moments_of(name)
    made: list[Spoiled] = []
    before: dict[str, Files] = {}
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as own:
        for at, moment in enumerate(moments):
            at_rest = spoiled.at_rest(moment.files, Path(own, "rest.db"))
            for seed, files in enumerate((moment.files, at_rest)):
                before[f"moment {at}, {seed}"] = files
                ways = (
                    *(spoiled.lost(files), spoiled.cut_file(files), spoiled.mixed(files, before)),
                    spoiled.flipped(files, FLIPS, seed=10 * at + seed),
                )
                made += (Spoiled(at, *each) for way in ways for each in way)
    return tuple(made)


@cache
def that_differ(name: str) -> tuple[Spoiled, ...]:
    """Of all that can become of the journal, one of those in which a writer finds the same."""
    workspace, _ = moments_of(name)
    found: dict[str, Spoiled] = {}
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as own:
        for each in sorted((*by_a_failed_host(name), *by_a_failed_disk(name)), key=_since):
            found.setdefault(what_is_found(Path(own, "journal.db"), each.files, workspace), each)
    return tuple(found.values())


def _since(each: Spoiled) -> int:
    return each.since


def test_a_host_that_fails_leaves_what_was_committed_and_nothing_else(folder: Path) -> None:
    """SQLite's own promise, with the settings that we open it with."""
    workspace, moments = moments_of("saved")
    path = folder / "journal.db"
    found = {what_is_found(path, it.files, workspace) for it in by_a_failed_host("saved")}
    assert DAMAGED not in found
    assert {what_is_found(path, moment.files, workspace) for moment in moments} <= found


@pytest.mark.more
def test_what_a_failed_disk_leaves_is_read_or_set_aside_whole_and_told(folder: Path) -> None:
    workspace, _ = moments_of("saved")
    damaged = 0
    for number, it in enumerate(by_a_failed_disk("saved")):
        what, files = it.what, it.files
        path = Application(Paths.under(folder / str(number), 0)).journal_path
        if what_is_found(path, files, workspace) != DAMAGED:
            continue
        damaged += 1
        spoiled.place(files, path)
        office = Application(Paths.under(folder / str(number), 0))
        with suppress(JournalDamaged), office.journal() as journal:
            spoiled.said_by(journal, workspace)
        (aside,) = were_set_aside(path)
        for suffix, data in files.items():
            kept = aside.with_name(aside.name + suffix)
            assert (kept.read_bytes() if kept.exists() else b"") == data, what
        with closing(Journal(path, readonly=True)) as journal:
            assert [event for _, event, _ in journal.notes()] == [JOURNAL_SET_ASIDE.id], what
    assert damaged > 100


@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(name, marks=pytest.mark.more) for name in ("waited", "crashed")),
        *(pytest.param(name, marks=pytest.mark.full) for name in _REST),
    ],
)
def test_what_was_woken_is_put_back_whatever_becomes_of_the_journal(
    folder: Path, name: str
) -> None:
    scene, (_, moments) = SCENES[name], moments_of(name)
    for at, moment in enumerate(moments):
        for it in that_differ(name):
            if it.since > at:
                continue
            with a_night(folder, scene) as day:
                spoiler = Spoiler(day, moment, it.files)
                day.run_until("00:30")
                told = spoiler.told(it.what)
                assert day.power(NAME) in scene.rests, told
                with suppress(JournalError):  # one that is refused lies there as it was
                    assert day.record(NAME) is None, told
                assert day.vm(NAME).mark is None or day.power(NAME) not in LIVE, told


@pytest.mark.more
@pytest.mark.parametrize("name", ["saved", pytest.param("off", marks=pytest.mark.full)])
def test_what_somebody_starts_is_theirs_whatever_becomes_of_the_journal(
    folder: Path, name: str
) -> None:
    """Meanwhile: what ran is saved first, and its mark comes back with its image."""
    _, moments = moments_of(name)
    for at, moment in enumerate(moments):
        for it in that_differ(name):
            if it.since > at:
                continue
            with a_night(folder, SCENES[name]) as day:
                theirs = partial(_somebody_starts_it, day)
                spoiler = Spoiler(day, moment, it.files, theirs)
                day.run_until("00:30")
                told = spoiler.told(it.what)
                assert day.power(NAME) is Power.RUNNING, told
                last = day.machine.deeds[-1]
                assert (last.who, last.what) == ("somebody", "starts"), told


def _somebody_starts_it(day: Day) -> None:
    vm = day.vm(NAME).vm
    if day.power(NAME) is Power.RUNNING:
        day.machine.saves(vm)
    day.machine.starts(vm)
