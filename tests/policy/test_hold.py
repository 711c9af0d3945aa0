"""The window and what happens in it, its end, chains of windows, and what is lent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import time, timedelta

import pytest
from scene import (
    DATE,
    HOUR,
    Case,
    Event,
    Night,
    check,
    crashes,
    named,
    sets,
    signs_in,
    started_by_somebody,
    stops,
)

from guestwake.policy.in_use import Reporter
from guestwake.policy.limits import CloseAction, RestartInWindow, ReturnState
from guestwake.policy.run import Kind, Phase, Prior, Restart, Why
from guestwake.policy.window import Opening
from guestwake.policy.words import HostFacts, Network, Power, StoppedBy, Trouble, Verb

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
BATTERY, AC = sets(host=HostFacts(on_ac_power=False)), sets(host=HostFacts())
HOST_SHUTS_DOWN = sets(host=HostFacts(shutting_down=True))
IN_USE = sets(holds=("alice",))
NOT_IN_USE = sets(holds=())
REPORTS = {"reporter": Reporter.FRESH}
INSTALLING = {"reporter": Reporter.FRESH, "busy": True}
RESTART_REQUIRED = {"reporter": Reporter.FRESH, "restart": Restart.REQUIRED, "busy": False}
SHUTDOWN = {"close_action": CloseAction.SHUTDOWN}
TURN_OFF = {"close_action": CloseAction.TURN_OFF}


def then(*events: Event) -> Event:
    def event(night: Night) -> None:
        for each in events:
            each(night)

    return event


def guest_restarts_itself(night: Night) -> None:
    night.guest_boot += 1


def host_restarts_and_finds(power: Power) -> Event:
    return lambda night: night.host_restarts(power)


def host_sleeps(minutes: float) -> Event:
    return lambda night: night.host_sleeps(minutes)


IN_THE_WINDOW = [
    Case(
        "the guest restarts itself: held on",
        Why.PUT_BACK,
        events={20: guest_restarts_itself},
        night=REPORTS,
        at=60,
    ),
    Case(
        "no word from the guest within TaskTimeout is an event, not the end",
        Why.PUT_BACK,
        night={"agent": False},
        passed=(Why.HOLDS_WITHOUT_WORD,),
        at=60,
    ),
    Case(
        "the VM crashes: woken again",
        Why.PUT_BACK,
        "start start shut-down",
        Power.OFF,
        events={20: crashes},
        passed=(Why.CRASHED_WOKEN_AGAIN, Why.WAKES, Why.HOLDS),
        at=60,
    ),
    Case(
        "a VM that was saved crashes: also an error, its session is lost",
        Why.PUT_BACK,
        "start start save",
        events={20: crashes},
        passed=(Why.CRASHED_SESSION_LOST, Why.WAKES),
    ),
    Case(
        "it crashes again: that session was not the saved one",
        Why.PUT_BACK,
        "start start start save",
        events={20: crashes, 30: crashes},
        passed=(Why.CRASHED_SESSION_LOST, Why.CRASHED_WOKEN_AGAIN),
    ),
    Case(
        "it crashes a third time: left",
        Why.CRASHED_TOO_OFTEN,
        "start start start",
        Power.OFF,
        events={20: crashes, 30: crashes, 40: crashes},
        at=40,
    ),
    Case(
        "it crashes and the network is lost: at the end its saved session is lost",
        Why.CRASHED,
        "start",
        left=Power.OFF,
        events={20: then(crashes, sets(host=HostFacts(network=Network.DOWN)))},
        passed=(Why.CRASHED_SESSION_LOST, Why.WAITS_FOR_NETWORK),
        at=60,
    ),
    Case(
        "it crashes past its end: not woken again",
        Why.CRASHED,
        "start",
        power=Power.OFF,
        night=INSTALLING,
        events={70: crashes},
        at=70,
    ),
    Case(
        "the guest shuts itself down: handed over, not woken again",
        Why.GUEST_STOPPED_ITSELF,
        "start",
        left=Power.OFF,
        events={20: stops(Power.OFF, StoppedBy.GUEST)},
        at=20,
    ),
    Case(
        "the guest suspends itself: handed over",
        Why.GUEST_STOPPED_ITSELF,
        "start",
        left=Power.SUSPENDED,
        events={20: sets(power=Power.SUSPENDED)},
        at=20,
    ),
    Case(
        "somebody pulls the cord: handed over",
        Why.STOPPED_BY_SOMEBODY,
        "start",
        left=Power.OFF,
        events={20: stops(Power.OFF)},
        at=20,
    ),
    Case(
        "somebody saves it: handed over",
        Why.STOPPED_BY_SOMEBODY,
        "start",
        events={20: stops(Power.SAVED)},
        at=20,
    ),
    Case(
        "somebody pauses it: handed over",
        Why.STOPPED_BY_SOMEBODY,
        "start",
        left=Power.PAUSED,
        events={20: sets(power=Power.PAUSED)},
        at=20,
    ),
    Case(
        "somebody migrates it: handed over",
        Why.MIGRATED_AWAY,
        "start",
        left=Power.ELSEWHERE,
        events={20: stops(Power.ELSEWHERE)},
        at=20,
    ),
    Case(
        "somebody starts it anew: handed over",
        Why.STARTED_BY_SOMEBODY,
        "start",
        left=Power.RUNNING,
        events={20: started_by_somebody},
        at=20,
    ),
    Case(
        "the VM is deleted", Why.VM_GONE, "start", left=Power.GONE, events={20: stops(Power.GONE)}
    ),
    Case(
        "it is kept as it crashed: never touched",
        Why.CRASHED,
        "start",
        left=Power.CRASHED,
        events={20: stops(Power.CRASHED)},
    ),
    Case(
        "the hypervisor does not answer for a while: held on",
        Why.PUT_BACK,
        events={20: sets(power=Power.UNKNOWN), 30: sets(power=Power.RUNNING)},
        passed=(Why.HOLDS, Why.WAITS_FOR_HYPERVISOR, Why.HOLDS),
        at=60,
    ),
    Case(
        "a CloseAction that comes due is deferred to the end",
        Why.CLOSED,
        "start shut-down",
        left=Power.OFF,
        limits=SHUTDOWN,
        events={20: IN_USE, 30: NOT_IN_USE},
        at=60,
    ),
    Case(
        "the network is lost: held on",
        Why.PUT_BACK,
        events={20: sets(host=HostFacts(network=Network.DOWN))},
        at=60,
    ),
    Case(
        "AC power is lost: put back when idle",
        Why.PUT_BACK,
        events={20: BATTERY},
        passed=(Why.PUTS_BACK, Why.AC_POWER_LOST, Why.WAITS_FOR_AC_POWER, Why.PUT_BACK),
    ),
    Case(
        "AC power is lost: busy is not cut off",
        Why.PUT_BACK,
        night=INSTALLING,
        events={20: BATTERY, 59: sets(busy=False)},
        passed=(Why.HOLDS, Why.PUTS_BACK, Why.AC_POWER_LOST, Why.PUT_BACK),
    ),
    Case(
        "AC power is lost over somebody's use: held on",
        Why.LENT,
        "start",
        left=Power.RUNNING,
        events={20: then(BATTERY, IN_USE)},
        until=70,
    ),
    Case(
        "AC power comes back: woken again after ten minutes",
        Why.PUT_BACK,
        "start shut-down start shut-down",
        Power.OFF,
        events={20: BATTERY, 22: AC},
        passed=(Why.AC_POWER_LOST, Why.WAITS_FOR_AC_POWER, Why.WAKES, Why.HOLDS),
        at=60,
    ),
    Case(
        "AC power is lost and RequireACPower is 0: held on",
        Why.PUT_BACK,
        limits={"require_ac_power": False},
        events={20: BATTERY},
        at=60,
    ),
    Case(
        "the host sleeps inside the window: memory sleeps with it",
        Why.PUT_BACK,
        events={20: host_sleeps(20)},
        at=60,
    ),
    Case(
        "the host sleeps past the end: put back 60 s after its resume",
        Why.PUT_BACK,
        events={20: host_sleeps(120)},
        passed=(Why.HOST_RESUMED, Why.PUTS_BACK),
        at=141,
    ),
    Case(
        "the host sleeps past the end and somebody comes",
        Why.LENT,
        "start",
        left=Power.RUNNING,
        events={20: host_sleeps(120), 140.5: IN_USE},
        passed=(Why.HOST_RESUMED, Why.LENT),
        until=150,
    ),
    Case(
        "the host shuts down: hibernated, and goes on after the restart",
        Why.PUT_BACK,
        "start save start save",
        events={20: HOST_SHUTS_DOWN, 21: host_restarts_and_finds(Power.SAVED)},
        passed=(Why.HOST_SHUTS_DOWN, Why.WAITS_FOR_HOST, Why.WAKES, Why.HOLDS, Why.PUT_BACK),
        at=60,
    ),
    Case(
        "the host shuts down with a VM that was off: hibernated all the same",
        Why.PUT_BACK_OWED_OFF,
        "start save start save",
        Power.OFF,
        left=Power.SAVED,
        events={20: HOST_SHUTS_DOWN, 21: host_restarts_and_finds(Power.SAVED)},
    ),
    Case(
        "the host shuts down with a VM that was paused: memory would be lost, so saved",
        Why.PUT_BACK,
        "resume save start pause",
        Power.PAUSED,
        events={20: HOST_SHUTS_DOWN, 21: host_restarts_and_finds(Power.SAVED)},
    ),
    Case(
        "the host shuts down over somebody's use: hibernated",
        Why.HOST_SHUTS_DOWN,
        "start save",
        events={20: then(HOST_SHUTS_DOWN, IN_USE)},
        until=20.01,
    ),
    Case(
        "the host shuts down and stays down past the end",
        Why.PUT_BACK,
        "start save",
        events={20: HOST_SHUTS_DOWN, 58: host_restarts_and_finds(Power.SAVED)},
    ),
    Case(
        "the host shuts down with a VM that was off, and stays down past the end",
        Why.PUT_BACK_OWED_OFF,
        "start save",
        Power.OFF,
        left=Power.SAVED,
        events={20: HOST_SHUTS_DOWN, 58: host_restarts_and_finds(Power.SAVED)},
    ),
    Case(
        "somebody starts it while it is parked: theirs",
        Why.STARTED_BY_SOMEBODY,
        "start save",
        left=Power.RUNNING,
        events={20: BATTERY, 25: started_by_somebody},
    ),
    Case(
        "somebody throws its image away while it is parked: theirs",
        Why.STOPPED_BY_SOMEBODY,
        "start save",
        left=Power.OFF,
        events={20: BATTERY, 25: stops(Power.OFF)},
    ),
    Case(
        "the hypervisor does not answer at the end of a parked run: not said to be put back",
        Why.WAITS_FOR_HYPERVISOR,
        "start save",
        left=Power.UNKNOWN,
        events={20: BATTERY, 50: sets(power=Power.UNKNOWN)},
        until=300,
    ),
    Case(
        "the host dies under it: woken again for the rest",
        Why.PUT_BACK,
        "start start shut-down",
        Power.OFF,
        events={20: host_restarts_and_finds(Power.OFF)},
        passed=(Why.HOST_DIED_UNDER_IT, Why.WAKES, Why.HOLDS),
        at=60,
    ),
    Case(
        "the host dies under a VM that was saved, past the end: its session is lost",
        Why.CRASHED,
        "start",
        left=Power.OFF,
        events={58: host_restarts_and_finds(Power.OFF)},
        passed=(Why.HOST_DIED_UNDER_IT,),
    ),
    Case(
        "Duration becomes longer: at once",
        Why.PUT_BACK,
        events={20: sets(guest_update_duration=90 * MINUTE)},
        at=90,
    ),
    Case(
        "Duration becomes shorter: at once",
        Why.PUT_BACK,
        events={20: sets(guest_update_duration=30 * MINUTE)},
        at=30,
    ),
    Case(
        "Duration becomes shorter than has passed: ends now",
        Why.PUT_BACK,
        events={40: sets(guest_update_duration=30 * MINUTE)},
        at=40,
    ),
    Case(
        "Duration becomes 0: ends now",
        Why.PUT_BACK,
        events={20: sets(guest_update_duration=timedelta(0))},
        at=20,
    ),
    Case(
        "GuestUpdateTime is changed: from the next date on",
        Why.PUT_BACK,
        events={20: sets(guest_update_time=time(5))},
        at=60,
    ),
    Case("removed: put back first", Why.PUT_BACK, events={20: sets(removed=True)}, at=20),
    Case(
        "removed while somebody uses it: theirs",
        Why.REMOVED_IN_USE,
        "start",
        left=Power.RUNNING,
        events={20: then(sets(removed=True), IN_USE)},
        at=20,
    ),
    Case(
        "removed while it installs: saved, never shut down",
        Why.PUT_BACK_OWED_OFF,
        "start save",
        Power.OFF,
        left=Power.SAVED,
        night=INSTALLING,
        events={20: sets(removed=True)},
        at=20,
    ),
]


@pytest.mark.parametrize("case", **named(IN_THE_WINDOW))
def test_in_the_window(case: Case) -> None:
    check(case)


def test_the_state_of_other_clocks_does_not_move_the_end() -> None:
    night = Night()
    night.until(20)
    night.wall_put = timedelta(hours=5)
    night.until(40)
    night.wall_put = timedelta(hours=-5)
    night.until(120)
    assert night.whys[-1] is Why.PUT_BACK
    assert night.minute == pytest.approx(60, abs=0.1)


AT_THE_END = [
    Case("in use: it stays up, lent", Why.LENT, "start", left=Power.RUNNING,
         events={20: IN_USE}, until=300),
    Case("in use stands above installing", Why.LENT, "start", left=Power.RUNNING,
         night=INSTALLING, events={20: IN_USE}, until=61),
    Case("in use stands above Duration 0", Why.LENT, "start", left=Power.RUNNING,
         events={20: IN_USE, 30: sets(guest_update_duration=timedelta(0))}, until=31),
    Case("Fast Start holds it: it stays up", Why.LENT, "start", left=Power.RUNNING,
         night={"fast_start_holds": True}, until=300),
    Case("installing: extended, up to MaxExtension, then saved", Why.PUT_BACK,
         night=INSTALLING, passed=(Why.BUSY_INSTALLING, Why.PUTS_BACK), at=120),
    Case("installing for a little: extended as long as that", Why.PUT_BACK,
         night=INSTALLING, events={75: sets(busy=False)}, at=75),
    Case("installing, MaxExtension 0: saved at the end", Why.PUT_BACK,
         limits={"max_extension": timedelta(0)}, night=INSTALLING, at=60),
    Case("installing, was off: never shut down while busy", Why.PUT_BACK_OWED_OFF, "start save",
         Power.OFF, left=Power.SAVED, night=INSTALLING, at=120),
    Case("installing, was paused: paused", Why.PUT_BACK, "resume pause", Power.PAUSED,
         night=INSTALLING, at=120),
    Case("installing, was suspended: saved", Why.PUT_BACK, "wake-up save", Power.SUSPENDED,
         left=Power.SAVED, night=INSTALLING, at=120),
    Case("installing stands above CloseAction", Why.PUT_BACK_OWED_OFF, "start save",
         limits=SHUTDOWN, night=INSTALLING, events={20: IN_USE, 30: NOT_IN_USE}, at=120),
    Case("installing stands above TURN-OFF", Why.PUT_BACK_OWED_OFF, "start save",
         limits=TURN_OFF, night=INSTALLING, events={20: IN_USE, 30: NOT_IN_USE}, at=120),
    Case("used earlier: CloseAction HIBERNATE", Why.CLOSED, "start save", Power.OFF,
         left=Power.SAVED, events={20: IN_USE, 30: NOT_IN_USE}, at=60),
    Case("used earlier: CloseAction TURN-OFF", Why.CLOSED, "start power-off",
         left=Power.OFF, limits=TURN_OFF, events={20: IN_USE, 30: NOT_IN_USE}, at=60),
    Case("used earlier: CloseAction wins over ReturnState", Why.CLOSED, "start save", Power.OFF,
         left=Power.SAVED, limits={"return_state": ReturnState.SHUTDOWN},
         events={20: IN_USE, 30: NOT_IN_USE}, at=60),
    Case("unused: TURN-OFF is not asked", Why.PUT_BACK, "start save", limits=TURN_OFF),
    Case("ReturnState hibernate: an unused VM that was off is saved", Why.PUT_BACK, "start save",
         Power.OFF, left=Power.SAVED, limits={"return_state": ReturnState.HIBERNATE}),
    Case("ReturnState hibernate: one that was saved as paused stays so", Why.PUT_BACK,
         "start resume save-paused", night={"image_paused": True},
         limits={"return_state": ReturnState.HIBERNATE}),
    Case("ReturnState shutdown: an unused VM that was saved is shut down", Why.PUT_BACK,
         "start shut-down", left=Power.OFF, night=REPORTS,
         limits={"return_state": ReturnState.SHUTDOWN}),
    Case("ReturnState shutdown: no reporter, saved before, its work counts as at risk",
         Why.PUT_BACK_OWED_OFF, "start save", limits={"return_state": ReturnState.SHUTDOWN}),
    Case("was off, somebody signed in and typed: work at risk, saved",
         Why.PUT_BACK_OWED_OFF, "start save", Power.OFF, left=Power.SAVED, night=REPORTS,
         events={1: signs_in()}),
    Case("was off, an automatic logon: shut down", Why.PUT_BACK, "start shut-down", Power.OFF,
         night=REPORTS, events={1: signs_in(types=False)}),
    Case("was off, its reporter fell silent: saved", Why.PUT_BACK_OWED_OFF, "start save",
         Power.OFF, left=Power.SAVED, night=REPORTS, events={20: sets(reporter=Reporter.SILENT)}),
]  # fmt: skip


@pytest.mark.parametrize("case", **named(AT_THE_END))
def test_at_the_end_in_this_order(case: Case) -> None:
    check(case)


LENT = [
    Case("use ended for ten minutes: CloseAction", Why.CLOSED, "start save",
         events={20: IN_USE, 90: NOT_IN_USE}, at=100),
    Case("use ended: CloseAction SHUTDOWN", Why.CLOSED, "start shut-down", left=Power.OFF,
         limits=SHUTDOWN, events={20: IN_USE, 90: NOT_IN_USE}, at=100),
    Case("use ended and began again: ten minutes from the second end", Why.CLOSED, "start save",
         events={20: IN_USE, 90: NOT_IN_USE, 95: IN_USE, 100: NOT_IN_USE}, at=110),
    Case("Fast Start and a user logged on: it stays", Why.LENT, "start", left=Power.RUNNING,
         night={"fast_start_holds": True}, events={20: IN_USE, 90: NOT_IN_USE}, until=300),
    Case("a guest that works is not cut off by the end of a use", Why.PUT_BACK_OWED_OFF,
         "start save", limits=SHUTDOWN, night=INSTALLING,
         events={20: IN_USE, 90: NOT_IN_USE}, at=100),
    Case("the host shuts down: hibernated", Why.CLOSED, "start save",
         events={20: IN_USE, 90: HOST_SHUTS_DOWN}, at=90),
    Case("the host shuts down, CloseAction SHUTDOWN: hibernated, and owed", Why.PUT_BACK_OWED_OFF,
         "start save", limits=SHUTDOWN, events={20: IN_USE, 90: HOST_SHUTS_DOWN}, at=90),
    Case("removed in use: theirs", Why.REMOVED_IN_USE, "start", left=Power.RUNNING,
         events={20: IN_USE, 90: sets(removed=True)}, at=90),
    Case("removed after the use: put back at once", Why.CLOSED, "start save",
         events={20: IN_USE, 90: NOT_IN_USE, 92: sets(removed=True)}, at=92),
    Case("the guest shuts itself down: handed over", Why.GUEST_STOPPED_ITSELF, "start",
         left=Power.OFF, events={20: IN_USE, 90: stops(Power.OFF, StoppedBy.GUEST)}, at=90),
    Case("it crashes: not woken again", Why.CRASHED, "start", left=Power.OFF,
         events={20: IN_USE, 90: crashes}, at=90),
    Case("somebody starts it anew: theirs", Why.STARTED_BY_SOMEBODY, "start", left=Power.RUNNING,
         events={20: IN_USE, 90: started_by_somebody}, at=90),
    Case("the hypervisor does not answer for a while", Why.CLOSED, "start save",
         events={20: IN_USE, 90: sets(power=Power.UNKNOWN), 95: sets(power=Power.RUNNING),
                 96: NOT_IN_USE}),
    Case("Duration becomes longer: the window is open again", Why.CLOSED, "start save",
         events={20: IN_USE, 70: sets(guest_update_duration=120 * MINUTE), 80: NOT_IN_USE},
         passed=(Why.LENT, Why.HOLDS, Why.PUTS_BACK), at=120),
]  # fmt: skip


@pytest.mark.parametrize("case", **named(LENT))
def test_lent(case: Case) -> None:
    check(case)


CHAINS = [
    Case("1440 is one run from opening to opening", Why.HOLDS, "start", left=Power.RUNNING,
         limits={"guest_update_duration": 1440 * MINUTE}, until=1440 * 2.5,
         passed=(Why.HOLDS, Why.WINDOWS_TOUCH, Why.HOLDS, Why.WINDOWS_TOUCH, Why.HOLDS)),
    Case("an extension that runs into the next window is one run", Why.PUT_BACK, "start save",
         limits={"guest_update_duration": 1400 * MINUTE}, night=INSTALLING,
         events={1450: sets(busy=False)}, passed=(Why.BUSY_INSTALLING, Why.WINDOWS_TOUCH),
         at=1440 + 1400, until=9999),
    Case("an extension that ends before the next window is two", Why.PUT_BACK, "start save",
         limits={"guest_update_duration": 1370 * MINUTE}, night=INSTALLING, at=1430, until=9999),
    Case("lent over the next opening: held again", Why.CLOSED, "start save",
         events={20: IN_USE, 1450: NOT_IN_USE}, passed=(Why.LENT, Why.WINDOWS_TOUCH, Why.HOLDS),
         at=1500, until=9999),
    Case("the next window is skipped: put back, not joined", Why.PUT_BACK, "start save",
         limits={"guest_update_duration": 1440 * MINUTE},
         events={20: sets(had=frozenset({DATE + timedelta(days=1)}))}, at=1440, until=9999),
    Case("paused meanwhile: put back, not joined", Why.PUT_BACK, "start save",
         limits={"guest_update_duration": 1440 * MINUTE}, events={20: sets(paused=True)},
         at=1440, until=9999),
    Case("removed at the joint: put back, not joined", Why.PUT_BACK, "start save",
         limits={"guest_update_duration": 1440 * MINUTE}, events={1440: sets(removed=True)},
         at=1440, until=9999),
    Case("prior running is one run too", Why.WATCHES, "", Power.RUNNING,
         limits={"guest_update_duration": 1440 * MINUTE}, until=1440 * 1.5,
         passed=(Why.WATCHES, Why.WINDOWS_TOUCH, Why.WATCHES)),
]  # fmt: skip


@pytest.mark.parametrize("case", **named(CHAINS))
def test_chains(case: Case) -> None:
    check(case)


def test_a_chain_keeps_its_prior_and_serves_all_its_dates() -> None:
    night = Night(power=Power.OFF, limits=HOUR)
    night.set(guest_update_duration=1440 * MINUTE)
    night.until(1440 * 2.5)
    assert night.record.prior is Prior.OFF
    assert night.record.dates == tuple(DATE + day * DAY for day in range(3))


def test_a_window_refused_its_end_joins_the_next_one() -> None:
    night = Night(refuses={Verb.SAVE: Trouble.REFUSED})
    night.set(guest_update_duration=1400 * MINUTE)
    night.until(1445)
    night.set(refuses={})
    night.until(1460)
    assert night.record.phase is Phase.HOLDING
    night.until(3000)
    assert night.minute == pytest.approx(1440 + 1400, abs=0.1)


def test_crashes_are_counted_by_the_window() -> None:
    night = Night(power=Power.OFF)
    night.set(guest_update_duration=1440 * MINUTE)
    for minute in (100, 200, 1600, 1700):
        night.until(minute)
        crashes(night)
    night.until(2000)
    assert night.record.phase is Phase.HOLDING


def persons_run(opens: float, ends: float, kind: Kind = Kind.EXTRA, date_back: int = 0) -> Night:
    """A run from minute to minute; the workspace's windows are 02:00 to 03:00."""
    night = Night(kind=kind, limits=HOUR)
    night.set(guest_update_time=time(2))
    midnight = night.now().wall
    night.opening = Opening(
        DATE - date_back * DAY, midnight + opens * MINUTE, midnight + ends * MINUTE
    )
    night.seconds = opens * 60
    return night


