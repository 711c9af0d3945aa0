"""`guestwake setup`: what is asked, what is shown before anything is written, what is done then."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_world import CommandWorld

from guestwake.edges import setup as edge
from guestwake.edges.exit_codes import Exit
from guestwake.edges.parser import parse
from guestwake.edges.setup import EndOfAnswers
from guestwake.hypervisors.api import NotAllowed, Unreachable
from guestwake.paths import Paths
from guestwake.policy.words import Power
from guestwake.schedulers.api import Done
from guestwake.setup import Service, Setup, Wish


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CommandWorld:
    world = CommandWorld(tmp_path / "gw", capsys)
    for name, power in (("web01", Power.SAVED), ("db", Power.OFF), ("old one", Power.OFF)):
        world.machine.add(name, power)
    return world


class Person:
    """Answers as it was told to; each question, and what had been written by then, is kept."""

    def __init__(self, world: CommandWorld, *answers: str) -> None:
        self._world = world
        self._answers: Iterator[str] = iter(answers)
        self.asked: list[str] = []
        self.shown = ""

    def __call__(self, question: str) -> str:
        assert files(self._world) == [], "something was written before the answer"
        self.asked.append(question)
        self.shown += self._world.capsys.readouterr().out
        answer = next(self._answers, None)
        if answer is None:
            raise EndOfAnswers
        return answer


def files(world: CommandWorld) -> list[Path]:
    return [path for path in world.root.rglob("*") if path.is_file()]


def interactive(world: CommandWorld, person: Person, *words: str) -> Exit:
    arguments = parse(["setup", *words])
    paths = Paths.under(world.root, 0)
    code = edge.run(arguments, paths, world.build, person)
    world.out, world.err = world.capsys.readouterr()
    return code


def settings(world: CommandWorld) -> str:
    path = world.root / "etc/guestwake/guestwake.toml"
    return path.read_text() if path.exists() else ""


def names(world: CommandWorld) -> list[str]:
    return [each.name for each in world.application.workspaces.all()]


# asked and answered


def test_the_first_hour_of_a_new_user(world: CommandWorld) -> None:
    person = Person(world, "1, web01", "03:00", "60", "y")
    assert interactive(world, person) == Exit.DONE
    assert "1  db  (off; new)" in person.shown
    assert "3  web01  (hibernated; new)" in person.shown
    assert "This would be done" in person.shown
    assert "GuestUpdateTime=03:00, GuestUpdateDuration=60" in person.shown
    assert "its next windows: " in person.shown
    assert "60 minutes each" in person.shown
    assert person.asked[-1] == "Shall I do this? [y/N] "
    assert names(world) == ["db", "web01"]
    assert settings(world).count("guest_update_duration = 60") == 2
    assert "guestwake doctor" in world.out
    assert "guestwake workspace channel add web01" in world.out
    (web01,) = world.json("plan", "web01", "--days", "1")[:1]
    assert web01["happens"]


@pytest.mark.parametrize(
    "answers",
    [
        ("all", "03:00", "60", "n"),
        ("all", "03:00", "60", ""),
        ("all", "03:00", "60"),  # the end of the input
        ("all", "03:00"),
        (),
    ],
)
def test_without_a_yes_nothing_is_written(world: CommandWorld, answers: tuple[str, ...]) -> None:
    assert interactive(world, Person(world, *answers)) == Exit.NOT_CONFIRMED
    assert "Nothing was written" in world.out
    assert files(world) == []


@pytest.mark.parametrize("questions", range(4))
def test_ctrl_c_writes_nothing(world: CommandWorld, questions: int) -> None:
    person = Person(world, *("all", "03:00", "60")[:questions])

    def interrupted(question: str) -> str:
        try:
            return person(question)
        except EndOfAnswers:
            raise KeyboardInterrupt from None

    with pytest.raises(KeyboardInterrupt):
        edge.run(parse(["setup"]), Paths.under(world.root, 0), world.build, interrupted)
    assert files(world) == []
    assert world.capsys.readouterr().out.endswith("Nothing was written.\n")


def test_what_counts_now_is_what_an_empty_answer_leaves(world: CommandWorld) -> None:
    world.run("setup", "--vm", "db", "--time", "03:00", "--duration", "45", "--yes")
    asked: list[str] = []

    def person(question: str) -> str:
        asked.append(question)
        return "db" if "Which" in question else ""

    assert edge.run(parse(["setup"]), Paths.under(world.root, 0), world.build, person) == Exit.DONE
    assert any("[03:00]" in question for question in asked)
    assert any("[45]" in question for question in asked)


def test_what_makes_no_sense_is_asked_again(world: CommandWorld) -> None:
    person = Person(world, "wbe", "7", "old one", "25:00", "", "a while", "30", "yes")
    assert interactive(world, person) == Exit.DONE
    assert "There is no 'wbe' among them." in person.shown
    assert "There is no '7' among them." in person.shown
    assert "must be a time of day" in person.shown
    assert names(world) == ["old one"]
    assert "guest_update_time" not in settings(world)  # left as it is
    assert "guest_update_duration = 30" in settings(world)


def test_what_is_given_is_not_asked(world: CommandWorld) -> None:
    person = Person(world, "y")
    code = interactive(world, person, "--vm", "db", "--time", "04:00", "--duration", "20")
    assert (code, person.asked) == (Exit.DONE, ["Shall I do this? [y/N] "])


def test_the_host_is_asked_about_only_where_it_could_be_woken(
    world: CommandWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Setup, "can_wake_host", lambda self: True)
    person = Person(world, "db", "", "", "y", "y")
    assert interactive(world, person) == Exit.DONE
    assert any("woken from sleep" in question for question in person.asked)
    assert "wake_host = 1" in settings(world) or "wake_host = true" in settings(world)


def test_a_host_without_vms_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = CommandWorld(tmp_path / "gw", capsys)
    assert interactive(empty, Person(empty)) == Exit.DONE
    assert "has no VM yet" in empty.out


# in one command


def test_in_one_command(world: CommandWorld) -> None:
    words = ("--vm", "web01", "db", "--time", "03:00", "--duration", "45", "--wake-host", "--yes")
    assert world.run("setup", *words) == Exit.DONE, world.err
    assert names(world) == ["db", "web01"]
    assert "[workspace.web01]" in settings(world)


def test_without_a_terminal_and_without_yes_it_only_shows(world: CommandWorld) -> None:
    assert world.run("setup", "--vm", "web01", "--time", "03:00") == Exit.NOT_CONFIRMED
    assert "'web01' is looked after from then on" in world.out
    assert "Nothing was written. With --yes" in world.out
    assert files(world) == []


def test_json_is_the_plan_and_what_was_done(world: CommandWorld) -> None:
    words = ("setup", "--vm", "db", "--time", "03:00", "--json")
    assert world.run(*words) == Exit.NOT_CONFIRMED
    told: dict[str, Any] = json.loads(world.out)
    assert (told["done"], told["plan"]["service"]) == ([], "impossible")
    (vm,) = told["plan"]["vms"]
    assert (vm["name"], vm["new"], vm["settings"]) == ("db", True, ["GuestUpdateTime=03:00"])
    assert len(vm["windows"]) == 3
    assert files(world) == []
    assert world.run(*words, "--yes") == Exit.DONE
    assert "'db' is looked after now" in json.loads(world.out)["done"]


def test_a_second_time_changes_only_what_is_asked(world: CommandWorld) -> None:
    world.run("setup", "--vm", "db", "--time", "03:00", "--duration", "45", "--yes")
    before = settings(world)
    assert world.run("setup", "--vm", "db", "--time", "03:00", "--yes") == Exit.DONE
    assert "All of that is so already" in world.out
    assert settings(world) == before
    assert world.run("setup", "--vm", "db", "--time", "05:00", "--yes") == Exit.DONE
    assert settings(world) == before.replace("03:00", "05:00")
    assert world.run("setup", "--vm", "web01", "--yes") == Exit.DONE
    assert names(world) == ["db", "web01"]
    assert settings(world) == before.replace("03:00", "05:00")


def test_what_is_there_already_is_shown(world: CommandWorld) -> None:
    assert world.run("setup") == Exit.DONE
    assert "Nothing was asked for: 'guestwake setup --vm NAME'" in world.out
    world.run("setup", "--vm", "db", "--time", "03:00", "--yes")
    world.run("setup")
    assert "1  db  (off; looked after already, next window " in world.out
    assert "2  old one  (off; new)" in world.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--vm", "wbe01"), "there is no VM 'wbe01'. There are: db, old one, web01."),
        (("--vm", "db", "--time", "25:00"), "must be a time of day"),
        (("--vm", "db", "--duration", "9999"), "out of range"),
        (("--time", "03:00"), "--vm NAME"),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(
    world: CommandWorld, words: tuple[str, ...], said: str
) -> None:
    assert world.run("setup", *words, "--yes") == Exit.USAGE
    assert said in world.err
    assert files(world) == []


def test_what_a_policy_has_settled_is_said_and_not_written(world: CommandWorld) -> None:
    policy = world.root / "etc/guestwake/policy.d"
    policy.mkdir(parents=True)
    (policy / "a.toml").write_text('guest_update_time = "01:00"\n')
    world.run("setup", "--vm", "db", "--time", "03:00", "--yes")
    assert "not GuestUpdateTime=03:00: an administrator's policy" in world.out
    assert "01:00" in world.out
    assert settings(world) == ""


def test_what_is_written_and_does_not_count_is_told(world: CommandWorld) -> None:
    folder = world.root / "etc/guestwake/guestwake.toml.d"
    folder.mkdir(parents=True)
    (folder / "a.toml").write_text('guest_update_time = "01:00"\n[workspace.db]\nwake_host = 0\n')
    assert world.run("setup", "--vm", "db", "--time", "03:00", "--wake-host", "--yes") == Exit.DONE
    assert "wrote GuestUpdateTime=03:00, WakeHost=1 for 'db'" in world.out
    assert f"But what counts is 0: machine, {folder / 'a.toml'}:3." in world.out
    assert "counts is 01:00" not in world.out  # its own section beats the general one


def test_a_vm_of_the_name_of_another_workspace_is_refused_before_anything_is_written(
    world: CommandWorld,
) -> None:
    world.run("setup", "--vm", "db", "--time", "03:00", "--yes")
    before = files(world), settings(world)
    (workspace,) = world.application.workspaces.all()
    world.application.workspaces.write(
        replace(workspace, name="web01", uri="qemu+ssh://far/system")
    )
    assert world.run("setup", "--vm", "web01", "--time", "05:00", "--yes") == Exit.NO_WORKSPACE
    assert "another workspace 'web01' (qemu+ssh://far/system)" in world.err
    assert (files(world), settings(world)) == before


def test_what_was_to_be_removed_can_be_looked_after_again(world: CommandWorld) -> None:
    world.run("setup", "--vm", "db", "--yes")
    (workspace,) = world.application.workspaces.all()
    world.application.workspaces.write(replace(workspace, removing=True))
    assert world.run("setup", "--vm", "db", "--yes") == Exit.DONE
    assert [each.removing for each in world.application.workspaces.all()] == [False]


def test_where_it_ends_in_the_middle_what_was_done_is_told(world: CommandWorld) -> None:
    (web01,) = (it.vm for it in world.machine.all() if it.name == "web01")
    words = ("setup", "--vm", "db", "web01", "--time", "03:00", "--yes")
    world.machine.fail("traits", NotAllowed("not this one"), vm=web01)
    assert world.run(*words) == Exit.HYPERVISOR
    assert "done: 'db' is looked after now" in world.err
    assert "called again, does what is left" in world.err
    assert names(world) == ["db"]


def test_no_hypervisor_and_what_to_do_about_it(world: CommandWorld) -> None:
    world.machine.fail("vms", Unreachable("cannot reach it: permission denied"))
    assert world.run("setup", "--vm", "db") == Exit.HYPERVISOR
    assert "does not let this user change VMs" in world.err
    assert "usermod -aG libvirt" in world.err


# the service


def test_the_service_is_installed_first_and_the_workspaces_come_last(
    world: CommandWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    class Installs:
        def install(self, *, linger: bool) -> Done:
            order.append(f"install {names(world)} {settings(world)!r} {linger}")
            return Done(["wrote a unit"], ["a note"])

    monkeypatch.setattr(
        Setup,
        "service",
        lambda self, *, wanted: (Service.INSTALLED if wanted else Service.LEFT_OUT, None),
    )
    monkeypatch.setattr("guestwake.setup.installation", lambda application: Installs())
    monkeypatch.setattr(edge, "user_name", lambda: "anna")
    assert world.run("setup", "--vm", "db", "--time", "03:00", "--linger", "--yes") == Exit.DONE
    assert order == ["install [] '' True"]
    assert "it is installed, and runs also while you are logged off" in world.out
    assert "- wrote a unit" in world.out
    assert "- a note" in world.out
    assert "guestwake-wake@" in world.out
    assert world.run("setup", "--vm", "web01", "--no-service", "--yes") == Exit.DONE
    assert "no window opens by itself" in world.out
    assert len(order) == 1


def test_lingering_is_asked_for_also_where_the_service_runs(
    world: CommandWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("guestwake.setup._LINGERING", tmp_path)
    monkeypatch.setattr(Setup, "service", lambda self, *, wanted: (Service.THERE, None))
    application = world.application
    application.paths = replace(application.paths, user="anna", own_config=tmp_path / "own")
    wish = Wish("qemu:///session", "anna", linger=True)
    assert Setup(application).plan(wish, ()).service is Service.INSTALLED
    assert Setup(application).plan(replace(wish, linger=False), ()).service is Service.THERE
    (tmp_path / "anna").touch()
    assert Setup(application).plan(wish, ()).service is Service.THERE


def test_root_adds_as_the_services_user(
    world: CommandWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    became: list[tuple[list[str], str]] = []

    def becomes(paths: Paths) -> Paths:
        became.append((names(world), settings(world)))
        return paths

    monkeypatch.setattr(edge, "as_service", becomes)
    world.run("setup", "--vm", "db", "--time", "03:00", "--yes")
    ((known, written),) = became
    assert known == []
    assert "03:00" in written


def test_the_question_waits_for_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: Callable[[], str] = iter(["  yes \n", ""]).__next__
    monkeypatch.setattr("sys.stdin.readline", lines, raising=False)
    assert edge._asked("Well? ") == "yes"
    with pytest.raises(EndOfAnswers):
        edge._asked("Well? ")
