"""Who is asked about a restart, when, and what happens when nobody answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from guestwake.policy import prompt as prompts
from guestwake.policy.in_use import Session
from guestwake.policy.limits import Limits
from guestwake.policy.prompt import ASK_AGAIN, GRACE, Answer, Prompt, Say
from guestwake.policy.restart import MarkedReason, RestartMark
from guestwake.policy.run import Facts
from guestwake.policy.words import Now, Power

MINUTE = timedelta(minutes=1)
BEGAN = datetime(2026, 6, 9, 8, tzinfo=UTC)
MARK = RestartMark((MarkedReason("apt", "libc6"),), BEGAN, "boot-1")
LIMITS = Limits(reboot_absolute_delay_timeout=timedelta(hours=24))


def at(minutes: float, host_boot: str = "host-1") -> Now:
    span = timedelta(minutes=minutes)
    return Now(BEGAN + span, 1000 + span.total_seconds(), host_boot)


def say(prompt: Prompt | None, minutes: float, *, since: float | None = 0) -> Say:
    logged_on = None if since is None else BEGAN + since * MINUTE
    return prompts.say(MARK, prompt, logged_on, LIMITS, at(minutes))


ASKING = Prompt("boot-1", tried=at(1).after(timedelta(0)), asking=True)


def test_without_a_mark_or_with_one_that_is_in_vain_nothing_is_said() -> None:
    vain = RestartMark((MarkedReason("apt", "libc6", survived=2),), BEGAN, "boot-1")
    for mark in (None, vain):
        assert prompts.say(mark, ASKING, BEGAN, LIMITS, at(5)) is Say.NOTHING


def test_nothing_happens_while_its_owner_is_not_logged_on() -> None:
    assert say(None, 5, since=None) is Say.NOTHING
    assert say(ASKING, 5, since=None) is Say.NOTHING


def test_it_is_tried_once_for_each_logon() -> None:
    assert say(None, 0) is Say.TRY
    assert say(replace(ASKING, asking=False), 5) is Say.NOTHING
    assert say(replace(ASKING, asking=False), 5, since=4) is Say.TRY


def test_where_it_cannot_be_done_unseen_its_owner_is_asked() -> None:
    assert say(ASKING, 5) is Say.ASK


def test_who_has_put_it_off_is_asked_again_later_and_at_the_next_logon() -> None:
    later = prompts.postponed(ASKING, at(10))
    assert say(later, 11) is Say.NOTHING
    assert say(later, 10 + ASK_AGAIN / MINUTE) is Say.ASK
    tried = replace(later, tried=at(21).after(timedelta(0)))
    assert say(tried, 22, since=20) is Say.ASK


def test_the_delay_counts_from_the_first_prompt_that_somebody_saw() -> None:
    assert prompts.last_moment(ASKING, LIMITS) is None
    seen = prompts.was_seen(ASKING, at(10))
    again = prompts.postponed(prompts.was_seen(seen, at(600)), at(700))
    until = prompts.last_moment(again, LIMITS)
    assert until is not None
    assert until.wall == BEGAN + timedelta(hours=24, minutes=10)
    assert say(again, 24 * 60 + 9) is not Say.NOTICE
    assert say(again, 24 * 60 + 10) is Say.NOTICE


def test_nobody_saw_it_so_it_is_never_forced() -> None:
    assert say(ASKING, 60 * 24 * 365) is Say.ASK


def test_after_the_delay_notice_then_grace_then_the_restart_though_nobody_is_logged_on() -> None:
    seen = prompts.was_seen(ASKING, at(0))
    late = 24 * 60 + 1
    assert say(seen, late, since=None) is Say.NOTICE
    noticed = prompts.noticed(seen, at(late))
    assert prompts.noticed(noticed, at(late + 5)) == noticed
    assert say(noticed, late + GRACE / MINUTE - 1, since=None) is Say.NOTICE
    assert not prompts.is_agreed(noticed, at(late + 9))
    assert say(noticed, late + GRACE / MINUTE, since=None) is Say.TRY
    assert prompts.is_agreed(noticed, at(late + 10))


def test_over_a_restart_of_the_host_the_delay_goes_by_wall_time() -> None:
    seen = prompts.was_seen(ASKING, at(0))
    anew = replace(at(24 * 60 + 1), elapsed=30.0, boot_id="host-2")
    assert prompts.say(MARK, seen, None, LIMITS, anew) is Say.NOTICE


def test_who_agrees_has_it_now_and_who_postpones_after_that_has_not() -> None:
    agreed = prompts.agreed(ASKING, at(5))
    assert say(agreed, 6, since=None) is Say.TRY
    assert say(prompts.postponed(agreed, at(6)), 7) is Say.NOTHING


def test_a_restart_that_was_asked_for_uses_up_what_was_agreed() -> None:
    used = prompts.used_up(prompts.noticed(prompts.agreed(ASKING, at(5)), at(6)), at(7))
    assert not prompts.is_agreed(used, at(60))
    assert say(used, 8) is Say.NOTHING
    assert say(used, 8 + ASK_AGAIN / MINUTE) is Say.ASK


def test_what_was_said_about_an_older_mark_counts_for_nothing() -> None:
    older = replace(prompts.agreed(ASKING, at(5)), boot_id="boot-0")
    assert prompts.about(older, MARK) == Prompt("boot-1")
    assert say(older, 6) is Say.TRY
    assert prompts.answer(MARK, older, Facts(Power.RUNNING), at(6)) is Answer.ASK


SESSIONS = (Session("alice", 0, None),)


@pytest.mark.parametrize(
    ("power", "sessions", "agreed", "expected"),
    [
        (Power.SAVED, (), False, Answer.RESTART),
        (Power.PAUSED, (), False, Answer.RESTART),
        (Power.SUSPENDED, (), False, Answer.RESTART),
        (Power.SAVED, SESSIONS, False, Answer.ASK),
        (Power.SAVED, SESSIONS, True, Answer.RESTART),
        (Power.RUNNING, (), False, Answer.ASK),
        (Power.RUNNING, SESSIONS, True, Answer.RESTART),
        (Power.OFF, (), True, Answer.NOTHING),
        (Power.ELSEWHERE, (), True, Answer.NOTHING),
        (Power.CRASHED, (), True, Answer.NOTHING),
        (Power.UNKNOWN, (), True, Answer.NOTHING),
    ],
)
def test_what_a_look_comes_to(
    power: Power, sessions: tuple[Session, ...], *, agreed: bool, expected: Answer
) -> None:
    prompt = prompts.agreed(ASKING, at(5)) if agreed else ASKING
    facts = Facts(power, sessions_before_rest=sessions)
    assert prompts.answer(MARK, prompt, facts, at(6)) is expected


def test_nobody_knows_what_is_in_a_guest_that_never_told_so_its_user_is_asked() -> None:
    facts = Facts(Power.SAVED, sessions_before_rest=None)
    assert prompts.answer(MARK, None, facts, at(6)) is Answer.ASK


def test_a_look_is_remembered() -> None:
    kept = prompts.tried(None, MARK, Answer.ASK, at(3))
    assert (kept.boot_id, kept.asking, kept.tried) == ("boot-1", True, at(3).after(timedelta(0)))


# what its owner is to see


def shown(prompt: Prompt | None, minutes: float) -> tuple[Say, float | None]:
    """And when, in minutes."""
    said, until = prompts.shown(MARK, prompt, LIMITS, at(minutes))
    return said, (until.wall - BEGAN) / MINUTE if until else None


def test_an_owner_is_shown_what_is_asked_and_until_when_it_can_be_put_off() -> None:
    assert prompts.shown(None, ASKING, LIMITS, at(5)) == (Say.NOTHING, None)
    assert shown(None, 5) == (Say.NOTHING, None)  # not yet looked at
    assert shown(ASKING, 5) == (Say.ASK, None)
    assert shown(prompts.was_seen(ASKING, at(5)), 6) == (Say.ASK, 24 * 60 + 5)


def test_an_owner_is_shown_nothing_once_it_is_agreed_or_put_off_until_the_next_logon() -> None:
    assert shown(prompts.agreed(ASKING, at(5)), 6) == (Say.NOTHING, None)
    later = prompts.postponed(ASKING, at(5))
    assert shown(later, 6) == (Say.NOTHING, None)
    assert shown(later, 6 + 240)[0] is Say.ASK
    tried_at_the_next = prompts.tried(later, MARK, Answer.ASK, at(20))
    assert shown(tried_at_the_next, 21)[0] is Say.ASK


def test_an_owner_is_shown_a_notice_with_its_hour_once_it_was_given() -> None:
    over = prompts.was_seen(ASKING, at(5))
    late = 24 * 60 + 6
    assert shown(over, late) == (Say.NOTHING, None)  # the service is about to
    noticed = prompts.noticed(over, at(late))
    assert shown(noticed, late + 1) == (Say.NOTICE, late + 10)
    assert shown(noticed, late + 10) == (Say.NOTHING, None)  # it is being done
