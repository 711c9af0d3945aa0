"""A VM that we woke and that is awake: the window, what happens in it, and what comes after
when somebody uses it (contract, sections 4.3 to 4.5 and 6). Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from guestwake.policy import close, put_back
from guestwake.policy.common import (
    LOOK_AGAIN,
    LOOK_SOON,
    POWER_SETTLES,
    RESTART_PAUSE,
    UNSETTLED,
    extended,
    is_busy,
    is_for_restart,
    is_ours,
    joined_by_next,
    over,
    parked,
    stays_up,
    unsettled,
    users,
    wait,
    work_at_risk,
)
from guestwake.policy.in_use import VIEWER_COUNTS_AFTER
from guestwake.policy.limits import Limits, RestartInWindow
from guestwake.policy.run import Facts, GuestReport, Phase, Restart, Step, WakeRun, Why
from guestwake.policy.window import Schedule
from guestwake.policy.words import Now, Power, StoppedBy, Verb

CRASHES_MENDED = 2
RESTARTS_MAX = 2
AFTER_RESUME = timedelta(seconds=60)
TELL_FAST_FOR = timedelta(seconds=60)
NUDGE_WAITS = timedelta(seconds=10)  # for the clock to be set, and for the guest's own service


def holding(run: WakeRun, facts: Facts, limits: Limits, schedule: Schedule, now: Now) -> Step:
    if facts.power in UNSETTLED:
        # An I/O error may last, and that nobody tells who uses it: by then it should be at rest.
        lasts = -run.ends.left(now) > limits.task_timeout
        return unsettled(run, facts, now, Why.NOT_PUT_BACK_REFUSED if lasts else None)
    if facts.power is not Power.RUNNING or not is_ours(run, facts, now):
        return changed_hands(run, facts, now)
    if facts.host.shutting_down:
        return put_back.park(run, facts, limits, now, Why.HOST_SHUTS_DOWN)
    stays = stays_up(run, facts, limits, now)
    if facts.told_to_stop:
        if stays:
            return lend(run, facts, now)
        return put_back.save_at_once(run, facts, limits, now)
    if (restarted := _after_restart(run, facts, limits, now)) is not None:
        return restarted
    if _may_restart(run, facts, limits, now):
        return _restart(run, facts, now)
    if not _has_ended(run, facts, limits, now, stays=stays):
        if _on_battery(run, facts, limits, now) and not stays and not is_busy(run, facts):
            return put_back.park(run, facts, limits, now, Why.AC_POWER_LOST)
        return _hold(run, facts, limits, now)
    joined = None if facts.removed else joined_by_next(run, facts, schedule, now)
    if joined:
        return wait(joined, Why.WINDOWS_TOUCH, now, LOOK_SOON)
    return _at_the_end(run, facts, limits, now, stays=stays)


def lent(run: WakeRun, facts: Facts, limits: Limits, schedule: Schedule, now: Now) -> Step:
    """Somebody uses it past the end: ours to put back when the use has ended."""
    if facts.power in UNSETTLED:
        return unsettled(run, facts, now)
    if facts.power is not Power.RUNNING or not is_ours(run, facts, now):
        return changed_hands(run, facts, now)
    if facts.host.shutting_down:
        return put_back.park(run, facts, limits, now, Why.HOST_SHUTS_DOWN)
    stays = stays_up(run, facts, limits, now)
    if facts.removed:
        if stays:
            return lend(run, facts, now)
        return put_back.put_back(run, facts, limits, now)
    if facts.agreed and _may_restart(run, facts, limits, now):
        return _restart(run, facts, now)
    if not run.ends.passed(now):  # Duration has become longer
        return wait(replace(run, phase=Phase.HOLDING, idle=None), Why.HOLDS, now, LOOK_SOON)
    joined = joined_by_next(run, facts, schedule, now)
    if joined:
        joined = replace(joined, phase=Phase.HOLDING, idle=None)
        return wait(joined, Why.WINDOWS_TOUCH, now, LOOK_SOON)
    if facts.told_to_stop:
        return replace(wait(run, Why.LENT, now), leave=True)
    if stays:
        in_use = replace(run, idle=None) if run.idle else run
        return _tell(wait(in_use, _why_lent(run, facts), now), now)
    if run.idle is None:
        run = replace(run, idle=now.after(timedelta(0)))
    assert run.idle is not None
    left = close.settles(run) + run.idle.left(now)
    if left > timedelta(0):
        return wait(run, _why_lent(run, facts), now, min(left, LOOK_AGAIN))
    return put_back.put_back(run, facts, limits, now)


def lend(run: WakeRun, facts: Facts, now: Now) -> Step:
    """It stays up for who uses it: past its end it is lent, before that it is held as ever."""
    if facts.removed:
        return over(run, facts, Why.REMOVED_IN_USE)
    ended = run.ends.passed(now)
    lent_out = replace(
        run,
        phase=Phase.LENT if ended else Phase.HOLDING,
        since=now.after(timedelta(0)),
        used=run.used or not close.is_for_use(run),
        idle=None,
        goal=None,
        parking=None,
        forced=False,
        asked=None,
        retry=None,
        tries=0,
    )
    step = wait(lent_out, _why_lent(run, facts) if ended else Why.HOLDS, now)
    return replace(step, leave=facts.told_to_stop)


def _why_lent(run: WakeRun, facts: Facts) -> Why:
    return close.why_up(facts) if close.is_for_use(run) else Why.LENT


def _tell(step: Step, now: Now) -> Step:
    """The guest's clock is set, as soon as somebody in it listens."""
    run = step.run
    early = run.woke is not None and -run.woke.left(now) < TELL_FAST_FOR
    if run.told or not early:
        return step
    return replace(step, tell=True, look_again_at=now.after(LOOK_SOON))


