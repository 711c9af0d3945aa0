"""A guest that reports: marks, restarts, work at risk, silence (contract, sections 4 to 6)."""

from __future__ import annotations

import pytest
from day import Day

from guestwake.policy.run import Phase, Why
from guestwake.policy.words import Power, Verb
from guestwake.wishes import Wishes
from guestwake_wire.messages import Nudge, RestartNotice, Strength, Window, WindowOver


def said(day: Day, kind: type, name: str = "web01") -> list[object]:
    return [message for message in day.service(name).heard if isinstance(message, kind)]


def test_a_restart_that_updates_ask_for_is_done_in_the_window_and_verified(day: Day) -> None:
    day.workspace("web01", reports=True)
    day.at("03:05").guest_needs_restart("web01")
    day.run_until("03:04")
    assert day.mark("web01") is None
    day.run_until("03:05:10")
    assert day.record("web01").phase is Phase.RESTARTING
    assert day.mark("web01") is not None
    day.run_until("03:10")
    assert day.record("web01").phase is Phase.HOLDING
    assert day.mark("web01") is None
    day.run_until("04:00")
    assert day.power("web01") is Power.SAVED
    assert day.verbs("web01") == [Verb.START, Verb.RESTART, Verb.SAVE]
    assert day.history("web01")[0].restarts == 1
    told = [why for why in day.events("web01") if why in (Why.RESTARTS, Why.RESTARTED)]
    assert told == [Why.RESTARTS, Why.RESTARTED]
    assert said(day, RestartNotice) == [RestartNotice(0)]


def test_a_restart_that_cannot_be_recorded_keeps_no_vm_up(day: Day) -> None:
    day.workspace("web01", reports=True, restart_in_window=0)
    day.at("03:05").guest_needs_restart("web01")
    wishes = Wishes(day.office)
    day.at("03:10").does(lambda: wishes.agree(day.office.workspaces.find("web01")))
    day.at("03:10").journal_is("read-only")
    day.run_until("04:10")
    assert day.power("web01") is Power.SAVED
    assert Verb.RESTART not in day.verbs("web01")


def test_the_guest_is_told_of_the_window_and_nudged_once(day: Day) -> None:
    day.workspace("web01", reports=True)
    day.run_until("03:20")
    assert [type(each) for each in said(day, Window) + said(day, Nudge)] == [Window, Nudge]
    (window,) = said(day, Window)
    assert 1790 <= window.left <= 1800
    day.run_until("04:00")
    assert len(said(day, WindowOver)) == 1
    assert len(said(day, Nudge)) == 1


@pytest.mark.parametrize("setting", [0, 1])
def test_unsaved_work_is_never_restarted_over(day: Day, setting: int) -> None:
    day.workspace("web01", reports=True, restart_in_window=setting)
    day.at("00:10").somebody_signs_in("web01")  # before the wake: it comes back with the memory
    day.at("03:05").guest_needs_restart("web01")
    day.run_until("04:00")
    assert day.power("web01") is Power.SAVED
    assert Verb.RESTART not in day.verbs("web01")
    assert day.mark("web01") is not None
    assert Why.RESTART_WAITS in day.events("web01")
    day.run_until("04:00")  # the next night
    assert Verb.RESTART not in day.verbs("web01")
    assert day.mark("web01") is not None


def test_the_administrator_may_answer_for_idle_sessions(day: Day) -> None:
    day.workspace("web01", reports=True, restart_in_window=2)
    day.at("00:10").somebody_signs_in("web01")
    day.at("03:05").guest_needs_restart("web01")
    day.run_until("04:00")
    assert day.verbs("web01") == [Verb.START, Verb.RESTART, Verb.SAVE]


def test_an_automatic_logon_is_no_work_and_its_first_key_is(day: Day) -> None:
    day.workspace("web01", Power.OFF, reports=True)
    day.at("03:01").somebody_signs_in("web01")
    day.at("03:05").guest_needs_restart("web01")
    day.run_until("03:08")
    assert Verb.RESTART in day.verbs("web01")
    day.workspace("web02", Power.OFF, reports=True, guest_update_time="05:00")
    day.at("05:01").somebody_signs_in("web02")
    day.at("05:04").somebody_types("web02")
    day.at("05:05").guest_needs_restart("web02")
    day.run_until("05:20")
    assert Verb.RESTART not in day.verbs("web02")


def test_input_in_the_guest_is_use_and_the_use_ends(day: Day) -> None:
    day.workspace("web01", reports=True)
    day.at("03:03").somebody_signs_in("web01")
    day.at("03:20").somebody_types("web01")
    day.run_until("03:31")
    assert day.why("web01") is Why.LENT
    day.run_until("04:19")
    assert day.why("web01") is Why.LENT
    day.run_until("04:40")  # an hour after the last key, and ten minutes
    assert day.power("web01") is Power.SAVED
    assert day.why("web01") is Why.CLOSED