def test_a_persons_own_run_that_runs_into_a_window_is_one_run() -> None:
    night = persons_run(100, 130)
    night.until(999)
    assert night.minute == pytest.approx(180, abs=0.1)
    assert night.record.dates == (DATE,)
    assert night.verbs == [Verb.START, Verb.SAVE]


def test_a_persons_own_run_that_ends_before_the_window_is_its_own() -> None:
    night = persons_run(80, 110)
    night.until(999)
    assert night.minute == pytest.approx(110, abs=0.1)


def test_a_persons_own_run_after_the_window_of_its_date_waits_for_no_other() -> None:
    night = persons_run(200, 230)
    night.until(999)
    assert night.minute == pytest.approx(230, abs=0.1)


def test_a_caught_up_run_that_runs_into_a_window_is_one_run() -> None:
    night = persons_run(100, 130, Kind.CAUGHT_UP, date_back=5)
    night.until(999)
    assert night.minute == pytest.approx(180, abs=0.1)
    assert night.record.dates == (DATE - 5 * DAY, DATE)


def test_a_caught_up_run_follows_a_changed_duration() -> None:
    night = persons_run(200, 260, Kind.CAUGHT_UP, date_back=5)
    night.until(210)
    night.set(guest_update_duration=30 * MINUTE)
    night.until(999)
    assert night.minute == pytest.approx(230, abs=0.1)


