"""What must survive, in a real SQLite file: also where the file fails in the middle."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest

from guestwake.application import Application
from guestwake.journal import FOR_EVER, AskedRun, Journal, Said
from guestwake.journal_file import _MIGRATIONS, JournalDamaged, JournalError, set_aside
from guestwake.paths import Paths
from guestwake.policy.run import Kind, Phase, Prior, WakeRun, Why
from guestwake.policy.window import Opening
from guestwake.policy.words import Deadline
from guestwake.record import dump_run

OPENS = datetime(2026, 3, 10, 3, tzinfo=UTC)
ENDS = OPENS + timedelta(hours=4)
BEGUN = Deadline(OPENS, 1000.0, "boot-1")
RUN = WakeRun(
    token="abc",
    kind=Kind.SCHEDULED,
    chain=(Opening(date(2026, 3, 10), OPENS, ENDS),),
    length=timedelta(hours=4),
    ends=BEGUN.shifted(timedelta(hours=4)),
    phase=Phase.WAITING,
    since=BEGUN,
    why=Why.WAKES,
)
WOKEN = replace(RUN, phase=Phase.HOLDING, prior=Prior.SAVED, woke=BEGUN, first_awake=BEGUN)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    opened = Journal(path)
    yield opened
    opened.close()


@contextmanager
def no_file_may_grow() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_run_is_found_by_the_next_process(journal: Journal, path: Path) -> None:
    journal.save("vm", RUN, memory=512)
    journal.save("vm", WOKEN, memory=512)
    other = Journal(path)
    assert other.run("vm") == WOKEN
    assert [(each.workspace, each.memory) for each in other.open_runs()] == [("vm", 512)]
    assert other.run("another") is None
    other.close()


def test_it_syncs_each_commit(journal: Journal) -> None:
    assert journal._one("PRAGMA synchronous") == (2,)
    assert journal._one("PRAGMA journal_mode") == ("wal",)


def test_a_turn_that_breaks_leaves_nothing(journal: Journal) -> None:
    def breaks_off() -> None:
        with journal.turn():
            journal.save("vm", RUN, memory=512)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        breaks_off()
    assert journal.run("vm") is None
    with journal.turn():
        journal.save("vm", RUN, memory=512)
    assert journal.run("vm") == RUN


def test_the_end_of_a_run_is_one_row_and_its_window(journal: Journal) -> None:
    journal.save("vm", WOKEN, memory=512)
    journal.finish("vm", WOKEN, Why.PUT_BACK, ENDS)
    assert journal.run("vm") is None
    (row,) = journal.history("vm")
    assert (row.why, row.prior, row.dates) == (Why.PUT_BACK, Prior.SAVED, (date(2026, 3, 10),))
    assert (row.began, row.woke, row.ended) == (OPENS, OPENS, ENDS)
    assert journal.last_window("vm") == ENDS
    assert journal.ledger("vm", OPENS).done == {date(2026, 3, 10)}
    assert journal.is_known("abc")
    assert not journal.is_known("def")


def test_a_window_that_was_missed_is_not_done(journal: Journal) -> None:
    journal.finish("vm", RUN, Why.NO_NETWORK, ENDS)
    assert journal.ledger("vm", OPENS).done == frozenset()
    assert journal.last_window("vm") is None
    assert len(journal.history("vm")) == 1


def test_a_persons_run_owns_no_date(journal: Journal) -> None:
    journal.finish("vm", replace(WOKEN, kind=Kind.EXTRA), Why.PUT_BACK, ENDS)
    assert journal.ledger("vm", OPENS).done == frozenset()


def test_what_is_owed_off_is_forgotten_with_the_run_that_settles_it(journal: Journal) -> None:
    journal.finish("vm", replace(WOKEN, owed_off=True), Why.PUT_BACK_OWED_OFF, ENDS)
    assert journal.owed_off("vm")
    journal.finish("vm", replace(WOKEN, token="def"), Why.PUT_BACK, ENDS)
    assert not journal.owed_off("vm")


def test_holds_end_and_are_released(journal: Journal) -> None:
    journal.hold("vm", ENDS, "a talk")
    journal.hold("vm", OPENS, "over")
    assert [hold.reason for hold in journal.holds("vm", OPENS)] == ["a talk"]
    assert journal.release("vm") == 2
    assert journal.holds("vm", OPENS) == []


def test_a_pause_may_be_for_ever(journal: Journal) -> None:
    journal.pause("vm", FOR_EVER)
    assert journal.paused_until("vm") == FOR_EVER
    assert journal.resume("vm")
    assert not journal.resume("vm")
    assert journal.paused_until("vm") is None


def test_a_standing_event_keeps_its_first_moment(journal: Journal) -> None:
    journal.stand("vm", Why.NOT_PUT_BACK_REFUSED, OPENS, "disk full")
    journal.stand("vm", Why.NOT_PUT_BACK_REFUSED, ENDS, "still full")
    standing = journal.standing("vm")
    assert standing is not None
    assert (standing.at, standing.detail) == (OPENS, "still full")
    journal.unstand("vm")
    assert journal.standing("vm") is None


def test_a_workspace_that_is_forgotten_leaves_its_history(journal: Journal) -> None:
    journal.save("vm", RUN, memory=512)
    journal.hold("vm", ENDS, "a talk")
    journal.finish("vm", replace(WOKEN, token="def", owed_off=True), Why.PUT_BACK, ENDS)
    journal.forget("vm")
    assert journal.run("vm") is None
    assert journal.holds("vm", OPENS) == []
    assert not journal.owed_off("vm")
    assert journal.ledger("vm", OPENS).done == frozenset()
    assert len(journal.history("vm")) == 1


def test_a_record_that_cannot_be_read_is_only_its_own_workspaces_trouble(journal: Journal) -> None:
    journal.save("vm", RUN, memory=512)
    journal.save("bad", RUN, memory=512)
    journal._do("UPDATE run SET run = '{}' WHERE workspace = 'bad'")
    with pytest.raises(JournalDamaged):
        journal.run("bad")
    assert [each.workspace for each in journal.open_runs()] == ["vm"]


def test_no_bit_of_a_record_can_change_unseen(journal: Journal, path: Path) -> None:
    """SQLite does not look into values."""
    journal.save("vm", WOKEN, memory=512)
    ((text,),) = journal._all("SELECT run FROM run")
    with journal.turn():
        for at, bit in product(range(len(text)), range(7)):
            changed = text[:at] + chr(ord(text[at]) ^ (1 << bit)) + text[at + 1 :]
            journal._do("UPDATE run SET run = ?", changed)
            with pytest.raises(JournalDamaged):
                journal.run("vm")
            with pytest.raises(JournalDamaged):
                journal.glance("vm")
            assert journal.open_runs() == []


def test_a_record_of_before_there_were_seals_is_read(journal: Journal) -> None:
    journal._do("INSERT INTO run VALUES ('vm', ?, 512)", dump_run(WOKEN))
    assert journal.run("vm") == WOKEN


def test_a_file_that_is_no_journal_is_set_aside_whole(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no journal " * 1000)
    with pytest.raises(JournalDamaged):
        Journal(path)
    aside = set_aside(path, OPENS)
    assert aside.read_bytes() == b"no journal " * 1000
    Journal(path).close()


@pytest.mark.parametrize("renamed", [1, 2])
def test_killed_while_it_is_set_aside_nothing_of_it_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renamed: int
) -> None:
    """After so many of its parts."""
    application = Application(Paths.under(tmp_path, 0))
    path = application.journal_path
    parts = {suffix: f"no journal{suffix} ".encode() * 1000 for suffix in ("", "-wal", "-shm")}
    path.parent.mkdir(parents=True)
    for suffix, data in parts.items():
        path.with_name(path.name + suffix).write_bytes(data)
    rename, left = Path.rename, [renamed]

    def dies(self: Path, target: Path) -> Path:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", dies)
        with pytest.raises(KeyboardInterrupt):
            set_aside(path, OPENS)
    with application.journal() as journal:
        journal.hold("vm", ENDS, "a talk")
    kept = [each.read_bytes() for each in path.parent.glob("*.damaged-*")]
    assert parts[""] in kept
    assert parts["-wal"] in kept


def test_a_newer_format_is_refused_and_left_as_it_is(journal: Journal, path: Path) -> None:
    journal._do("PRAGMA user_version = 99")
    journal.close()
    for readonly in (False, True):
        with pytest.raises(JournalError, match="format 99"):
            Journal(path, readonly=readonly)


def test_a_report_writes_nothing_and_needs_no_file(path: Path) -> None:
    report = Journal(path, readonly=True)
    assert report.history() == []
    assert not path.exists()


def test_a_report_cannot_write(journal: Journal, path: Path) -> None:
    report = Journal(path, readonly=True)
    with pytest.raises(JournalError, match="cannot be written"):
        report.hold("vm", ENDS, "a talk")
    report.close()


def test_a_full_disk_is_an_error_and_works_again_afterwards(journal: Journal) -> None:
    """Whatever step of the transaction it hits, the next one begins anew."""
    journal.save("vm", RUN, memory=512)
    with pytest.raises(JournalError), no_file_may_grow(), journal.turn():
        journal.save("vm", WOKEN, memory=512)
    assert journal.run("vm") == RUN
    with journal.turn():
        journal.save("vm", WOKEN, memory=512)
    assert journal.run("vm") == WOKEN


def test_a_lock_of_another_program_is_an_error_with_a_remedy(journal: Journal, path: Path) -> None:
    journal._db.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError, match="keeps it locked"), journal.turn():
        pass
    other.execute("COMMIT")
    other.close()
    with journal.turn():
        journal.save("vm", RUN, memory=512)
    assert journal.run("vm") == RUN


def test_a_journal_that_was_set_aside_meanwhile_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path)
    assert not journal.is_gone()
    set_aside(path, ENDS)
    assert journal.is_gone()
    journal.close()
    Journal(path).close()
    assert journal.is_gone()


def test_one_of_an_older_guestwake_can_be_read_before_anybody_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(f"{_MIGRATIONS[0]} PRAGMA user_version = 1;")
        db.execute("INSERT INTO pause VALUES ('vm', ?)", (ENDS.isoformat(),))
    reading = Journal(path, readonly=True)
    assert reading.paused_until("vm") == ENDS
    assert reading.restart_mark("vm") is None
    reading.close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)


def test_several_that_begin_after_an_upgrade(tmp_path: Path, path: Path) -> None:
    """Whoever comes second finds it done; nothing of it is lost."""
    path.parent.mkdir()
    for version in range(1, len(_MIGRATIONS)):
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.executescript(f"{''.join(_MIGRATIONS[:version])} PRAGMA user_version = {version};")
            db.execute("INSERT INTO pause VALUES ('vm', ?)", (ENDS.isoformat(),))
        with ThreadPoolExecutor(8) as threads:
            for journal in list(threads.map(lambda _: _opened_and_closed(path), range(8))):
                assert journal is None
        with closing(Journal(path)) as journal:
            assert journal.paused_until("vm") == ENDS
            journal.ask_wake("vm", AskedRun(ENDS - OPENS, OPENS, "use"))
        for one in tmp_path.glob(f"**/{path.name}*"):
            one.unlink()


def _opened_and_closed(path: Path) -> None:
    Journal(path).close()


def test_an_edition_is_another_one_whoever_has_written(journal: Journal, path: Path) -> None:
    editions = [journal.edition()]

    def is_another_one() -> bool:
        editions.append(journal.edition())
        return editions[-1] not in editions[:-1]

    journal.hold("vm", ENDS, "a talk")
    assert is_another_one()
    with closing(Journal(path)) as other:
        other.hold("another", ENDS, "a talk")
        assert is_another_one()
    with suppress(ZeroDivisionError), journal.turn():
        journal.release("vm")
        assert is_another_one()
        raise ZeroDivisionError
    assert is_another_one()
    journal.become(Journal(path))
    assert is_another_one()


def test_an_edition_is_the_same_where_only_record_events_and_reports_were_written(
    journal: Journal, path: Path
) -> None:
    edition = journal.edition()
    with journal.turn():
        journal.save("vm", RUN, memory=512)
        journal.tell("vm", RUN.token, Why.HOLDS, OPENS)
        journal.hear("vm", Said("start-1", Deadline(OPENS, 1.0, "boot-1"), "service", "", None, 0))
    assert journal.edition() == edition
    with closing(Journal(path)) as other:
        other.save("another", RUN, memory=512)
    assert journal.edition() != edition


def test_what_is_saved_already_is_saved_again_where_it_may_be_so_no_more(
    journal: Journal, path: Path
) -> None:
    journal.save("vm", RUN, memory=512)
    with closing(Journal(path)) as other:
        other._do("DELETE FROM run")
    journal.save("vm", RUN, memory=512)
    assert journal.run("vm") == RUN
    with suppress(ZeroDivisionError), journal.turn():
        journal.save("vm", WOKEN, memory=512)
        raise ZeroDivisionError
    assert journal.run("vm") == RUN
    journal.save("vm", WOKEN, memory=512)
    assert journal.run("vm") == WOKEN
    journal.finish("vm", WOKEN, Why.PUT_BACK, ENDS)
    journal.save("vm", WOKEN, memory=512)
    assert journal.run("vm") == WOKEN


def test_an_edition_is_the_same_where_nothing_was_written(journal: Journal, path: Path) -> None:
    journal.save("vm", RUN, memory=512)
    edition = journal.edition()
    with journal.turn():
        journal.save("vm", replace(RUN), memory=512)
        journal.unstand("vm")
    with closing(Journal(path)) as other, other.turn():
        other.save("vm", RUN, memory=512)
    assert journal.edition() == edition
