"""Putting a VM back: where to, by which verb, and what when it does not go (contract, 4.4 to
4.7). Pure. Never powers off but where CloseAction says TURN-OFF; never gives up."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from guestwake.policy import hold
from guestwake.policy.admission import slot_free
from guestwake.policy.close import closes
from guestwake.policy.common import (
    LOOK_SOON,
    UNSETTLED,
    is_busy,
    is_ours,
    joined_by_next,
    over,
    parked,
    stays_up,
    unsettled,
    wait,
    work_at_risk,
)
from guestwake.policy.limits import CloseAction, Limits, ReturnState
from guestwake.policy.run import Facts, Goal, Kind, Phase, Prior, Step, WakeRun, Why
from guestwake.policy.window import Schedule
from guestwake.policy.words import Deadline, Now, Power, StoppedBy, Trouble, Verb

ASK_AGAIN = timedelta(seconds=30)
REFUSED_PAUSE = timedelta(seconds=5)
REFUSED_PAUSE_MAX = timedelta(minutes=10)
QUEUE_LOOK = timedelta(seconds=2)

_REACHED = {
    Goal.PAUSED: Power.PAUSED,
    Goal.SUSPENDED: Power.SUSPENDED,
    Goal.SAVED: Power.SAVED,
    Goal.SAVED_PAUSED: Power.SAVED,
    Goal.OFF: Power.OFF,
    Goal.TURNED_OFF: Power.OFF,
}
_VERBS = {
    Goal.PAUSED: Verb.PAUSE,
    Goal.SUSPENDED: Verb.SUSPEND,
    Goal.SAVED: Verb.SAVE,
    Goal.SAVED_PAUSED: Verb.SAVE_PAUSED,
    Goal.TURNED_OFF: Verb.POWER_OFF,
}
_OF_PRIOR = {
    Prior.RUNNING: Goal.SAVED,  # never asked for
    Prior.PAUSED: Goal.PAUSED,
    Prior.SUSPENDED: Goal.SUSPENDED,
    Prior.SAVED: Goal.SAVED,
    Prior.SAVED_PAUSED: Goal.SAVED_PAUSED,
    Prior.OFF: Goal.OFF,
}
_OF_CLOSE = {
    CloseAction.HIBERNATE: Goal.SAVED,
    CloseAction.SHUTDOWN: Goal.OFF,
    CloseAction.TURN_OFF: Goal.TURNED_OFF,
}
_SAVES = (Goal.SAVED, Goal.SAVED_PAUSED)
_OFF = (Goal.OFF, Goal.TURNED_OFF)
_ASKED_OF_GUEST = (Goal.OFF, Goal.SUSPENDED)


def goal_of(run: WakeRun, limits: Limits, *, busy: bool, at_risk: bool) -> Goal:
    """Where this VM goes when nobody uses it (any more).

    A VM that was used goes where CloseAction says, and a CloseAction may ask for a shutdown over
    somebody's work; nothing else may. One that is installing is never shut down.
    """
    if closes(run):
        goal = _OF_CLOSE[limits.close_action]
        return Goal.SAVED if busy and goal in (Goal.OFF, Goal.TURNED_OFF) else goal
    goal = _unused_goal(run, limits)
    if goal is Goal.OFF and (busy or at_risk):
        return Goal.SAVED
    return Goal.SAVED if goal is Goal.SUSPENDED and busy else goal


def put_back(run: WakeRun, facts: Facts, limits: Limits, now: Now) -> Step:
    """Begin, with nobody using it."""
    run = replace(run, parking=None, forced=False)
    return _begin(run, facts, limits, now, _goal_now(run, facts, limits, now))


def park(run: WakeRun, facts: Facts, limits: Limits, now: Now, why: Why) -> Step:
    """Put it to rest inside its window, to go on later: by saving where the host shuts down, or
    where it was used, as its CloseAction waits for the end."""
    run = replace(run, parking=why, forced=False)
    if why is Why.HOST_SHUTS_DOWN:
        return save_at_once(run, facts, limits, now)
    run = replace(run, power_changed=now.after(timedelta(0)))
    goal = Goal.SAVED if closes(run) else _goal_now(run, facts, limits, now)
    return _begin(run, facts, limits, now, goal)


def save_at_once(run: WakeRun, facts: Facts, limits: Limits, now: Now) -> Step:
    """Whatever else: by saving, never by shutting down (a paused VM is paused again)."""
    goal = _wanted(run, limits)
    survives = goal in _SAVES or (goal is Goal.PAUSED and not facts.host.shutting_down)
    run = replace(run, forced=True)
    return _begin(run, facts, limits, now, goal if survives else Goal.SAVED)


def restoring(run: WakeRun, facts: Facts, limits: Limits, schedule: Schedule, now: Now) -> Step:
    assert run.goal is not None
    if facts.power in UNSETTLED:
        return _on_its_way(run, facts, limits, now)
    if facts.power is _REACHED[run.goal] and not _image_lost(facts):
        return _reached(run, facts, now)
    if facts.power not in (Power.RUNNING, Power.PAUSED, Power.SUSPENDED):
        return _stopped_otherwise(run, facts, now)
    if not is_ours(run, facts, now):
        return hold.changed_hands(run, facts, now)
    if facts.power is Power.SUSPENDED and not run.forced and _wanted(run, limits) is Goal.SUSPENDED:
        return _reached(run, facts, now)  # it took its time, and was to be saved instead by now
    if facts.host.shutting_down and run.parking is not Why.HOST_SHUTS_DOWN:
        return park(run, facts, limits, now, Why.HOST_SHUTS_DOWN)
    if not facts.host.shutting_down and stays_up(run, facts, limits, now):
        return hold.lend(run, facts, now)
    under_way = run.asked and run.goal is not Goal.OFF
    if facts.told_to_stop and not run.forced and not under_way:
        return save_at_once(run, facts, limits, now)
    if facts.trouble is not None and run.asked:
        return replace(_refused(run, facts, limits, schedule, now), leave=facts.told_to_stop)
    if run.retry and not run.retry.passed(now):
        return replace(wait(run, run.why, now, run.retry.left(now)), leave=facts.told_to_stop)
    return _ask(run, facts, limits, now)


def end_at_rest(run: WakeRun, facts: Facts, limits: Limits) -> Step:
    """The window of a parked run has ended, and its VM is at rest."""
    wanted = _wanted(run, limits)
    if facts.power is Power.OFF and wanted not in _OFF:
        return over(run, facts, Why.CRASHED)
    if facts.power is Power.SAVED and wanted in _OFF:
        return over(replace(run, owed_off=True), facts, Why.PUT_BACK_OWED_OFF)
    return over(replace(run, owed_off=False), facts, Why.PUT_BACK)


def _unused_goal(run: WakeRun, limits: Limits) -> Goal:
    goal = _OF_PRIOR[run.prior or Prior.SAVED]
    match limits.return_state:
        case ReturnState.PREVIOUS:
            return goal
        case ReturnState.HIBERNATE:
            return Goal.SAVED_PAUSED if goal is Goal.SAVED_PAUSED else Goal.SAVED
        case ReturnState.SHUTDOWN:
            return Goal.OFF


def _wanted(run: WakeRun, limits: Limits) -> Goal:
    """Where it should be in the end, were there nothing in the way."""
    return _OF_CLOSE[limits.close_action] if closes(run) else _unused_goal(run, limits)


def _goal_now(run: WakeRun, facts: Facts, limits: Limits, now: Now) -> Goal:
    busy, at_risk = is_busy(run, facts), work_at_risk(run, facts, now)
    return goal_of(run, limits, busy=busy, at_risk=at_risk)


def _begin(run: WakeRun, facts: Facts, limits: Limits, now: Now, goal: Goal) -> Step:
    restoring_run = replace(
        run,
        phase=Phase.RESTORING,
        since=now.after(timedelta(0)),
        goal=goal,
        owed_off=goal not in _OFF and _wanted(run, limits) in _OFF,
        closing=closes(run),
        asked=None,
        retry=None,
        tries=0,
    )
    return _ask(restoring_run, facts, limits, now)


def _ask(run: WakeRun, facts: Facts, limits: Limits, now: Now) -> Step:
    """The verb for the goal; a guest is given TaskTimeout, then it is saved instead."""
    assert run.goal is not None
    if facts.done is not None and run.asked:
        return wait(run, Why.PUTS_BACK, now, LOOK_SOON)
    if run.goal in _SAVES:
        if not run.forced and not run.asked and not slot_free(facts.others, limits, now):
            return wait(run, Why.WAITS_TO_PUT_BACK, now, QUEUE_LOOK)
        return _verb(run, _VERBS[run.goal], now)
    unsafe = run.goal in _OFF and _goal_now(run, facts, limits, now) not in _OFF
    overdue = -run.since.left(now) > limits.task_timeout
    if (unsafe and run.goal is Goal.TURNED_OFF) or (overdue and run.goal in _ASKED_OF_GUEST):
        return _save_instead(run, limits, now)
    if unsafe:  # it may be installing on its way down: asked no more, and given its time
        return wait(run, Why.PUTS_BACK, now, LOOK_SOON)
    given_time = run.asked is not None and -run.asked.left(now) < ASK_AGAIN
    if run.goal in _ASKED_OF_GUEST and given_time:
        return wait(run, Why.PUTS_BACK, now, LOOK_SOON)
    if run.goal is Goal.OFF:
        first = run.asked is None and run.tries == 0
        return _verb(run, Verb.SHUT_DOWN if first else Verb.PRESS_POWER_BUTTON, now)
    return _verb(run, _VERBS[run.goal], now)


def _verb(run: WakeRun, verb: Verb, now: Now) -> Step:
    asked = replace(run, asked=now.after(timedelta(0)), why=Why.PUTS_BACK, retry=None)
    return Step(asked, Why.PUTS_BACK, verb=verb, look_again_at=now.after(LOOK_SOON))


def _on_its_way(run: WakeRun, facts: Facts, limits: Limits, now: Now) -> Step:
    """It goes down, or a job keeps it, or nobody answers: past TaskTimeout that stands."""
    if -run.since.left(now) <= limits.task_timeout:
        if facts.power is Power.CHANGING:
            return wait(run, Why.PUTS_BACK, now, LOOK_SOON)
        return unsettled(run, facts, now)
    step = wait(run, _why_not(run, facts, limits, now), now, ASK_AGAIN)
    return replace(step, leave=facts.told_to_stop and facts.power is Power.UNKNOWN)


def _why_not(run: WakeRun, facts: Facts, limits: Limits, now: Now) -> Why:
    """Past TaskTimeout a logoff and a shutdown of the host have events of their own (MED-V)."""
    if -run.since.left(now) > limits.task_timeout:
        if facts.host.shutting_down:
            return Why.SHUTDOWN_OVERDUE
        if run.kind is Kind.FAST_START:
            return Why.LOGOFF_OVERDUE
    return Why.NOT_PUT_BACK_REFUSED


def _refused(run: WakeRun, facts: Facts, limits: Limits, schedule: Schedule, now: Now) -> Step:
    """The hypervisor said no: it stays up, with a standing event, and is tried again."""
    if run.goal is Goal.SUSPENDED and facts.trouble is not Trouble.BUSY:
        return wait(replace(run, goal=Goal.SAVED, asked=None), Why.SAVES_INSTEAD, now, LOOK_SOON)
    if run.goal in _ASKED_OF_GUEST:
        # No agent, or it does not answer, as on the way to sleep: a button is next where there is
        # one, and TaskTimeout ends it.
        pause = LOOK_SOON if run.goal is Goal.OFF and run.tries == 0 else ASK_AGAIN
        again = replace(run, asked=None, tries=run.tries + 1, retry=now.after(pause))
        return wait(again, Why.PUTS_BACK, now, pause)
    joined = None if run.forced or facts.removed else joined_by_next(run, facts, schedule, now)
    if joined:
        joined = replace(joined, phase=Phase.HOLDING, goal=None, asked=None, retry=None)
        return wait(joined, Why.WINDOWS_TOUCH, now, LOOK_SOON)
    pause = min(REFUSED_PAUSE * 2 ** min(run.tries, 10), REFUSED_PAUSE_MAX)
    if facts.trouble is Trouble.BUSY:
        pause = min(pause, ASK_AGAIN)
    refused = replace(run, asked=None, tries=run.tries + 1, retry=now.after(pause))
    return wait(refused, _why_not(run, facts, limits, now), now, pause)


def _save_instead(run: WakeRun, limits: Limits, now: Now) -> Step:
    owed = _wanted(run, limits) in _OFF
    saving = replace(run, goal=Goal.SAVED, owed_off=owed, asked=None, tries=0, retry=None)
    return wait(saving, Why.SAVES_INSTEAD, now, LOOK_SOON)


def _image_lost(facts: Facts) -> bool:
    return facts.power is Power.SAVED and facts.image_ok is False


def _reached(run: WakeRun, facts: Facts, now: Now) -> Step:
    if run.parking and not run.ends.passed(now) and not facts.removed:
        waiting = wait(parked(run, facts, now), run.parking, now, LOOK_SOON)
        return replace(waiting, leave=facts.told_to_stop)
    if run.owed_off:
        return over(run, facts, Why.PUT_BACK_OWED_OFF)
    return over(run, facts, Why.CLOSED if run.closing else Why.PUT_BACK)


def _stopped_otherwise(run: WakeRun, facts: Facts, now: Now) -> Step:
    """At rest, but not as we asked: somebody or something was quicker."""
    if _image_lost(facts):
        return over(run, facts, Why.IMAGE_UNUSABLE)
    if facts.power is Power.OFF and facts.stopped_by is StoppedBy.CRASH:
        return over(run, facts, Why.CRASHED)
    return hold.changed_hands(run, facts, now)


def slot_since(run: WakeRun) -> Deadline | None:
    """Since when this run is waking or saving a VM, as `admission.Other` tells it."""
    if run.phase is Phase.WAKING:
        return run.since
    saving = run.phase is Phase.RESTORING and run.goal in _SAVES
    return run.asked if saving else None