STOPPED = [
    Case("saved: by saving", Why.PUT_BACK, "start save"),
    Case("off: by saving, never by a shutdown", Why.PUT_BACK_OWED_OFF, "start save", Power.OFF,
         left=Power.SAVED),
    Case("paused: paused", Why.PUT_BACK, "resume pause", Power.PAUSED),
    Case("suspended: by saving", Why.PUT_BACK, "wake-up save", Power.SUSPENDED, left=Power.SAVED),
    Case("paused, ReturnState hibernate: saved", Why.PUT_BACK, "resume save", Power.PAUSED,
         left=Power.SAVED, limits={"return_state": ReturnState.HIBERNATE}),
    Case("paused, ReturnState shutdown: saved, and owed", Why.PUT_BACK_OWED_OFF, "resume save",
         Power.PAUSED, left=Power.SAVED, limits={"return_state": ReturnState.SHUTDOWN}),
    Case("installing: by saving", Why.PUT_BACK, "start save", night=INSTALLING),
    Case("used earlier, CloseAction TURN-OFF: by saving", Why.PUT_BACK_OWED_OFF, "start save",
         limits=TURN_OFF, events={5: IN_USE, 6: NOT_IN_USE}),
]  # fmt: skip


@pytest.mark.parametrize("case", **named(STOPPED))
def test_told_to_stop_in_the_window(case: Case) -> None:
    check(
        Case(
            case.says,
            case.why,
            case.verbs,
            case.power,
            case.left,
            case.limits,
            case.night,
            {**case.events, 20: sets(told_to_stop=True)},
            at=20,
        )
    )


