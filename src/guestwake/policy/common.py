"""What all phases of a wake run share: whose VM it is, what was noticed, how a run ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from guestwake.policy import in_use
from guestwake.policy.in_use import VIEWER_COUNTS_AFTER, Awake, By, Use
from guestwake.policy.limits import Limits
from guestwake.policy.run import DATELESS, Facts, Kind, Phase, Prior, Step, WakeRun, Why
from guestwake.policy.window import Opening, Schedule, ends_now, next_opening, openings
from guestwake.policy.words import Now, Power, Verb

LOOK_AGAIN = timedelta(minutes=1)  # while nothing is under way; events come sooner
LOOK_SOON = timedelta(seconds=1)  # while something is
UNSETTLED_LOOK = timedelta(seconds=2)
USERS_NAMED_MAX = 8
RESTART_PAUSE = timedelta(hours=1)  # between two that we ask for
POWER_SETTLES = timedelta(minutes=10)  # before a change of the AC power counts again
_CLOCKS_DIFFER = 1.0  # seconds, at most, when two of them tell of the same instant

_LOOKS_AHEAD = timedelta(days=16)  # two weeks and the date that does not exist

UNSETTLED = {
    Power.CHANGING: Why.WAITS_FOR_CHANGE,
    Power.UNKNOWN: Why.WAITS_FOR_HYPERVISOR,
}
_LIVE = (Power.RUNNING, Power.PAUSED, Power.SUSPENDED)
_OURS_TO_MIND = (Phase.HOLDING, Phase.RESTARTING, Phase.LENT, Phase.RESTORING)


def wait(run: WakeRun, why: Why, now: Now, pause: timedelta = LOOK_AGAIN) -> Step:
    """Look again after `pause`, or at the end of the window where that comes first."""
    left = run.ends.left(now)
    if timedelta(0) < left < pause:
        pause = left
    if run.why is not why:
        run = replace(run, why=why)
    return Step(run, why, look_again_at=now.after(pause))


def unsettled(run: WakeRun, facts: Facts, now: Now, why: Why | None = None) -> Step:
    """A state to be looked at again. Told to stop with nobody to ask, the record stays open."""
    step = wait(run, why or UNSETTLED[facts.power], now, UNSETTLED_LOOK)
    return replace(step, leave=facts.told_to_stop and facts.power is Power.UNKNOWN)


def over(run: WakeRun, facts: Facts, why: Why) -> Step:
    marked = facts.mark is not None and facts.mark.token == run.token
    ended = replace(run, why=why)
    return Step(ended, why, unmark=marked and facts.power in _LIVE, over=True)


def parked(run: WakeRun, facts: Facts, now: Now) -> WakeRun:
    """At rest inside its window, as it is now, and to be woken again."""
    return replace(
        run,
        phase=Phase.WAITING,
        since=now.after(timedelta(0)),
        parked=facts.power,
        forced=False,
        start=None,
        woke=None,
        goal=None,
        asked=None,
        retry=None,
        tries=0,
    )


def is_ours(run: WakeRun, facts: Facts, now: Now) -> bool:
    """Whether the VM that runs is the start that this run knows, and not somebody else's. Two
    Guestwakes may find the same VM at rest at the same moment: whose mark is on it has it."""
    if facts.start is None:
        return False
    mark = facts.mark
    if mark and mark.another and mark.start_id == facts.start.id and mark.token != run.token:
        return False
    if run.start is not None:
        return facts.start.id == run.start
    if facts.mark is not None and facts.mark.start_id == facts.start.id:
        return facts.mark.token == run.token
    if facts.done is Verb.START:  # this very process started it, a moment ago
        return True
    at, returned = facts.start.at, facts.started
    if at is None or returned is None or returned.boot_id != now.boot_id:
        return False
    return run.since.elapsed - _CLOCKS_DIFFER <= at <= returned.elapsed


def may_be_ours(run: WakeRun, facts: Facts, now: Now) -> bool:
    """Whether a start that `is_ours` disowns may be the one that a manager asked for, and died, or
    was refused, before it could tell which that is."""
    if facts.start is None or run.start is not None or run.since.boot_id != now.boot_id:
        return False
    if facts.mark is not None and facts.mark.start_id == facts.start.id:
        return False
    return facts.start.at is None or run.since.elapsed - _CLOCKS_DIFFER <= facts.start.at


def awake(run: WakeRun, now: Now) -> Awake:
    same_boot = run.woke is not None and run.woke.boot_id == now.boot_id
    return Awake(
        woke=run.woke.elapsed if run.woke and same_boot else None,
        rested=run.kept_memory,
        used=run.used,
        early_viewers=run.early_viewers,
        past_end=-run.ends.left(now),
    )


def users(run: WakeRun, facts: Facts, limits: Limits, now: Now) -> tuple[Use, ...]:
    return in_use.users(facts.evidence, awake(run, now), limits, now)


def stays_up(run: WakeRun, facts: Facts, limits: Limits, now: Now) -> bool:
    """Whether it is not to be put back now: it is in use, or Fast Start holds it. After the logoff
    of who it was started for, what the guest says of use does not count: nobody is at its window
    any more."""
    if facts.fast_start_holds:
        return True
    using = users(run, facts, limits, now)
    if run.kind is Kind.FAST_START and not facts.user_logged_on:
        return any(use.by is not By.GUEST for use in using)
    return bool(using)


def work_at_risk(run: WakeRun, facts: Facts, now: Now) -> bool:
    return in_use.work_at_risk(facts.evidence, awake(run, now))


def is_for_restart(run: WakeRun) -> bool:
    """Whether it is over once its restart is; one that a window has joined is not."""
    return run.kind is Kind.RESTART and len(run.chain) == 1


def is_busy(run: WakeRun, facts: Facts) -> bool:
    """Installing, as far as the guest says; its silence after our own restart counts as busy."""
    if facts.guest is None:
        return run.boot_id_before is not None
    return facts.guest.busy is True or facts.guest.boot_id == run.boot_id_before


def extended(run: WakeRun, facts: Facts, limits: Limits, now: Now) -> Step | None:
    """The end put off for a guest that is busy installing. None: it is not, or no longer."""
    left = limits.max_extension + run.ends.left(now)
    if facts.removed or left <= timedelta(0) or not is_busy(run, facts):
        return None
    return wait(run, Why.BUSY_INSTALLING, now, min(left, LOOK_AGAIN))


def noticing(run: WakeRun, facts: Facts, limits: Limits, now: Now) -> WakeRun:
    """What one look adds to the record: a sleep of the host, viewers, use, a guest that had
    hibernated itself."""
    if abs(now.asleep - run.asleep) > 1:
        slept = now.boot_id == run.since.boot_id and now.asleep > run.asleep
        resumed = now.after(timedelta(0)) if slept else run.resumed
        run = replace(run, asleep=now.asleep, resumed=resumed)
    if run.phase not in _OURS_TO_MIND or facts.power is not Power.RUNNING:
        return run
    early = run.woke is not None and -run.woke.left(now) <= VIEWER_COUNTS_AFTER
    if early and not facts.evidence.viewers <= run.early_viewers:
        run = replace(run, early_viewers=run.early_viewers | facts.evidence.viewers)
    if facts.told and not run.told:
        run = replace(run, told=True)
    if is_ours(run, facts, now):
        using = users(run, facts, limits, now)
        names = tuple(f"{use.by}: {use.who}" for use in using[:USERS_NAMED_MAX])
        used = run.used or len(using) > len(facts.evidence.openings)  # more than who only waits
        if (used, names) != (run.used, run.users):
            run = replace(run, used=used, users=names)
    if run.prior is Prior.OFF and not run.kept_memory and _hibernated_itself(facts):
        run = replace(run, prior=Prior.SAVED, kept_memory=True)
    return run


def _hibernated_itself(facts: Facts) -> bool:
    before = facts.boot_id_before_rest
    return facts.guest is not None and before is not None and facts.guest.boot_id == before


def following_settings(run: WakeRun, limits: Limits, schedule: Schedule) -> WakeRun:
    """A changed Duration counts at once; a changed GuestUpdateTime from the next date on."""
    own = run.kind in DATELESS and len(run.chain) == 1
    if own or limits.guest_update_duration == run.length:
        return run
    last = run.chain[-1]
    if run.kind is Kind.CAUGHT_UP and len(run.chain) == 1:
        ends = last.opens + limits.guest_update_duration
    else:
        ends = ends_now(last, schedule)
    return replace(
        run,
        chain=(*run.chain[:-1], replace(last, ends=ends)),
        ends=run.ends.shifted(ends - last.ends),
        length=limits.guest_update_duration,
    )


def joined_by_next(run: WakeRun, facts: Facts, schedule: Schedule, now: Now) -> WakeRun | None:
    """The run with the next window in its chain, where that one touches: it opens no later than
    this one ends, or than we have stretched it to by now. One that was had, as the clock was set
    back since, or is skipped, is passed over. None: it does not, or windows are paused."""
    if not run.ends.passed(now) or facts.paused:
        return None
    last, following = run.chain[-1], _following(run, facts.had, schedule)
    if following is None or following.ends <= last.ends:
        return None
    if following.opens - last.ends > -run.ends.left(now):
        return None
    return replace(
        run,
        chain=(*run.chain, following),
        ends=run.ends.shifted(following.ends - last.ends),
        length=schedule.duration,
        crashes=0,
        restarts=0,
    )


def _following(run: WakeRun, had: frozenset[date], schedule: Schedule) -> Opening | None:
    last = run.chain[-1]
    if run.kind is Kind.SCHEDULED or len(run.chain) > 1:
        following = next_opening(schedule, last.date)
        while following is not None and following.date in had:
            following = next_opening(schedule, following.date)
        return following
    # A person's own run is owned by no date, and a missed date may be long ago.
    coming = openings(schedule, last.opens, last.opens + _LOOKS_AHEAD)
    fitting = (one for one in coming if one.opens >= last.opens and one.date not in had)
    return next(fitting, None)
