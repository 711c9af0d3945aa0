"""The command line, on a machine that exists in memory: what is said, what is done, the code."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command_world import CommandWorld, MovedClock

from guestwake.application import Application
from guestwake.edges.cli import main
from guestwake.edges.exit_codes import Exit
from guestwake.edges.live import Live
from guestwake.guest_report import keep
from guestwake.hosts.memory import MemoryHost
from guestwake.hypervisors.api import ChannelIs, NotAllowed
from guestwake.hypervisors.memory import MemoryHypervisor
from guestwake.locks import held
from guestwake.paths import Paths, PathsError
from guestwake.policy.prompt import Prompt
from guestwake.policy.words import Network, Power, Start
from guestwake.wishes import Wishes
from guestwake_wire.messages import Reason, Report, Strength

ODD = 'we\'b "$(x)";\x1b[31mü‮\n'


class KilledError(BaseException):
    """The process dies here."""


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CommandWorld:
    return CommandWorld(tmp_path, capsys)


# the wake run


def test_a_hibernated_vm_is_woken_and_put_back(world: CommandWorld) -> None:
    world.vm("web01")
    powers = []
    world.clock.at_wait = lambda: powers.append(world.power("web01"))
    assert world.run("wake", "web01", "--duration", "30") == Exit.DONE
    assert world.out == (
        "'web01' had its window and was put back. [put-back; before: saved; awake for 30 min]\n"
    )
    assert Power.RUNNING in powers
    assert world.power("web01") is Power.SAVED
    (row,) = world.json("history")
    assert (row["workspace"], row["prior"], row["why"]) == ("web01", "saved", "put-back")
    began, ended = (datetime.fromisoformat(row[key]) for key in ("began", "ended"))
    assert timedelta(minutes=30) <= ended - began < timedelta(minutes=31)


def test_without_a_terminal_each_change_is_one_line(world: CommandWorld) -> None:
    world.vm("web01")
    world.run("wake", "web01", "--duration", "30")
    assert world.err.splitlines() == [
        "guestwake: 'web01' is being woken.",
        "guestwake: 'web01' is awake for its updates.",
        "guestwake: 'web01' is being put back.",
        "guestwake: 'web01' had its window and was put back.",
    ]


def test_a_terminal_has_one_live_line_that_counts_down(
    world: CommandWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    world.vm("web01")
    terminal, application = Terminal(), world.application
    live = Live(terminal)
    application.wake("web01", timedelta(minutes=30), live.show)
    live.end()
    text = terminal.getvalue()
    assert "\n" not in text
    shown = re.findall(r"\r([^\r\x1b]+)\x1b\[K", text)
    assert "'web01': awake for its updates (holds), 29 min left" in shown
    assert shown[-1].startswith("'web01': putting it back")
    assert text.endswith("\r\x1b[K")


def test_a_timer_that_calls_outside_the_window_does_nothing(world: CommandWorld) -> None:
    world.vm("web01")
    (window, *_) = world.json("plan", "web01")
    world.clock.wall = datetime.fromisoformat(window["opens"]) - timedelta(minutes=1)
    assert world.run("wake", "web01", "--scheduled") == Exit.DONE
    assert (world.out, world.err) == ("", "")
    assert world.power("web01") is Power.SAVED
    world.clock.move(timedelta(minutes=2))
    assert world.run("wake", "web01", "--scheduled") == Exit.DONE
    assert "put-back" in world.out


def test_a_second_run_is_refused_and_a_timer_says_nothing(world: CommandWorld) -> None:
    world.vm("web01")
    application = world.application
    lock = application.locks / f"{application.workspaces.find('web01').uuid}.lock"
    with held(lock):
        assert world.run("wake", "web01") == Exit.ALREADY_RUNNING
        assert f"process {os.getpid()} is already running it" in world.err
        assert world.run("wake", "web01", "--scheduled") == Exit.DONE
        assert (world.out, world.err) == ("", "")


@pytest.mark.parametrize(
    ("host", "code", "event"),
    [
        (MemoryHost(network=Network.DOWN), Exit.GUARDED, 11002),
        (MemoryHost(on_ac_power=False), Exit.GUARDED, 11003),
        (MemoryHost(memory_available=100), Exit.NO_ROOM, 12055),
    ],
)
def test_a_guard_is_an_exit_code_and_an_event(
    world: CommandWorld, host: MemoryHost, code: Exit, event: int
) -> None:
    world.vm("web01")
    world.host = host
    assert world.run("wake", "web01", "--duration", "5") == code
    assert world.power("web01") is Power.SAVED
    assert event in [one["event"] for one in world.json("events", "--happened")]


def test_a_vm_that_somebody_saves_is_handed_over(world: CommandWorld) -> None:
    world.vm("web01")

    def somebody() -> None:
        if world.power("web01") is Power.RUNNING:
            (it,) = world.machine.all()
            world.machine.saves(it.vm)

    world.clock.at_wait = somebody
    assert world.run("wake", "web01", "--duration", "5") == Exit.HANDED_OVER


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_puts_the_vm_back(world: CommandWorld, number: signal.Signals) -> None:
    world.vm("web01")
    before = signal.getsignal(number)

    def signalled() -> None:
        if world.power("web01") is Power.RUNNING:
            signal.raise_signal(number)

    world.clock.at_wait = signalled
    assert world.run("wake", "web01", "--duration", "60") == Exit.STOPPED
    assert world.power("web01") is Power.SAVED
    assert signal.getsignal(number) is before


def test_duration_zero_says_what_to_do(world: CommandWorld) -> None:
    world.vm("web01")
    folder = world.root / "etc/guestwake"
    folder.mkdir(parents=True)
    (folder / "guestwake.toml").write_text("guest_update_duration = 0\n")
    assert world.run("wake", "web01") == Exit.DONE
    assert "GuestUpdateDuration is 0" in world.err
    assert world.power("web01") is Power.SAVED
    assert world.run("status") == Exit.DONE
    assert "no windows: GuestUpdateDuration is 0" in world.out
    assert world.run("wake", "web01", "--duration", "1") == Exit.DONE
    assert "put-back" in world.out


# workspaces


def test_removing_puts_the_vm_back_first(world: CommandWorld) -> None:
    world.vm("web01")
    _kill_inside_the_window(world)
    assert world.power("web01") is Power.RUNNING
    assert world.run("workspace", "remove", "web01") == Exit.DONE
    assert world.power("web01") is Power.SAVED
    assert world.json("workspace", "list") == []
    assert world.json("status") == []


def test_removing_waits_while_another_process_puts_it_back(world: CommandWorld) -> None:
    world.vm("web01")
    application = world.application
    other = held(application.locks / f"{application.workspaces.find('web01').uuid}.lock")
    other.__enter__()
    waits = 0

    def waited() -> None:
        nonlocal waits
        waits += 1
        if waits == 3:
            other.__exit__(None, None, None)

    world.clock.at_wait = waited
    assert world.run("workspace", "remove", "web01") == Exit.DONE
    assert waits == 3
    assert f"process {os.getpid()} is already running it" in world.err
    assert world.json("workspace", "list") == []


def test_a_vm_that_is_not_there_cannot_be_added(world: CommandWorld) -> None:
    assert world.run("workspace", "add", "web01") == Exit.HYPERVISOR
    assert "web01" in world.err
    assert world.json("workspace", "list") == []


def test_a_vm_is_added_once(world: CommandWorld) -> None:
    world.vm("web01")
    assert world.run("workspace", "add", "web01") == Exit.NO_WORKSPACE
    assert "is a workspace already" in world.err


def test_adding_says_what_cannot_be_done(world: CommandWorld) -> None:
    world.machine.add("gpu", why_not_saved="it has a device of the host", has_agent_channel=False)
    assert world.run("workspace", "add", "gpu", "--owner", "ada") == Exit.DONE
    assert "cannot be hibernated: it has a device of the host" in world.out
    assert "qemu-guest-agent" in world.out
    assert world.json("workspace", "list")[0]["owner"] == "ada"


def test_adding_says_how_the_guest_can_report(world: CommandWorld) -> None:
    world.machine.add("without it")
    assert world.run("workspace", "add", "without it") == Exit.DONE
    assert "'guestwake workspace channel add 'without it''" in world.out
    assert "availability only" in world.out
    world.machine.add("web01", has_channel=True)
    assert world.run("workspace", "add", "web01") == Exit.DONE
    assert "guestwake-guest install" in world.out
    assert "channel add" not in world.out


# the channel


@pytest.mark.parametrize("power", [Power.OFF, Power.RUNNING])
def test_a_channel_is_added_and_removed(world: CommandWorld, power: Power) -> None:
    world.vm("web01", power)
    assert world.run("workspace", "channel", "add", "web01") == Exit.DONE
    assert world.out == (
        "'web01' has the channel of the Guest Update Service.\n"
        "Then install that service in its guest, as root: guestwake-guest install\n"
    )
    assert world.run("workspace", "channel", "remove", "web01") == Exit.DONE
    assert world.out == "'web01' has no channel of the Guest Update Service.\n"


def test_a_saved_image_gets_and_loses_no_channel(world: CommandWorld) -> None:
    world.vm("web01", Power.SAVED)
    assert world.run("workspace", "channel", "add", "web01") == Exit.DONE
    assert "gets the channel with its next boot, not with its next wake" in world.out
    world.machine.add("web02", Power.SAVED, has_channel=True)
    world.run("workspace", "add", "web02")
    assert world.run("workspace", "channel", "remove", "web02") == Exit.DONE
    assert "loses the channel with its next boot, not with its next wake" in world.out
    assert (world.power("web01"), world.power("web02")) == (Power.SAVED, Power.SAVED)


def test_a_vm_that_cannot_be_changed_as_it_runs_gets_it_later(
    world: CommandWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.vm("web01", Power.RUNNING)
    monkeypatch.setattr(MemoryHypervisor, "add_channel", lambda *_: ChannelIs.AT_NEXT_BOOT)
    assert world.run("workspace", "channel", "add", "web01") == Exit.DONE
    assert "gets the channel with its next boot: as it runs now it cannot be changed" in world.out


def test_who_may_not_change_a_vm_is_told_what_to_do(world: CommandWorld) -> None:
    world.vm("web01")
    world.machine.fail("add_channel", NotAllowed("cannot add the channel to 'web01'"))
    assert world.run("workspace", "channel", "add", "web01") == Exit.HYPERVISOR
    assert world.err.startswith("guestwake: cannot add the channel to 'web01'. Call as root")


def test_a_vm_that_is_no_workspace_gets_no_channel(world: CommandWorld) -> None:
    world.machine.add("web01")
    assert world.run("workspace", "channel", "add", "web01") == Exit.NO_WORKSPACE


@pytest.mark.parametrize(
    ("words", "mistake"),
    [
        (("workspace", "channel"), "VERB is missing."),
        (("workspace", "channel", "add"), "WORKSPACE is missing."),
        (("workspace", "chanel", "add", "web01"), "Did you mean 'channel'?"),
        (("workspace", "channel", "ad", "web01"), "Did you mean 'add'?"),
        (("workspace", "channel", "add", "web01", "--json"), "no option '--json' here."),
        (("workspace", "channel", "add", "web01", "web02"), "'web02' is one argument too many."),
    ],
)
def test_a_mistake_below_two_groups_is_named(
    world: CommandWorld, words: tuple[str, ...], mistake: str
) -> None:
    assert world.run(*words) == Exit.USAGE
    assert mistake in world.err


@pytest.mark.parametrize("root", [True, False])
def test_an_owner_that_nobody_is_is_refused(world: CommandWorld, *, root: bool) -> None:
    """Under a root folder there need be no such user, but it has to be a name."""
    world.machine.add("web01")
    places = Paths.under(world.root, 0)
    application = world.build(places if root else replace(places, root=None))
    with pytest.raises(PathsError, match="user"):
        application.add("web01", "memory:", "../ada" if root else "nobody-of-this-name")
    assert application.workspaces.all() == []


def test_an_unknown_workspace_is_named_with_the_one_meant(world: CommandWorld) -> None:
    world.vm("web01")
    for command in ("wake", "skip", "pause", "resume", "status", "plan", "history"):
        assert world.run(command, "wbe01") == Exit.NO_WORKSPACE
        assert world.err == ("guestwake: there is no workspace 'wbe01'. Did you mean 'web01'?\n"), (
            command
        )


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("workspace", "list"),
        ("plan",),
        ("history",),
        ("events", "--happened"),
        ("wake", ODD, "--duration", "1"),
        ("skip", ODD),
        ("hold", ODD, "--for", "2h", "--reason", ODD),
        ("wake", f"no {ODD}"),
        ("settings", "show", ODD),
        ("workspace", "channel", "add", ODD),
        ("workspace", "channel", "remove", ODD),
        ("workspace", "remove", ODD),
        ("workspace", "add", ODD),
        (ODD,),
        ("status", f"--{ODD}"),
    ],
)
def test_an_odd_name_steers_no_terminal(world: CommandWorld, words: tuple[str, ...]) -> None:
    world.vm(ODD)
    world.run("wake", "--duration", "1", "--", ODD)
    _kill_inside_the_window(world, ODD)
    world.run("hold", ODD, "--for", "1h", "--reason", ODD)
    world.run(*words)
    text = world.out + world.err
    assert text
    assert all(line.isprintable() for line in text.split("\n"))
    assert not any(line.startswith("\n") for line in text.splitlines())


def test_an_odd_name_comes_through_json_as_it_is(world: CommandWorld) -> None:
    world.vm(ODD)
    assert world.json("workspace", "list")[0]["workspace"] == ODD
    assert world.json("status", ODD)[0]["workspace"] == ODD


def test_help_lists_all_commands_also_with_one_named_after_it(world: CommandWorld) -> None:
    for words in (["--help"], ["-h", "wake"], ["--root", "wake", "--help"]):
        assert world.run(*words) == Exit.DONE
        assert "look after" in world.out or "which VMs" in world.out
        assert "what is going on" in world.out
    assert world.run("wake", "--help") == Exit.DONE
    assert "--scheduled" in world.out


def test_the_end_of_time_is_a_time(world: CommandWorld) -> None:
    world.vm("web01")
    world.run("hold", "web01", "--for", "9999-12-31T23:59:00+00:00")
    (world.root / "etc/guestwake").mkdir(parents=True)
    (world.root / "etc/guestwake/guestwake.toml").write_text('time_zone = "Asia/Tokyo"\n')
    assert world.run("status") == Exit.DONE, world.err
    assert "9999-12-31 23:59 UTC" in world.out


# wishes


def test_the_next_window_is_left_out_once_and_let_open_again(world: CommandWorld) -> None:
    world.vm("web01")
    first, second, *_ = (window["local_date"] for window in world.json("plan", "--days", "3"))
    for _ in range(2):
        assert world.run("skip", "web01") == Exit.DONE
        assert [w["happens"] for w in world.json("plan", "--days", "3")][:2] == [False, True]
    (status,) = world.json("status")
    assert status["skipped"] == [first]
    assert status["next_window"]["opens"].startswith(second[:8])
    assert world.run("skip", "web01", "--undo") == Exit.DONE
    assert all(window["happens"] for window in world.json("plan", "--days", "3"))
    assert world.run("skip", "web01", "--undo") == Exit.DONE
    assert "no window to come was left out" in world.out


def test_a_left_out_window_is_not_run(world: CommandWorld) -> None:
    world.vm("web01")
    (window, *_) = world.json("plan")
    world.run("skip", "web01")
    world.clock.wall = datetime.fromisoformat(window["opens"]) + timedelta(minutes=1)
    assert world.run("wake", "web01", "--scheduled") == Exit.DONE
    assert world.json("history") == []


def test_after_a_pause_nothing_is_caught_up(world: CommandWorld) -> None:
    world.vm("web01")
    world.run("pause", "web01")
    assert world.json("status")[0]["paused"] is True
    assert not any(window["happens"] for window in world.json("plan"))
    world.clock.move(timedelta(days=20))
    last = world.json("plan", "--from", world.clock.wall.isoformat())[0]
    world.clock.wall = datetime.fromisoformat(last["opens"]) - timedelta(hours=1)
    assert world.run("wake", "web01", "--scheduled") == Exit.DONE
    assert world.run("resume", "web01") == Exit.DONE
    assert world.run("wake", "web01", "--scheduled") == Exit.DONE
    assert world.json("history") == []
    assert world.run("resume", "web01") == Exit.DONE
    assert "was not paused" in world.out


def test_a_held_vm_stays_up_until_it_is_released(world: CommandWorld) -> None:
    world.vm("web01")
    assert world.run("hold", "web01", "--for", "3h", "--reason", "a demo") == Exit.DONE
    (hold,) = world.json("status")[0]["holds"]
    assert hold["reason"] == "a demo"
    phases = set()

    def released_after_an_hour() -> None:
        (run,) = world.application_runs()
        phases.add(run.phase)
        if world.clock.wall - began > timedelta(hours=1):
            Wishes(world.application).release(world.application.workspaces.find("web01"))

    began = world.clock.wall
    world.clock.at_wait = released_after_an_hour
    assert world.run("wake", "web01", "--duration", "5") == Exit.DONE
    assert "lent" in phases
    assert "closed" in world.out


# reports


def test_status_is_loud_about_a_run_that_nobody_minds(world: CommandWorld) -> None:
    world.vm("web01")
    assert world.run("status", "--check") == Exit.DONE
    _kill_inside_the_window(world)
    assert world.run("status", "--check") == Exit.ATTENTION
    assert "  !!    Its run is open and nobody minds it. Go on with: guestwake wake web01" in (
        world.out
    )
    assert world.run("status") == Exit.DONE
    (status,) = world.json("status")
    assert status["run"]["manager_lives"] is False
    assert status["attention"]


def test_status_is_loud_about_a_vm_that_is_gone(world: CommandWorld) -> None:
    world.vm("web01")
    (it,) = world.machine.all()
    world.machine.deletes(it.vm)
    assert world.run("wake", "web01", "--duration", "5") == Exit.LOST
    assert world.run("status", "--check") == Exit.ATTENTION
    assert "does not exist any more. Take the workspace off: guestwake" in world.out


def test_status_is_loud_about_a_crashed_vm_until_it_has_its_window(world: CommandWorld) -> None:
    world.vm("web01", Power.RUNNING)
    (it,) = world.machine.all()
    world.machine.crashes(it.vm, kept=True)
    assert world.run("wake", "web01", "--duration", "5") == Exit.LOST
    assert world.run("status", "--check") == Exit.ATTENTION
    world.machine.stops(it.vm)
    assert world.run("wake", "web01", "--duration", "5") == Exit.DONE
    assert world.run("status", "--check") == Exit.DONE


def test_what_reports_opens_no_hypervisor_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "nothing"
    for words in ("status", "plan", "history", "settings show", "settings check", "events"):
        assert main(["--root", str(root), *words.split()], build=_refuse) == Exit.DONE
    assert not root.exists()


def test_settings_check_tells_everything_at_once(world: CommandWorld) -> None:
    folder = world.root / "etc/guestwake"
    folder.mkdir(parents=True)
    (folder / "guestwake.toml").write_text('guest_update_time = "25:00"\nsplay = -1\n')
    assert world.run("settings", "check") == Exit.SETTINGS
    assert [re.findall(r"toml:\d", line) for line in world.out.splitlines()] == [
        ["toml:1"],
        ["toml:2"],
    ]


def test_a_section_that_names_no_workspace_is_told_and_is_no_error(world: CommandWorld) -> None:
    world.vm("web01")
    folder = world.root / "etc/guestwake"
    folder.mkdir(parents=True)
    sections = "[workspace.wbe01]\nsplay = 5\n[workspace.web01]\nsplay = 5\n"
    (folder / "guestwake.toml").write_text(sections)
    assert world.run("settings", "check") == Exit.DONE
    assert "'wbe01'" in world.err
    assert "'web01'" not in world.err


def test_settings_show_names_where_a_value_comes_from(world: CommandWorld) -> None:
    folder = world.root / "etc/guestwake"
    folder.mkdir(parents=True)
    (folder / "guestwake.toml").write_text("\nsplay = 5\n")
    (splay,) = (one for one in world.json("settings", "show") if one["name"] == "Splay")
    assert (splay["value"], splay["layer"]) == (5, "machine")
    assert splay["place"].endswith("guestwake.toml:2")


def test_what_if_is_refused_where_it_could_not_be(world: CommandWorld) -> None:
    world.vm("web01")
    assert world.run("plan", "--set", "GuestUpdateTime=25:00") == Exit.USAGE
    assert "25:00" in world.err


# a wrong call


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "a command is missing"),
        ("wak", "there is no command 'wak'. Did you mean 'wake'?"),
        ("workspace rmove", "there is no command 'rmove'. Did you mean 'remove'?"),
        ("workspace", "VERB is missing"),
        ("wake", "WORKSPACE is missing"),
        ("wake web01 --durration 5", "no option '--durration' here. Did you mean '--duration'?"),
        ("wake --shceduled", "no option '--shceduled' here. Did you mean '--scheduled'?"),
        ("wake web01 --dur 5", "no option '--dur' here. Did you mean '--duration'?"),
        ("wake web01 --duration 0", "--duration: '0' will not do; it must be minutes, up to 1440"),
        ("wake web01 --duration 1441", "it must be minutes, up to 1440"),
        ("wake web01 --duration nan", "'nan' will not do"),
        ("wake web01 --duration four", "'four' will not do"),
        ("wake web01 --duration 5 --scheduled", "--scheduled: not allowed with argument --dur"),
        ("wake web01 web02", "'web02' is one argument too many"),
        ("status --log-level loud", "there is no --log-level 'loud'"),
        ("hold web01", "--for --release"),
        ("plan --days 0", "--days: '0' will not do; it must be 1 to 3660 days"),
        ("--root", "--root: expected one argument"),
        ("completion ksh", "there is no SHELL 'ksh'"),
    ],
)
def test_a_usage_error_names_the_mistake(
    world: CommandWorld, capsys: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    assert main(words.split(), build=lambda paths: world.build(Paths.under(world.root, 0))) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert out == ""
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(("root", "said"), [("file", "is no folder"), ("", "--root is empty")])
def test_a_root_that_is_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], root: str, said: str
) -> None:
    (tmp_path / "file").touch()
    assert main(["--root", root and str(tmp_path / root), "status"]) == Exit.USAGE
    assert said in capsys.readouterr().err


def test_a_wrong_call_of_wake_is_event_11001_with_its_usage(world: CommandWorld) -> None:
    assert world.run("wake", "--duration", "nonsense", "web01") == Exit.USAGE
    (event,) = world.json("events", "--happened")
    assert event["event"] == 11001
    assert "nonsense" in event["detail"]
    assert "guestwake wake WORKSPACE [--duration MINUTES] [--scheduled]" in event["detail"]


@pytest.mark.parametrize("before", ["/nowhere", None])
def test_a_wrong_call_leaves_its_event_under_the_root_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    monkeypatch.setenv("GUESTWAKE_ROOT", str(tmp_path / "other"))
    first = ["--root", before] if before else []
    assert main([*first, f"--root={tmp_path / 'meant'}", "wake"]) == Exit.USAGE
    assert main(["wake", "web01", "--root"]) == Exit.USAGE  # the root is what is missing
    assert [path.name for path in tmp_path.iterdir()] == ["meant"]


def test_a_wake_that_is_a_reason_is_no_call_of_wake(world: CommandWorld) -> None:
    assert world.run("hold", "web01", "--reason", "wake") == Exit.USAGE
    assert world.json("events", "--happened") == []


@pytest.mark.parametrize("when", ["25:00", "2020-01-01", "5"])
def test_a_bad_time_is_a_usage_error(world: CommandWorld, when: str) -> None:
    world.vm("web01")
    assert world.run("hold", "web01", "--for", when) == Exit.USAGE
    assert f"--for '{when}':" in world.err


def test_a_damaged_journal_is_told_to_those_who_only_read(world: CommandWorld) -> None:
    world.vm("web01")
    world.run("hold", "web01", "--for", "1h")
    journal = world.application.journal_path
    for beside in journal.parent.glob("journal.db*"):
        beside.unlink()
    journal.write_bytes(b"no journal at all, and long enough for a header " * 20)
    assert world.run("status") == Exit.JOURNAL
    assert str(journal) in world.err
    assert "the next 'guestwake wake' goes on" in world.err
    assert world.run("wake", "web01", "--duration", "5") == Exit.DONE
    assert world.run("status") == Exit.DONE


# as a process


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m guestwake.edges.cli --root {tmp_path} events | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert re.fullmatch(r"[0-9]+ [a-z]+: .+\n", done.stdout)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", [["events"], ["--version"]], ids=["much", "a line"])
def test_what_cannot_be_said_is_an_error(tmp_path: Path, words: list[str]) -> None:
    command = [sys.executable, "-m", "guestwake.edges.cli", "--root", str(tmp_path), *words]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == Exit.JOURNAL
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_are_read_again_only_where_a_file_has_changed(world: CommandWorld) -> None:
    world.vm("web01")
    application = world.application
    workspace = application.workspaces.find("web01")
    before = application.layers(None)
    assert application.layers(None) is before
    application.paths.config.mkdir(parents=True, exist_ok=True)
    (application.paths.config / "guestwake.toml").write_text("max_awake = 3\n")
    assert application.resolved(workspace).limits.max_awake == 3
    assert application.layers(None) is not before


# What `status` must not wait for.
HEAVY = (
    *("libvirt", "jeepney", "tabulate", "logging", "tomllib"),
    *("guestwake.application", "guestwake.guest_report", "guestwake.policy.run"),
)


def test_status_imports_neither_hypervisor_nor_the_run(tmp_path: Path) -> None:
    _said, heavy = _status_and_heavy(tmp_path)
    assert heavy == []


def test_status_of_a_guest_that_reports_imports_no_more(world: CommandWorld) -> None:
    world.vm("web01")
    application, now = world.application, world.clock.now()
    uuid = application.workspaces.find("web01").uuid
    restart = (Reason("reboot-required", Strength.STRONG, 60, "linux-image"),)
    report = Report(1, 1_000, "boot-1", "agent", "Debian 12", "6.1", busy=True, restart=restart)
    with application.journal() as journal:
        keep(journal, uuid, report, Start("start-1", None), now, by="service")
        journal.change_prompt(uuid, lambda before: Prompt("boot-1", tried=now.after(timedelta(0))))
    said, heavy = _status_and_heavy(world.root)
    assert "Debian 12" in said
    assert "(reboot-required: linux-image)" in said
    assert heavy == []


def _status_and_heavy(root: Path) -> tuple[str, list[str]]:
    """What `status` says, and what it imported of `HEAVY`."""
    code = (
        "import json, sys; from guestwake.edges.cli import main; main(['status'])\n"
        f"print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "GUESTWAKE_ROOT": str(root)},
    )
    assert done.returncode == 0, done.stderr
    *said, heavy = done.stdout.splitlines()
    return "\n".join(said), json.loads(heavy)


def test_a_real_hypervisor_that_needs_no_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = MovedClock(datetime.now(UTC))

    def build(paths: Paths) -> Application:
        return Application(paths, clock=clock, host=MemoryHost())

    root = ["--root", str(tmp_path)]
    added = main([*root, "workspace", "add", "test", "--uri", "test:///default"], build=build)
    assert added == Exit.DONE
    assert main([*root, "wake", "test", "--duration", "5"], build=build) == Exit.DONE
    assert "[watched; before: running]" in capsys.readouterr().out


def _refuse(paths: Paths) -> Application:
    raise AssertionError("an application was built")


def _kill_inside_the_window(world: CommandWorld, name: str = "web01") -> None:
    def dies() -> None:
        if world.power(name) is Power.RUNNING:
            raise KilledError

    world.clock.at_wait = dies
    with pytest.raises(KilledError):
        world.run("wake", "--duration", "60", "--", name)
    world.clock.at_wait = lambda: None
    world.capsys.readouterr()