def test_told_to_stop_in_use_it_stays_up_and_the_record_stays_open() -> None:
    night = Night()
    night.until(20)
    night.set(holds=("alice",), told_to_stop=True)
    night.until(21)
    assert night.left
    assert night.verbs == [Verb.START]
    night.goes_on()
    night.until(40)
    assert night.record.phase is Phase.HOLDING
    night.set(holds=())
    night.until(120)
    assert night.whys[-1] is Why.CLOSED
    assert night.minute == pytest.approx(60, abs=0.1)


def test_told_to_stop_while_lent_the_record_stays_open() -> None:
    night = Night(holds=("alice",))
    night.until(90)
    night.set(told_to_stop=True)
    night.until(91)
    assert night.left
    assert night.whys[-1] is Why.LENT
    night.goes_on()
    night.set(holds=())
    night.until(200)
    assert night.whys[-1] is Why.CLOSED


def test_told_to_stop_while_parked_the_record_stays_open() -> None:
    night = Night()
    night.until(20)
    BATTERY(night)
    night.until(25)
    night.set(told_to_stop=True)
    night.until(26)
    assert night.left
    night.goes_on()
    AC(night)
    night.until(120)
    assert night.verbs == [Verb.START, Verb.SAVE, Verb.START, Verb.SAVE]


