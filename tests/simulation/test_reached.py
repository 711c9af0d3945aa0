"""Each answer of the policy and each event that can come up where the program runs on a host is
come to in a pretend world: in a few stories that make what is rare happen, and in random days."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from day import Day
from kinds import KINDS
from reached import Reached
from served_day import serve
from users import Users

from guestwake.events import USAGE
from guestwake.policy.words import Drift, Network, Power, Verb
from guestwake.schedulers.memory import MemoryScheduler
from guestwake.wishes import Wishes

# Of the command line, which a pretend world does not have: a call that is not understood.
ELSEWHERE = {str(USAGE.id)}
SEEDS_MOST = 40  # of each kind, until all is reached

STORIES: list[Callable[[Day], None]] = []


def story(tell: Callable[[Day], None]) -> Callable[[Day], None]:
    STORIES.append(tell)
    return tell


@pytest.mark.more
def test_every_answer_and_event_is_reached(folder: Path) -> None:
    reached = Reached()
    for number, tell in enumerate(STORIES):
        with Day(folder / str(number)) as day:
            day.write_settings(None, {"event_log_level": 4})
            tell(day)
            reached.add(day.reached)
    for seed in range(SEEDS_MOST):
        for kind in KINDS.values():
            if set(reached.missing()) <= ELSEWHERE:
                break
            reached.add(kind.play(seed, folder).day.reached)
    assert set(reached.missing()) == ELSEWHERE


@story
def no_network_no_power(day: Day) -> None:
    day.workspace("web01")
    day.at("02:00").network_is(Network.DOWN)
    day.run_until("04:00")
    day.host.network, day.host.on_ac_power = Network.UP, False
    day.run_until("04:00")


@story
def no_room(day: Day) -> None:
    day.workspace("web01")
    day.host.memory_available = 1024
    day.run_until("04:00")
    day.host.memory_available, day.host.disk_available = 16_384, 1024
    day.run_until("04:00")


@story
def no_turn(day: Day) -> None:
    day.workspace("web01", max_awake=1)
    day.workspace("web02", max_awake=1)
    day.run_until("04:00")


@story
def one_after_the_other(day: Day) -> None:
    for name in ("web01", "web02"):
        day.workspace(name, max_concurrent_starts=1, guest_update_duration=10)
    day.machine.slow(Verb.SAVE, 60)
    day.run_until("04:00")


@story
def not_recorded(day: Day) -> None:
    day.workspace("web01")
    day.at("02:59").journal_is("read-only")
    day.at("03:29:50").journal_is(None)
    day.run_until("04:00")
    day.at("02:59").journal_is("read-only")
    day.at("03:10").journal_is(None)
    day.at("03:10:03").does(lambda: _hurries(day))  # it looks again before it tries again
    day.run_until("04:00")


def _hurries(day: Day) -> None:
    for process in day.running("web01"):
        process.hurried = True


@story
def damaged(day: Day) -> None:
    day.workspace("web01")
    day.at("02:00").journal_is_damaged()
    day.run_until("04:00")


@story
def unreachable(day: Day) -> None:
    day.workspace("web01")
    day.at("02:00").hypervisor_is_gone()
    day.run_until("04:00")


@story
def refused(day: Day) -> None:
    day.workspace("web01")
    day.at("02:00").verbs_fail("web01", Verb.START)
    day.run_until("04:00")


@story
def never_settled(day: Day) -> None:
    day.workspace("web01")
    day.at("02:59").somebody_backs_up("web01", minutes=60)
    day.run_until("05:00")


@story
def unusable(day: Day) -> None:
    vm = day.workspace("web01").vm
    day.machine.spoils_image(vm)
    day.run_until("04:00")


@story
def gone(day: Day) -> None:
    day.workspace("web01")
    day.workspace("web02")
    day.at("03:10").somebody_migrates("web01")
    day.at("03:10").somebody_deletes("web02")
    day.run_until("04:00")


@story
def crashes(day: Day) -> None:
    day.workspace("web01", Power.OFF)
    day.workspace("web02")
    for minute in ("03:05", "03:10", "03:15"):
        day.at(minute).guest_crashes("web01")
        day.at(minute).guest_crashes("web02")
    day.run_until("04:00")


@story
def host_dies(day: Day) -> None:
    day.workspace("web01")
    day.at("03:10").host_loses_power(5)
    day.run_until("04:00")


@story
def host_sleeps(day: Day) -> None:
    day.workspace("web01")
    day.at("03:20").host_sleeps(20)
    day.run_until("04:00")


@story
def host_shuts_down_and_it_is_slow_to_save(day: Day) -> None:
    day.workspace("web01", task_timeout=30)
    day.workspace("web02", guest_update_time="03:12")
    day.machine.slow(Verb.SAVE, 80, day.vm("web01").vm)
    day.at("03:11").host_shuts_down(5)
    day.run_until("04:00")


@story
def on_battery(day: Day) -> None:
    day.workspace("web01")
    day.at("03:10").ac_power_is(on=False)
    day.run_until("04:00")


@story
def obeys_nobody(day: Day) -> None:
    day.workspace("web01", Power.OFF, task_timeout=60)
    guest = day.vm("web01").guest
    guest.obeys_agent = guest.obeys_button = False
    day.run_until("04:00")


@story
def cannot_be_saved(day: Day) -> None:
    day.workspace("web01")
    day.at("03:10").verbs_fail("web01", Verb.SAVE)
    day.at("05:00").verbs_work("web01", Verb.SAVE)
    day.run_until("06:00")


@story
def started_by_whom(day: Day) -> None:
    day.workspace("web01")

    def dies(point: str) -> None:
        if point == "after start":
            raise day.killed

    day.on_point = dies
    day.run_until("04:00")


@story
def boots_for_long(day: Day) -> None:
    day.workspace("web01", reports=True, max_extension=60)
    day.service("web01").boots_for = 2700
    day.at("03:05").guest_needs_restart("web01")
    day.run_until("05:00")


@story
def restarts(day: Day) -> None:
    day.workspace("web01", reports=True)
    day.service("web01").stays = {}
    day.at("03:05").guest_needs_restart("web01")
    day.run_until("04:00")


@story
def given_up(day: Day) -> None:
    """Before there was room for it."""
    day.workspace("web01", logon_start_enabled=0)
    users = Users(day)
    users.owns("web01")
    day.host.memory_available = 1024
    day.run_until("10:00")
    one = users.opens("web01")
    day.run_for(30)
    one.closes()
    day.run_until("11:00")


@story
def logs_off_and_it_cannot_be_saved(day: Day) -> None:
    day.workspace("web01", logon_start_enabled=1, task_timeout=30)
    users = Users(day)
    users.owns("web01")
    day.at("10:00").does(users.logs_on)
    day.at("10:10").verbs_fail("web01", Verb.SAVE)
    day.at("10:11").does(users.logs_off)
    day.run_until("11:00")


def _marked(day: Day, power: Power) -> Users:
    """Its guest wants a restart since its window, which did none."""
    day.workspace("web01", power, reports=True, restart_in_window=0, logon_start_enabled=0)
    users = Users(day)
    users.owns("web01")
    day.at("03:05").guest_needs_restart("web01")
    day.run_until("04:00")
    assert day.mark("web01") is not None
    return users


def _agrees(day: Day) -> None:
    Wishes(day.office).agree(day.office.workspaces.find("web01"))
    day.start("web01", lambda app: app.restart("web01"))


@story
def agreed(day: Day) -> None:
    _marked(day, Power.RUNNING)
    day.at("10:00").does(lambda: _agrees(day))
    day.run_until("11:00")


@story
def agreed_and_it_does_not_restart(day: Day) -> None:
    _marked(day, Power.RUNNING)
    guest = day.vm("web01").guest
    guest.obeys_agent = guest.obeys_button = False
    day.at("10:00").does(lambda: _agrees(day))
    day.run_until("11:00")


@story
def somebody_was_quicker(day: Day) -> None:
    """It was to be restarted unseen, and waits for power."""
    _marked(day, Power.SAVED)
    day.host.on_ac_power = False
    day.at("10:00").does(lambda: day.start("web01", lambda app: app.restart("web01")))
    day.at("10:00:30").somebody_starts("web01")
    day.run_for(timedelta(hours=9).total_seconds())


@story
def hands(day: Day) -> None:
    for name in ("web01", "web02", "web03", "web04"):
        day.workspace(name)
    day.at("03:10").somebody_stops("web01")
    day.at("03:10").somebody_starts("web01")
    day.at("03:10").somebody_stops("web02")
    day.at("03:10").guest_shuts_down("web03")
    day.at("03:10").person_holds("web04", hours=2)
    day.at("03:40").person_removes("web04")
    day.run_until("04:00")


@story
def told_to_stop_before_it_woke(day: Day) -> None:
    day.workspace("web01")
    day.at("02:00").network_is(Network.DOWN)
    day.at("03:10").manager_is_terminated("web01")
    day.run_until("04:00")


@story
def without_a_word(day: Day) -> None:
    day.workspace("web01")
    day.vm("web01").guest.agent = False
    day.run_until("04:00")


@story
def windows_that_touch(day: Day) -> None:
    day.workspace("web01", guest_update_duration=1440)
    day.run_for(timedelta(hours=28).total_seconds())


@story
def opened(day: Day) -> None:
    day.workspace("web01", logon_start_enabled=0)
    users = Users(day)
    users.owns("web01")
    day.run_until("10:00")
    one = users.opens("web01")
    day.run_for(10)
    one.shows()
    day.run_for(600)
    one.closes()
    day.run_until("11:00")


@story
def opened_while_it_runs(day: Day) -> None:
    day.workspace("web01", Power.RUNNING, logon_start_enabled=0)
    users = Users(day)
    users.owns("web01")
    day.run_until("10:00")
    users.opens("web01")
    day.run_for(60)


@story
def people_are_asked(day: Day) -> None:
    """Somebody is signed in in the guest, and nobody answers until it cannot be put off any more;
    and somebody deletes a timer."""
    day.workspace(
        *("web01", Power.RUNNING),
        reports=True,
        restart_in_window=0,
        logon_start_enabled=0,
        reboot_absolute_delay_timeout=20,
    )
    users, scheduler = Users(day), MemoryScheduler()
    users.owns("web01")
    day.start("service", lambda app: serve(app, users, scheduler))
    day.at("03:04").somebody_signs_in("web01")
    day.at("03:05").guest_needs_restart("web01")
    day.at("05:00").does(lambda: scheduler.tamper(day.uuid("web01"), Drift.DELETED))
    day.at("10:00").does(users.logs_on)
    seen = Wishes(day.office).prompt_seen
    day.at("10:30").does(lambda: seen(day.office.workspaces.find("web01")))
    day.run_until("12:00")