def changed_hands(run: WakeRun, facts: Facts, now: Now) -> Step:
    """It is not as we left it: a crash is mended in the window, all else is handed over."""
    match facts.power:
        case Power.GONE:
            return over(run, facts, Why.VM_GONE)
        case Power.ELSEWHERE:
            return over(run, facts, Why.MIGRATED_AWAY)
        case Power.CRASHED:
            return over(run, facts, Why.CRASHED)
        case Power.RUNNING:
            return over(run, facts, Why.STARTED_BY_SOMEBODY)
    if run.since.boot_id != now.boot_id and facts.start is None:
        return _host_died(run, facts, now)
    if facts.power is Power.OFF and facts.stopped_by is StoppedBy.CRASH:
        return _crashed(run, facts, now)
    by_guest = facts.power is Power.SUSPENDED or facts.stopped_by is StoppedBy.GUEST
    return over(run, facts, Why.GUEST_STOPPED_ITSELF if by_guest else Why.STOPPED_BY_SOMEBODY)


def _crashed(run: WakeRun, facts: Facts, now: Now) -> Step:
    if run.phase is Phase.LENT or run.ends.passed(now):
        return over(run, facts, Why.CRASHED)
    if run.crashes >= CRASHES_MENDED:
        return over(run, facts, Why.CRASHED_TOO_OFTEN)
    why = Why.CRASHED_SESSION_LOST if run.kept_memory else Why.CRASHED_WOKEN_AGAIN
    return _parked_as_found(replace(run, crashes=run.crashes + 1), facts, why, now)


def _host_died(run: WakeRun, facts: Facts, now: Now) -> Step:
    """The host went down without a word, or somebody put the VM to rest while it did."""
    return _parked_as_found(run, facts, Why.HOST_DIED_UNDER_IT, now)


def _parked_as_found(run: WakeRun, facts: Facts, why: Why, now: Now) -> Step:
    return wait(parked(run, facts, now), why, now, LOOK_SOON)


def _after_restart(run: WakeRun, facts: Facts, limits: Limits, now: Now) -> Step | None:
    """A restart is verified by a new boot id in a fresh report; boot times are no evidence. Its
    silence meanwhile counts as busy, as one restart may be several boots."""
    if run.boot_id_before and facts.guest and facts.guest.boot_id != run.boot_id_before:
        restarted = replace(run, phase=Phase.HOLDING, boot_id_before=None)
        return wait(restarted, Why.RESTARTED, now, LOOK_SOON)
    if run.phase is not Phase.RESTARTING:
        return None
    held = replace(run, phase=Phase.HOLDING)
    overdue = -run.since.left(now) > limits.task_timeout
    as_before = facts.guest is not None and facts.guest.boot_id == run.boot_id_before
    if facts.trouble is not None or (overdue and as_before):
        return wait(replace(held, boot_id_before=None), Why.RESTART_REFUSED, now, LOOK_SOON)
    return wait(held, Why.RESTART_HANGS, now, LOOK_SOON) if overdue else None


def _may_restart(run: WakeRun, facts: Facts, limits: Limits, now: Now) -> bool:
    """Section 6. Never twice within the hour, never over anybody's work who has not agreed."""
    guest = facts.guest
    if (
        guest is None
        or guest.restart is not Restart.REQUIRED
        or _may_install(run, facts, guest, limits, now)
    ):
        return False
    recent = run.restarted is not None and -run.restarted.left(now) < RESTART_PAUSE
    if run.boot_id_before or recent or run.restarts >= RESTARTS_MAX:
        return False
    if facts.agreed:
        return True
    if users(run, _without_openings(facts), limits, now):
        return False
    if is_for_restart(run) or close.is_for_use(run):
        return not work_at_risk(run, facts, now)
    idle_too = limits.restart_in_window is RestartInWindow.OVER_IDLE_SESSIONS
    if limits.restart_in_window is RestartInWindow.NEVER:
        return False
    if work_at_risk(run, facts, now) and not idle_too:
        return False
    return run.ends.left(now) >= limits.task_timeout