def test_told_to_stop_while_watching() -> None:
    night = Night(power=Power.RUNNING)
    night.until(10)
    night.set(told_to_stop=True)
    night.until(11)
    assert night.whys[-1] is Why.WATCHED


# Section 6, in the window


def restarts(night: Night) -> list[Verb]:
    night.until(59)
    return [verb for verb in night.verbs if verb is Verb.RESTART]


def required(**changes: object) -> Night:
    night = Night(**RESTART_REQUIRED)
    night.set(**changes)
    return night


RESTARTED: list[tuple[str, Callable[[], Night], int]] = [
    ("required", required, 1),
    ("not required", lambda: required(restart=Restart.NOT_REQUIRED), 0),
    ("RestartInWindow 0", lambda: required(restart_in_window=RestartInWindow.NEVER), 0),
    ("in use", lambda: required(holds=("alice",)), 0),
    ("installing", lambda: required(busy=True), 0),
    ("the guest fell silent", lambda: required(reporter=Reporter.SILENT), 0),
    ("at least TaskTimeout left", lambda: required(task_timeout=59 * MINUTE), 1),
    ("less than TaskTimeout left", lambda: required(task_timeout=61 * MINUTE), 0),
    ("Fast Start holds it, nobody uses it", lambda: required(fast_start_holds=True), 1),
]


