"""Days on which people open applications, log on and log off, and everything else happens too."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from day import Day
from users import Opened, Users

from guestwake.policy.run import Why
from guestwake.policy.words import Power


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


def test_its_manager_is_killed_over_the_logoff(fast: Users) -> None:
    at(fast, "09:00", fast.logs_on)
    fast.day.run_until("16:00")
    fast.day.restarts_after = 300.0
    fast.day.kill("web01")
    fast.logs_off()
    fast.day.run_until("16:10")
    assert fast.day.power("web01") is Power.SAVED
