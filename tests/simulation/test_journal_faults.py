"""The journal fails in every way that a file can: nothing is woken without a record, and what is
awake is put back all the same (contract, section 4.6)."""

from __future__ import annotations

from typing import NoReturn

import pytest
from day import Day

from guestwake.journal import Journal
from guestwake.journal_file import JournalError
from guestwake.policy.run import Why
from guestwake.policy.words import Power, Verb


@pytest.mark.parametrize("fault", ["read-only", "full"])
def test_what_cannot_be_recorded_is_not_woken(day: Day, fault: str) -> None:
    day.workspace("web01")
    day.at("02:00").journal_is(fault)
    day.at("03:10").journal_is(None)
    day.run_until("03:10")
    assert day.verbs("web01") == []
    day.run_until("03:12")
    assert day.power("web01") is Power.RUNNING
    day.run_until("03:31")
    assert day.power("web01") is Power.SAVED
    assert day.why("web01") is Why.PUT_BACK


@pytest.mark.parametrize("fault", ["read-only", "full"])
@pytest.mark.parametrize("power", [Power.SAVED, Power.OFF, Power.PAUSED, Power.SUSPENDED])
def test_what_is_awake_is_put_back_without_a_record(day: Day, fault: str, power: Power) -> None:
    day.workspace("web01", power)
    day.at("03:10").journal_is(fault)
    day.run_until("03:31")
    assert day.power("web01") is power
    day.journal_fault = None
    day.run_days(1)
    assert day.power("web01") is power
    assert day.record("web01") is None
    assert day.dates("web01") == ["03-10", "03-11"]


def test_what_kept_it_from_its_record_is_told_as_soon_as_it_can_be(day: Day) -> None:
    """Here something happens before it tries again."""
    day.workspace("web01")
    day.at("02:00").journal_is("read-only")
    day.at("03:10").journal_is(None)
    day.at("03:10:03").does(lambda: [each.application.look_now() for each in day.processes])
    day.run_until("03:11")
    assert day.events("web01")[0] is Why.WAITS_FOR_JOURNAL


def test_a_locked_journal_is_waited_for(day: Day) -> None:
    day.workspace("web01")
    day.at("02:59").journal_is_locked()
    day.at("03:10").journal_is_unlocked()
    day.run_until("03:09")
    assert day.verbs("web01") == []
    day.run_until("03:12")
    assert day.power("web01") is Power.RUNNING
    day.run_until("03:31")
    assert day.power("web01") is Power.SAVED


def test_a_journal_locked_while_it_is_awake_does_not_keep_it_awake(day: Day) -> None:
    day.workspace("web01")
    day.at("03:10").journal_is_locked()
    day.run_until("03:31")
    assert day.power("web01") is Power.SAVED


@pytest.mark.parametrize("power", [Power.SAVED, Power.OFF, Power.PAUSED, Power.SUSPENDED])
@pytest.mark.parametrize("killed", ["03:10", "03:40"])
def test_a_damaged_journal_is_set_aside_and_the_vm_itself_tells(
    day: Day, power: Power, killed: str
) -> None:
    day.workspace("web01", power)
    day.restarts_after = None
    if killed == "03:40":
        day.at("03:05").person_holds("web01", hours=0.6)  # until 03:41: lent
    day.at(killed).manager_is_killed("web01")
    day.at(killed).journal_is_damaged()
    day.at(f"{killed}:30").timer_fires("web01")
    day.run_until("04:00")
    rests = (Power.SAVED,) if power is Power.OFF else (power, Power.SAVED)
    assert day.power("web01") in rests
    assert day.record("web01") is None
    assert list(day.paths.state.glob("*.damaged-*"))


def test_a_journal_damaged_under_a_living_manager_still_ends_well(day: Day) -> None:
    day.workspace("web01")
    day.at("03:10").journal_is_damaged()
    day.run_until("03:31")
    assert day.power("web01") is Power.SAVED
    day.run_days(1)
    assert day.power("web01") is Power.SAVED
    assert day.record("web01") is None


def test_a_record_that_cannot_be_read_is_as_good_as_none(day: Day) -> None:
    day.workspace("web01")
    day.restarts_after = None
    day.at("03:10").manager_is_killed("web01")
    day.at("03:10").does(lambda: _spoil_record(day))
    day.at("03:11").timer_fires("web01")
    day.run_until("03:31")
    assert day.power("web01") is Power.SAVED
    assert day.why("web01") is Why.PUT_BACK


def _spoil_record(day: Day) -> None:
    with day.office.journal() as journal:
        journal._do("UPDATE run SET run = '{}'")


def test_a_leftover_mark_of_a_finished_run_is_nobodys(day: Day) -> None:
    """The VM stays paused in memory, so its mark would outlive a run that could not take it off."""
    day.workspace("web01", Power.PAUSED)
    day.at("02:00").verbs_fail("web01", "unmark")
    day.at("04:00").somebody_resumes("web01")
    day.at("04:10").timer_fires("web01")
    day.run_until("05:00")
    assert day.power("web01") is Power.RUNNING
    assert day.verbs("web01") == ["resume", "pause"]


@pytest.mark.parametrize("fault", ["read-only", "full"])
def test_who_uses_the_guest_is_heard_without_a_record(day: Day, fault: str) -> None:
    day.workspace("web01", reports=True)
    day.at("03:04").somebody_signs_in("web01")
    day.at("03:10").journal_is(fault)
    day.at("03:25").somebody_types("web01")
    day.run_until("03:45")
    assert day.power("web01") is Power.RUNNING


@pytest.mark.parametrize("power", [Power.SAVED, Power.OFF])
def test_who_uses_the_guest_is_remembered_while_the_journal_cannot_be_read(
    day: Day, power: Power, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is anybody's hold forgotten, nor a guest in which somebody works shut down."""

    def cannot(*_: object) -> NoReturn:
        raise JournalError("the disk below it fails")

    day.workspace("held", power)
    day.workspace("web01", power, reports=True)
    day.at("03:04").somebody_signs_in("web01")
    day.at("03:05").person_holds("held", 2)
    day.run_until("03:10")
    for name in ("said", "holds", "restart_mark"):
        monkeypatch.setattr(Journal, name, cannot)
    day.at("03:12").somebody_types("web01")
    day.run_until("03:45")
    assert day.power("held") is Power.RUNNING
    assert day.power("web01") is Power.RUNNING
    assert Verb.SHUT_DOWN not in day.verbs("web01")