@pytest.mark.parametrize(
    ("night", "count"), [row[1:] for row in RESTARTED], ids=[row[0] for row in RESTARTED]
)
def test_restart(night: Callable[[], Night], count: int) -> None:
    assert len(restarts(night())) == count


def test_where_nobody_can_tell_whether_it_installs_a_restart_comes_late() -> None:
    """As by qemu-guest-agent alone: apt asks for a restart long before it has ended."""
    night = required(busy=None, task_timeout=10 * MINUTE)
    night.until(39)
    assert Verb.RESTART not in night.verbs
    night.until(42)
    assert Verb.RESTART in night.verbs


@pytest.mark.parametrize("sure", [{"nothing_left": True}, {"agreed": True}, {"busy": False}])
def test_with_nothing_left_or_as_was_agreed_it_comes_at_once(sure: dict[str, object]) -> None:
    night = required(**{"busy": None, "task_timeout": 10 * MINUTE, **sure})
    night.until(2)
    assert Verb.RESTART in night.verbs


@pytest.mark.parametrize(
    ("allowed", "count"),
    [(RestartInWindow.NOBODY_SIGNED_IN, 0), (RestartInWindow.OVER_IDLE_SESSIONS, 1)],
)
def test_a_session_older_than_the_wake_stands_in_the_way_of_a_restart(
    allowed: RestartInWindow, count: int
) -> None:
    night = required(restart_in_window=allowed)
    night.sessions = (night.session("alice", -300, -200),)
    assert len(restarts(night)) == count


