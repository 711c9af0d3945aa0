"""Days on which people open applications, log on and log off, and everything else happens too."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from day import Day
from users import Opened, Users

from guestwake.application import Application
from guestwake.policy.run import Why
from guestwake.policy.words import Power
from guestwake.update_manager import Ended


@pytest.fixture
def users(day: Day) -> Users:
    """Its window is at 23:00."""
    day.workspace("web01", guest_update_time="23:00", logon_start_enabled=False)
    users = Users(day)
    users.owns("web01")
    return users


def at(users: Users, text: str, act: Callable[[], object]) -> None:
    users.day.at(text).does(act)


def opened(users: Users, text: str = "10:00") -> Opened:
    """Asked for at that time, and shown as soon as it can be."""
    users.day.run_until(text)
    one = users.opens("web01")
    users.day.run_for(5)
    assert one.is_ready
    one.shows()
    users.day.run_for(1)
    return one


def test_normal_start(users: Users) -> None:
    one = opened(users)
    assert users.day.power("web01") is Power.RUNNING
    users.day.run_until("12:00")
    one.closes()
    users.day.run_for(50)
    assert users.day.power("web01") is Power.RUNNING
    users.day.run_for(30)
    assert users.day.power("web01") is Power.SAVED
    assert users.day.why("web01") is Why.CLOSED


def test_the_launcher_is_killed_while_its_window_is_open(users: Users) -> None:
    one = opened(users)
    one.launcher_dies()
    users.day.run_until("12:00")
    assert users.day.power("web01") is Power.RUNNING
    one.window_dies()
    users.day.run_until("12:03")
    assert users.day.power("web01") is Power.SAVED


def test_the_launcher_is_killed_before_anything_was_shown(users: Users) -> None:
    users.day.run_until("10:00")
    users.opens("web01").launcher_dies()
    users.day.run_until("10:05")
    assert users.day.power("web01") is Power.SAVED


def test_the_manager_is_killed_while_it_is_open(users: Users) -> None:
    one = opened(users)
    users.day.kill("web01")
    users.day.run_until("10:30")
    one.closes()
    users.day.run_until("10:35")
    assert users.day.power("web01") is Power.SAVED
    assert [row.why for row in users.day.history("web01")] == [Why.CLOSED]


def test_the_host_dies_while_it_is_open(users: Users) -> None:
    opened(users)
    users.day.go_down(300)
    users.day.run_until("11:00")
    assert users.day.put_back("web01")
    assert users.day.power("web01") is Power.OFF
    assert users.day.why("web01") is Why.CRASHED


def test_the_host_shuts_down_while_it_is_open(users: Users) -> None:
    opened(users)
    users.day.shut_down(300)
    users.day.run_until("11:00")
    assert users.day.power("web01") is Power.SAVED
    assert users.day.put_back("web01")


def test_two_windows_of_one_guest(users: Users) -> None:
    first, second = opened(users), opened(users, "10:10")
    first.closes()
    users.day.run_until("11:00")
    assert users.day.power("web01") is Power.RUNNING
    second.closes()
    users.day.run_until("11:03")
    assert users.day.power("web01") is Power.SAVED
    assert len(users.day.history("web01")) == 1


def test_opened_again_after_it_was_put_to_rest(users: Users) -> None:
    opened(users).closes()
    users.day.run_until("10:05")
    again = opened(users, "10:06")
    assert users.day.power("web01") is Power.RUNNING
    again.closes()
    users.day.run_until("10:10")
    assert [row.why for row in users.day.history("web01")] == [Why.CLOSED, Why.CLOSED]


def test_open_over_its_window(users: Users) -> None:
    users.day.set("web01", logon_start_enabled=False)
    one = opened(users, "02:50")
    users.day.run_until("03:40")
    assert users.day.power("web01") is Power.RUNNING
    one.closes()
    users.day.run_until("03:51")
    assert users.day.power("web01") is Power.SAVED
    assert users.day.dates("web01") == ["03-10"]


def test_closed_inside_its_window(users: Users) -> None:
    users.day.set("web01", logon_start_enabled=False)
    one = opened(users, "03:10")
    one.closes()
    users.day.run_until("03:29")
    assert users.day.power("web01") is Power.RUNNING
    users.day.run_until("03:31")
    assert users.day.power("web01") is Power.SAVED
    assert users.day.why("web01") is Why.CLOSED


def test_its_guest_shuts_down_soon_after_it_was_opened(users: Users) -> None:
    """A second application was opened meanwhile: who stops the VM then wants it stopped."""
    opened(users)
    opened(users, "10:05")
    users.day.at("10:08").guest_shuts_down("web01")
    users.day.run_until("10:30")
    assert users.day.power("web01") is Power.OFF
    assert users.day.why("web01") is Why.GUEST_STOPPED_ITSELF
    assert users.day.verbs("web01") == ["start"]


def test_opened_while_the_manager_listens_to_a_guest(users: Users) -> None:
    """It runs already, and its manager has nothing to do but to hear how it is."""
    users.day.workspace("db01", Power.OFF, reports=True, logon_start_enabled=False)
    users.owns("db01")
    users.day.at("09:59").somebody_starts("db01")
    users.day.run_until("10:00")
    users.day.service("db01").silent = True
    users.day.timer("db01")
    users.day.run_for(1)
    assert users.day.running("db01")
    one = users.opens("db01")
    users.day.run_for(2)
    assert one.is_ready


def test_opened_in_the_moment_in_which_a_manager_ends(users: Users) -> None:
    """Who finds it at work starts no other."""
    users.day.timer("web01")
    ones: list[Opened] = []
    original = Application._called_by_timer

    def ends(self: Application, *more: Any) -> Ended | None:
        ended = original(self, *more)
        if not ones:
            ones.append(users.opens("web01"))
        return ended

    with patch.object(Application, "_called_by_timer", ends):
        users.day.run_for(60)
    assert ones[0].is_ready
    assert users.day.power("web01") is Power.RUNNING


def test_a_clock_that_is_put_back_begins_nothing_again_and_again(users: Users) -> None:
    users.day.at("09:00").somebody_starts("web01")
    users.day.run_until("10:00")
    one = users.opens("web01")
    users.day.step_clock(timedelta(minutes=-5))
    users.day.run_for(60)
    assert one.is_ready
    assert [row.why for row in users.day.history("web01")] == [Why.RUNS_ALREADY]


# Fast Start


@pytest.fixture
def fast(users: Users) -> Users:
    users.day.set("web01", guest_update_time="23:00", logon_start_enabled=True)
    return users


def test_a_logon_starts_it_and_the_logoff_puts_it_to_rest(fast: Users) -> None:
    at(fast, "09:00", fast.logs_on)
    at(fast, "17:00", fast.logs_off)
    fast.day.run_until("16:59")
    assert fast.day.power("web01") is Power.RUNNING
    assert fast.day.why("web01") is Why.KEPT_FOR_USER
    fast.day.run_until("17:01")
    assert fast.day.power("web01") is Power.SAVED
    assert fast.day.why("web01") is Why.CLOSED


def test_another_users_logon_starts_nothing(fast: Users) -> None:
    at(fast, "09:00", lambda: fast.logs_on("bert"))
    fast.day.run_until("10:00")
    assert fast.day.power("web01") is Power.SAVED


def test_where_it_is_shared_the_last_of_them_counts(fast: Users) -> None:
    fast.day.set("web01", guest_update_time="23:00", multi_user_enabled=True)
    at(fast, "09:00", lambda: fast.logs_on("bert"))
    at(fast, "10:00", fast.logs_on)
    at(fast, "11:00", lambda: fast.logs_off("bert"))
    fast.day.run_until("11:30")
    assert fast.day.power("web01") is Power.RUNNING
    fast.logs_off()
    fast.day.run_for(90)
    assert fast.day.power("web01") is Power.SAVED


def test_without_published_applications_nothing_is_started(fast: Users) -> None:
    fast.applications.unpublish(fast.day.office.workspaces.find("web01"), "gimp")
    at(fast, "09:00", fast.logs_on)
    fast.day.run_until("10:00")
    assert fast.day.power("web01") is Power.SAVED


def test_what_its_user_hibernates_stays_so_until_the_next_logon(fast: Users) -> None:
    at(fast, "09:00", fast.logs_on)
    fast.day.at("10:00").somebody_saves("web01")
    fast.day.at("11:00").timer_fires("web01")
    fast.day.run_until("12:00")
    assert fast.day.power("web01") is Power.SAVED
    fast.logs_off()
    at(fast, "13:00", fast.logs_on)
    fast.day.run_until("13:01")
    assert fast.day.power("web01") is Power.RUNNING


def test_the_logoff_falls_into_the_window(fast: Users) -> None:
    fast.day.set("web01")
    at(fast, "02:00", fast.logs_on)
    at(fast, "03:10", fast.logs_off)
    fast.day.run_until("03:29")
    assert fast.day.power("web01") is Power.RUNNING
    fast.day.run_until("03:32")
    assert fast.day.power("web01") is Power.SAVED
    assert fast.day.dates("web01") == ["03-10"]


def test_one_that_runs_already_is_left_running_at_the_logoff(fast: Users) -> None:
    fast.day.at("08:00").somebody_starts("web01")
    at(fast, "09:00", fast.logs_on)
    at(fast, "17:00", fast.logs_off)
    fast.day.run_until("18:00")
    assert fast.day.power("web01") is Power.RUNNING
    assert fast.day.verbs("web01") == []


def test_a_logon_that_is_still_to_come_by_the_clock(fast: Users) -> None:
    """It was put back after the logon: one that runs already is looked at once."""
    fast.day.at("08:00").somebody_starts("web01")
    at(fast, "09:00", lambda: (fast.logs_on(), fast.day.step_clock(timedelta(minutes=-5))))
    fast.day.run_until("10:00")
    assert [row.why for row in fast.day.history("web01")] == [Why.RUNS_ALREADY]
    fast.logs_off()
    fast.day.at("10:01").somebody_saves("web01")
    at(fast, "10:02", fast.logs_on)
    fast.day.run_until("10:03")
    assert fast.day.power("web01") is Power.RUNNING


def test_its_manager_is_killed_over_the_logoff(fast: Users) -> None:
    at(fast, "09:00", fast.logs_on)
    fast.day.run_until("16:00")
    fast.day.restarts_after = 300.0
    fast.day.kill("web01")
    fast.logs_off()
    fast.day.run_until("16:10")
    assert fast.day.power("web01") is Power.SAVED


def test_nobody_can_tell_who_is_logged_on_when_the_next_manager_comes(fast: Users) -> None:
    at(fast, "09:00", fast.logs_on)
    fast.day.run_until("16:00")
    there, fast.day.host.logged_on = fast.day.host.logged_on, None
    fast.day.kill("web01")
    fast.day.run_until("16:30")
    assert fast.day.power("web01") is Power.RUNNING
    fast.day.host.logged_on = there
    fast.day.run_until("16:40")
    assert fast.day.power("web01") is Power.RUNNING
    fast.logs_off()
    fast.day.run_until("16:41")
    assert fast.day.power("web01") is Power.SAVED
