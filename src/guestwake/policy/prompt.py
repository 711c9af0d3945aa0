"""A restart that waits for people: asked, postponed, noticed, done (contract, section 6).

Pure, two questions. `say`: what the resident service does about a restart mark, from the journal
alone and without touching the VM. `answer`: what comes of it once the VM has been looked at. In a
window the mark is `hold.py`'s.

Postponement counts from the first prompt that a logged-on user saw. After that: notice, grace,
restart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from guestwake.policy.limits import Limits
from guestwake.policy.restart import RestartMark
from guestwake.policy.words import Deadline, Now, Power

if TYPE_CHECKING:  # `status` asks what is shown, and must not wait for the policy of the run
    from guestwake.policy.run import Facts

GRACE = timedelta(minutes=10)
ASK_AGAIN = timedelta(hours=4)  # after it was postponed, by whom it was not, at the next logon


@dataclass(frozen=True, slots=True)
class Prompt:
    """What has passed between us and people about one mark. `boot_id`: the mark's, which makes
    it the same one."""

    boot_id: str
    tried: Deadline | None = None  # when the VM was last looked at for it
    asking: bool = False  # it cannot be done unseen
    told: bool = False  # that people are asked is an event
    seen: Deadline | None = None  # the first prompt that a logged-on user saw
    postponed: Deadline | None = None  # when somebody last put it off
    agreed: Deadline | None = None  # when somebody said "now"
    notice: Deadline | None = None  # when it was announced that no more can be put off


class Say(StrEnum):
    """What the resident service does."""

    NOTHING = "nothing"
    TRY = "try"  # look at the VM, and restart it where that may be
    ASK = "ask"
    NOTICE = "notice"  # it will be restarted when the grace has passed


class Answer(StrEnum):
    """What a look at the VM comes to."""

    NOTHING = "nothing"
    RESTART = "restart"
    ASK = "ask"


def about(prompt: Prompt | None, mark: RestartMark) -> Prompt:
    """The prompt of this very mark."""
    return prompt if prompt and prompt.boot_id == mark.boot_id else Prompt(mark.boot_id)


def tried(prompt: Prompt | None, mark: RestartMark, found: Answer, now: Now) -> Prompt:
    """After a look at the VM."""
    before, at = about(prompt, mark), now.after(timedelta(0))
    return replace(before, tried=at, asking=found is Answer.ASK)


def was_seen(prompt: Prompt, now: Now) -> Prompt:
    """A logged-on user sees it now; only the first time counts."""
    return replace(prompt, seen=prompt.seen or now.after(timedelta(0)))


def postponed(prompt: Prompt, now: Now) -> Prompt:
    return replace(was_seen(prompt, now), postponed=now.after(timedelta(0)), agreed=None)


def agreed(prompt: Prompt, now: Now) -> Prompt:
    return replace(was_seen(prompt, now), agreed=now.after(timedelta(0)))


def noticed(prompt: Prompt, now: Now) -> Prompt:
    return replace(prompt, notice=prompt.notice or now.after(timedelta(0)))


def used_up(prompt: Prompt, now: Now) -> Prompt:
    """A restart is about to be asked of the guest: should it fail, people are asked again."""
    return replace(prompt, agreed=None, notice=None, seen=None, postponed=now.after(timedelta(0)))


def is_agreed(prompt: Prompt, now: Now) -> bool:
    """Whether it may be restarted over whatever is going on in it."""
    if prompt.agreed is not None:
        return True
    return prompt.notice is not None and -prompt.notice.left(now) >= GRACE


def last_moment(prompt: Prompt, limits: Limits) -> Deadline | None:
    """Until when it can be postponed. None: nobody has seen a prompt yet."""
    delay = limits.reboot_absolute_delay_timeout
    return prompt.seen.shifted(delay) if prompt.seen else None


def is_announced(prompt: Prompt, limits: Limits, now: Now) -> bool:
    """Whether it cannot be postponed any more."""
    until = last_moment(prompt, limits)
    return prompt.notice is not None or (until is not None and until.passed(now))


def say(
    mark: RestartMark | None,
    prompt: Prompt | None,
    logged_on: datetime | None,
    limits: Limits,
    now: Now,
) -> Say:
    """`logged_on`: since when its owner is. None: is not, or nobody can tell."""
    if mark is None or mark.is_in_vain:
        return Say.NOTHING
    prompt = about(prompt, mark)
    if is_agreed(prompt, now):
        return Say.TRY
    if is_announced(prompt, limits, now):
        return Say.NOTICE
    if logged_on is None:
        return Say.NOTHING
    if prompt.tried is None or prompt.tried.wall < logged_on:
        return Say.TRY
    if not prompt.asking or _was_put_off(prompt, logged_on, now):
        return Say.NOTHING
    return Say.ASK


def shown(
    mark: RestartMark | None, prompt: Prompt | None, limits: Limits, now: Now
) -> tuple[Say, Deadline | None]:
    """What its owner is to see, where one is logged on: ASK, and until when it can be put off, None
    before anybody has seen it; NOTICE, and when it comes; or NOTHING. It is tried at each logon, so
    the last try stands for that."""
    if mark is None:
        return Say.NOTHING, None
    prompt = about(prompt, mark)
    logged_on = prompt.tried.wall if prompt.tried else now.wall
    match say(mark, prompt, logged_on, limits, now):
        case Say.ASK:
            return Say.ASK, last_moment(prompt, limits)
        case Say.NOTICE if prompt.notice is not None:
            return Say.NOTICE, prompt.notice.shifted(GRACE)
        case _:
            return Say.NOTHING, None


def answer(mark: RestartMark | None, prompt: Prompt | None, facts: Facts, now: Now) -> Answer:
    """Outside its windows, and with no run open."""
    if mark is None or mark.is_in_vain:
        return Answer.NOTHING
    agreed = is_agreed(about(prompt, mark), now)
    match facts.power:
        case Power.SAVED | Power.PAUSED | Power.SUSPENDED:
            nobody_in_it = facts.sessions_before_rest == ()
            return Answer.RESTART if nobody_in_it or agreed else Answer.ASK
        case Power.RUNNING:
            return Answer.RESTART if agreed else Answer.ASK
        case _:  # one that is off needs nothing; the others cannot be helped now
            return Answer.NOTHING


def _was_put_off(prompt: Prompt, logged_on: datetime, now: Now) -> bool:
    if prompt.postponed is None or prompt.postponed.wall < logged_on:
        return False
    return -prompt.postponed.left(now) < ASK_AGAIN
