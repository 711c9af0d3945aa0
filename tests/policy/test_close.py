"""A VM that is started for somebody: Normal Start, Fast Start, CloseAction, and the window that
opens meanwhile. Each line is something that a person could meet (contract, sections 4.5 and 8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from scene import DATE, Case, Event, Night, check, crashes, named, other, sets, stops

from guestwake.policy import close
from guestwake.policy.in_use import Reporter, Session
from guestwake.policy.limits import CloseAction, Limits
from guestwake.policy.run import Kind, Restart, Step, Why
from guestwake.policy.window import Opening
from guestwake.policy.words import HostFacts, Logon, Network, Power, StoppedBy, Trouble, Verb

MINUTE = timedelta(minutes=1)
TEN = 600  # o'clock in the morning, in minutes; the next window opens at minute 1440, for an hour
BATTERY = HostFacts(on_ac_power=False)
SHUTDOWN = {"close_action": CloseAction.SHUTDOWN}


def opens(application: str = "gimp") -> Event:
    return sets(openings=(application,))


def shows(application: str = "gimp") -> Event:
    return sets(openings=(), applications=(application,))


CLOSES = sets(openings=(), applications=())
LOGS_OFF = sets(fast_start_holds=False)


def at_ten(kind: Kind, **night: Any) -> Mapping[str, Any]:
    begins = datetime.combine(DATE, datetime.min.time(), tzinfo=UTC) + TEN * MINUTE
    return {
        "kind": kind,
        "seconds": TEN * 60.0,
        "opening": Opening(DATE, begins, begins + 10 * MINUTE),
        **night,
    }


def opened(**night: Any) -> Mapping[str, Any]:
    return at_ten(Kind.USE, openings=("gimp",), **night)


def logged_on(**night: Any) -> Mapping[str, Any]:
    return at_ten(Kind.FAST_START, fast_start_holds=True, **night)


def typed(at: float) -> tuple[Session, ...]:
    """A session that saw input at that minute."""
    elapsed = 100_000.0 + at * 60
    return (Session("anna", elapsed - 300, elapsed),)


REPORTS: Mapping[str, Any] = {"reporter": Reporter.FRESH, "busy": False}
RESTART: Mapping[str, Any] = {**REPORTS, "restart": Restart.REQUIRED}
WHOLE_DAY = {"until": 2000}

NORMAL_START = [
    Case("the first application starts it, the last one closed hibernates it", Why.CLOSED,
         night=opened(), events={601: shows(), 630: CLOSES}, at=631,
         passed=(Why.WAKES, Why.HOLDS, Why.IN_USE)),
    Case("it was off: CloseAction says where to, not what was before", Why.CLOSED, "start save",
         power=Power.OFF, left=Power.SAVED, night=opened(), events={601: shows(), 630: CLOSES}),
    Case("CloseAction SHUTDOWN, over what is open in the guest", Why.CLOSED, "start shut-down",
         left=Power.OFF, limits=SHUTDOWN, night=opened(sessions=typed(590), **REPORTS),
         events={601: shows(), 602: sets(sessions=typed(590)), 630: CLOSES}, until=800),
    Case("CloseAction TURN-OFF", Why.CLOSED, "start power-off", left=Power.OFF,
         limits={"close_action": CloseAction.TURN_OFF}, night=opened(),
         events={601: shows(), 630: CLOSES}),
    Case("another is opened within the minute: it stays up", Why.CLOSED,
         night=opened(), events={601: shows(), 630: CLOSES, 630.5: opens(), 631.2: shows(),
                                 660: CLOSES}, at=661),
    Case("no network and on battery: who opens it sees that", Why.CLOSED,
         night=opened(host=HostFacts(network=Network.DOWN, on_ac_power=False)),
         events={601: shows(), 630: CLOSES}),
    Case("it runs already: nothing is started, nor put to rest", Why.RUNS_ALREADY, "",
         power=Power.RUNNING, night=opened()),
    Case("given up before there was room: not started", Why.NOT_WANTED, "",
         night=opened(others=(other(awake=True, memory=1024),),
                      host=HostFacts(memory_available=1500)), events={602: CLOSES}),
    Case("no room for as long as a task may take", Why.NO_MEMORY, "",
         night=opened(host=HostFacts(memory_available=1500)), at=610),
    Case("given up before anything is shown: no CloseAction, its session is as it was",
         Why.PUT_BACK, limits={"close_action": CloseAction.TURN_OFF}, night=opened(),
         events={603: CLOSES}, at=604),
    Case("given up while it wakes: back to where it was", Why.PUT_BACK, night=opened(),
         events={600.01: CLOSES}),
    Case("its guest shuts itself down: handed over", Why.GUEST_STOPPED_ITSELF, "start",
         left=Power.OFF, night=opened(),
         events={601: shows(), 610: stops(Power.OFF, StoppedBy.GUEST)}),
    Case("it crashes: told, and not started again", Why.CRASHED, "start", left=Power.OFF,
         night=opened(), events={601: shows(), 610: crashes}),
    Case("the host shuts down: hibernated", Why.CLOSED, night=opened(),
         events={601: shows(), 610: sets(host=HostFacts(shutting_down=True))}, at=610),
    Case("the workspace is removed while somebody uses it: theirs", Why.REMOVED_IN_USE, "start",
         left=Power.RUNNING, night=opened(), events={601: shows(), 610: sets(removed=True)}),
]  # fmt: skip

WITH_A_WINDOW = [
    Case("open over the whole window: lent, and closed when it is", Why.CLOSED,
         night=opened(), events={601: shows(), 1600: CLOSES}, until=2000, at=1610,
         passed=(Why.IN_USE, Why.WINDOWS_TOUCH, Why.HOLDS, Why.LENT)),
    Case("closed inside the window: the CloseAction waits for its end", Why.CLOSED,
         night=opened(), events={601: shows(), 1450: CLOSES}, until=2000, at=1500,
         passed=(Why.IN_USE, Why.WINDOWS_TOUCH, Why.HOLDS)),
    Case("opened inside the window: lent after it", Why.CLOSED,
         events={20: opens(), 21: shows(), 90: CLOSES}, at=100, passed=(Why.HOLDS, Why.LENT)),
    Case("opened and closed inside the window", Why.CLOSED,
         events={20: opens(), 21: shows(), 30: CLOSES}, at=60),
    Case("opened while its window waits for AC power: started for who opens it", Why.PUT_BACK,
         night={"host": BATTERY}, events={20: opens(), 21: shows(), 30: CLOSES},
         passed=(Why.WAITS_FOR_AC_POWER, Why.WAKES, Why.HOLDS, Why.AC_POWER_LOST)),
    Case("opened while it is put back: it stays up", Why.CLOSED,
         "start shut-down save", power=Power.OFF, left=Power.SAVED,
         night={"ignores": frozenset({Verb.SHUT_DOWN})}, limits={"task_timeout": 10 * MINUTE},
         events={60.2: opens(), 61: shows(), 90: CLOSES}, passed=(Why.PUTS_BACK, Why.LENT)),
    Case("it ran before its window: watched, and left as it is", Why.WATCHED, "",
         power=Power.RUNNING, events={10: opens(), 11: shows(), 20: CLOSES}),
]  # fmt: skip

RESTART_FIRST = [
    Case("nobody was signed in: it is restarted before anything opens", Why.CLOSED,
         "start restart save", night=opened(sessions_before_rest=(), **RESTART),
         events={602: sets(guest_boot=2, restart=Restart.NOT_REQUIRED), 603: shows(), 630: CLOSES},
         passed=(Why.RESTARTS, Why.RESTARTED, Why.IN_USE)),
    Case("somebody is signed in: opened as it is, and asked", Why.CLOSED,
         night=opened(sessions=typed(590), sessions_before_rest=typed(590), **RESTART),
         events={601: shows(), 602: sets(sessions=()), 630: CLOSES}, passed=(Why.IN_USE,),
         until=800),
    Case("its guest says nothing: opened within TaskTimeout", Why.CLOSED,
         night=opened(sessions_before_rest=(), reporter=Reporter.SILENT, restart=Restart.REQUIRED),
         events={609: sets(), 611: shows(), 630: CLOSES}, passed=(Why.HOLDS, Why.IN_USE)),
    Case("opened in its window while a restart is required: that comes first", Why.CLOSED,
         "start restart save", night={**REPORTS, "nothing_left": True},
         events={5: sets(openings=("gimp",), restart=Restart.REQUIRED),
                 7: sets(guest_boot=2, restart=Restart.NOT_REQUIRED), 8: shows(), 30: CLOSES},
         passed=(Why.RESTARTS, Why.RESTARTED)),
]  # fmt: skip

FAST_START = [
    Case("a logon starts it, the logoff puts it to rest at once", Why.CLOSED,
         night=logged_on(), events={700: LOGS_OFF}, at=700,
         passed=(Why.WAKES, Why.HOLDS, Why.KEPT_FOR_USER)),
    Case("applications come and go: it stays up", Why.CLOSED,
         night=logged_on(), events={610: opens(), 611: shows(), 620: CLOSES, 700: LOGS_OFF},
         at=700),
    Case("somebody typed in it just before the logoff: put to rest all the same", Why.CLOSED,
         night=logged_on(**REPORTS), events={690: sets(sessions=typed(690)), 700: LOGS_OFF},
         at=700),
    Case("it is switched off, or nothing is published any more, while somebody types in it",
         Why.CLOSED, night=logged_on(user_logged_on=True, **REPORTS),
         events={690: sets(sessions=typed(690), fast_start_holds=False)}, at=751, until=800),
    Case("it is held over the logoff", Why.CLOSED, night=logged_on(),
         events={690: sets(holds=("a build",)), 700: LOGS_OFF, 750: sets(holds=())}, at=750),
    Case("the logoff falls into the window: it waits for its end", Why.CLOSED, night=logged_on(),
         events={1450: LOGS_OFF}, at=1500, until=2000, passed=(Why.KEPT_FOR_USER, Why.HOLDS)),
    Case("logged on over the whole window", Why.CLOSED, night=logged_on(),
         events={1600: LOGS_OFF}, at=1600, until=2000,
         passed=(Why.KEPT_FOR_USER, Why.WINDOWS_TOUCH, Why.HOLDS, Why.LENT)),
    Case("logged off before there was room", Why.NOT_WANTED, "",
         night=logged_on(host=HostFacts(memory_available=1500)), events={602: LOGS_OFF}),
    Case("it runs already: not ours to put to rest", Why.RUNS_ALREADY, "", power=Power.RUNNING,
         night=logged_on()),
    Case("woken for its window, its user logs on: it stays, and is closed after the logoff",
         Why.CLOSED, events={30: sets(fast_start_holds=True), 120: LOGS_OFF}, at=130,
         passed=(Why.HOLDS, Why.LENT)),
    Case("its user hibernates it: theirs, until the next logon", Why.STOPPED_BY_SOMEBODY, "start",
         night=logged_on(), events={620: stops(Power.SAVED, StoppedBy.HOST)}),
]  # fmt: skip


@pytest.mark.parametrize("case", **named(NORMAL_START))
def test_normal_start(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("case", **named(WITH_A_WINDOW))
def test_a_window_opens_meanwhile(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("case", **named(RESTART_FIRST))
def test_a_restart_comes_before_the_first_application(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("case", **named(FAST_START))
def test_fast_start(case: Case) -> None:
    check(case)


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ({700: LOGS_OFF}, Why.LOGOFF_OVERDUE),
        ({700: sets(host=HostFacts(shutting_down=True))}, Why.SHUTDOWN_OVERDUE),
    ],
)
def test_what_cannot_be_put_to_rest_within_task_timeout_is_told(
    events: Mapping[float, Event], told: Why
) -> None:
    night = Night(**logged_on(), refuses={Verb.SAVE: Trouble.REFUSED})
    for minute, event in events.items():
        night.until(minute)
        event(night)
    night.until(709)
    assert night.whys[-1] is Why.NOT_PUT_BACK_REFUSED
    night.until(725)
    assert night.whys[-1] is told
    night.set(refuses={})
    night.until(760)
    assert night.whys[-1] is Why.CLOSED


# when it may be opened


def test_it_can_be_opened_once_it_is_up_and_not_before_its_restart() -> None:
    night = Night(**opened(sessions_before_rest=(), **RESTART), ignores=frozenset({Verb.RESTART}))
    ready = []
    for minute in (600, 600.1, 602, 603):
        night.until(minute)
        if minute == 602:
            night.set(guest_boot=2, restart=Restart.NOT_REQUIRED)
        step = night.look()
        ready.append(_may_open(night, step))
    assert ready == [False, False, False, True]


@pytest.mark.parametrize(
    ("sessions", "ready"),
    [((), [False, False, True, True]), (typed(590), [True, True, True, True])],
)
def test_nor_before_the_restart_that_was_under_way_at_a_logon(
    sessions: tuple[Session, ...], ready: list[bool]
) -> None:
    """Where somebody was signed in it is not done, and who opens something is asked."""
    night = Night(
        **at_ten(Kind.RESTART, sessions=sessions, sessions_before_rest=sessions),
        **{**RESTART, "reporter": Reporter.SILENT},
        ignores=frozenset({Verb.RESTART}),
    )
    found = []
    for minute in (600.1, 601, 602, 603):
        night.until(minute)
        if minute == 600.1:
            night.set(openings=("gimp",))
        if minute == 601:
            night.set(reporter=Reporter.FRESH)
        if minute == 602:
            night.set(guest_boot=2, restart=Restart.NOT_REQUIRED)
        found.append(_may_open(night, night.look()))
    assert found == ready


def _may_open(night: Night, step: Step) -> bool:
    return close.may_open(step, night.facts(), night.limits, night.now())


def test_one_that_runs_already_can_be_opened() -> None:
    night = Night(power=Power.RUNNING, **opened())
    assert _may_open(night, night.look())


# logons

NIGHT = datetime(2026, 6, 9, 22, tzinfo=UTC)
ANNA, BERT = Logon("anna", NIGHT), Logon("bert", NIGHT + timedelta(hours=1))
SHARED = replace(Limits(), multi_user_enabled=True)


@pytest.mark.parametrize(
    ("logons", "owner", "limits", "since"),
    [
        ((ANNA, BERT), "bert", Limits(), BERT.since),
        ((ANNA,), "bert", Limits(), None),
        ((ANNA,), "bert", SHARED, ANNA.since),
        ((BERT, ANNA), None, Limits(), ANNA.since),
        ((), "anna", Limits(), None),
        (None, "anna", Limits(), None),
    ],
)
def test_whom_fast_start_serves(
    logons: tuple[Logon, ...] | None, owner: str | None, limits: Limits, since: datetime | None
) -> None:
    assert close.user_since(logons, owner, limits) == since


@pytest.mark.parametrize(
    ("since", "tried", "limits", "published", "starts"),
    [
        (NIGHT, None, Limits(), True, True),
        (NIGHT, NIGHT - MINUTE, Limits(), True, True),
        (NIGHT, NIGHT, Limits(), True, False),  # once for a logon
        (NIGHT, None, Limits(), False, False),  # only with published applications
        (NIGHT, None, replace(Limits(), logon_start_enabled=False), True, False),
        (None, None, Limits(), True, False),
    ],
)
def test_when_fast_start_starts_it(
    since: datetime | None, tried: datetime | None, limits: Limits, published: bool, starts: bool
) -> None:
    now = NIGHT + 60 * MINUTE
    assert close.fast_starts(since, tried, limits, now, published=published) is starts


@pytest.mark.parametrize(
    ("since", "tried", "now", "starts"),
    [
        (NIGHT, NIGHT, NIGHT - MINUTE, False),  # put back after the logon: had already
        (NIGHT - 9 * MINUTE, NIGHT, NIGHT - 8 * MINUTE, True),  # a logon after that
        (NIGHT - 9 * MINUTE, NIGHT - 8 * MINUTE, NIGHT, False),
    ],
)
def test_a_clock_that_is_put_back_spoils_no_fast_start(
    since: datetime, tried: datetime, now: datetime, starts: bool
) -> None:
    assert close.fast_starts(since, tried, Limits(), now, published=True) is starts