def test_input_within_the_hour_stands_in_the_way_of_any_restart() -> None:
    night = required(restart_in_window=RestartInWindow.OVER_IDLE_SESSIONS)
    night.restart = Restart.NOT_REQUIRED
    night.until(10)
    signs_in()(night)
    night.restart = Restart.REQUIRED
    assert not restarts(night)


def test_an_automatic_logon_does_not_stand_in_the_way_of_a_restart() -> None:
    night = required()
    night.restart = Restart.NOT_REQUIRED
    night.until(1)
    signs_in(types=False)(night)
    night.restart = Restart.REQUIRED
    assert restarts(night)


def test_used_earlier_and_nobody_is_signed_in_any_more_it_may_be_restarted() -> None:
    night = required(restart=Restart.NOT_REQUIRED, holds=("alice",))
    night.until(10)
    night.set(holds=(), restart=Restart.REQUIRED)
    assert restarts(night)


def test_a_restart_is_verified_by_a_new_boot_id() -> None:
    night = required()
    night.look()
    night.until(5)
    assert Why.RESTARTED in night.whys
    assert night.record.phase is Phase.HOLDING
    night.until(120)
    assert night.whys[-1] is Why.PUT_BACK
    assert night.minute == pytest.approx(60, abs=0.1)


def test_at_least_an_hour_between_restarts_and_two_in_a_window() -> None:
    night = required(guest_update_duration=300 * MINUTE)
    seen: list[float] = []
    for minute in range(1, 300):
        night.until(minute)
        night.restart = Restart.REQUIRED
        if night.verbs.count(Verb.RESTART) > len(seen):
            seen.append(minute)
    assert len(seen) == 2
    assert 60 <= seen[1] - seen[0] <= 62