def test_a_guest_that_claims_input_for_ever_is_put_back_at_its_limit(day: Day) -> None:
    day.workspace("web01", reports=True, guest_use_limit=90)
    day.at("03:05").somebody_signs_in("web01")
    for hour in range(3, 9):
        for minute in (10, 40):
            day.at(f"{hour:02}:{minute}").somebody_types("web01")
    day.run_until("04:59")
    assert day.power("web01") is Power.RUNNING
    assert day.why("web01") is Why.LENT
    day.run_until("05:12")
    assert day.power("web01") is Power.SAVED


def test_the_mark_outlives_hibernation_and_the_death_of_all_that_runs_here(day: Day) -> None:
    day.workspace("web01", reports=True)
    day.at("00:10").somebody_signs_in("web01")
    day.at("03:05").guest_needs_restart("web01")
    day.at("03:10").manager_is_killed("web01")
    day.at("03:20").host_loses_power(30)
    day.run_until("06:00")
    assert day.mark("web01") is not None
    # The host died under it: it was off, and its next boot is the restart.
    day.run_until("03:20")
    assert day.mark("web01") is None


def test_a_reason_that_survives_two_restarts_restarts_no_more(day: Day) -> None:
    day.workspace("web01", reports=True, guest_update_duration=240)
    day.service("web01").stays = {"esd-signal": Strength.STRONG}
    day.at("03:05").guest_needs_restart("web01", "esd-signal")
    day.run_until("08:00")
    assert day.verbs("web01") == [Verb.START, Verb.RESTART, Verb.RESTART, Verb.SAVE]
    mark = day.mark("web01")
    assert mark is not None
    assert mark.is_in_vain
    day.run_days(2)
    assert day.verbs("web01").count(Verb.RESTART) == 2
    assert Why.RESTART_IN_VAIN in day.events("web01")


def test_a_guest_that_installs_is_restarted_only_after_that(day: Day) -> None:
    day.workspace("web01", reports=True, guest_update_duration=120)
    day.at("03:05").guest_is_busy("web01")
    day.at("03:06").guest_needs_restart("web01")
    day.at("03:40").guest_is_busy("web01", busy=False)
    day.run_until("03:39")
    assert Verb.RESTART not in day.verbs("web01")
    day.run_until("03:42")
    assert Verb.RESTART in day.verbs("web01")


def test_near_its_end_it_is_not_restarted_any_more(day: Day) -> None:
    day.workspace("web01", reports=True)
    day.at("03:25").guest_needs_restart("web01")  # TaskTimeout is ten minutes
    day.run_until("04:00")
    assert day.verbs("web01") == ["start", "save"]
    assert day.mark("web01") is not None


@pytest.mark.parametrize(("setting", "how"), [(0, Strength.STRONG), (1, Strength.WEAK)])
def test_what_may_not_restart_it_does_not(day: Day, setting: int, how: Strength) -> None:
    day.workspace("web01", reports=True, restart_in_window=setting)
    day.at("03:05").does(lambda: day.service("web01").inside.reasons.update({"renames": how}))
    day.run_until("03:31")
    assert day.verbs("web01") == ["start", "save"]


def test_what_a_guest_has_said_in_this_boot_is_not_unsaid_in_it(day: Day) -> None:
    day.workspace("web01", reports=True, restart_in_window=0)
    day.at("03:05").guest_needs_restart("web01")
    day.at("03:10").does(lambda: day.service("web01").inside.reasons.clear())
    day.run_until("03:29")
    assert day.mark("web01") is not None


def test_never_more_than_two_restarts_in_a_window_nor_two_within_an_hour(day: Day) -> None:
    day.workspace("web01", reports=True, guest_update_duration=600)
    for hour in range(3, 13):
        for minute in (5, 25, 45):
            source = f"liar-{hour}-{minute}"
            day.at(f"{hour:02}:{minute:02}").guest_needs_restart("web01", source)
    times = []
    day.on_verb = lambda vm, verb: times.append(day.real) if verb is Verb.RESTART else None
    day.run_until("13:30")
    assert len(times) == 2
    assert times[1] - times[0] >= 3600


def test_a_busy_guest_is_extended_and_never_shut_down(day: Day) -> None:
    day.workspace("web01", Power.OFF, reports=True, max_extension=20)
    day.at("03:10").guest_is_busy("web01")
    day.run_until("03:45")
    assert day.why("web01") is Why.BUSY_INSTALLING
    day.run_until("04:00")
    assert day.power("web01") is Power.SAVED
    assert day.verbs("web01") == [Verb.START, Verb.SAVE]
    assert day.why("web01") is Why.PUT_BACK_OWED_OFF


def test_what_is_owed_off_is_settled_the_next_night(day: Day) -> None:
    day.workspace("web01", Power.OFF, reports=True, max_extension=20)
    day.at("03:10").guest_is_busy("web01")
    day.run_until("12:00")
    assert day.power("web01") is Power.SAVED
    day.at("03:10").guest_is_busy("web01", False)
    day.run_until("12:00")
    assert day.power("web01") is Power.OFF


