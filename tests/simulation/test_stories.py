"""Days as they may go, told from the outside: what people see of a VM, and the reason given."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from day import NOBODY_ANSWERS, At, Day

from guestwake.policy.run import Why
from guestwake.policy.words import Network, Power, Verb

# the plain day


def test_a_hibernated_vm_is_woken_at_its_hour_and_hibernated_again(day: Day) -> None:
    day.workspace("web01", Power.SAVED)
    day.run_until("02:59")
    assert day.power("web01") is Power.SAVED
    day.run_until("03:01")
    assert day.power("web01") is Power.RUNNING
    day.run_until("03:29:59")
    assert day.power("web01") is Power.RUNNING
    day.run_until("03:31")
    assert day.power("web01") is Power.SAVED
    assert day.why("web01") is Why.PUT_BACK
    assert day.verbs("web01") == ["start", "save"]
    assert day.put_back("web01")


@pytest.mark.parametrize(
    ("power", "verbs"),
    [
        (Power.OFF, ["start", "shut-down"]),
        (Power.PAUSED, ["resume", "pause"]),
        (Power.SUSPENDED, ["wake-up", "suspend"]),
    ],
)
def test_a_vm_at_rest_goes_back_to_the_rest_it_had(
    day: Day, power: Power, verbs: list[str]
) -> None:
    day.workspace("web01", power)
    day.run_until("03:15")
    assert day.power("web01") is Power.RUNNING
    day.run_until("03:31")
    assert day.power("web01") is power
    assert day.verbs("web01") == verbs
    assert day.why("web01") is Why.PUT_BACK
    assert day.put_back("web01")


def test_a_vm_saved_while_paused_is_saved_as_paused_again(day: Day) -> None:
    day.workspace("web01", saved_paused=True)
    day.run_until("03:15")
    assert day.power("web01") is Power.RUNNING
    day.run_until("03:31")
    assert day.saved_as_paused("web01")
    assert day.verbs("web01") == ["start", "resume", "save-paused"]


def test_a_vm_that_runs_already_is_only_watched(day: Day) -> None:
    day.workspace("web01", Power.RUNNING)
    day.run_until("03:31")
    assert day.power("web01") is Power.RUNNING
    assert day.verbs("web01") == []
    assert day.why("web01") is Why.WATCHED
    assert day.dates("web01") == ["03-10"]


def test_a_week_has_seven_windows(day: Day) -> None:
    day.workspace("web01")
    day.run_days(7)
    assert day.dates("web01") == [f"03-{date}" for date in range(10, 17)]
    assert day.verbs("web01") == ["start", "save"] * 7


def test_the_guests_clock_is_set_right_after_the_wake(day: Day) -> None:
    day.workspace("web01")
    day.run_until("03:00:02")
    assert abs(day.vm("web01").clock_behind) < timedelta(seconds=1)


# somebody uses it


def test_a_viewer_who_stays_keeps_it_until_ten_minutes_after_he_left(day: Day) -> None:
    day.workspace("web01")
    day.at("03:10").viewer_comes("web01")
    day.at("04:00").viewer_leaves("web01")
    day.run_until("03:45")
    assert day.power("web01") is Power.RUNNING
    assert day.why("web01") is Why.LENT
    day.run_until("04:09:30")
    assert day.power("web01") is Power.RUNNING
    day.run_until("04:11")
    assert day.power("web01") is Power.SAVED
    assert day.why("web01") is Why.CLOSED


def test_a_viewer_who_left_before_the_end_lets_it_go_at_the_end(day: Day) -> None:
    day.workspace("web01")
    day.at("03:10").viewer_comes("web01")
    day.at("03:20").viewer_leaves("web01")
    day.run_until("03:31")
    assert day.power("web01") is Power.SAVED
    assert day.why("web01") is Why.CLOSED


def test_a_viewer_who_reconnects_by_itself_does_not_count(day: Day) -> None:
    day.workspace("web01")
    day.at("03:00:30").viewer_comes("web01", "virt-manager")
    day.run_until("03:31")
    assert day.power("web01") is Power.SAVED


def test_a_viewer_of_a_paused_vm_was_there_before(day: Day) -> None:
    day.workspace("web01", Power.PAUSED)
    day.at("02:00").viewer_comes("web01")
    day.run_until("03:31")
    assert day.power("web01") is Power.PAUSED


def test_a_vm_that_was_off_and_was_used_is_hibernated_not_shut_down(day: Day) -> None:
    day.workspace("web01", Power.OFF)
    day.at("03:10").viewer_comes("web01")
    day.at("03:20").viewer_leaves("web01")
    day.run_until("03:31")
    assert day.power("web01") is Power.SAVED
    assert day.verbs("web01") == ["start", "save"]


def test_a_close_action_may_turn_it_off(day: Day) -> None:
    day.workspace("web01", close_action="TURN-OFF")
    day.at("03:10").viewer_comes("web01")
    day.at("03:20").viewer_leaves("web01")
    day.run_until("03:31")
    assert day.verbs("web01") == ["start", "power-off"]


def test_turn_off_is_not_for_a_vm_that_nobody_used(day: Day) -> None:
    day.workspace("web01", close_action="TURN-OFF")
    day.run_until("03:31")
    assert day.verbs("web01") == ["start", "save"]


@pytest.mark.parametrize("fault", ["cannot_tell", "verbs_fail"])
def test_while_nobody_can_say_who_watches_it_nobody_is_cut_off(day: Day, fault: str) -> None:
    day.workspace("web01", guest_update_duration=5)
    day.at("03:02").viewer_comes("web01")
    getattr(day.at("03:04"), fault)("web01", "viewers")
    day.at("03:07").can_tell("web01", "viewers")
    day.run_until("03:10")
    assert day.power("web01") is Power.RUNNING
    assert day.why("web01") is Why.LENT


def test_who_resumes_what_could_not_be_recorded_keeps_it(day: Day) -> None:
    day.workspace("web01", Power.PAUSED, guest_update_duration=5)
    day.at("02:59").journal_is("read-only")
    At(day, day.moment("03:00") + 0.5).somebody_resumes("web01")
    day.at("03:02").journal_is(None)
    day.run_until("03:15")
    assert day.power("web01") is Power.RUNNING
    assert day.verbs("web01") == []


def test_a_mark_that_could_not_be_taken_off_is_taken_off_by_the_next_manager(day: Day) -> None:
    day.workspace("web01", Power.PAUSED, guest_update_duration=5)
    day.at("03:04").verbs_fail("web01", "unmark")
    day.at("03:30").verbs_work("web01", "unmark")
    day.run_until("03:31")
    assert day.power("web01") is Power.PAUSED
    assert not day.put_back("web01")  # but for the mark
    day.timer("web01")
    day.run_until("03:32")
    assert day.put_back("web01")
    assert day.verbs("web01") == ["resume", "pause"]


def test_a_wake_that_is_refused_for_long_fills_no_log(day: Day) -> None:
    day.workspace("web01", guest_update_duration=60)
    day.at("02:50").verbs_fail("web01", Verb.START)
    day.run_until("04:01")
    told = [Why.WAKES, Why.WAITS_AFTER_REFUSED_WAKE, Why.WAKE_REFUSED]
    assert day.events("web01") == told


def test_a_hold_keeps_it_up(day: Day) -> None:
    day.workspace("web01")
    day.at("03:10").person_holds("web01", hours=2)
    day.run_until("05:15")
    assert day.why("web01") is Why.LENT
    day.run_until("05:25")
    assert day.power("web01") is Power.SAVED


def test_a_hold_that_is_released_lets_it_go(day: Day) -> None:
    day.workspace("web01")
    day.at("03:10").person_holds("web01", hours=2)
    day.at("03:40").person_releases("web01")
    day.run_until("03:55")
    assert day.power("web01") is Power.SAVED


def test_a_second_run_is_refused_and_the_first_goes_on(day: Day) -> None:
    day.workspace("web01")
    day.at("03:10").person_wakes("web01")
    day.run_until("03:20")
    assert day.failed("web01") == ["AlreadyRunning"]
    day.run_until("03:31")
    assert day.verbs("web01") == ["start", "save"]


# guests


def test_a_guest_that_never_boots_is_held_and_reported_once(day: Day) -> None:
    day.workspace("web01", Power.OFF)
    day.vm("web01").guest.agent = False
    day.vm("web01").guest.obeys_button = False
    day.run_until("03:29")
    assert day.power("web01") is Power.RUNNING
    day.run_until("03:45")
    assert day.power("web01") is Power.SAVED
    assert day.events("web01").count(Why.HOLDS_WITHOUT_WORD) == 1
    assert day.why("web01") is Why.PUT_BACK_OWED_OFF
    assert "power-off" not in day.verbs("web01")


def test_what_is_owed_off_is_settled_by_the_next_run(day: Day) -> None:
    day.workspace("web01", Power.OFF)
    day.vm("web01").guest.agent = day.vm("web01").guest.obeys_button = False
    day.run_until("12:00")
    assert day.why("web01") is Why.PUT_BACK_OWED_OFF
    day.vm("web01").guest.agent = True
    day.run_days(1)
    assert day.power("web01") in (Power.SAVED, Power.OFF)
    # A guest without a reporter that kept its memory counts as work at risk: it stays owed.
    assert day.why("web01") in (Why.PUT_BACK, Why.PUT_BACK_OWED_OFF)


def test_a_guest_that_restarts_itself_is_held_on(day: Day) -> None:
    day.workspace("web01")
    day.at("03:10").guest_restarts("web01")
    day.run_until("03:31")
    assert day.verbs("web01") == ["start", "save"]
    assert day.why("web01") is Why.PUT_BACK


def test_a_vm_that_crashes_is_woken_again(day: Day) -> None:
    day.workspace("web01", Power.OFF)
    day.at("03:10").guest_crashes("web01")
    day.run_until("03:15")
    assert day.power("web01") is Power.RUNNING
    day.run_until("03:31")
    assert day.power("web01") is Power.OFF
    assert Why.CRASHED_WOKEN_AGAIN in day.events("web01")


def test_a_crash_of_a_hibernated_vm_tells_that_its_session_is_lost(day: Day) -> None:
    day.workspace("web01", Power.SAVED)
    day.at("03:10").guest_crashes("web01")
    day.run_until("03:31")
    assert day.verbs("web01") == ["start", "start", "save"]
    assert Why.CRASHED_SESSION_LOST in day.events("web01")


def test_a_third_crash_ends_it(day: Day) -> None:
    day.workspace("web01", Power.OFF)
    for when in ("03:05", "03:10", "03:15"):
        day.at(when).guest_crashes("web01")
    day.run_until("03:31")
    assert day.verbs("web01") == ["start"] * 3
    assert day.power("web01") is Power.OFF
    assert day.why("web01") is Why.CRASHED_TOO_OFTEN


def test_a_guest_that_shuts_itself_down_is_left_so(day: Day) -> None:
    day.workspace("web01")
    day.at("03:10").guest_shuts_down("web01")
    day.run_until("03:31")
    assert day.power("web01") is Power.OFF
    assert day.verbs("web01") == ["start"]
    assert day.why("web01") is Why.GUEST_STOPPED_ITSELF


# people at the host


def test_somebody_who_saves_or_stops_it_keeps_it_so(day: Day) -> None:
    for name in ("saved", "stopped", "paused"):
        day.workspace(name)
    day.at("03:10").somebody_saves("saved")
    day.at("03:10").somebody_stops("stopped")
    day.at("03:10").somebody_pauses("paused")
    day.run_until("03:40")
    for name, power in (
        ("saved", Power.SAVED),
        ("stopped", Power.OFF),
        ("paused", Power.PAUSED),
    ):
        assert day.power(name) is power
        assert day.verbs(name) == ["start"]
        assert day.why(name) is Why.STOPPED_BY_SOMEBODY


def test_somebody_who_stops_and_starts_it_anew_keeps_it_running(day: Day) -> None:
    day.workspace("web01")
    day.at("03:10").somebody_stops("web01")
    day.at("03:10").somebody_starts("web01")
    day.run_until("03:40")
    assert day.power("web01") is Power.RUNNING
    assert day.verbs("web01") == ["start"]
    assert day.why("web01") is Why.STARTED_BY_SOMEBODY


def test_one_that_somebody_started_just_as_its_manager_died_is_theirs(day: Day) -> None:
    """Found with faults (seed 200330): what began within ten seconds of the record was taken for
    ours."""
    day.workspace("web01")
    day.restarts_after = 10.0
    day.on_point = lambda point: _dies(day, point, at="after start")
    day.at("03:00:09").somebody_stops("web01")
    day.at("03:00:09").somebody_starts("web01")
    day.run_until("03:40")
    assert day.power("web01") is Power.RUNNING
    assert day.verbs("web01") == ["start"]
    assert day.why("web01") is Why.WHO_STARTED_IT_UNKNOWN


def _dies(day: Day, point: str, at: str) -> None:
    if point == at:
        raise day.killed


def test_a_vm_that_was_started_as_its_daemon_went_is_put_back(day: Day) -> None:
    """Nothing could be marked, and the manager lives to tell that it has started it."""
    day.workspace("web01")

    def goes(point: str) -> None:
        if point == "after start":
            day.machine.fail("everything", NOBODY_ANSWERS)
            day.later(60, lambda: day.machine.lift("everything"))

    day.on_point = goes
    day.run_until("03:40")
    assert day.verbs("web01") == ["start", "save"]
    assert day.why("web01") is Why.PUT_BACK


def test_a_vm_that_migrates_away_is_let_go(day: Day) -> None:
    day.workspace("web01")
    day.at("03:10").somebody_migrates("web01")
    day.run_days(2)
    assert day.verbs("web01") == ["start"]
    assert day.why("web01") is Why.MIGRATED_AWAY


def test_a_vm_that_is_deleted_ends_its_run(day: Day) -> None:
    day.workspace("web01")
    uuid = day.uuid("web01")
    day.at("03:10").somebody_deletes("web01")
    day.run_until("03:40")
    assert day.journal().history(uuid)[-1].why is Why.VM_GONE


def test_a_backup_at_the_opening_is_waited_for(day: Day) -> None:
    day.workspace("web01")
    day.at("02:55").somebody_backs_up("web01", minutes=10)
    day.run_until("03:04")
    assert day.verbs("web01") == []
    day.run_until("03:31")
    assert day.verbs("web01") == ["start", "save"]


def test_a_backup_at_the_end_is_waited_for(day: Day) -> None:
    day.workspace("web01")
    day.at("03:25").somebody_backs_up("web01", minutes=10)
    day.run_until("03:34")
    assert day.verbs("web01") == ["start"]
    day.run_until("03:36")
    assert day.power("web01") is Power.SAVED


# what the hypervisor refuses


def test_an_image_that_will_not_do_is_kept_and_reported(day: Day) -> None:
    day.workspace("web01")
    day.machine.spoils_image(day.vm("web01").vm)
    day.run_until("03:40")
    assert day.vm("web01").image is not None
    assert day.verbs("web01") == []
    assert day.why("web01") is Why.IMAGE_UNUSABLE
    assert day.standing("web01") is Why.IMAGE_UNUSABLE


def test_a_full_disk_at_the_end_keeps_it_up_until_there_is_room(day: Day) -> None:
    day.workspace("web01")
    day.at("03:10").does(lambda: setattr(day.host, "disk_available", 100))
    day.at("05:00").does(lambda: setattr(day.host, "disk_available", 10_000))
    day.run_until("04:59")
    assert day.power("web01") is Power.RUNNING
    assert day.standing("web01") is Why.NOT_PUT_BACK_REFUSED
    day.run_until("05:11")
    assert day.power("web01") is Power.SAVED
    assert day.standing("web01") is None
    assert day.why("web01") is Why.PUT_BACK
    assert day.events("web01").count(Why.NOT_PUT_BACK_REFUSED) == 1


def test_too_little_disk_at_the_opening_lets_it_rest(day: Day) -> None:
    day.workspace("web01", Power.OFF, memory_mib=4000)
    day.host.disk_available = 5000
    day.run_until("03:40")
    assert day.verbs("web01") == []
    assert day.why("web01") is Why.NO_DISK


def test_a_wake_that_is_refused_is_tried_again(day: Day) -> None:
    day.workspace("web01")
    day.at("02:00").verbs_fail("web01", Verb.START)
    day.at("03:10").verbs_work("web01", Verb.START)
    day.run_until("03:12")
    assert day.power("web01") is Power.RUNNING
    day.run_until("03:31")
    assert day.power("web01") is Power.SAVED
    assert day.events("web01").count(Why.WAITS_AFTER_REFUSED_WAKE) == 1


def test_a_suspend_that_fails_becomes_a_save(day: Day) -> None:
    day.workspace("web01", Power.SUSPENDED)
    day.at("02:00").verbs_fail("web01", Verb.SUSPEND)
    day.run_until("03:35")
    assert day.power("web01") is Power.SAVED


def test_a_guest_that_takes_its_time_to_suspend_is_given_it(day: Day) -> None:
    day.workspace("web01", Power.SUSPENDED)
    day.at("02:00").agent_is_silent("web01", Verb.SUSPEND)
    day.at("03:35").guest_suspends("web01")
    day.run_until("03:34")
    assert day.power("web01") is Power.RUNNING
    day.run_until("03:40")
    assert day.power("web01") is Power.SUSPENDED
    assert day.why("web01") is Why.PUT_BACK


def test_one_that_has_suspended_at_last_is_not_saved_any_more(day: Day) -> None:
    day.workspace("web01", Power.SUSPENDED)
    day.at("02:00").verbs_fail("web01", Verb.SUSPEND)
    day.at("02:00").verbs_fail("web01", Verb.SAVE)
    day.at("03:35").guest_suspends("web01")
    day.run_until("05:00")
    assert day.power("web01") is Power.SUSPENDED
    assert day.why("web01") is Why.PUT_BACK
    assert day.standing("web01") is None


def test_a_hypervisor_that_cannot_be_reached_at_the_opening_is_tried_again(day: Day) -> None:
    day.workspace("web01")
    day.at("02:50").hypervisor_is_gone()
    day.at("03:10").hypervisor_is_back()
    day.run_until("03:11")
    assert day.power("web01") is Power.RUNNING
    day.run_until("03:31")
    assert day.power("web01") is Power.SAVED
    assert day.events("web01").count(Why.WAITS_FOR_HYPERVISOR) == 1


def test_a_hypervisor_that_goes_during_the_window_is_waited_for(day: Day) -> None:
    day.workspace("web01", guest_update_duration=12)
    day.at("03:10").hypervisor_is_gone()
    day.at("03:15").hypervisor_is_back()
    day.run_until("03:31")
    assert day.power("web01") is Power.SAVED
    assert day.why("web01") is Why.PUT_BACK


def test_a_hypervisor_that_stays_away_makes_a_missed_window(day: Day) -> None:
    day.workspace("web01")
    day.at("02:50").hypervisor_is_gone()
    day.run_until("03:40")
    assert day.why("web01") is Why.HYPERVISOR_UNREACHABLE


# the host


def test_without_network_it_waits_and_says_so_once(day: Day) -> None:
    day.workspace("web01")
    day.at("02:50").network_is(Network.DOWN)
    day.at("03:10").network_is(Network.UP)
    day.at("03:12").network_is(Network.DOWN)
    day.run_until("03:09")
    assert day.verbs("web01") == []
    assert day.why("web01") is Why.WAITS_FOR_NETWORK
    day.run_until("03:29")
    assert day.power("web01") is Power.RUNNING
    day.run_until("03:31")
    assert day.verbs("web01") == ["start", "save"]
    assert day.events("web01").count(Why.WAITS_FOR_NETWORK) == 1


def test_no_network_all_through_is_a_missed_window_with_one_event(day: Day) -> None:
    day.workspace("web01")
    day.host.network = Network.DOWN
    day.run_until("03:40")
    assert day.why("web01") is Why.NO_NETWORK
    waits = [why for why in day.events("web01") if why in (Why.WAITS_FOR_NETWORK, Why.NO_NETWORK)]
    assert len(waits) == 1


def test_on_battery_it_is_put_back_and_goes_on_once_power_has_settled(day: Day) -> None:
    day.workspace("web01", guest_update_duration=60)
    day.at("03:10").ac_power_is(False)
    day.at("03:15").ac_power_is(True)
    for still in ("03:12", "03:19"):
        day.run_until(still)
        assert day.power("web01") is Power.SAVED
        assert day.why("web01") in (Why.AC_POWER_LOST, Why.WAITS_FOR_AC_POWER)
    day.run_until("03:26")
    assert day.power("web01") is Power.RUNNING
    day.run_until("04:01")
    assert day.power("web01") is Power.SAVED
    assert day.verbs("web01") == ["start", "save"] * 2


def test_on_battery_one_in_use_is_left_up(day: Day) -> None:
    day.workspace("web01")
    day.at("03:05").viewer_comes("web01")
    day.at("03:10").ac_power_is(False)
    day.run_until("03:29")
    assert day.power("web01") is Power.RUNNING


def test_a_host_that_sleeps_over_the_end_puts_it_back_a_minute_after(day: Day) -> None:
    day.workspace("web01")
    day.at("03:10").host_sleeps(minutes=120)
    day.run_until("05:10:55")
    assert day.power("web01") is Power.RUNNING
    day.run_until("05:12")
    assert day.power("web01") is Power.SAVED


def test_a_host_that_sleeps_within_the_window_keeps_the_end(day: Day) -> None:
    day.workspace("web01")
    day.at("03:05").host_sleeps(minutes=10)
    day.run_until("03:29")
    assert day.power("web01") is Power.RUNNING
    day.run_until("03:31")
    assert day.power("web01") is Power.SAVED


def test_a_host_that_wakes_inside_the_window_joins_late(day: Day) -> None:
    day.workspace("web01")
    day.at("02:30").host_sleeps(minutes=40)
    day.run_until("03:11")
    assert day.power("web01") is Power.RUNNING
    day.run_until("03:31")
    assert day.power("web01") is Power.SAVED


def test_a_host_that_shuts_down_saves_it_and_goes_on_in_the_window(day: Day) -> None:
    day.workspace("web01", Power.OFF, guest_update_duration=60)
    day.at("03:10").host_shuts_down(minutes=5)
    day.run_until("03:11")
    assert day.power("web01") is Power.SAVED
    day.run_until("03:20")
    assert day.power("web01") is Power.RUNNING
    day.run_until("03:59")
    assert day.power("web01") is Power.RUNNING
    day.run_until("04:11")
    assert day.why("web01") in (Why.PUT_BACK, Why.PUT_BACK_OWED_OFF)
    assert day.put_back("web01")


def test_a_host_that_comes_back_after_the_window_leaves_it_put_back(day: Day) -> None:
    day.workspace("web01")
    day.at("03:10").host_shuts_down(minutes=60)
    day.run_until("05:00")
    assert day.power("web01") is Power.SAVED
    assert day.verbs("web01") == ["start", "save"]
    assert day.why("web01") is Why.PUT_BACK


def test_a_power_loss_in_the_window_is_gone_on_from(day: Day) -> None:
    day.workspace("web01", Power.OFF, guest_update_duration=60)
    day.at("03:10").host_loses_power(minutes=5)
    day.run_until("03:20")
    assert day.power("web01") is Power.RUNNING
    day.run_until("04:01")
    assert day.power("web01") is Power.OFF
    assert day.verbs("web01") == ["start", "start", "shut-down"]


def test_a_power_loss_over_the_end_ends_it(day: Day) -> None:
    day.workspace("web01", Power.OFF)
    day.at("03:10").host_loses_power(minutes=60)
    day.run_until("05:00")
    assert day.verbs("web01") == ["start"]
    assert day.record("web01") is None


# SIGTERM


@pytest.mark.parametrize("when", ["02:59:59", "03:00:00", "03:00:01", "03:10", "03:30:01"])
@pytest.mark.parametrize("power", [Power.SAVED, Power.OFF, Power.PAUSED, Power.SUSPENDED])
def test_a_manager_that_is_told_to_stop_saves_or_restores_and_never_shuts_down(
    day: Day, power: Power, when: str
) -> None:
    day.workspace("web01", power)
    day.at(when).manager_is_terminated("web01")
    day.run_until("03:31")
    rests = {Power.OFF: (Power.OFF, Power.SAVED), Power.SUSPENDED: (power, Power.SAVED)}
    assert day.power("web01") in rests.get(power, (power,))
    if when == "03:10":
        assert "shut-down" not in day.verbs("web01")
    assert day.put_back("web01")


def test_told_to_stop_while_it_is_in_use_leaves_it_up_and_goes_on_when_called(day: Day) -> None:
    day.workspace("web01")
    day.at("03:10").viewer_comes("web01")
    day.at("03:20").manager_is_terminated("web01")
    day.run_until("03:25")
    assert day.power("web01") is Power.RUNNING
    assert day.running("web01") == []
    day.at("04:00").viewer_leaves("web01")
    day.at("04:30").timer_fires("web01")
    day.run_until("04:45")
    assert day.power("web01") is Power.SAVED


def test_told_to_stop_while_it_is_lent(day: Day) -> None:
    day.workspace("web01")
    day.at("03:10").viewer_comes("web01")
    day.at("03:50").manager_is_terminated("web01")
    day.run_until("03:55")
    assert day.power("web01") is Power.RUNNING
    assert day.why("web01") is Why.LENT


def test_told_to_stop_while_the_disk_is_full_is_gone_on_from_later(day: Day) -> None:
    day.workspace("web01")
    day.at("03:10").does(lambda: setattr(day.host, "disk_available", 100))
    day.at("03:40").manager_is_terminated("web01")
    day.run_until("04:00")
    assert day.power("web01") is Power.RUNNING
    assert day.running("web01") == []
    day.host.disk_available = 10_000
    day.at("04:10").timer_fires("web01")
    day.run_until("04:15")
    assert day.power("web01") is Power.SAVED


# settings and commands


def test_a_workspace_removed_in_its_window_is_put_back_first(day: Day) -> None:
    day.workspace("web01")
    day.at("03:10").person_removes("web01")
    day.run_until("03:12")
    assert day.power("web01") is Power.SAVED
    day.at("03:12").person_removes("web01")
    day.run_days(1)
    assert day.verbs("web01") == ["start", "save"]
    assert not day.has_workspace(day.vm("web01"))


def test_a_longer_duration_counts_at_once(day: Day) -> None:
    day.workspace("web01")
    day.at("03:10").sets("web01", guest_update_duration=60)
    day.run_until("03:45")
    assert day.power("web01") is Power.RUNNING
    day.run_until("04:01")
    assert day.power("web01") is Power.SAVED


def test_duration_0_ends_it_now_and_nothing_is_ever_scheduled(day: Day) -> None:
    day.workspace("web01")
    day.at("03:10").sets("web01", guest_update_duration=0)
    day.run_until("03:11")
    assert day.power("web01") is Power.SAVED
    day.run_days(3)
    assert day.verbs("web01") == ["start", "save"]


def test_with_duration_0_a_person_may_still_wake_it(day: Day) -> None:
    day.workspace("web01", guest_update_duration=0)
    day.at("10:00").person_wakes("web01", minutes=5)
    day.run_until("10:03")
    assert day.power("web01") is Power.RUNNING
    day.run_until("10:06")
    assert day.power("web01") is Power.SAVED


def test_a_new_update_time_counts_from_the_next_date(day: Day) -> None:
    day.workspace("web01")
    day.at("03:10").sets("web01", guest_update_time="05:00")
    day.run_until("03:31")
    assert day.power("web01") is Power.SAVED
    day.run_until("06:00")
    assert day.verbs("web01") == ["start", "save"]
    day.run_days(1)
    assert day.dates("web01") == ["03-10", "03-11"]


def test_the_whole_day_is_one_run_without_a_gap(day: Day) -> None:
    day.workspace("web01", guest_update_duration=1440)
    day.at("03:10").host_sleeps(minutes=23 * 60)  # shortens the test, and changes nothing
    day.run_until("03:09")
    day.run_days(1)
    assert day.verbs("web01") == ["start"]
    assert day.power("web01") is Power.RUNNING


def test_a_persons_run_into_a_window_is_one_run(day: Day) -> None:
    day.workspace("web01")
    day.at("02:50").person_wakes("web01", minutes=20)
    day.run_until("03:31")
    assert day.verbs("web01") == ["start", "save"]
    assert day.dates("web01") == ["03-10"]


def test_a_persons_run_between_windows_belongs_to_no_date(day: Day) -> None:
    day.workspace("web01")
    day.at("01:00").person_wakes("web01", minutes=20)
    day.run_until("03:31")
    assert day.verbs("web01") == ["start", "save"] * 2
    assert day.dates("web01") == ["03-10"]


def test_a_skipped_window_is_left_out_once(day: Day) -> None:
    day.workspace("web01")
    day.at("01:00").person_skips("web01")
    day.run_until("12:00")
    assert day.verbs("web01") == []
    day.run_days(1)
    assert day.dates("web01") == ["03-11"]


def test_a_pause_leaves_out_all_windows_until_it_ends(day: Day) -> None:
    day.workspace("web01")
    day.at("01:00").person_pauses_schedule("web01", hours=30)
    day.run_days(3)
    assert day.dates("web01") == ["03-12"]


# clocks


@pytest.mark.parametrize(
    ("zone", "start", "update_time", "dates"),
    [
        ("America/New_York", "2026-03-07", "02:30", ["03-07", "03-08", "03-09"]),
        ("America/New_York", "2026-10-31", "01:30", ["10-31", "11-01", "11-02"]),
        ("Africa/Cairo", "2026-04-23", "00:00", ["04-24", "04-25"]),
        ("Pacific/Apia", "2011-12-29", "03:00", ["12-29", "12-31", "01-01"]),  # without the 30th
    ],
)
def test_nights_in_which_the_clocks_change(
    folder: Path, zone: str, start: str, update_time: str, dates: list[str]
) -> None:
    with Day(folder, f"{start} 00:00", zone) as day:
        day.workspace("web01", guest_update_time=update_time, time_zone=zone)
        day.run_for(71 * 3600)
        assert day.dates("web01") == dates
        for row in day.history("web01"):
            assert row.woke is not None
            assert row.ended - row.woke < timedelta(minutes=31)


@pytest.mark.parametrize("minutes", [-120, -25, -5, 5, 19])
def test_a_clock_that_is_set_never_opens_a_date_twice(day: Day, minutes: float) -> None:
    day.workspace("web01")
    day.at("03:10").clock_steps(minutes)
    day.run_until("03:29")
    assert day.power("web01") is Power.RUNNING
    day.run_until("03:31")
    assert day.power("web01") is Power.SAVED
    day.run_until("12:00")
    assert day.dates("web01") == ["03-10"]
    day.run_days(1)
    assert day.dates("web01") == ["03-10", "03-11"]


def test_a_clock_set_over_a_whole_window_has_missed_it(day: Day) -> None:
    day.workspace("web01", catch_up="next-start")
    day.at("02:00").clock_steps(180)
    day.run_until("02:01")
    assert day.power("web01") is Power.RUNNING
    day.run_until("12:00")
    assert day.dates("web01") == ["03-10"]
    assert day.verbs("web01") == ["start", "save"]


# a missed window


@pytest.mark.parametrize(
    ("catch_up", "days_off", "runs"),
    [("never", 10, 0), ("stale", 1, 0), ("stale", 10, 1), ("next-start", 1, 1)],
)
def test_a_window_missed_while_the_host_was_off(
    day: Day, catch_up: str, days_off: int, runs: int
) -> None:
    day.workspace("web01", catch_up=catch_up)
    day.at("01:00").host_loses_power(minutes=days_off * 1440 + 300)  # until 06:00
    day.run_until("02:00")
    day.run_until("06:09")
    assert day.verbs("web01") == []
    day.run_until("07:00")
    assert day.verbs("web01") == ["start", "save"] * runs


# many


def most_awake(day: Day) -> Callable[[], int]:
    """Watches from now on; ask for the figure at the end."""
    counts = [0]

    def count() -> None:
        counts.append(sum(it.start is not None for it in day.machine.all()))

    day.on_rest = count
    return lambda: max(counts)


def slow_verbs(day: Day) -> None:
    day.machine.slow(Verb.START, 5)
    day.machine.slow(Verb.SAVE, 5)


def test_twenty_workspaces_take_turns(day: Day) -> None:
    """Two may be waking at once and three awake: after seven nights all have had their window,
    and nobody two before everybody had one."""
    day.set_for_all(max_awake=3, guest_update_duration=1, guest_update_time="03:00")
    names = [f"vm{number:02}" for number in range(20)]
    for name in names:
        day.workspace(name)
    slow_verbs(day)
    most = most_awake(day)
    day.run_days(7)
    windows = [len(day.dates(name)) for name in names]
    assert most() == 3
    assert sorted(windows) == [1] * 19 + [2]


def test_no_more_are_saved_at_once_than_may_be(day: Day) -> None:
    day.set_for_all(max_concurrent_starts=2, guest_update_duration=1, guest_update_time="03:00")
    for number in range(5):
        day.workspace(f"vm{number}")
    day.machine.slow(Verb.SAVE, 5)
    counts = [0]
    day.on_rest = lambda: counts.append(sum(it.changing is not None for it in day.machine.all()))
    day.run_until("03:10")
    assert max(counts) == 2
    assert all(it.power is Power.SAVED for it in day.machine.all())


def test_where_memory_limits_they_take_turns_too(day: Day) -> None:
    """Twelve, and memory for eight: nobody goes without two nights in a row."""
    day.set_for_all(guest_update_duration=1, guest_update_time="03:00")
    day.host.memory_available = 8 * 512 + 1024
    names = [f"vm{number:02}" for number in range(12)]
    for name in names:
        day.workspace(name)
    slow_verbs(day)
    most = most_awake(day)
    day.run_days(3)
    assert most() == 8
    assert sum(len(day.dates(name)) for name in names) == 3 * 8
    for name in names:
        assert {"03-10", "03-11"} & set(day.dates(name))
        assert {"03-11", "03-12"} & set(day.dates(name))


def test_one_that_must_be_alone_goes_first_where_it_waited_longer(day: Day) -> None:
    """Found with a crowd (seed 4): who may be awake beside others was always quicker."""
    day.workspace("web01", max_awake=2)
    day.workspace("alone", max_awake=1)
    day.run_days(4)
    assert day.dates("alone") == ["03-11", "03-13"]


def test_who_waited_longer_goes_first_where_memory_is_there_again(day: Day) -> None:
    """Found with a crowd (seed 16): whoever looked first took the turn."""
    day.set_for_all(max_awake=1, guest_update_time="03:00", guest_update_duration=30)
    for name in ("web01", "web02", "web03"):
        day.workspace(name)
    day.run_days(1)
    (had,) = [name for name in ("web01", "web02", "web03") if day.dates(name)]
    day.host.memory_available = 1024
    day.at("03:10").does(lambda: setattr(day.host, "memory_available", 16_384))
    day.run_days(1)
    assert len(day.dates(had)) == 1


def test_one_that_hangs_delays_no_other(day: Day) -> None:
    day.workspace("hangs")
    day.workspace("web01")
    day.at("02:59").somebody_backs_up("hangs", minutes=600)
    day.run_until("03:01")
    assert day.power("web01") is Power.RUNNING
    day.run_until("03:31")
    assert day.power("web01") is Power.SAVED


def test_one_that_hangs_in_its_wake_delays_no_other(day: Day) -> None:
    day.workspace("hangs", guest_update_duration=5)
    day.workspace("web01", guest_update_duration=5)
    day.machine.slow(Verb.START, 7200, day.vm("hangs").vm)
    day.run_until("03:01")
    assert day.power("web01") is Power.RUNNING
    day.run_until("03:06")
    assert day.power("web01") is Power.SAVED
