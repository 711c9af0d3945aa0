"""Real processes that write to one journal are killed with kill -9 at any moment: each write that
was acknowledged is there, none is there by half, and the next process opens it as ever."""

from __future__ import annotations

import os
import random
import signal
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from guestwake import journal_file
from guestwake.journal import Journal
from guestwake.policy.run import Kind, Phase, Prior, WakeRun, Why
from guestwake.policy.window import Opening
from guestwake.policy.words import Deadline

TURNS = 25  # before it is opened anew
OPENS = datetime(2026, 3, 10, 3, tzinfo=UTC)
NOW = Deadline(OPENS, 1000.0, "boot-1")
RUN = WakeRun(
    token="0",
    kind=Kind.SCHEDULED,
    chain=(Opening(date(2026, 3, 10), OPENS, OPENS + timedelta(hours=4)),),
    length=timedelta(hours=4),
    ends=NOW.shifted(timedelta(hours=4)),
    phase=Phase.HOLDING,
    since=NOW,
    why=Why.HOLDS,
    prior=Prior.SAVED,
)


def write(journal: Journal, workspace: str, number: int) -> None:
    """One turn: a run of that number, an event and a hold; each tenth ends the run."""
    run = replace(RUN, token=f"{workspace}-{number}")
    with journal.turn():
        journal.save(workspace, run, memory=number)
        journal.tell(workspace, run.token, Why.HOLDS, OPENS)
        journal.release(workspace)
        journal.hold(workspace, OPENS + timedelta(days=9999), str(number))
        if number % 10 == 0:
            journal.finish(workspace, run, Why.PUT_BACK, OPENS)


def written_by(journal: Journal, workspace: str) -> int:
    row = journal._one("SELECT count(*) FROM event WHERE workspace = ?", workspace)
    assert row is not None
    return int(row[0])


def writes_for_ever(path: Path, workspace: str, said: int) -> None:
    """Says each commit after it: "wrote N" is a promise that N is there. The journal is opened anew
    now and then: the last one that closes it moves the WAL into the file."""
    while True:
        with closing(Journal(path)) as journal:
            number = written_by(journal, workspace)
            for _ in range(TURNS):
                number += 1
                write(journal, workspace, number)
                os.write(said, f"wrote {number}\n".encode())


class Writer:
    """A process of its own, forked, as its start would take longer than its life."""

    def __init__(self, journal: Path, workspace: str) -> None:
        self._last = 0
        here, there = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                writes_for_ever(journal, workspace, there)
            finally:
                os._exit(1)
        os.close(there)
        self._said = os.fdopen(here)

    def writes(self, times: int) -> None:
        """Until it has written so often, as far as it has said."""
        for _ in range(times):
            self._hear(self._said.readline())

    def is_killed(self) -> int:
        """The number of its last write that was acknowledged."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        with self._said:
            for line in self._said:
                self._hear(line)
        return self._last

    def _hear(self, line: str) -> None:
        assert line.startswith("wrote "), "it died by itself"
        self._last = int(line.removeprefix("wrote "))


def _check(path: Path, workspace: str, acknowledged: int) -> None:
    with closing(Journal(path)) as journal:
        assert journal._one("PRAGMA integrity_check") == ("ok",)
        written = written_by(journal, workspace)
        assert acknowledged <= written <= acknowledged + 1
        run = journal.run(workspace)
        holds = journal._all("SELECT reason FROM hold WHERE workspace = ?", workspace)
        assert holds == [(str(written),)]
        assert (run is None) is (written % 10 == 0)
        assert run is None or run.token == f"{workspace}-{written}"
        ended = journal._one("SELECT count(*) FROM history WHERE workspace = ?", workspace)
        assert ended == (written // 10,)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


@pytest.mark.parametrize(
    "times",
    [20, pytest.param(100, marks=pytest.mark.more), pytest.param(2000, marks=pytest.mark.full)],
)
def test_each_write_that_was_acknowledged_is_there(path: Path, times: int) -> None:
    rng = random.Random(times)
    for _ in range(times):
        writer = Writer(path, "vm")
        writer.writes(rng.randint(1, 40))
        _check(path, "vm", writer.is_killed())


@pytest.mark.parametrize("times", [5, pytest.param(500, marks=pytest.mark.full)])
def test_those_that_write_beside_one_that_is_killed_lose_nothing(
    path: Path, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_file, "_LOCKED_FOR", 120.0)  # a writer that never rests holds it
    rng = random.Random(times)
    survivor = Writer(path, "survivor")
    survivor.writes(1)
    for _ in range(times):
        writer = Writer(path, "vm")
        writer.writes(rng.randint(1, 20))
        _check(path, "vm", writer.is_killed())
    survivor.writes(1)
    _check(path, "survivor", survivor.is_killed())
