"""What must hold in any world: arbitrary facts in any order, and nights that become quiet.

`scene.take` holds every single step against the rules that know no exception; here it is given
everything that can be said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scene import (
    AT_REST,
    HOST_ZONE,
    HOUR,
    LIVE,
    SEEN,
    UUID,
    Night,
    crashes,
    other,
    take,
)

from guestwake.policy.admission import Wait
from guestwake.policy.in_use import Evidence, Reporter, Session
from guestwake.policy.limits import CloseAction, Limits, RestartInWindow, ReturnState
from guestwake.policy.run import (
    Facts,
    GuestReport,
    Kind,
    Mark,
    Phase,
    Prior,
    Restart,
    Step,
    WakeRun,
    Why,
)
from guestwake.policy.window import Opening, opening, schedule_of
from guestwake.policy.words import HostFacts, Network, Now, Power, Start, StoppedBy, Trouble, Verb


@pytest.fixture(scope="module", autouse=True)
def _what_is_met_by_chance_does_not_count_as_seen() -> Iterator[None]:
    before = set(SEEN)
    yield
    SEEN.intersection_update(before)


MINUTE = timedelta(minutes=1)
minutes = st.sampled_from([0, 1, 10, 30, 60, 1440]).map(lambda n: n * MINUTE)
limits = st.builds(
    Limits,
    guest_update_duration=st.sampled_from([0, 30, 60, 1440]).map(lambda n: n * MINUTE),
    close_action=st.sampled_from(CloseAction),
    return_state=st.sampled_from(ReturnState),
    task_timeout=st.sampled_from([1, 60, 600, 7200]).map(lambda n: timedelta(seconds=n)),
    max_extension=minutes,
    early_finish=st.booleans(),
    min_awake=minutes,
    restart_in_window=st.sampled_from(RestartInWindow),
    require_network=st.booleans(),
    require_ac_power=st.booleans(),
    max_concurrent_starts=st.integers(1, 2),
    max_awake=st.integers(0, 1),
    guest_use_limit=minutes,
)
names = st.sampled_from(["a", "b"])
few = st.lists(names, max_size=1).map(tuple)
instants = st.floats(99_000, 120_000)
starts = st.none() | st.builds(Start, names, st.none() | instants)
sessions = st.builds(Session, names, instants, st.none() | instants)
evidence = st.builds(
    Evidence,
    applications=few,
    holds=few,
    rdp=few,
    viewers=few.map(frozenset),
    reporter=st.sampled_from(Reporter),
    sessions=st.lists(sessions, max_size=1).map(tuple),
)
maybe = st.none() | st.booleans()
guests = st.none() | st.builds(
    GuestReport, names, busy=maybe, nothing_left=maybe, restart=st.sampled_from(Restart)
)
hosts = st.builds(
    HostFacts,
    network=st.none() | st.sampled_from(Network),
    on_ac_power=maybe,
    shutting_down=st.sampled_from([False, False, False, True]),
    memory_available=st.none() | st.integers(0, 4096),
    disk_available=st.none() | st.integers(0, 8192),
)
crowds = st.sampled_from(
    [(), (other(awake=True),), (other(waiting=Wait.STARTS),), (other(waiting=Wait.MEMORY),)]
)
rarely = st.sampled_from([False] * 5 + [True])
mostly = st.sampled_from([True] * 5 + [False])
facts = st.builds(
    Facts,
    power=st.sampled_from([*Power, *[Power.RUNNING] * 8]),
    start=starts,
    stopped_by=st.none() | st.sampled_from(StoppedBy),
    mark=st.none() | st.builds(Mark, st.sampled_from(["token", "x"]), names),
    image_ok=st.sampled_from([None, None, True, False]),
    done=st.none() | st.sampled_from(Verb),
    trouble=st.sampled_from([None, None, *Trouble]),
    told=maybe,
    evidence=st.just(Evidence()) | evidence,
    guest=guests,
    boot_id_before_rest=st.none() | names,
    fast_start_holds=rarely,
    restart_marked=st.booleans(),
    owed_off=st.booleans(),
    told_to_stop=rarely,
    removed=rarely,
    host=st.just(HostFacts()) | hosts,
    others=crowds,
    memory=st.just(1024),
)
UNTOUCHABLE = (Power.ELSEWHERE, Power.CRASHED, Power.CHANGING, Power.UNKNOWN, Power.GONE)


def world(draw: st.DataObject, now: Now) -> Now:
    """Later, and now and then after a sleep of the host or its restart."""
    passed = draw.draw(st.sampled_from([0.0, 1.0, 30.0, 61.0, 700.0, 4000.0]), "seconds")
    later = replace(now, wall=now.wall + timedelta(seconds=passed), elapsed=now.elapsed + passed)
    match draw.draw(st.sampled_from(["", "", "", "", "slept", "restarted", "put back"]), "host"):
        case "slept":
            return replace(later, asleep=later.asleep + passed)
        case "restarted":
            return replace(later, boot_id=later.boot_id + "'", elapsed=100.0, asleep=0.0)
        case "put back":
            return replace(later, wall=later.wall - timedelta(hours=3))
    return later


@settings(max_examples=250)
@given(st.data())
def test_any_sequence_of_facts_is_answered_with_a_step(data: st.DataObject) -> None:
    """Never an exception, and never a verb that no rule allows (see `scene.take`)."""
    now = Night().now()
    before: WakeRun | Opening = Night().window
    kind = data.draw(st.sampled_from(Kind), "kind")
    rules = data.draw(limits, "limits")
    for _ in range(data.draw(st.integers(1, 14), "looks")):
        if data.draw(rarely, "other settings"):
            rules = data.draw(limits, "limits")
        now = world(data, now)
        seen = data.draw(facts, "facts")
        if seen.power in LIVE and isinstance(before, WakeRun) and data.draw(mostly, "ours"):
            seen = replace(seen, start=Start(before.start or "a", now.elapsed), mark=None)
        schedule = schedule_of(rules, UUID, HOST_ZONE)
        step = take(before, seen, rules, schedule, now, kind=kind)
        if seen.power in UNTOUCHABLE:
            assert step.verb is None
        if step.over:
            break
        assert_the_record_can_be_gone_on_with(step)
        before = step.run


def assert_the_record_can_be_gone_on_with(step: Step) -> None:
    run = step.run
    assert (run.phase is Phase.RESTORING) == (run.goal is not None) or run.goal is not None
    if run.phase in (Phase.WAKING, Phase.HOLDING, Phase.RESTARTING, Phase.LENT, Phase.RESTORING):
        assert run.prior is not None


@given(st.dates(date(1990, 1, 1), date(2050, 1, 1)), st.sampled_from(["UTC", "Africa/Cairo"]))
def test_duration_0_has_no_window_on_any_date(day: date, zone: str) -> None:
    rules = replace(HOUR, guest_update_duration=timedelta(0))
    assert opening(day, schedule_of(rules, UUID, HOST_ZONE.__class__(zone))) is None


@settings(max_examples=60)
@given(facts)
def test_a_run_whose_duration_becomes_0_before_its_wake_never_wakes(seen: Facts) -> None:
    night = Night(host=HostFacts(network=Network.DOWN))
    night.until(5)
    rules = replace(HOUR, guest_update_duration=timedelta(0))
    step = take(night.record, seen, rules, schedule_of(rules, UUID, HOST_ZONE), night.now())
    assert step.over
    assert step.verb is None


# Nights that become quiet

DISTURBED = {
    "somebody uses it": {"holds": ("alice",)},
    "nobody uses it": {"holds": ()},
    "a viewer": {"viewers": frozenset({"spice"})},
    "it installs": {"reporter": Reporter.FRESH, "busy": True},
    "it is done": {"reporter": Reporter.FRESH, "busy": False, "nothing_left": True},
    "it needs a restart": {"reporter": Reporter.FRESH, "restart": Restart.REQUIRED},
    "it falls silent": {"reporter": Reporter.SILENT},
    "no network": {"host": HostFacts(network=Network.DOWN)},
    "on battery": {"host": HostFacts(on_ac_power=False)},
    "all is well": {"host": HostFacts()},
    "nothing can be saved": {"refuses": {Verb.SAVE: Trouble.REFUSED}},
    "nothing can be woken": {"refuses": dict.fromkeys([Verb.START, Verb.RESUME], Trouble.BUSY)},
    "the guest is deaf": {"ignores": frozenset({Verb.SHUT_DOWN, Verb.SUSPEND, Verb.RESTART})},
    "all obey": {"refuses": {}, "ignores": frozenset()},
    "a longer window": {"guest_update_duration": 120 * MINUTE},
    "no window": {"guest_update_duration": timedelta(0)},
    "Fast Start": {"fast_start_holds": True},
}
HOST_GOES = "the host shuts down and comes back"
HAPPENS = {
    "the manager is killed": lambda night: night.goes_on(),
    "the host sleeps": lambda night: night.host_sleeps(25),
    "told to stop, and called again": lambda night: stopped_and_called(night),
    HOST_GOES: lambda night: shut_down_and_back(night),
    "it crashes": lambda night: crashes(night) if night.power is Power.RUNNING else None,
}
QUIET = {
    "holds": (),
    "viewers": frozenset(),
    "busy": False,
    "host": HostFacts(),
    "refuses": {},
    "ignores": frozenset(),
    "fast_start_holds": False,
    "told_to_stop": False,
}


def stopped_and_called(night: Night) -> None:
    night.set(told_to_stop=True)
    night.until(night.minute + 1)
    if not night.over:
        night.goes_on()


def shut_down_and_back(night: Night) -> None:
    night.set(host=HostFacts(shutting_down=True))
    night.until(night.minute + 1)
    if not night.over:
        night.host_restarts(Power.SAVED if night.power is Power.SAVED else Power.OFF)


plans = st.lists(st.tuples(st.integers(0, 40), st.sampled_from([*DISTURBED, *HAPPENS])), max_size=7)


@settings(max_examples=120)
@given(
    st.sampled_from(AT_REST),
    plans,
    st.sampled_from(CloseAction),
    st.sampled_from(ReturnState),
    st.booleans(),
)
def test_a_night_that_becomes_quiet_ends_with_the_vm_put_back(
    prior: Power,
    plan: list[tuple[int, str]],
    close_action: CloseAction,
    return_state: ReturnState,
    early: bool,
) -> None:
    rules = replace(HOUR, close_action=close_action, return_state=return_state, early_finish=early)
    night = Night(power=prior, limits=rules)
    assert night.window  # by the settings of the beginning
    for pause, what in plan:
        if night.over:
            break
        if what in DISTURBED:
            night.set(**DISTURBED[what])
        else:
            HAPPENS[what](night)
        night.until(night.minute + pause)
    night.set(**QUIET)
    if night.left:
        night.goes_on()
    # the windows of two days, MaxExtension, TaskTimeout, the use that has to have ended
    night.until(night.minute + 3 * 1440)
    assert night.over, night.whys
    assert_it_is_where_its_end_says(night, [what for _, what in plan])


_PUT_BACK = {
    Prior.PAUSED: Power.PAUSED,
    Prior.SUSPENDED: Power.SUSPENDED,
    Prior.SAVED: Power.SAVED,
    Prior.OFF: Power.OFF,
}


def assert_it_is_where_its_end_says(night: Night, happened: list[str]) -> None:
    why, power, run = night.whys[-1], night.power, night.record
    assert power is not Power.RUNNING, night.whys
    unused = not run.used and night.limits.return_state is ReturnState.PREVIOUS
    if why is Why.PUT_BACK and unused and run.prior:
        # a guest that will not suspend is saved; so is any VM of a host that shuts down
        saved_instead = run.prior is Prior.SUSPENDED or HOST_GOES in happened
        assert power is _PUT_BACK[run.prior] or (power is Power.SAVED and saved_instead)
    if why is Why.PUT_BACK_OWED_OFF:
        assert power is not Power.OFF
    if why is Why.CLOSED:
        off = night.limits.close_action is not CloseAction.HIBERNATE
        assert power is (Power.OFF if off else Power.SAVED)
