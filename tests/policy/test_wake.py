"""From the opening of the window to the wake: the prior, the guards, whose VM it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from scene import (
    HOUR,
    SEEN,
    Case,
    Night,
    check,
    named,
    other,
    sets,
    started_by_somebody,
    stops,
)

from guestwake.policy.admission import Wait
from guestwake.policy.common import is_ours
from guestwake.policy.in_use import Reporter
from guestwake.policy.run import Kind, Mark, Phase, Prior, Why
from guestwake.policy.wake import MISSED, waits_for
from guestwake.policy.words import HostFacts, Network, Power, Start, StoppedBy, Trouble, Verb

NO_NETWORK = HostFacts(network=Network.DOWN)
METERED = HostFacts(network=Network.METERED)
ON_BATTERY = HostFacts(on_ac_power=False)
NOBODY_CAN_TELL = HostFacts(network=None, on_ac_power=None)
SHUTTING_DOWN = HostFacts(shutting_down=True)
FULL = HostFacts(memory_available=1024 + 1023)
NO_DISK = HostFacts(disk_available=2048 + 1023)
REFUSED = {Verb.START: Trouble.REFUSED}

PRIORS = [
    Case("saved is woken and saved again", Why.PUT_BACK, "start save"),
    Case("off is woken and shut down again", Why.PUT_BACK, "start shut-down", Power.OFF),
    Case("paused is resumed and paused again", Why.PUT_BACK, "resume pause", Power.PAUSED),
    Case(
        "suspended is woken and suspended again",
        Why.PUT_BACK,
        "wake-up suspend",
        Power.SUSPENDED,
    ),
    Case(
        "an image saved while paused is resumed, and saved as paused again",
        Why.PUT_BACK,
        "start resume save-paused",
        night={"image_paused": True},
    ),
    Case("running is only watched", Why.WATCHED, "", Power.RUNNING, passed=(Why.WATCHES,), at=60),
    Case("elsewhere is never started", Why.MIGRATED_AWAY, "", Power.ELSEWHERE, at=0),
    Case("crashed is never touched", Why.CRASHED, "", Power.CRASHED, at=0),
    Case("gone is said", Why.VM_GONE, "", Power.GONE, at=0),
    Case(
        "changing is looked at again until the window ends",
        Why.NEVER_SETTLED,
        "",
        Power.CHANGING,
        passed=(Why.WAITS_FOR_CHANGE,),
        at=60,
    ),
    Case(
        "changing that settles inside the window is woken",
        Why.PUT_BACK,
        power=Power.CHANGING,
        left=Power.SAVED,
        events={20: stops(Power.SAVED)},
        at=60,
    ),
    Case(
        "a hypervisor that does not answer is asked until the window ends",
        Why.HYPERVISOR_UNREACHABLE,
        "",
        Power.UNKNOWN,
        passed=(Why.WAITS_FOR_HYPERVISOR,),
        at=60,
    ),
    Case(
        "a saved image that will not do is kept and reported",
        Why.IMAGE_UNUSABLE,
        "",
        night={"image_ok": False},
        at=0,
    ),
    Case(
        "an image that is refused while it is started is kept and reported",
        Why.IMAGE_UNUSABLE,
        "start",
        night={"refuses": {Verb.START: Trouble.IMAGE_UNUSABLE}},
        at=0,
    ),
    Case(
        "a VM that came up with the boot id it had before hibernated itself: treated as saved",
        Why.PUT_BACK,
        "start save",
        Power.OFF,
        left=Power.SAVED,
        night={"reporter": Reporter.FRESH, "boot_id_before_rest": "guest-boot-2"},
    ),
    Case(
        "a VM that came up with a new boot id was really off",
        Why.PUT_BACK,
        "start shut-down",
        Power.OFF,
        night={"reporter": Reporter.FRESH, "boot_id_before_rest": "guest-boot-1"},
    ),
    Case(
        "saved that should really be off is settled by the next run",
        Why.PUT_BACK,
        "start shut-down",
        left=Power.OFF,
        night={"owed_off": True, "reporter": Reporter.FRESH},
    ),
]


@pytest.mark.parametrize("case", **named(PRIORS))
def test_prior(case: Case) -> None:
    check(case)


GUARDS = [
    Case("no network: no wake", Why.NO_NETWORK, "", night={"host": NO_NETWORK}, at=60),
    Case("metered counts as none", Why.NO_NETWORK, "", night={"host": METERED}, at=60),
    Case("on battery: no wake", Why.NO_AC_POWER, "", night={"host": ON_BATTERY}, at=60),
    Case(
        "metered is allowed where AllowMetered says so",
        Why.PUT_BACK,
        night={"host": METERED},
        limits={"allow_metered": True},
    ),
    Case(
        "RequireNetwork 0 lifts the guard",
        Why.PUT_BACK,
        night={"host": NO_NETWORK},
        limits={"require_network": False},
    ),
    Case(
        "RequireACPower 0 lifts the guard",
        Why.PUT_BACK,
        night={"host": ON_BATTERY},
        limits={"require_ac_power": False},
    ),
    Case("what nobody can tell is no reason", Why.PUT_BACK, night={"host": NOBODY_CAN_TELL}),
    Case(
        "a network that comes inside the window: woken, and the end is kept",
        Why.PUT_BACK,
        night={"host": NO_NETWORK},
        events={40: sets(host=HostFacts())},
        passed=(Why.WAITS_FOR_NETWORK, Why.WAKES, Why.PUT_BACK),
        at=60,
    ),
    Case(
        "a charger that comes inside the window: woken, and the end is kept",
        Why.PUT_BACK,
        night={"host": ON_BATTERY},
        events={40: sets(host=HostFacts())},
        passed=(Why.WAITS_FOR_AC_POWER, Why.WAKES, Why.PUT_BACK),
        at=60,
    ),
    Case(
        "nothing is woken while the host shuts down",
        Why.STOPPED_BEFORE_WAKE,
        "",
        night={"host": SHUTTING_DOWN},
        passed=(Why.WAITS_FOR_HOST,),
        at=60,
    ),
    Case(
        "no room in memory",
        Why.NO_MEMORY,
        "",
        night={"host": FULL},
        passed=(Why.WAITS_FOR_MEMORY,),
        at=60,
    ),
    Case(
        "no room for the saved image",
        Why.NO_DISK,
        "",
        night={"host": NO_DISK},
        passed=(Why.WAITS_FOR_DISK,),
        at=60,
    ),
    Case(
        "memory is not asked of a VM that is in memory already",
        Why.PUT_BACK,
        "resume pause",
        Power.PAUSED,
        night={"host": FULL},
    ),
    Case(
        "as many as allowed are waking: waits, and had no turn",
        Why.NO_TURN,
        "",
        limits={"max_concurrent_starts": 1, "task_timeout": timedelta(hours=2)},
        night={"others": (other(slot=Night().now().after(timedelta(0))),)},
        passed=(Why.WAITS_FOR_STARTS,),
        at=60,
    ),
    Case(
        "as many as allowed are awake: waits, and had no turn",
        Why.NO_TURN,
        "",
        limits={"max_awake": 1},
        night={"others": (other(awake=True),)},
        passed=(Why.WAITS_FOR_TURN,),
        at=60,
    ),
    Case(
        "a turn that comes late is a turn",
        Why.PUT_BACK,
        limits={"max_awake": 1},
        night={"others": (other(awake=True),)},
        events={50: sets(others=())},
        at=60,
    ),
    Case(
        "removed before it was woken",
        Why.STOPPED_BEFORE_WAKE,
        "",
        night={"host": NO_NETWORK},
        events={10: sets(removed=True)},
        at=10,
    ),
    Case(
        "told to stop before it was woken",
        Why.STOPPED_BEFORE_WAKE,
        "",
        night={"host": NO_NETWORK},
        events={10: sets(told_to_stop=True)},
        at=10,
    ),
    Case(
        "a wake that is refused is tried again each minute until the window ends",
        Why.WAKE_REFUSED,
        " ".join(["start"] * 60),
        night={"refuses": REFUSED},
        passed=(Why.WAITS_AFTER_REFUSED_WAKE,),
        at=60,
    ),
    Case(
        "a wake that cannot be recorded is not asked of the hypervisor",
        Why.NOT_RECORDED,
        " ".join(["start"] * 60),
        night={"refuses": {Verb.START: Trouble.NOT_RECORDED}},
        passed=(Why.WAITS_FOR_JOURNAL,),
        at=60,
    ),
    Case(
        "a wake that is refused at first",
        Why.PUT_BACK,
        "start start start save",
        night={"refuses": REFUSED},
        events={1.5: sets(refuses={})},
        at=60,
    ),
    Case(
        "someone else starts it while it waits: prior running, watched",
        Why.WATCHED,
        "",
        left=Power.RUNNING,
        night={"host": NO_NETWORK},
        events={10: started_by_somebody},
    ),
    Case(
        "Duration 0 while it waits ends the window now",
        Why.NO_NETWORK,
        "",
        night={"host": NO_NETWORK},
        events={10: sets(guest_update_duration=timedelta(0))},
        at=10,
    ),
]


@pytest.mark.parametrize("case", **named(GUARDS))
def test_guards_and_admission(case: Case) -> None:
    check(case)


def test_a_run_that_never_woke_its_vm_leaves_the_date_missed() -> None:
    for why in (Why.NO_NETWORK, Why.NO_AC_POWER, Why.NO_TURN, Why.WAKE_REFUSED):
        assert why in MISSED
    assert Why.PUT_BACK not in MISSED


def test_a_run_in_the_queue_says_what_it_waits_for() -> None:
    night = Night(host=FULL)
    night.look()
    assert waits_for(night.record) is Wait.MEMORY
    night.set(host=NO_NETWORK)
    night.look()
    assert waits_for(night.record) is None  # it is not in that queue


# A slow hypervisor


def test_a_vm_slow_to_wake_is_given_task_timeout_and_stays_ours() -> None:
    night = Night(power=Power.SUSPENDED, ignores=frozenset({Verb.WAKE_UP}))
    night.until(9)
    assert night.record.phase is Phase.WAKING
    night.set(power=Power.RUNNING, ignores=frozenset())
    night.until(30)
    assert night.record.phase is Phase.HOLDING
    assert night.record.prior is Prior.SUSPENDED


def test_a_vm_that_has_not_woken_after_task_timeout_was_refused() -> None:
    night = Night(power=Power.SUSPENDED, ignores=frozenset({Verb.WAKE_UP}))
    night.until(10.5)
    assert night.whys[-1] is Why.WAITS_AFTER_REFUSED_WAKE


def test_an_image_saved_while_paused_that_cannot_be_resumed_is_saved_as_paused_at_the_end() -> None:
    night = Night(image_paused=True, refuses={Verb.RESUME: Trouble.REFUSED})
    night.until(120)
    assert night.verbs[-1] is Verb.SAVE_PAUSED
    assert night.whys[-1] is Why.PUT_BACK
    assert night.image_paused


def test_an_image_saved_while_paused_that_somebody_uses_meanwhile_is_not_saved_over_them() -> None:
    night = Night(image_paused=True, refuses={Verb.RESUME: Trouble.REFUSED})
    night.until(30)
    night.set(holds=("alice",))
    night.until(120)
    assert Verb.SAVE_PAUSED not in night.verbs
    night.set(refuses={})
    night.until(130)
    assert night.whys[-1] is Why.LENT


# Record before act; ours and not ours


def waking(power: Power = Power.SAVED) -> Night:
    """The record is written, and the manager has died: before the verb or after it."""
    night = Night(power=power, ignores=frozenset(Verb))
    night.look()
    night.verbs.clear()
    night.mark, night.ignores = None, frozenset()
    night.goes_on()
    return night


def test_the_first_step_is_recorded_with_the_prior_before_the_verb() -> None:
    night = Night()
    step = night.look()
    assert step.verb is Verb.START
    assert step.run.phase is Phase.WAKING
    assert step.run.prior is Prior.SAVED


def test_dead_between_record_and_act_the_verb_is_given_again() -> None:
    night = waking()
    night.until(120)
    assert night.whys[-1] is Why.PUT_BACK
    assert night.verbs == [Verb.START, Verb.SAVE]


@pytest.mark.parametrize(
    ("seconds", "why"),
    [
        (-60, Why.STARTED_BY_SOMEBODY),  # the record is later
        (0, Why.WHO_STARTED_IT_UNKNOWN),
        (1, Why.WHO_STARTED_IT_UNKNOWN),
        (600, Why.WHO_STARTED_IT_UNKNOWN),
    ],
)
def test_dead_between_act_and_mark_a_start_is_not_taken_for_ours(seconds: int, why: Why) -> None:
    night = waking(Power.OFF)
    night.starts_anew(at=seconds)
    night.until(20)
    assert night.whys[-1] is why
    assert not night.verbs


@pytest.mark.parametrize(("at", "ours"), [(-60, False), (0, True), (5, True), (6, False)])
def test_a_start_that_began_while_this_very_process_asked_for_it_is_ours(
    at: int, ours: bool
) -> None:
    """The daemon was gone at the next look, and nothing could be marked."""
    night = waking(Power.OFF)
    returned = night.now().after(timedelta(seconds=5))
    night.starts_anew(at=at)
    assert is_ours(night.record, replace(night.facts(), started=returned), night.now()) is ours


def test_our_mark_on_this_start_makes_it_ours_whenever_it_began() -> None:
    night = waking()
    night.starts_anew(at=1800)
    assert night.start
    night.mark = Mark(night.record.token, night.start.id)
    night.look()
    assert night.record.phase is Phase.HOLDING


def test_what_this_very_process_has_just_started_is_ours_without_a_mark() -> None:
    night = waking()
    night.starts_anew(at=1800)
    assert not is_ours(night.record, night.facts(), night.now())
    assert is_ours(night.record, replace(night.facts(), done=Verb.START), night.now())


def test_another_runs_mark_on_this_start_makes_it_not_ours() -> None:
    night = waking()
    night.starts_anew(at=2)
    assert night.start
    night.mark = Mark("another", night.start.id)
    night.look()
    assert night.whys[-1] is Why.STARTED_BY_SOMEBODY


def test_a_mark_that_came_back_with_a_saved_image_says_nothing() -> None:
    night = waking()
    night.starts_anew(at=1800)
    night.mark = Mark(night.record.token, "an earlier start")
    night.look()
    assert night.whys[-1] is Why.WHO_STARTED_IT_UNKNOWN


def test_a_start_that_nobody_can_date_and_that_bears_no_mark_is_not_ours() -> None:
    night = waking()
    night.starts_anew()
    night.start = Start("far away", None)
    night.look()
    assert night.whys[-1] is Why.WHO_STARTED_IT_UNKNOWN


def test_the_host_restarted_and_started_it_at_the_same_second_of_its_boot() -> None:
    night = waking(Power.OFF)
    night.host_restarts()
    recorded = night.record.since.elapsed
    night.boot_began = night.seconds - recorded - 2  # up for as long as when it was recorded
    night.starts_anew()
    night.look()
    assert night.whys[-1] is Why.STARTED_BY_SOMEBODY


def test_what_was_started_anew_by_somebody_is_left_alone_and_the_mark_stays_theirs() -> None:
    night = Night()
    night.until(20)
    night.starts_anew()
    assert night.start
    night.mark = Mark("somebody's", night.start.id)
    night.until(120)
    assert night.whys[-1] is Why.STARTED_BY_SOMEBODY
    assert night.verbs == [Verb.START]
    assert night.mark == Mark("somebody's", night.start.id)


def test_a_vm_that_is_put_back_bears_no_mark_where_it_stays_in_memory() -> None:
    night = Night(power=Power.PAUSED)
    night.until(30)
    assert night.mark
    night.until(120)
    assert night.mark is None


WHILE_WAKING = [
    ("a start that nobody can tell of is paused", Power.PAUSED, True, Why.WHO_STARTED_IT_UNKNOWN),
    ("it was migrated away", Power.ELSEWHERE, False, Why.MIGRATED_AWAY),
    ("it is gone", Power.GONE, False, Why.VM_GONE),
    ("it is kept as it crashed", Power.CRASHED, False, Why.CRASHED),
]


@pytest.mark.parametrize(
    ("power", "started", "why"),
    [case[1:] for case in WHILE_WAKING],
    ids=[case[0] for case in WHILE_WAKING],
)
def test_while_waking(power: Power, started: bool, why: Why) -> None:
    night = waking()
    if started:
        night.starts_anew(at=1800)
    night.power = power
    night.look()
    assert night.whys[-1] is why
    assert night.over


def test_told_to_stop_while_waking_nothing_is_left_open() -> None:
    night = waking()
    night.set(told_to_stop=True)
    night.look()
    assert night.whys[-1] is Why.STOPPED_BEFORE_WAKE
    assert night.over


def test_nobody_to_ask_while_told_to_stop_the_record_stays_open() -> None:
    night = Night()
    night.until(20)
    night.set(power=Power.UNKNOWN, told_to_stop=True)
    night.look()
    assert night.left
    assert not night.over


def test_the_started_vm_goes_off_at_once_and_is_not_started_for_ever() -> None:
    night = Night(power=Power.OFF)
    night.look()
    night.stops(Power.OFF, StoppedBy.GUEST)
    night.look()
    assert night.whys[-1] is Why.GUEST_STOPPED_ITSELF


# The guest is told


def test_a_guest_that_answers_is_told_once() -> None:
    night = Night()
    night.until(30)
    assert night.tells == 1


def test_a_guest_that_does_not_answer_is_told_again_and_it_is_said_after_task_timeout() -> None:
    night = Night(agent=False)
    night.until(9)
    assert night.whys[-1] is Why.HOLDS
    assert 60 < night.tells < 90  # each second at first, then with each look
    night.until(12)
    assert night.whys[-1] is Why.HOLDS_WITHOUT_WORD
    night.until(120)
    assert night.whys[-1] is Why.PUT_BACK


# Prior running


def test_a_vm_that_stopped_while_it_was_watched_is_not_woken() -> None:
    night = Night(power=Power.RUNNING)
    night.until(20)
    night.stops(Power.OFF)
    night.until(120)
    assert night.whys[-1] is Why.WATCHED
    assert not night.verbs


def test_a_persons_own_run_ends_with_its_own_length() -> None:
    night = Night(kind=Kind.EXTRA)
    night.until(10)
    night.set(guest_update_duration=timedelta(0))
    night.until(120)
    assert night.minute == pytest.approx(60, abs=0.1)
    assert night.record.dates == ()


def test_a_scheduled_run_serves_its_date() -> None:
    night = Night()
    night.look()
    assert [each.isoformat() for each in night.record.dates] == ["2026-06-09"]
    assert HOUR.guest_update_duration == night.window.ends - night.window.opens


# The last test of the tables: it looks at what all of them have met.


def _all_tables_have_run(request: pytest.FixtureRequest) -> bool:
    config, items = request.config, request.session.items
    at = items.index(request.node)
    before = {item.path.name for item in items[:at]}
    after = {item.path.name for item in items[at + 1 :]}
    partial = config.getoption("keyword") or any("::" in each for each in config.args)
    elsewhere = hasattr(config, "workerinput")  # under xdist a worker sees its share only
    return not (partial or elsewhere or TABLES & after) and before >= TABLES


TABLES = {"test_hold.py", "test_put_back.py", "test_wake.py"}


def test_every_answer_of_the_policy_was_met_in_these_tables(
    request: pytest.FixtureRequest,
) -> None:
    if not _all_tables_have_run(request):
        pytest.skip("only part of the policy's tables ran before")
    assert not set(Why) - SEEN