def _without_openings(facts: Facts) -> Facts:
    """Who only waits for an application to open has the restart done first."""
    return replace(facts, evidence=replace(facts.evidence, openings=()))


def _may_install(run: WakeRun, facts: Facts, guest: GuestReport, limits: Limits, now: Now) -> bool:
    """A restart is asked for in the middle of an installation. Where the guest cannot tell whether
    that has ended, it is given the window but for twice TaskTimeout."""
    if guest.busy is None and not guest.nothing_left and not facts.agreed:
        return run.ends.left(now) > 2 * limits.task_timeout
    return guest.busy is True


def _restart(run: WakeRun, facts: Facts, now: Now) -> Step:
    restarting = replace(
        run,
        phase=Phase.RESTARTING,
        since=now.after(timedelta(0)),
        why=Why.RESTARTS,
        restarts=run.restarts + 1,
        restarted=now.after(timedelta(0)),
        boot_id_before=facts.guest.boot_id if facts.guest else None,
        kept_memory=False,
    )
    return Step(restarting, Why.RESTARTS, verb=Verb.RESTART, look_again_at=now.after(LOOK_SOON))


def _has_ended(run: WakeRun, facts: Facts, limits: Limits, now: Now, *, stays: bool) -> bool:
    if facts.removed:
        return True
    if close.is_for_use(run):
        return not close.restart_comes_first(run, facts, limits, now)
    if run.ends.passed(now):
        return True
    guest = facts.guest
    if is_for_restart(run) and run.boot_id_before is None:
        return run.restarts > 0 or (guest is not None and guest.restart is not Restart.REQUIRED)
    early = limits.early_finish and guest is not None and guest.nothing_left is True
    if not early or stays or is_busy(run, facts) or run.woke is None:
        return False
    return guest is not None and (
        guest.restart is not Restart.REQUIRED and -run.woke.left(now) >= limits.min_awake
    )


def _at_the_end(run: WakeRun, facts: Facts, limits: Limits, now: Now, *, stays: bool) -> Step:
    """Section 4.4, in its order."""
    if run.resumed and -run.resumed.left(now) < AFTER_RESUME and not facts.removed:
        return wait(run, Why.HOST_RESUMED, now, AFTER_RESUME + run.resumed.left(now))
    if stays:
        return lend(run, facts, now)
    longer = extended(run, facts, limits, now)
    return longer or put_back.put_back(run, facts, limits, now)


def _on_battery(run: WakeRun, facts: Facts, limits: Limits, now: Now) -> bool:
    settled = run.power_changed is None or -run.power_changed.left(now) >= POWER_SETTLES
    return limits.require_ac_power and facts.host.on_ac_power is False and settled


def _hold(run: WakeRun, facts: Facts, limits: Limits, now: Now) -> Step:
    """Nothing to decide: come back at the next instant at which there will be."""
    awake = -run.woke.left(now) if run.woke else timedelta(0)
    nudge = _is_time_to_nudge(run, facts, limits, awake)
    nudges_later = limits.nudge_update_clients and not run.nudged and not nudge
    pause = LOOK_AGAIN
    if not run.told and awake < TELL_FAST_FOR:
        pause = LOOK_SOON
    elif nudges_later and awake < NUDGE_WAITS:  # the guest's own service is heard sooner
        pause = NUDGE_WAITS - awake
    elif awake <= VIEWER_COUNTS_AFTER:
        pause = min(pause, VIEWER_COUNTS_AFTER - awake + timedelta(milliseconds=1))
    why = _why_it_holds(run, facts, limits, awake)
    step = wait(replace(run, nudged=True) if nudge else run, why, now, pause)
    return step if run.told and not nudge else replace(step, tell=not run.told, nudge=nudge)


def _is_time_to_nudge(run: WakeRun, facts: Facts, limits: Limits, awake: timedelta) -> bool:
    """Once for each wake: with its clock set and by its own service, or by whichever is there
    after a moment."""
    if run.nudged or not limits.nudge_update_clients:
        return False
    clock_set, reports = run.told, facts.guest is not None
    return (clock_set and reports) or (awake >= NUDGE_WAITS and (clock_set or reports))


def _why_it_holds(run: WakeRun, facts: Facts, limits: Limits, awake: timedelta) -> Why:
    if run.phase is Phase.RESTARTING:
        return Why.RESTARTS
    if facts.guest is None:
        unheard = not run.told and awake > limits.task_timeout
        return Why.HOLDS_WITHOUT_WORD if unheard else Why.HOLDS
    match facts.guest.restart:
        case Restart.REQUIRED:
            return Why.RESTART_WAITS
        case Restart.IN_VAIN:
            return Why.RESTART_IN_VAIN
        case Restart.NOT_REQUIRED:
            return Why.HOLDS