def test_a_restart_that_must_not_be_done_is_told() -> None:
    night = required(restart_in_window=RestartInWindow.NEVER)
    assert not restarts(night)
    assert Why.RESTART_WAITS in night.whys


def test_a_restart_that_did_not_help_twice_is_only_told() -> None:
    night = required(restart=Restart.IN_VAIN)
    assert not restarts(night)
    assert Why.RESTART_IN_VAIN in night.whys


def test_a_guest_that_reports_on_and_does_not_restart_is_not_taken_for_busy() -> None:
    night = Night(ignores=frozenset({Verb.RESTART}), **RESTART_REQUIRED)
    night.until(20)
    assert Why.RESTART_REFUSED in night.whys
    night.until(61)
    assert night.whys[-1] is Why.PUT_BACK


def silent_restart(power: Power = Power.SAVED) -> Night:
    night = Night(power=power, ignores=frozenset({Verb.RESTART}), **RESTART_REQUIRED)
    while Verb.RESTART not in night.verbs:
        night.look()
    night.reporter = Reporter.SILENT
    return night


def test_a_restart_that_hangs_past_task_timeout_is_held_and_saved_at_the_end() -> None:
    night = silent_restart(Power.OFF)
    night.until(9)
    assert night.whys[-1] is Why.RESTARTS
    night.until(12)
    assert Why.RESTART_HANGS in night.whys
    assert night.whys[-1] is Why.HOLDS
    night.until(300)
    assert night.verbs == [Verb.START, Verb.RESTART, Verb.SAVE]


def test_silence_after_our_restart_counts_as_busy_until_max_extension_is_used_up() -> None:
    night = silent_restart()
    night.until(100)
    assert night.whys[-1] is Why.BUSY_INSTALLING
    night.until(300)
    assert night.minute == pytest.approx(120, abs=0.1)


def test_a_late_word_after_a_hanging_restart_ends_the_waiting() -> None:
    night = silent_restart()
    night.until(70)
    night.set(reporter=Reporter.FRESH, guest_boot=7, restart=Restart.NOT_REQUIRED)
    night.until(72)
    assert Why.RESTARTED in night.whys
    night.until(300)
    assert night.whys[-1] is Why.PUT_BACK
    assert night.minute < 72


def test_a_vm_that_crashes_in_its_restart_is_woken_again() -> None:
    night = silent_restart(Power.OFF)
    night.until(5)
    crashes(night)
    night.until(30)
    assert night.record.phase is Phase.HOLDING
    assert Why.CRASHED_WOKEN_AGAIN in night.whys


# EarlyFinish


DONE = {"reporter": Reporter.FRESH, "nothing_left": True}
EARLY = {"early_finish": True}
EARLY_FINISH = [
    Case("nothing left to do: put back after MinAwake", Why.PUT_BACK, limits=EARLY,
         night=DONE, at=10),
    Case("MinAwake is longer", Why.PUT_BACK, limits={**EARLY, "min_awake": 30 * MINUTE},
         night=DONE, at=30),
    Case("something left to do", Why.PUT_BACK, limits=EARLY, night=REPORTS, at=60),
    Case("EarlyFinish 0", Why.PUT_BACK, night=DONE, at=60),
    Case("no reporter", Why.PUT_BACK, limits=EARLY, night={"nothing_left": True}, at=60),
    Case("installing", Why.PUT_BACK, limits=EARLY, night={**DONE, "busy": True},
         events={30: sets(busy=False)}, at=30),
    Case("in use", Why.CLOSED, limits=EARLY, night=DONE, events={5: IN_USE, 30: NOT_IN_USE}, at=30),
    Case("Fast Start holds it", Why.LENT, "start", left=Power.RUNNING, limits=EARLY,
         night={**DONE, "fast_start_holds": True}, passed=(Why.HOLDS, Why.LENT), until=70),
    Case("a restart is required and may not be done", Why.PUT_BACK,
         limits={**EARLY, "restart_in_window": RestartInWindow.NEVER},
         night={**DONE, "restart": Restart.REQUIRED}, at=60),
    Case("a restart is required: done first", Why.PUT_BACK, "start restart save",
         limits=EARLY, night={**DONE, "restart": Restart.REQUIRED}, at=10),
]  # fmt: skip


@pytest.mark.parametrize("case", **named(EARLY_FINISH))
def test_early_finish(case: Case) -> None:
    check(case)
