"""The wake run: what to do next with one VM, and why (contract, section 4).

Pure: `begin` and `next_step` get everything as arguments and return a `Step`. Each pass starts
from what is, so going on after a crash is the same as going on. A run goes through these phases:

    WAITING ──► WAKING ──► HOLDING ──────────────► RESTORING ──► over
     │    ▲                  │  │  ▲                 │  │  ▲
     │    │                  │  └──┴─ RESTARTING     │  │  │
     │    └── parked ◄───────┴───────────────────────┘  │  │
     └─► WATCHING ──► over          LENT ◄──────────────┘  │
                                     └─────────────────────┘

WATCHING: the VM ran before us, we only watch. Parked: put to rest inside its window because the
host shuts down or the AC power went, to be woken again. LENT: somebody uses it past the end.

Here are the phases up to the wake; the others are in `hold.py` and `put_back.py`. Every answer
names its reason, a `Why`. Rules stand most important first.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import assert_never

from guestwake.policy import close, hold, put_back, restart_in_use
from guestwake.policy.admission import Candidate, Wait, admit, is_first
from guestwake.policy.common import (
    LOOK_AGAIN,
    LOOK_SOON,
    POWER_SETTLES,
    UNSETTLED,
    following_settings,
    is_for_restart,
    is_ours,
    joined_by_next,
    may_be_ours,
    noticing,
    over,
    stays_up,
    unsettled,
    wait,
)
from guestwake.policy.limits import Limits
from guestwake.policy.run import Facts, Kind, Phase, Prior, Step, WakeRun, Why
from guestwake.policy.window import Opening, Schedule
from guestwake.policy.words import Network, Now, Power, Trouble, Verb

WAKE_PAUSE = timedelta(seconds=60)
QUEUE_LOOK = timedelta(seconds=5)
GATHERS = timedelta(seconds=3)  # windows open together: all are in the queue before the first goes
LETS_PASS = timedelta(seconds=30)  # who has been without a window longer; that one may have to wait

AT_REST = {
    Power.PAUSED: (Prior.PAUSED, Verb.RESUME),
    Power.SUSPENDED: (Prior.SUSPENDED, Verb.WAKE_UP),
    Power.SAVED: (Prior.SAVED, Verb.START),
    Power.OFF: (Prior.OFF, Verb.START),
}
_NEVER_TOUCHED = {
    Power.ELSEWHERE: Why.MIGRATED_AWAY,
    Power.CRASHED: Why.CRASHED,
    Power.GONE: Why.VM_GONE,
}
_WAITS = {
    Wait.STARTS: Why.WAITS_FOR_STARTS,
    Wait.TURN: Why.WAITS_FOR_TURN,
    Wait.MEMORY: Why.WAITS_FOR_MEMORY,
    Wait.DISK: Why.WAITS_FOR_DISK,
}
# What all on a host wait for, and which is over for all of them at once.
_COMMON = (
    Why.WAITS_FOR_MEMORY,
    Why.WAITS_FOR_DISK,
    Why.WAITS_FOR_HYPERVISOR,
    Why.WAITS_FOR_NETWORK,
    Why.WAITS_FOR_AC_POWER,
    Why.WAITS_FOR_HOST,
)
# How a run ends that waited to the end of its window and never woke the VM.
_NEVER_WOKEN = {
    Why.WAITS_FOR_NETWORK: Why.NO_NETWORK,
    Why.WAITS_FOR_AC_POWER: Why.NO_AC_POWER,
    Why.WAITS_FOR_STARTS: Why.NO_TURN,
    Why.WAITS_FOR_TURN: Why.NO_TURN,
    Why.WAITS_FOR_MEMORY: Why.NO_MEMORY,
    Why.WAITS_FOR_DISK: Why.NO_DISK,
    Why.WAITS_FOR_CHANGE: Why.NEVER_SETTLED,
    Why.WAITS_FOR_HYPERVISOR: Why.HYPERVISOR_UNREACHABLE,
    Why.WAITS_FOR_JOURNAL: Why.NOT_RECORDED,
    Why.WAITS_AFTER_REFUSED_WAKE: Why.WAKE_REFUSED,
}
# After these the window was missed altogether: its date may be opened again, or caught up.
MISSED = frozenset(_NEVER_WOKEN.values()) | {Why.STOPPED_BEFORE_WAKE}


def waits_for(run: WakeRun) -> Wait | None:
    """What a run in the queue for admission waits for, as `admission.Other` tells it."""
    if run.phase is not Phase.WAITING:
        return None
    return next((kind for kind, why in _WAITS.items() if why is run.why), None)


def begin(
    opening: Opening,
    kind: Kind,
    token: str,
    facts: Facts,
    limits: Limits,
    schedule: Schedule,
    now: Now,
) -> Step:
    """The first step of a run over `opening`. Nothing has been touched yet."""
    run = WakeRun(
        token=token,
        kind=kind,
        chain=(opening,),
        length=limits.guest_update_duration,
        ends=now.after(opening.ends - now.wall),
        phase=Phase.WAITING,
        since=now.after(timedelta(0)),
        why=Why.WAKES,
        asleep=now.asleep,
    )
    return next_step(run, facts, limits, schedule, now)


def next_step(run: WakeRun, facts: Facts, limits: Limits, schedule: Schedule, now: Now) -> Step:
    """What to do next. Called again at `look_again_at`, after each verb, and at any event."""
    run = following_settings(run, limits, schedule)
    run = noticing(run, facts, limits, now)
    match run.phase:
        case Phase.WAITING:
            return _waiting(run, facts, limits, now)
        case Phase.WATCHING:
            return _watching(run, facts, limits, schedule, now)
        case Phase.WAKING:
            return _waking(run, facts, limits, now)
        case Phase.RESTARTING if run.prior is Prior.RUNNING:
            return restart_in_use.restarting(run, facts, limits, now)
        case Phase.HOLDING | Phase.RESTARTING:
            return hold.holding(run, facts, limits, schedule, now)
        case Phase.LENT:
            return hold.lent(run, facts, limits, schedule, now)
        case Phase.RESTORING:
            return put_back.restoring(run, facts, limits, schedule, now)
        case _:
            assert_never(run.phase)


def _waiting(run: WakeRun, facts: Facts, limits: Limits, now: Now) -> Step:
    if facts.trouble is Trouble.NOT_RECORDED:
        retry, why = now.after(WAKE_PAUSE), Why.WAITS_FOR_JOURNAL
        run = replace(run, why=why, asked=None, retry=retry)
    if facts.told_to_stop and run.parked:
        return replace(wait(run, run.why, now), leave=True)
    if facts.power in UNSETTLED and (run.parked or not _must_end(run, facts, now)):
        return unsettled(run, facts, now)
    if facts.power in _NEVER_TOUCHED:
        return over(run, facts, _NEVER_TOUCHED[facts.power])
    if run.parked and facts.power is Power.RUNNING:
        return over(run, facts, Why.STARTED_BY_SOMEBODY)
    if run.parked and facts.power is not run.parked:
        return over(run, facts, Why.STOPPED_BY_SOMEBODY)
    if _must_end(run, facts, now):
        return _never_woken(run, facts, limits)
    if facts.power is Power.RUNNING and close.is_for_use(run):
        return over(run, facts, Why.RUNS_ALREADY)
    if not run.parked and run.asked is None and not close.is_wanted(run, facts):
        return over(run, facts, Why.NOT_WANTED)
    if facts.power is Power.RUNNING and is_for_restart(run):
        return restart_in_use.restart(run, facts, limits, now)
    if facts.power is Power.RUNNING:
        watching = replace(
            run,
            phase=Phase.WATCHING,
            since=now.after(timedelta(0)),
            prior=Prior.RUNNING,
            start=facts.start.id if facts.start else None,
        )
        return wait(watching, Why.WATCHES, now)
    if facts.image_ok is False:
        return over(run, facts, Why.IMAGE_UNUSABLE)
    reason = _guarded(run, facts, limits, now) or _not_admitted(run, facts, limits, now)
    if reason:
        pause = QUEUE_LOOK if reason in _WAITS.values() else LOOK_AGAIN
        return wait(replace(run, asked=None) if run.asked else run, reason, now, pause)
    return _wake(run, facts, now)


def _must_end(run: WakeRun, facts: Facts, now: Now) -> bool:
    return run.ends.passed(now) or facts.removed or facts.told_to_stop


def _never_woken(run: WakeRun, facts: Facts, limits: Limits) -> Step:
    if run.parked:
        return put_back.end_at_rest(run, facts, limits)
    if facts.told_to_stop or facts.removed:
        return over(run, facts, Why.STOPPED_BEFORE_WAKE)
    return over(run, facts, _NEVER_WOKEN.get(run.why, Why.STOPPED_BEFORE_WAKE))


def _guarded(run: WakeRun, facts: Facts, limits: Limits, now: Now) -> Why | None:
    """The guards of section 9, and a host that is about to go."""
    network = facts.host.network
    if facts.host.shutting_down:
        return Why.WAITS_FOR_HOST
    if close.is_for_use(run) or facts.evidence.openings:  # who wants it sees what the host has
        return Why.WAITS_AFTER_REFUSED_WAKE if _waits_after_refusal(run, now) else None
    if (
        limits.require_network
        and not is_for_restart(run)
        and (network is Network.DOWN or (network is Network.METERED and not limits.allow_metered))
    ):
        return Why.WAITS_FOR_NETWORK
    if limits.require_ac_power and facts.host.on_ac_power is False:
        return Why.WAITS_FOR_AC_POWER
    if run.power_changed and -run.power_changed.left(now) < POWER_SETTLES:
        return Why.WAITS_FOR_AC_POWER
    if _waits_after_refusal(run, now):
        journal = run.why is Why.WAITS_FOR_JOURNAL
        return Why.WAITS_FOR_JOURNAL if journal else Why.WAITS_AFTER_REFUSED_WAKE
    return None


def _waits_after_refusal(run: WakeRun, now: Now) -> bool:
    return run.retry is not None and not run.retry.passed(now)


def _not_admitted(run: WakeRun, facts: Facts, limits: Limits, now: Now) -> Why | None:
    waited = -run.since.left(now)
    comes = run.kind is Kind.SCHEDULED and not run.parked
    if comes and facts.rivals and waited < GATHERS:
        return Why.WAITS_FOR_STARTS
    in_memory = facts.power in (Power.PAUSED, Power.SUSPENDED)
    me = Candidate(
        workspace=facts.workspace,
        last_window=facts.last_window,
        memory=0 if in_memory else facts.memory,
        image=facts.memory,
    )
    if comes and waited < LETS_PASS and not is_first(me, facts.others):
        return Why.WAITS_FOR_STARTS
    refused = admit(me, facts.others, facts.host, limits, now)
    if refused is None and run.why in _COMMON and facts.others:
        return Why.WAITS_FOR_STARTS  # those for whom it is over as well queue until the next look
    return _WAITS[refused] if refused else None


def _wake(run: WakeRun, facts: Facts, now: Now) -> Step:
    prior, verb = AT_REST[facts.power]
    if facts.power is Power.SAVED and facts.owed_off:
        prior = Prior.OFF
    waking = replace(
        run,
        phase=Phase.WAKING,
        since=now.after(timedelta(0)),
        why=Why.WAKES,
        prior=run.prior or prior,
        kept_memory=_keeps_memory(run, facts, now),
        owed_off=False,
        parking=None,
        start=facts.start.id if facts.start else None,
        woke=None,
        told=False,
        nudged=False,
        early_viewers=frozenset(),
        boot_id_before=None,
        asked=run.asked or now.after(timedelta(0)),
        retry=None,
    )
    return Step(waking, Why.WAKES, verb=verb, mark=True, look_again_at=now.after(LOOK_SOON))


def _keeps_memory(run: WakeRun, facts: Facts, now: Now) -> bool:
    """Whether sessions may come back with it. What we parked ourselves has those it had."""
    if facts.power is Power.OFF:
        return False
    parked_by_us = run.parked is not None and run.since.boot_id == now.boot_id
    return run.kept_memory if parked_by_us else True


def _waking(run: WakeRun, facts: Facts, limits: Limits, now: Now) -> Step:
    if facts.power is Power.CHANGING:  # it is on its way up
        return wait(run, Why.WAKES, now, LOOK_SOON)
    if facts.power is Power.UNKNOWN:
        return unsettled(run, facts, now)
    ours = is_ours(run, facts, now)
    if facts.power is Power.RUNNING and ours:
        return _awake(run, facts, now)
    if facts.power is Power.PAUSED and ours and run.prior in (Prior.SAVED, Prior.SAVED_PAUSED):
        return _resume_saved_paused(run, facts, limits, now)
    someone_elses = facts.start is not None and not ours
    if someone_elses and may_be_ours(run, facts, now):
        return over(run, facts, Why.WHO_STARTED_IT_UNKNOWN)
    if someone_elses or not _rests_as_before(run, facts):
        return hold.changed_hands(run, facts, now)
    if facts.trouble is Trouble.IMAGE_UNUSABLE or facts.image_ok is False:
        return over(run, facts, Why.IMAGE_UNUSABLE)
    if facts.done is not None:
        return wait(run, Why.WAKES, now, LOOK_SOON)
    waiting = replace(
        run,
        phase=Phase.WAITING,
        start=None,
        prior=run.prior if run.parked else None,
    )
    overdue = run.asked is not None and -run.asked.left(now) > limits.task_timeout
    if facts.trouble is not None or overdue:
        retry, why = now.after(WAKE_PAUSE), Why.WAITS_AFTER_REFUSED_WAKE
        waiting = replace(waiting, why=why, asked=None, retry=retry)
    # It is slow to wake, or the manager died between the record and the act: asked (again).
    return _waiting(waiting, facts, limits, now)


def _rests_as_before(run: WakeRun, facts: Facts) -> bool:
    if facts.power is Power.OFF:
        return not run.kept_memory and facts.done is not Verb.START
    return facts.power in AT_REST and run.kept_memory


def _awake(run: WakeRun, facts: Facts, now: Now) -> Step:
    held = replace(
        run,
        phase=Phase.HOLDING,
        since=now.after(timedelta(0)),
        why=Why.HOLDS,
        start=facts.start.id if facts.start else None,
        woke=now.after(timedelta(0)),
        first_awake=run.first_awake or now.after(timedelta(0)),
        parked=None,
        parking=None,
        asked=None,
        early_viewers=facts.evidence.viewers,
    )
    if close.is_for_use(run):  # it has no length of its own
        last = replace(run.chain[-1], ends=now.wall)
        held = replace(held, chain=(last,), ends=now.after(timedelta(0)))
    unmarked = facts.mark is None or facts.mark.token != run.token
    return Step(held, Why.HOLDS, mark=unmarked, tell=True, look_again_at=now.after(LOOK_SOON))


def _resume_saved_paused(run: WakeRun, facts: Facts, limits: Limits, now: Now) -> Step:
    """An image saved while paused comes back paused: resume it, and remember that it was."""
    start = facts.start.id if facts.start else None
    paused = replace(run, prior=Prior.SAVED_PAUSED, start=start, why=Why.WAKES)
    ends = _must_end(run, facts, now) and not stays_up(paused, facts, limits, now)
    if ends or facts.host.shutting_down:
        return put_back.save_at_once(paused, facts, limits, now)
    if facts.trouble is not None:
        return wait(paused, Why.WAITS_AFTER_REFUSED_WAKE, now, WAKE_PAUSE)
    return Step(paused, Why.WAKES, verb=Verb.RESUME, mark=True, look_again_at=now.after(LOOK_SOON))


def _watching(run: WakeRun, facts: Facts, limits: Limits, schedule: Schedule, now: Now) -> Step:
    joined = joined_by_next(run, facts, schedule, now)
    if joined and not facts.removed and not facts.told_to_stop:
        return wait(joined, Why.WINDOWS_TOUCH, now)
    if not _must_end(run, facts, now):
        agreed = restart_in_use.as_agreed(run, facts, now)
        return agreed or wait(run, Why.WATCHES, now)
    return over(run, facts, Why.WATCHED)
