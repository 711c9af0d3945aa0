"""Putting it back: by which verb, how insistently, and what when it does not go."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from scene import Case, Night, check, named, other, sets, started_by_somebody, stops

from guestwake.policy.in_use import Reporter
from guestwake.policy.limits import CloseAction, ReturnState
from guestwake.policy.put_back import slot_since
from guestwake.policy.run import Phase, Why
from guestwake.policy.words import HostFacts, Power, StoppedBy, Trouble, Verb

MINUTE = timedelta(minutes=1)
BUSY, REFUSED = Trouble.BUSY, Trouble.REFUSED
IN_USE, NOT_IN_USE = sets(holds=("alice",)), sets(holds=())
SAVE_REFUSED = {"refuses": {Verb.SAVE: REFUSED}}
USED = {20: IN_USE, 30: NOT_IN_USE}
DEAF = {"ignores": frozenset({Verb.SHUT_DOWN, Verb.PRESS_POWER_BUTTON})}
SHUTDOWN = {"close_action": CloseAction.SHUTDOWN}
TURN_OFF = {"close_action": CloseAction.TURN_OFF}


CASES = [
    Case("the agent first, then the power button", Why.PUT_BACK,
         "start shut-down press-power-button", Power.OFF,
         night={"refuses": {Verb.SHUT_DOWN: REFUSED}}, at=60),
    Case("an agent that does not answer: then the power button", Why.PUT_BACK,
         "start shut-down press-power-button", Power.OFF,
         night={"refuses": {Verb.SHUT_DOWN: BUSY}}, at=60),
    Case("an agent that takes it and does nothing: the button 30 s later", Why.PUT_BACK,
         "start shut-down press-power-button", Power.OFF,
         night={"ignores": frozenset({Verb.SHUT_DOWN})}, at=60.5),
    Case("a guest that does not go down within TaskTimeout: saved instead", Why.PUT_BACK_OWED_OFF,
         " ".join(["start", "shut-down", *["press-power-button"] * 20, "save"]), Power.OFF,
         left=Power.SAVED, night=DEAF, passed=(Why.PUTS_BACK, Why.SAVES_INSTEAD), at=70),
    Case("no agent and no button: saved instead after TaskTimeout", Why.PUT_BACK_OWED_OFF,
         " ".join(["start", "shut-down", *["press-power-button"] * 20, "save"]), Power.OFF,
         left=Power.SAVED,
         night={"refuses": {Verb.SHUT_DOWN: REFUSED, Verb.PRESS_POWER_BUTTON: REFUSED}}),
    Case("a shorter TaskTimeout", Why.PUT_BACK_OWED_OFF,
         "start shut-down press-power-button press-power-button save", Power.OFF, left=Power.SAVED,
         night=DEAF, limits={"task_timeout": MINUTE}, at=61),
    Case("it begins to install: no button, and saved after TaskTimeout", Why.PUT_BACK_OWED_OFF,
         "start shut-down save", Power.OFF, left=Power.SAVED,
         night={**DEAF, "reporter": Reporter.FRESH}, events={60.2: sets(busy=True)}, at=70),
    Case("it installs on its way down", Why.PUT_BACK, "start shut-down", Power.OFF,
         night={**DEAF, "reporter": Reporter.FRESH},
         events={60.2: sets(busy=True), 65: stops(Power.OFF, StoppedBy.GUEST)}, at=65),
    Case("its reporter goes down first: no button", Why.PUT_BACK, "start shut-down", Power.OFF,
         night={**DEAF, "reporter": Reporter.FRESH},
         events={60.2: sets(reporter=Reporter.SILENT),
                 62: stops(Power.OFF, StoppedBy.GUEST)}, at=62),
    Case("CloseAction SHUTDOWN over work, asked of a used VM", Why.CLOSED, "start shut-down",
         left=Power.OFF, limits=SHUTDOWN, events=USED, at=60),
    Case("suspended again is refused: saved", Why.PUT_BACK, "wake-up suspend save",
         Power.SUSPENDED, left=Power.SAVED, night={"refuses": {Verb.SUSPEND: REFUSED}},
         passed=(Why.SAVES_INSTEAD, Why.PUT_BACK)),
    Case("a guest that does not suspend within TaskTimeout: saved", Why.PUT_BACK,
         " ".join(["wake-up", *["suspend"] * 21, "save"]), Power.SUSPENDED, left=Power.SAVED,
         night={"ignores": frozenset({Verb.SUSPEND})}, passed=(Why.SAVES_INSTEAD,)),
    Case("an agent that falls silent on its guest's way to sleep", Why.PUT_BACK,
         "wake-up suspend", Power.SUSPENDED, night={"refuses": {Verb.SUSPEND: BUSY}},
         events={60.2: sets(power=Power.SUSPENDED)}),
    Case("an agent that is silent for good: saved after TaskTimeout", Why.PUT_BACK,
         " ".join(["wake-up", *["suspend"] * 21, "save"]), Power.SUSPENDED, left=Power.SAVED,
         night={"refuses": {Verb.SUSPEND: BUSY}}, passed=(Why.SAVES_INSTEAD,)),
    Case("it falls asleep after all, when it is to be saved", Why.PUT_BACK,
         " ".join(["wake-up", *["suspend"] * 21, "save"]), Power.SUSPENDED,
         night={**SAVE_REFUSED, "ignores": frozenset({Verb.SUSPEND})},
         events={70.05: sets(power=Power.SUSPENDED)}, passed=(Why.SAVES_INSTEAD,)),
    Case("a pause that is refused is tried again", Why.PUT_BACK, "resume pause pause pause",
         Power.PAUSED, night={"refuses": {Verb.PAUSE: REFUSED}}, events={60.2: sets(refuses={})},
         passed=(Why.NOT_PUT_BACK_REFUSED, Why.PUT_BACK)),
    Case("a save that is refused is tried again until it works", Why.PUT_BACK,
         "start save save save save", night=SAVE_REFUSED, events={60.5: sets(refuses={})},
         passed=(Why.NOT_PUT_BACK_REFUSED, Why.PUTS_BACK, Why.PUT_BACK)),
    Case("somebody takes it while it cannot be saved: lent", Why.LENT, "start save save save",
         left=Power.RUNNING, night=SAVE_REFUSED, events={60.3: IN_USE}, until=80,
         passed=(Why.NOT_PUT_BACK_REFUSED, Why.LENT)),
    Case("removed, cannot be saved, and comes into use: theirs", Why.REMOVED_IN_USE,
         "start save save save", left=Power.RUNNING, night=SAVE_REFUSED,
         events={60.2: sets(removed=True), 60.3: IN_USE}),
    Case("Fast Start takes it while it cannot be saved: lent", Why.LENT, "start save save save",
         left=Power.RUNNING, night=SAVE_REFUSED, events={60.3: sets(fast_start_holds=True)},
         until=80),
    Case("somebody starts it anew while it cannot be saved: theirs", Why.STARTED_BY_SOMEBODY,
         "start save save save", left=Power.RUNNING, night=SAVE_REFUSED,
         events={60.3: started_by_somebody}),
    Case("it crashes while it cannot be saved", Why.CRASHED, "start save save save",
         left=Power.OFF, night=SAVE_REFUSED, events={60.3: stops(Power.OFF, StoppedBy.CRASH)}),
    Case("the guest goes off while it cannot be saved", Why.GUEST_STOPPED_ITSELF,
         "start save save save", left=Power.OFF, night=SAVE_REFUSED,
         events={60.3: stops(Power.OFF, StoppedBy.GUEST)}),
    Case("somebody saves it while it is asked to shut down", Why.STOPPED_BY_SOMEBODY,
         "start shut-down", Power.OFF, left=Power.SAVED, night=DEAF,
         events={60.2: stops(Power.SAVED)}),
    Case("saved, and not readable again: said", Why.IMAGE_UNUSABLE, "start save",
         events={30: sets(image_ok=False)}, at=60),
    Case("TURN-OFF that is refused is tried again", Why.CLOSED,
         "start power-off power-off power-off", left=Power.OFF, limits=TURN_OFF,
         night={"refuses": {Verb.POWER_OFF: REFUSED}}, events={**USED, 60.2: sets(refuses={})}),
    Case("TURN-OFF that was refused gives way to an installation", Why.PUT_BACK_OWED_OFF,
         "start power-off power-off power-off save", left=Power.SAVED, limits=TURN_OFF,
         night={"refuses": {Verb.POWER_OFF: REFUSED}, "reporter": Reporter.FRESH},
         events={**USED, 60.3: sets(busy=True)}, passed=(Why.SAVES_INSTEAD,)),
    Case("TURN-OFF is no longer what CloseAction says", Why.CLOSED,
         "start power-off power-off power-off save", left=Power.SAVED, limits=TURN_OFF,
         night={"refuses": {Verb.POWER_OFF: REFUSED}},
         events={**USED, 60.3: sets(close_action=CloseAction.HIBERNATE)}),
    Case("the host shuts down while a guest is asked to: saved", Why.PUT_BACK_OWED_OFF,
         "start shut-down save", Power.OFF, left=Power.SAVED, night=DEAF,
         events={60.2: sets(host=HostFacts(shutting_down=True))}, at=60.2),
    Case("the host shuts down over use while it cannot be saved: asked at once", Why.CLOSED,
         "start save save save", night=SAVE_REFUSED,
         events={60.2: IN_USE, 60.3: sets(host=HostFacts(shutting_down=True), refuses={})}),
    Case("the host shuts down and the save is refused: asked again after a pause",
         Why.NOT_PUT_BACK_REFUSED, "start save save save", left=Power.RUNNING, night=SAVE_REFUSED,
         events={20: sets(host=HostFacts(shutting_down=True))}, until=20.5),
    Case("told to stop while a guest is asked to shut down: saved", Why.PUT_BACK_OWED_OFF,
         "start shut-down save", Power.OFF, left=Power.SAVED, night=DEAF,
         events={60.2: sets(told_to_stop=True)}, at=60.2),
    Case("told to stop while it suspends: let it", Why.PUT_BACK, "wake-up suspend",
         Power.SUSPENDED, night={"ignores": frozenset({Verb.SUSPEND})},
         events={60.2: sets(told_to_stop=True), 60.4: sets(power=Power.SUSPENDED)}, at=60.4),
    Case("the hypervisor does not answer for a while", Why.PUT_BACK, "start save save",
         night=SAVE_REFUSED, events={60.02: sets(power=Power.UNKNOWN, refuses={}),
                                     61: sets(power=Power.RUNNING)},
         passed=(Why.NOT_PUT_BACK_REFUSED, Why.WAITS_FOR_HYPERVISOR, Why.PUT_BACK)),
    Case("removed while parked: it is at rest", Why.PUT_BACK, "start save",
         events={20: sets(host=HostFacts(on_ac_power=False)), 25: sets(removed=True)}, at=25),
    Case("used, and parked on battery: saved, its CloseAction is still owed", Why.PUT_BACK_OWED_OFF,
         "start save", left=Power.SAVED, limits=TURN_OFF,
         events={10: IN_USE, 15: NOT_IN_USE, 20: sets(host=HostFacts(on_ac_power=False))}, at=60),
    Case("use begins while it is parked: held to the end of the window, not lent", Why.CLOSED,
         "start save save save", night=SAVE_REFUSED,
         events={20: sets(host=HostFacts(on_ac_power=False)), 20.1: IN_USE,
                 30: sets(holds=(), host=HostFacts(), refuses={})}, at=60,
         passed=(Why.NOT_PUT_BACK_REFUSED, Why.HOLDS, Why.PUTS_BACK)),
]  # fmt: skip


@pytest.mark.parametrize("case", **named(CASES))
def test_putting_back(case: Case) -> None:
    check(case)


def asked_at(night: Night, verb: Verb, until: float) -> list[float]:
    """At which seconds of the night the verb was given."""
    seen: list[float] = []
    while night.seconds < until * 60 and not night.over:
        before = len(night.verbs)
        step = night.look()
        if night.verbs[before:] == [verb]:
            seen.append(night.seconds)
        if step.verb is None and step.look_again_at:
            night.seconds += step.look_again_at.left(night.now()).total_seconds()
    return seen


def test_the_power_button_is_pressed_every_thirty_seconds() -> None:
    night = Night(power=Power.OFF, **DEAF)
    pressed = asked_at(night, Verb.PRESS_POWER_BUTTON, 69)
    assert {later - sooner for sooner, later in pairwise(pressed)} == {30}


def test_refusals_are_answered_with_longer_and_longer_pauses_up_to_ten_minutes() -> None:
    night = Night(**SAVE_REFUSED)
    asked = asked_at(night, Verb.SAVE, 140)
    pauses = [later - sooner for sooner, later in pairwise(asked)]
    assert pauses[:8] == [5, 10, 20, 40, 80, 160, 320, 600]
    assert set(pauses[8:]) == {600}


def test_an_event_during_such_a_pause_does_not_shorten_it() -> None:
    night = Night(**SAVE_REFUSED)
    night.until(90)
    before = list(night.verbs)
    night.look()
    assert night.verbs == before


def test_a_save_that_takes_its_time_is_not_asked_for_twice_in_one_instant() -> None:
    night = Night(ignores=frozenset({Verb.SAVE}))
    night.until(59)
    night.seconds = 3600
    assert night.look().verb is Verb.SAVE
    assert night.look().verb is None
    night.stops(Power.SAVED)
    night.until(61)
    assert night.whys[-1] is Why.PUT_BACK


def test_where_only_a_job_is_in_the_way_it_is_asked_again_within_half_a_minute() -> None:
    night = Night(refuses={Verb.SAVE: BUSY})
    asked = asked_at(night, Verb.SAVE, 70)
    assert max(later - sooner for sooner, later in pairwise(asked)) == 30


def test_a_standing_refusal_never_ends_the_run() -> None:
    night = Night(**SAVE_REFUSED)
    night.until(60 * 23)
    assert night.whys[-1] is Why.NOT_PUT_BACK_REFUSED
    assert not night.over
    assert night.power is Power.RUNNING


def test_told_to_stop_a_refused_save_is_tried_once_more_and_the_record_stays_open() -> None:
    night = Night(**SAVE_REFUSED)
    night.until(90)
    before = len(night.verbs)
    night.set(told_to_stop=True)
    night.until(91)
    assert night.left
    assert night.verbs[before:] == [Verb.SAVE]
    night.goes_on()
    night.set(refuses={})
    night.until(200)
    assert night.whys[-1] is Why.PUT_BACK


def test_what_was_begun_under_a_signal_does_not_run_over_a_use_that_began_since() -> None:
    night = Night(told_to_stop=False, **SAVE_REFUSED)
    night.until(20)
    night.set(told_to_stop=True)
    night.until(21)
    assert night.left
    night.goes_on()
    night.set(refuses={}, holds=("alice",))
    night.until(40)
    assert night.verbs.count(Verb.SAVE) == 1
    assert night.power is Power.RUNNING


def test_no_more_are_saved_at_once_than_may_be() -> None:
    night = Night()
    night.until(59)
    saving = other(slot=night.now().after(timedelta(0)))
    night.set(others=(saving,), max_concurrent_starts=1)
    night.until(61)
    assert night.whys[-1] is Why.WAITS_TO_PUT_BACK
    assert night.verbs == [Verb.START]
    night.set(others=())
    night.until(62)
    assert night.whys[-1] is Why.PUT_BACK


def test_somebody_who_comes_while_it_waits_to_be_saved_keeps_it() -> None:
    night = Night()
    night.until(59)
    night.set(others=(other(slot=night.now().after(timedelta(0))),), max_concurrent_starts=1)
    night.until(61)
    night.set(holds=("alice",), others=())
    night.until(70)
    assert night.whys[-1] is Why.LENT


@pytest.mark.parametrize("what", [{"told_to_stop": True}, {"host": HostFacts(shutting_down=True)}])
def test_told_to_stop_and_a_host_that_goes_wait_for_no_turn(what: dict[str, object]) -> None:
    night = Night()
    night.until(59)
    night.set(others=(other(slot=night.now().after(timedelta(0))),), max_concurrent_starts=1)
    night.until(61)
    night.set(**what)
    night.until(61.2)
    assert night.power is Power.SAVED


def test_a_slot_is_held_while_waking_and_while_saving_only() -> None:
    night = Night(refuses={Verb.START: REFUSED})
    night.look()
    assert slot_since(night.record)  # waking
    night.look()
    assert slot_since(night.record) is None  # refused
    night.set(refuses={Verb.SAVE: REFUSED})
    night.until(59)
    assert slot_since(night.record) is None  # held
    night.seconds = 3600
    assert night.look().verb is Verb.SAVE
    assert slot_since(night.record)  # saving
    night.look()
    assert slot_since(night.record) is None  # refused


def test_a_guest_asked_to_shut_down_holds_no_slot() -> None:
    night = Night(power=Power.OFF, **DEAF)
    night.until(61)
    assert night.record.phase is Phase.RESTORING
    assert slot_since(night.record) is None


def test_dead_between_record_and_save_it_is_asked_again_at_once() -> None:
    night = Night(ignores=frozenset({Verb.SAVE}))
    night.until(59)
    night.seconds = 3600
    night.look()
    night.goes_on()
    night.set(ignores=frozenset())
    assert night.look().verb is Verb.SAVE
    night.until(61)
    assert night.whys[-1] is Why.PUT_BACK


def test_a_return_state_that_changes_before_the_end_counts() -> None:
    night = Night(reporter=Reporter.FRESH)
    night.until(30)
    night.set(return_state=ReturnState.SHUTDOWN)
    night.until(61)
    assert night.power is Power.OFF


def test_the_end_of_the_world_a_hypervisor_that_never_answers_again() -> None:
    night = Night()
    night.until(20)
    night.set(power=Power.UNKNOWN)
    night.until(60 * 3)
    assert not night.over
    assert night.verbs == [Verb.START]


def test_paused_over_its_end_by_an_io_error_it_stands_until_somebody_lets_it_run_on() -> None:
    night = Night()
    night.until(20)
    night.set(power=Power.CHANGING)
    night.until(69)
    assert night.whys[-1] is Why.WAITS_FOR_CHANGE
    night.until(72)
    assert night.whys[-1] is Why.NOT_PUT_BACK_REFUSED
    assert not night.over
    night.set(power=Power.RUNNING)
    night.until(85)
    assert night.power is Power.SAVED
    assert night.whys[-1] is Why.PUT_BACK


def test_on_its_way_down_it_is_being_put_back_and_past_task_timeout_that_stands() -> None:
    night = Night(ignores=frozenset({Verb.SAVE}))
    night.until(60.1)
    night.set(power=Power.CHANGING)
    night.until(69)
    assert night.whys[-1] is Why.PUTS_BACK
    night.until(72)
    assert night.whys[-1] is Why.NOT_PUT_BACK_REFUSED
    night.stops(Power.SAVED)
    night.until(75)
    assert night.whys[-1] is Why.PUT_BACK
