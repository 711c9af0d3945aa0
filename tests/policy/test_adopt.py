"""A run taken up from the VM's own metadata, where the journal has forgotten it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from scene import DATE, HOST_ZONE, HOUR, UUID

from guestwake.policy.adopt import adopted, is_behind
from guestwake.policy.common import awake
from guestwake.policy.in_use import Evidence, work_at_risk
from guestwake.policy.limits import CloseAction, Limits
from guestwake.policy.put_back import goal_of
from guestwake.policy.run import Facts, Goal, Kind, Mark, Phase, Prior, WakeRun, Why
from guestwake.policy.window import opening, schedule_of
from guestwake.policy.words import Now, Power, Start


def woken(prior: Prior) -> tuple[WakeRun, Now]:
    window = opening(DATE, schedule_of(HOUR, UUID, HOST_ZONE))
    assert window is not None
    now = Now(window.opens, 5000.0, "boot")
    run = WakeRun(
        token="ours",
        kind=Kind.SCHEDULED,
        chain=(window,),
        length=timedelta(hours=1),
        ends=now.after(timedelta(hours=1)),
        phase=Phase.WAKING,
        since=now.after(timedelta(0)),
        why=Why.WAKES,
        prior=prior,
        kept_memory=prior is not Prior.OFF,
    )
    return run, now


FACTS = Facts(power=Power.RUNNING, start=Start("this start", 5000.5))


def test_the_very_start_that_the_mark_names_is_ours() -> None:
    run, _ = woken(Prior.SAVED)
    found = adopted(run, "this start", FACTS, known=False)
    assert found is not None
    assert (found.phase, found.start, found.prior) == (Phase.HOLDING, "this start", Prior.SAVED)


@pytest.mark.parametrize(
    ("start_id", "facts", "known"),
    [
        ("an earlier start", FACTS, False),
        ("this start", replace(FACTS, start=None), False),
        ("this start", FACTS, True),
    ],
    ids=["the mark came back with a saved image", "it does not run", "that run was finished"],
)
def test_anything_else_is_not(start_id: str, facts: Facts, known: bool) -> None:
    run, _ = woken(Prior.SAVED)
    assert adopted(run, start_id, facts, known=known) is None


@pytest.mark.parametrize("action", list(CloseAction))
def test_what_was_off_is_saved_as_nobody_knows_who_used_it(action: CloseAction) -> None:
    run, now = woken(Prior.OFF)
    found = adopted(run, "this start", FACTS, known=False)
    assert found is not None
    at_risk = work_at_risk(Evidence(), awake(found, now))
    assert goal_of(found, Limits(close_action=action), busy=False, at_risk=at_risk) is Goal.SAVED


OURS = Mark("ours", "this start")


@pytest.mark.parametrize(
    ("changes", "mark", "behind"),
    [
        ({"phase": Phase.WAITING}, OURS, True),
        ({"phase": Phase.WAITING, "parked": Power.OFF}, OURS, True),
        ({"phase": Phase.WAITING, "parked": Power.PAUSED}, OURS, False),  # somebody resumed it
        ({"phase": Phase.WAITING}, Mark("ours", "another start"), False),
        ({"phase": Phase.WAITING}, Mark("theirs", "this start", another=True), False),
        ({"phase": Phase.WAITING}, None, False),
        ({"phase": Phase.WAKING}, OURS, False),  # the manager died a moment ago
        ({"phase": Phase.WAKING}, Mark("a later run", "this start"), True),
        ({"phase": Phase.WAKING, "start": "one that was never"}, OURS, True),
        ({"phase": Phase.HOLDING, "start": "this start"}, OURS, False),
        ({"phase": Phase.HOLDING, "start": "an earlier start"}, OURS, True),
        ({"phase": Phase.LENT, "start": "an earlier start"}, Mark("later", "this start"), True),
    ],
)
def test_the_mark_of_a_later_wake_knows_better_than_the_journal(
    changes: dict[str, Any], mark: Mark | None, behind: bool
) -> None:
    run, _ = woken(Prior.SAVED)
    assert is_behind(replace(run, **changes), replace(FACTS, mark=mark)) is behind
