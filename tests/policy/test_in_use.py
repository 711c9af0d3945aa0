"""In use, and work at risk: each sentence of the contract's section 5, to the second."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from guestwake.policy.in_use import (
    Awake,
    By,
    Evidence,
    Reporter,
    Session,
    Use,
    users,
    work_at_risk,
)
from guestwake.policy.limits import Limits
from guestwake.policy.words import Now

WOKE = 10_000.0
HOUR, DAY = 3600.0, 24 * 3600.0
FRESH, SILENT, NEVER = Reporter.FRESH, Reporter.SILENT, Reporter.NEVER
SAVED_BEFORE, OFF_BEFORE = Awake(WOKE, rested=True), Awake(WOKE, rested=False)
RAN_BEFORE = Awake(None, rested=True)
VIEWED = Evidence(viewers=frozenset({"spice-1"}))


def at(seconds: float) -> Now:
    """So many seconds after the wake."""
    return Now(datetime(2026, 6, 9, tzinfo=UTC), WOKE + seconds, "boot-1")


def session(since: float = -HOUR, typed: float | None = None, user: str = "alice") -> Session:
    """In seconds after the wake."""
    return Session(user, WOKE + since, None if typed is None else WOKE + typed)


def guest(*sessions: Session, reporter: Reporter = FRESH) -> Evidence:
    return Evidence(reporter=reporter, sessions=sessions)


IN_USE = [
    ("nobody", Evidence(), SAVED_BEFORE, 300, ()),
    ("an application", Evidence(applications=("gimp",)), SAVED_BEFORE, 0, (By.APPLICATION,)),
    ("a hold", Evidence(holds=("backup",)), SAVED_BEFORE, 0, (By.HOLD,)),
    ("a remote desktop", Evidence(rdp=("192.0.2.7",)), SAVED_BEFORE, 0, (By.RDP,)),
    ("a viewer 60 s after the wake", VIEWED, SAVED_BEFORE, 60, ()),
    ("a viewer more than 60 s after the wake", VIEWED, SAVED_BEFORE, 60.001, (By.VIEWER,)),
    ("a viewer of a VM that ran before us", VIEWED, RAN_BEFORE, 1, (By.VIEWER,)),
    ("a viewer that was there before",
     VIEWED, replace(SAVED_BEFORE, early_viewers=frozenset({"spice-1"})), 300, ()),
    ("another viewer than the one that was there before",
     VIEWED, replace(SAVED_BEFORE, early_viewers=frozenset({"spice-0"})), 300, (By.VIEWER,)),
    ("a viewer that was there before, and the guest sees input",
     replace(guest(session(typed=200)), viewers=frozenset({"spice-1"})),
     replace(SAVED_BEFORE, early_viewers=frozenset({"spice-1"})), 300, (By.GUEST,)),
    ("a mere session", guest(session()), SAVED_BEFORE, 300, ()),
    ("an automatic logon", guest(session(since=5)), OFF_BEFORE, 300, ()),
    ("input two minutes after the wake", guest(session(typed=120)), SAVED_BEFORE, 300, ()),
    ("input more than two minutes after the wake",
     guest(session(typed=120.001)), SAVED_BEFORE, 300, (By.GUEST,)),
    ("input before the wake", guest(session(typed=-60)), SAVED_BEFORE, 300, ()),
    ("input just now in a VM that ran before us",
     guest(session(typed=-60)), RAN_BEFORE, 0, (By.GUEST,)),
    ("the guest's word after 60 idle minutes",
     guest(session(typed=200)), SAVED_BEFORE, 200 + HOUR, (By.GUEST,)),
    ("the guest's word after more than 60 idle minutes",
     guest(session(typed=200)), SAVED_BEFORE, 200.001 + HOUR, ()),
    ("new input renews it",
     guest(session(typed=200 + HOUR)), SAVED_BEFORE, 300 + HOUR, (By.GUEST,)),
    ("within GuestUseLimit past the end", guest(session(typed=9 * HOUR)),
     replace(SAVED_BEFORE, past_end=timedelta(seconds=DAY - 1)), 9 * HOUR, (By.GUEST,)),
    ("GuestUseLimit past the end", guest(session(typed=9 * HOUR)),
     replace(SAVED_BEFORE, past_end=timedelta(seconds=DAY)), 9 * HOUR, ()),
    ("GuestUseLimit does not bound the host's own evidence", Evidence(holds=("backup",)),
     replace(SAVED_BEFORE, past_end=timedelta(seconds=2 * DAY)), 9 * HOUR, (By.HOLD,)),
    ("the last word of a guest that fell silent",
     guest(session(typed=200), reporter=SILENT), SAVED_BEFORE, 300, ()),
    ("everybody at once",
     Evidence(("gimp",), ("xterm",), ("backup",), ("192.0.2.7",), frozenset({"vnc"}), FRESH,
              (session(typed=200),)),
     SAVED_BEFORE, 300, (By.APPLICATION, By.APPLICATION, By.HOLD, By.RDP, By.VIEWER, By.GUEST)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("evidence", "awake", "seconds", "who"), [row[1:] for row in IN_USE], ids=[r[0] for r in IN_USE]
)
def test_in_use(evidence: Evidence, awake: Awake, seconds: float, who: tuple[By, ...]) -> None:
    assert tuple(use.by for use in users(evidence, awake, Limits(), at(seconds))) == who


def test_status_can_name_who_keeps_a_vm_awake() -> None:
    evidence = replace(guest(session(typed=200, user="bob")), holds=("backup",))
    found = users(evidence, SAVED_BEFORE, Limits(), at(300))
    assert found == (Use(By.HOLD, "backup"), Use(By.GUEST, "bob"))


AT_RISK = [
    ("a session older than the wake", guest(session(since=-1)), SAVED_BEFORE, True),
    ("one that seems to begin just after it, of a VM with memory",
     guest(session(since=30)), SAVED_BEFORE, True),
    ("one that begins well after it, untouched", guest(session(since=61)), SAVED_BEFORE, False),
    ("a session that began with the wake and saw no input",
     guest(session(since=0)), OFF_BEFORE, False),
    ("a session that has seen input", guest(session(since=5, typed=6)), OFF_BEFORE, True),
    ("no session", guest(), SAVED_BEFORE, False),
    ("no session any more, and used earlier", guest(), replace(SAVED_BEFORE, used=True), False),
    ("any session of a VM that ran before us", guest(session(since=5)), RAN_BEFORE, True),
    ("an application", replace(guest(), applications=("gimp",)), OFF_BEFORE, True),
    ("a guest that used to report fell silent", guest(reporter=SILENT), OFF_BEFORE, True),
    ("never a reporter, saved or paused before", guest(reporter=NEVER), SAVED_BEFORE, True),
    ("never a reporter, off before", guest(reporter=NEVER), OFF_BEFORE, False),
    ("never a reporter, off before, a viewer that was there early",
     replace(guest(reporter=NEVER), viewers=frozenset({"anna"})), OFF_BEFORE, True),
    ("never a reporter, off before, used since",
     guest(reporter=NEVER), replace(OFF_BEFORE, used=True), True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("evidence", "awake", "at_risk"), [row[1:] for row in AT_RISK], ids=[row[0] for row in AT_RISK]
)
def test_work_at_risk(evidence: Evidence, awake: Awake, at_risk: bool) -> None:
    assert work_at_risk(evidence, awake) is at_risk
