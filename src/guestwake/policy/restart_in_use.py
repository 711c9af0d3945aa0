"""The restart of a VM that ran before us, which its user has agreed to, or was given notice of
(contract, section 6). It is not ours: nothing else is done to it. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from guestwake.policy.common import (
    LOOK_SOON,
    RESTART_PAUSE,
    UNSETTLED,
    over,
    unsettled,
    wait,
)
from guestwake.policy.limits import Limits
from guestwake.policy.run import Facts, Phase, Prior, Restart, Step, WakeRun, Why
from guestwake.policy.words import Now, Power, StoppedBy, Verb


def restart(run: WakeRun, facts: Facts, limits: Limits, now: Now) -> Step:
    """It runs, and nothing has been done yet."""
    if not facts.agreed:
        return over(run, facts, Why.RESTART_NOT_NEEDED)
    guest = facts.guest
    if guest is None or guest.busy:  # nobody was listening: its next word comes within minutes
        late = -run.since.left(now) > limits.task_timeout
        pause = wait(run, Why.RESTARTS_IN_USE, now, LOOK_SOON)
        return over(run, facts, Why.RESTART_FAILED) if late else pause
    if guest.restart is not Restart.REQUIRED:
        return over(run, facts, Why.RESTART_NOT_NEEDED)
    restarting = replace(
        run,
        phase=Phase.RESTARTING,
        since=now.after(timedelta(0)),
        why=Why.RESTARTS_IN_USE,
        prior=Prior.RUNNING,
        start=facts.start.id if facts.start else None,
        restarts=run.restarts + 1,
        restarted=now.after(timedelta(0)),
        boot_id_before=guest.boot_id,
    )
    return Step(
        restarting,
        Why.RESTARTS_IN_USE,
        verb=Verb.RESTART,
        look_again_at=now.after(LOOK_SOON),
    )


def as_agreed(run: WakeRun, facts: Facts, now: Now) -> Step | None:
    """In its window, which goes on: the next report from another boot clears the mark. None: it
    is not agreed, or not now."""
    guest = facts.guest
    if not facts.agreed or facts.power is not Power.RUNNING or facts.start is None:
        return None
    if guest is None or guest.busy or guest.restart is not Restart.REQUIRED:
        return None
    if facts.start.id != run.start or _was_within_the_hour(run, now):
        return None
    restarted = replace(
        run,
        why=Why.RESTARTS_IN_USE,
        restarts=run.restarts + 1,
        restarted=now.after(timedelta(0)),
    )
    return Step(
        restarted, Why.RESTARTS_IN_USE, verb=Verb.RESTART, look_again_at=now.after(LOOK_SOON)
    )


def _was_within_the_hour(run: WakeRun, now: Now) -> bool:
    return run.restarted is not None and -run.restarted.left(now) < RESTART_PAUSE


def restarting(run: WakeRun, facts: Facts, limits: Limits, now: Now) -> Step:
    """Verified by a new boot id in a fresh report."""
    if facts.power in UNSETTLED:
        return unsettled(run, facts, now)
    if facts.power is Power.GONE:
        return over(run, facts, Why.VM_GONE)
    if facts.power is not Power.RUNNING:
        by_guest = facts.stopped_by is StoppedBy.GUEST
        return over(run, facts, Why.GUEST_STOPPED_ITSELF if by_guest else Why.STOPPED_BY_SOMEBODY)
    if facts.start is not None and facts.start.id != run.start:
        return over(run, facts, Why.STARTED_BY_SOMEBODY)
    if facts.guest is not None and facts.guest.boot_id != run.boot_id_before:
        return over(run, facts, Why.RESTARTED_IN_USE)
    if facts.trouble is not None or -run.since.left(now) > limits.task_timeout:
        return over(run, facts, Why.RESTART_FAILED)
    step = wait(run, Why.RESTARTS_IN_USE, now, LOOK_SOON)
    return replace(step, leave=facts.told_to_stop)
