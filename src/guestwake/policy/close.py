"""A VM that runs for somebody: when that has ended, and what becomes of it then (contract, sections
4.5 and 8). Pure.

Normal Start: a run of Kind.USE, begun for the first application that is opened. Fast Start: one of
Kind.FAST_START, begun at a logon. Either starts the VM, is LENT for as long as it is used, or its
user logged on, and puts it where CloseAction says. A window that opens meanwhile joins it, and the
CloseAction waits for that one's end. A VM that ran before us is nobody's to close.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from guestwake.policy.common import is_for_restart, work_at_risk
from guestwake.policy.limits import Limits
from guestwake.policy.run import Facts, Kind, Phase, Restart, Step, WakeRun, Why
from guestwake.policy.words import Logon, Now, Power

USE_ENDED_FOR = timedelta(minutes=10)  # the guest's word, and viewers, come and go
CLOSED_FOR = timedelta(minutes=1)  # somebody closes one application to open another

FOR_USE = frozenset({Kind.USE, Kind.FAST_START})


def is_for_use(run: WakeRun) -> bool:
    """Whether it is there for its user alone; one that a window has joined is not."""
    return run.kind in FOR_USE and len(run.chain) == 1


def closes(run: WakeRun) -> bool:
    """Whether it goes where CloseAction says, and not back to where it was. What was given up
    before anything was shown has not been used."""
    return run.used or run.kind is Kind.FAST_START


def is_wanted(run: WakeRun, facts: Facts) -> bool:
    """Whether what it was begun for is still there, before the VM was started for it."""
    if not is_for_use(run):
        return True
    if run.kind is Kind.FAST_START:
        return facts.fast_start_holds
    return bool(facts.evidence.openings or facts.evidence.applications)


def settles(run: WakeRun) -> timedelta:
    """How long nobody must have used it. After a logoff it is put to rest within TaskTimeout."""
    if run.kind is Kind.FAST_START:
        return timedelta(0)
    return CLOSED_FOR if is_for_use(run) else USE_ENDED_FOR


def why_up(facts: Facts) -> Why:
    """Of a run that is for use."""
    return Why.KEPT_FOR_USER if facts.fast_start_holds else Why.IN_USE


def restart_comes_first(run: WakeRun, facts: Facts, limits: Limits, now: Now) -> bool:
    """Before it is used: the guest is waited for, and then its restart, within TaskTimeout each."""
    if run.restarted is not None:
        return run.boot_id_before is not None and run.phase is Phase.RESTARTING
    late = run.woke is None or -run.woke.left(now) > limits.task_timeout
    if late or not facts.restart_marked or facts.evidence.applications:
        return False
    if facts.guest is None:  # nobody was signed in when it was put to rest, as far as is known
        return facts.sessions_before_rest == ()
    return facts.guest.restart is Restart.REQUIRED and not work_at_risk(run, facts, now)


def may_open(step: Step, facts: Facts, limits: Limits, now: Now) -> bool:
    """Whether what waits to be opened can be: the VM is up, and not about to be restarted first."""
    if facts.power is not Power.RUNNING:
        return False
    if step.over:
        return step.why is Why.RUNS_ALREADY
    if step.run.phase is Phase.HOLDING and is_for_restart(step.run):
        return not restart_comes_first(step.run, facts, limits, now)
    return step.run.phase in (Phase.WATCHING, Phase.LENT) or (
        step.run.phase is Phase.HOLDING and not is_for_use(step.run)
    )


# logons


def user_since(
    logons: Iterable[Logon] | None, owner: str | None, limits: Limits
) -> datetime | None:
    """Since when somebody is logged on whom Fast Start serves: its owner, and with MultiUserEnabled
    or where the system owns it anybody. None: nobody, or nobody can tell."""
    anybody = owner is None or limits.multi_user_enabled
    return min((one.since for one in logons or () if anybody or one.user == owner), default=None)


def fast_start_holds(since: datetime | None, limits: Limits, *, published: bool) -> bool:
    """`since` as `user_since` tells. Only workspaces with published applications are started for a
    logon, and stay up for its length."""
    return published and limits.logon_start_enabled and since is not None


def fast_starts(
    since: datetime | None,
    tried: datetime | None,
    limits: Limits,
    now: datetime,
    *,
    published: bool,
) -> bool:
    """Whether it is to be started now: once for a logon. `tried`: when that was last done, or the
    logon itself where the clock says that it is still to come; one that lies in the future was by
    a clock that has been put back since."""
    if since is None or not fast_start_holds(since, limits, published=published):
        return False
    return tried is None or tried < since or since <= now < tried