def test_a_guest_off_before_that_reports_nobody_is_shut_down(day: Day) -> None:
    day.workspace("web01", Power.OFF, reports=True)
    day.run_until("04:00")
    assert day.power("web01") is Power.OFF
    assert Verb.SHUT_DOWN in day.verbs("web01")


def test_a_guest_that_fell_silent_is_saved_and_not_shut_down(day: Day) -> None:
    day.workspace("web01", Power.OFF, reports=True)
    day.at("03:10").guest_falls_silent("web01")
    day.run_until("04:00")
    assert day.power("web01") is Power.SAVED
    assert day.why("web01") is Why.PUT_BACK_OWED_OFF


def test_with_nothing_left_to_do_it_finishes_early_where_that_is_wanted(day: Day) -> None:
    day.workspace("web01", reports=True, early_finish=1)
    day.workspace("web02", reports=True)
    for name in ("web01", "web02"):
        day.at("03:04").guest_has_nothing_left(name)
    day.run_until("03:12")
    assert day.power("web01") is Power.SAVED
    assert day.power("web02") is Power.RUNNING


def test_a_guest_that_hibernated_itself_is_put_back_as_saved(day: Day) -> None:
    """S4: it was off and comes up with the boot id that it had before."""
    vm = day.workspace("web01", Power.RUNNING, reports=True).vm
    day.run_until("03:20")  # watched: it reports
    day.machine.guest_hibernates(vm)
    day.run_until("02:30")
    assert day.power("web01") is Power.OFF
    day.run_until("04:00")
    assert day.power("web01") is Power.SAVED
    assert day.history("web01")[-1].prior == "saved"


def test_a_restart_of_several_boots_is_waited_for_and_never_cut(day: Day) -> None:
    day.workspace("web01", reports=True, guest_update_duration=30, max_extension=60)
    day.service("web01").boots_for = 45 * 60
    day.at("03:05").guest_needs_restart("web01")
    day.run_until("03:16")
    assert Why.RESTART_HANGS in day.events("web01")
    day.run_until("03:45")
    assert day.power("web01") is Power.RUNNING
    assert day.why("web01") is Why.BUSY_INSTALLING
    day.run_until("03:53")
    assert day.power("web01") is Power.SAVED
    assert day.mark("web01") is None


def test_a_refused_restart_is_told_and_not_taken_for_busy(day: Day) -> None:
    day.workspace("web01", reports=True)
    day.at("03:01").verbs_fail("web01", Verb.RESTART)
    day.at("03:05").guest_needs_restart("web01")
    day.run_until("03:32")
    assert Why.RESTART_REFUSED in day.events("web01")
    assert day.power("web01") is Power.SAVED
    assert day.mark("web01") is not None


def test_killed_between_the_record_and_the_restart_it_ends_all_the_same(day: Day) -> None:
    day.workspace("web01", reports=True)
    day.at("03:05").guest_needs_restart("web01")

    def dies(point: str) -> None:
        if point == f"before {Verb.RESTART}":
            day.on_point = lambda point: None
            raise day.killed

    day.on_point = dies
    day.run_until("03:31")
    assert Why.RESTART_REFUSED in day.events("web01")
    assert day.power("web01") is Power.SAVED


def test_what_was_installed_is_in_the_history(day: Day) -> None:
    day.workspace("web01", reports=True)
    day.at("00:10").guest_installs("web01", "before", "1.0")
    day.at("03:07").guest_installs("web01", "example", "2.0")
    day.run_until("12:00")
    (row,) = day.history("web01")
    installed = day.journal().installed(row.token)
    assert [(each.client, each.name, each.version) for each in installed] == [
        ("apt", "example", "2.0")
    ]


def test_a_workspace_that_is_taken_off_takes_its_mark_along(day: Day) -> None:
    day.workspace("web01", reports=True)
    day.at("00:10").somebody_signs_in("web01")
    day.at("03:05").guest_needs_restart("web01")
    day.run_until("04:00")
    uuid = day.uuid("web01")
    day.at("05:00").person_removes("web01")
    day.run_until("06:00")
    assert day.journal().restart_mark(uuid) is None
    assert day.journal().said(uuid) is None


def test_a_flood_costs_a_look_a_second_and_delays_nobody(day: Day) -> None:
    for name in ("liar", "web01"):
        day.workspace(name, reports=True, guest_update_duration=10)
    looks = []
    day.on_point = lambda point: looks.append(point) if point == "wait" else None

    def flood() -> None:
        if day.power("liar") is Power.RUNNING:
            day.service("liar").says((b"\x1e{" + 60 * b" " + b"}\n") * 1000)
            day.later(0.25, flood)

    day.later(3 * 3600 + 60, flood)
    day.run_until("03:05")
    assert len(looks) < 5 * 60 * 2
    day.run_until("03:11")
    assert day.power("liar") is Power.SAVED
    assert day.power("web01") is Power.SAVED
