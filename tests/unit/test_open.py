"""`guestwake open`, with a manager that is scripted and a window that is a small program."""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command_world import CommandWorld
from fake_bus import Bus
from fake_notifications import FakeNotifications

from guestwake.applications import Applications, HowFar
from guestwake.edges import open as opening
from guestwake.edges import open_notice, open_window
from guestwake.edges.exit_codes import Exit
from guestwake.edges.open import AtHome, Said
from guestwake.edges.open_window import NotShown, safe_uri, usable
from guestwake.edges.remote import HostAway, HostRefused
from guestwake.hosts import processes
from guestwake.hypervisors.memory import Guest
from guestwake.journal import Glance
from guestwake.journal_applications import OpenedRow
from guestwake.journal_file import JournalError
from guestwake.policy.prompt import Prompt
from guestwake.policy.restart import MarkedReason, RestartMark
from guestwake.policy.run import Kind, Phase, WakeRun, Why
from guestwake.policy.window import Opening
from guestwake.policy.words import Deadline, Power
from guestwake.wishes import Wishes
from guestwake.workspaces import WorkspaceError

UUID_OF_NOBODY = "0c5f6f86-2f0a-4d3e-9c0b-3b1d1f3d7a11"


@dataclass
class Desk:
    """One workspace, `web01`, and a folder in which windows leave what they got."""

    world: CommandWorld
    folder: Path
    started: list[str] = field(default_factory=list)  # managers
    waits: int = 0

    def __post_init__(self) -> None:
        self.world.vm("web01")
        self.settings = self.world.root / "etc/guestwake/guestwake.toml"
        self.settings.parent.mkdir(parents=True, exist_ok=True)
        self.uuid = self.world.application.workspaces.find("web01").uuid

    def set(self, **values: object) -> None:
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in values.items()]
        self.settings.write_text("".join(lines))

    def window(self, does: str, words: str = "{uuid}", name: str = "desktop_command") -> None:
        """That setting runs a shell script, which leaves its arguments in `words`."""
        script = self.folder / "window"
        script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {self.folder}/words\n{does}\n')
        script.chmod(0o755)
        self.set(**{name: f"{script} {words}", "task_timeout": 60})

    @property
    def words(self) -> list[str]:
        """What the window got."""
        return (self.folder / "words").read_text().splitlines()

    def becomes_ready(self) -> None:
        """At the third look, as a manager would say."""
        self.waits += 1
        if self.waits == 3:
            with self.world.application.journal() as journal:
                journal.ready_to_open(self.uuid, ready=True)

    def opened(self) -> list[OpenedRow]:
        with self.world.application.journal(readonly=True) as journal:
            return journal.opened(self.uuid)

    def publish(self, *words: str) -> None:
        assert self.world.run("publish", "web01", *words) == 0, self.world.err

    def open(self, *words: str) -> int:
        return self.world.run("open", "web01", *words)


@pytest.fixture
def desk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desk]:
    for name in ("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "windows"
    folder.mkdir()
    made = Desk(CommandWorld(tmp_path / "root", capsys), folder)
    monkeypatch.setattr(
        Applications, "_start_detached", lambda _, workspace: made.started.append(workspace.name)
    )
    made.world.clock.at_wait = made.becomes_ready
    yield made
    made.world.clock.at_wait = lambda: None


# the launcher


def test_a_desktop_is_opened_once_its_guest_is_ready(desk: Desk) -> None:
    status = f"{sys.executable} -m guestwake.edges.cli --root {desk.world.root} status"
    looks = f"{status} --json > {desk.folder}/status; {status} > {desk.folder}/text"
    told = f"grep -q '\"shown\": true' {desk.folder}/status"
    desk.window(f"for again in $(seq 50); do {looks}; {told} && break; done")
    assert desk.open() == Exit.DONE, desk.world.err
    assert desk.words == [desk.uuid]
    (told,) = json.loads((desk.folder / "status").read_text())
    ((what, shown),) = [(each["application"], each["shown"]) for each in told["open"]]
    assert (what, shown) == ("", True)
    assert "open  its desktop since " in (desk.folder / "text").read_text()
    assert desk.opened() == []
    assert desk.started == ["web01"]
    assert desk.waits == 3


def test_a_run_is_asked_for_and_the_window_is_on_record(desk: Desk) -> None:
    look = desk.folder / "look"
    desk.window(f"cp {desk.world.root}/var/lib/guestwake/journal.db* {desk.folder}/; touch {look}")
    assert desk.open() == Exit.DONE
    assert look.exists()
    with desk.world.application.journal(readonly=True) as journal:
        asked = journal.asked_wake(desk.uuid)
    assert asked is not None
    assert (asked.kind, asked.length) == (Kind.USE, timedelta(seconds=60))


def test_a_guest_that_is_not_ready_in_time_is_told_and_closed(desk: Desk) -> None:
    desk.window("true")
    desk.world.clock.at_wait = lambda: None
    assert desk.open() == Exit.NOT_READY
    assert "'web01' was not ready within TaskTimeout (1 min)" in desk.world.err
    assert "guestwake status" in desk.world.err
    assert desk.opened() == []
    assert not (desk.folder / "words").exists()


def test_each_thing_that_goes_on_has_task_timeout(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guest's first word, and its restart, may take as long again as its wake."""
    desk.window("true")
    begun, original = desk.world.clock.elapsed, Applications.opening

    def opening(self: Applications, *which: Any) -> HowFar:
        went = int((desk.world.clock.elapsed - begun) // 90)
        run = _glance(("waking", "holding", "restarting")[min(went, 2)])
        return original(self, *which)._replace(run=run, is_ready=went == 3)

    monkeypatch.setattr(Applications, "opening", opening)
    assert desk.open() == Exit.DONE, desk.world.err
    assert desk.world.clock.elapsed - begun > 180


def test_what_goes_on_for_ever_ends(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.window("true")
    begun = desk.world.clock.elapsed

    def opening(self: Applications, *_: object) -> HowFar:
        phase = f"phase {desk.world.clock.elapsed}"
        return HowFar(is_open=True, is_ready=False, run=_glance(phase))

    monkeypatch.setattr(Applications, "opening", opening)
    assert desk.open() == Exit.NOT_READY
    assert desk.world.clock.elapsed - begun < 4 * 130


def _glance(phase: str) -> Glance:
    at = datetime(2026, 6, 9, tzinfo=UTC)
    ends = Deadline(at, 0.0, "boot-1")
    return Glance("use", phase, "x", None, at, ends, frozenset(), used=False, users=())


def test_a_manager_that_nobody_has_is_started_again(desk: Desk) -> None:
    """The one that was found at work ended in that moment."""
    desk.window("true")

    def at_last() -> None:
        if len(desk.started) == 2:
            desk.waits = 2
            desk.becomes_ready()

    desk.world.clock.at_wait = at_last
    assert desk.open() == Exit.DONE, desk.world.err
    assert desk.started == ["web01", "web01"]


def test_a_service_that_is_replaced_is_waited_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.window("true")
    original, count = AtHome.opening, itertools.count()

    def opening(self: AtHome, *which: Any) -> Said:
        if next(count) < 3:
            raise HostAway("nobody answers")
        return original(self, *which)

    monkeypatch.setattr(AtHome, "opening", opening)
    assert desk.open() == Exit.DONE, desk.world.err


@pytest.mark.parametrize("err", [HostRefused("no"), HostAway("nobody answers")])
def test_one_that_refuses_or_stays_away_is_not(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, err: HostRefused
) -> None:
    def opening(*_: object) -> Said:
        raise err

    desk.window("true")
    monkeypatch.setattr(AtHome, "opening", opening)
    assert desk.open() == Exit.HOST_REFUSED
    assert str(err) in desk.world.err


def test_that_it_is_open_is_told_as_soon_as_it_can_be(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then nobody knows that there is work in it."""
    shown = desk.folder / "shown"
    desk.window(f"for again in $(seq 300); do test -e {shown} && exit; sleep 0.1; done")
    monkeypatch.setattr(opening, "_SHOW_AGAIN", 0.1)
    original, told = Applications.show, list[bool]()

    def show(self: Applications, *which: Any) -> bool:
        if len(told) < 2:
            told.append(False)
            raise JournalError("locked")
        told.append(original(self, *which))
        shown.touch()
        return told[-1]

    monkeypatch.setattr(Applications, "show", show)
    assert desk.open() == Exit.DONE
    assert told == [False, False, True]


def test_a_run_that_ends_instead_says_why(desk: Desk) -> None:
    desk.window("true")

    def no_memory() -> None:
        now = desk.world.clock.now()
        window = Opening(now.wall.date(), now.wall, now.wall + timedelta(hours=1))
        run = WakeRun(
            token="t",
            kind=Kind.USE,
            chain=(window,),
            length=timedelta(hours=1),
            ends=now.after(timedelta(hours=1)),
            phase=Phase.WAITING,
            since=now.after(timedelta(0)),
            why=Why.WAITS_FOR_MEMORY,
        )
        with desk.world.application.journal() as journal:
            journal.finish(desk.uuid, run, Why.NO_MEMORY, now.wall)

    desk.world.clock.at_wait = no_memory
    assert desk.open() == Exit.NOT_READY
    assert "memory" in desk.world.err
    assert "'web01'" in desk.world.err
    assert desk.opened() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_gives_up_waiting_wants_nothing_any_more(desk: Desk, number: signal.Signals) -> None:
    desk.window("true")
    desk.world.clock.at_wait = lambda: os.kill(os.getpid(), number)
    before = signal.getsignal(number)
    assert desk.open() == Exit.STOPPED
    assert desk.opened() == []
    assert not (desk.folder / "words").exists()
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP"])
def test_a_signal_at_the_launcher_ends_the_window(desk: Desk, name: str) -> None:
    desk.window(f"kill -{name} $PPID; exec sleep 60")
    assert desk.open() == Exit.STOPPED
    assert desk.opened() == []


def test_a_signal_while_the_window_is_being_started_ends_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(subprocess.Popen[bytes]):
        def __init__(self, *words: Any, executable: str | None = None, **options: Any) -> None:
            super().__init__(*words, executable=executable, **options)
            if executable is not None:
                os.kill(os.getpid(), signal.SIGTERM)

    desk.window("exec sleep 60")
    monkeypatch.setattr(subprocess, "Popen", Slow)
    assert desk.open() == Exit.STOPPED
    assert desk.opened() == []


@pytest.mark.parametrize(
    ("does", "says"), [("exit 3", "ended with 3"), ("kill -KILL $$", "was killed by signal 9")]
)
def test_a_window_that_fails_is_told(desk: Desk, does: str, says: str) -> None:
    desk.window(does)
    assert desk.open() == Exit.NOT_SHOWN
    assert f"'window', which DesktopCommand names, {says}" in desk.world.err
    assert desk.opened() == []


def test_a_program_that_is_missing_starts_no_vm(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert desk.open() == Exit.NOT_SHOWN
    assert "no program 'virt-viewer', which DesktopCommand names" in desk.world.err
    assert "the package virt-viewer brings it" in desk.world.err
    assert desk.started == []


def test_a_window_that_cannot_be_recorded_is_shown_all_the_same(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closes(self: Applications, *_: object) -> bool:
        return False

    desk.window("true")
    monkeypatch.setattr(Applications, "show", closes)
    assert desk.open() == Exit.DONE
    assert "may be put to rest while this is open" in desk.world.err


def test_what_is_wrong_in_a_command_is_told_with_its_place(desk: Desk) -> None:
    desk.set(desktop_command="viewer {display}")
    assert desk.world.run("settings", "check") == Exit.SETTINGS
    assert 'nothing is filled in for "{display}"' in desk.world.out
    assert f"{desk.settings}:1" in desk.world.out
    assert "desktop_command" in desk.world.out
    desk.window("true")
    desk.settings.write_text(desk.settings.read_text() + 'linux_application_command = "x {y}"\n')
    assert desk.open() == Exit.DONE
    assert f'{desk.settings}:3: linux_application_command: nothing is filled in for "{{y}}"' in (
        desk.world.err
    )


# what is filled in


def test_an_applications_command_stays_one_word(desk: Desk, tmp_path: Path) -> None:
    hostile = f"write 'a b' ; touch {tmp_path}/broken $(id) {{uuid}} | x"
    desk.publish("writer", "--name", "Writer", "--command", hostile, "--guest", "linux")
    desk.window("true", "-- {application} {name}", name="linux_application_command")
    assert desk.open("writer") == Exit.DONE, desk.world.err
    assert desk.words == ["--", hostile, "web01"]
    assert not (tmp_path / "broken").exists()


def test_nothing_that_is_filled_in_becomes_an_option(desk: Desk) -> None:
    desk.publish("writer", "--command=-oProxyCommand=id", "--guest", "windows")
    desk.window("true", "{application}", name="windows_application_command")
    assert desk.open("writer") == Exit.NOT_SHOWN
    assert "would take it for an option" in desk.world.err
    assert desk.opened() == []
    desk.window("true", "/app:{application}", name="windows_application_command")
    desk.waits = 0
    assert desk.open("writer") == Exit.DONE
    assert desk.words == ["/app:-oProxyCommand=id"]


def test_an_address_is_waited_for_and_so_is_its_guest(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.publish("writer", "--guest", "linux")
    desk.window("true", "{user}@{address}", name="linux_application_command")
    tried: list[tuple[str, int]] = []

    def connect(address: tuple[str, int], patience: float) -> socket.socket:
        tried.append(address)
        if len(tried) < 3:
            raise ConnectionRefusedError
        return socket.socket()

    monkeypatch.setattr(open_window, "socket", SimpleNamespace(create_connection=connect))

    def gets_an_address() -> None:
        desk.becomes_ready()
        if desk.waits == 6:
            _guest(desk).addresses = frozenset({"nonsense;id", "fe80::1", "192.0.2.7"})

    desk.world.clock.at_wait = gets_an_address
    assert desk.open("writer") == Exit.DONE, desk.world.err
    (word,) = desk.words
    assert word.endswith("@192.0.2.7")
    assert tried == [("192.0.2.7", 22)] * 3


def test_a_guest_without_an_address_is_told(desk: Desk) -> None:
    desk.publish("writer", "--guest", "linux")
    desk.window("true", "{address}", name="linux_application_command")
    assert desk.open("writer") == Exit.NOT_SHOWN
    assert "the host knows no address of 'web01'" in desk.world.err
    assert "LinuxApplicationCommand may name one" in desk.world.err
    assert desk.opened() == []


@pytest.mark.parametrize(
    ("known", "best"),
    [
        ((), None),
        (("fe80::1", "127.0.0.1", "::1", "0.0.0.0", "224.0.0.1", "-x", "1.2.3.4.5"), None),
        (("2001:db8::1", "192.0.2.9", "192.0.2.10"), "192.0.2.9"),
        (("fe80::1", "2001:db8::1"), "2001:db8::1"),
    ],
)
def test_which_address_is_used(known: tuple[str, ...], best: str | None) -> None:
    assert usable(frozenset(known)) == best


@pytest.mark.parametrize(
    ("template", "port"),
    [
        ("ssh -X -- {user}@{address} {application}", 22),
        ("ssh -p 2222 {address} {application}", None),
        ("xfreerdp /v:{address}:3390 /app:{application}", None),
        ("ssh -o Port=2222 {address} {application}", None),
        ("ssh -oPort=2222 {address} {application}", None),
        ("ssh -o 'port 2222' {address} {application}", None),
        ("ssh -o PortLess=1 {address} {application}", 22),
    ],
)
def test_a_command_that_names_a_port_is_believed(
    desk: Desk, template: str, port: int | None
) -> None:
    desk.publish("writer", "--guest", "linux")
    desk.set(linux_application_command=template)
    application = desk.world.application
    workspace = application.workspaces.find("web01")
    (row,) = Applications(application).published(workspace)
    assert open_window.wanted(row, application.resolved(workspace).limits).port == port


def _guest(desk: Desk) -> Guest:
    (it,) = desk.world.machine.all()
    return it.guest


# a restart that updates need


def _ask(desk: Desk) -> None:
    clock = desk.world.clock
    mark = RestartMark((MarkedReason("apt", "linux"),), clock.now().wall, "boot")
    tried = clock.now().after(timedelta(0))
    with desk.world.application.journal() as journal:
        journal.mark_restart(desk.uuid, mark)
        journal.change_prompt(desk.uuid, lambda _: Prompt("boot", tried=tried, asking=True))


def _prompt(desk: Desk) -> Prompt:
    with desk.world.application.journal(readonly=True) as journal:
        found = journal.prompt(desk.uuid)
    assert found is not None
    return found


def _types(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(opening, "is_terminal", lambda stream: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


@pytest.mark.parametrize(
    ("text", "agreed", "postponed"),
    [("r\n", True, False), ("l\n", False, True), ("\n", False, True), ("", False, False)],
)
def test_a_person_at_a_terminal_is_asked_first(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, text: str, agreed: bool, postponed: bool
) -> None:
    _ask(desk)
    _types(monkeypatch, text)
    desk.window("true")
    assert desk.open() == Exit.DONE
    assert "Restart 'web01' for its updates?" in desk.world.err
    assert "It says: apt: linux" in desk.world.err
    answer = _prompt(desk)
    assert answer.seen is not None
    assert (answer.agreed is not None, answer.postponed is not None) == (agreed, postponed)


def test_without_a_terminal_one_line_says_so(desk: Desk) -> None:
    _ask(desk)
    desk.window("true")
    assert desk.open() == Exit.DONE
    (line,) = desk.world.err.splitlines()
    assert "guestwake restart web01" in line
    assert "guestwake postpone web01" in line
    assert _prompt(desk).seen is None


@pytest.mark.parametrize("err", [HostRefused("no"), WorkspaceError("needs none")])
def test_a_question_that_cannot_be_asked_stands_in_nobodys_way(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, err: Exception
) -> None:
    def prompt_seen(*_: object) -> None:
        raise err

    _ask(desk)
    _types(monkeypatch, "r\n")
    monkeypatch.setattr(Wishes, "prompt_seen", prompt_seen)
    desk.window("true")
    assert desk.open() == Exit.DONE
    assert str(err) in desk.world.err


# on the desktop, where there is no terminal


@pytest.fixture
def notifications(desk: Desk, bus: Bus, monkeypatch: pytest.MonkeyPatch) -> FakeNotifications:
    made = FakeNotifications()
    bus.serve(made.service)
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus.address)
    monkeypatch.setattr(open_notice, "_SILENT_FOR", 0.0)
    return made


def test_a_long_wait_is_seen_until_it_is_shown(
    desk: Desk, notifications: FakeNotifications
) -> None:
    desk.publish("writer", "--name", "A <b>Writer</b>", "--guest", "linux")
    desk.window("true", "x", name="linux_application_command")
    assert desk.open("writer") == Exit.DONE, desk.world.err
    (seen,) = notifications.taken
    assert seen.summary == "Opening A <b>Writer</b> (web01)"
    assert seen.body == "'web01': waits for its manager"
    assert notifications.open == {}


def test_a_short_wait_is_not(
    desk: Desk, notifications: FakeNotifications, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_notice, "_SILENT_FOR", 60.0)
    desk.window("true")
    assert desk.open() == Exit.DONE
    assert notifications.taken == []


def test_on_a_terminal_nothing_is_notified(
    desk: Desk, notifications: FakeNotifications, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_notice, "is_terminal", lambda stream: True)
    desk.window("exit 3")
    assert desk.open() == Exit.NOT_SHOWN
    assert notifications.taken == []


@pytest.mark.parametrize(
    ("does", "code", "says"),
    [
        (lambda desk: desk.window("exit 3"), Exit.NOT_SHOWN, "ended with 3"),
        (lambda desk: _never_ready(desk), Exit.NOT_READY, "was not ready within TaskTimeout"),
        (lambda desk: desk.set(desktop_command="'<x>'"), Exit.NOT_SHOWN, "&lt;x&gt;"),
        (lambda desk: desk.world.run("workspace", "remove", "web01"), Exit.NO_WORKSPACE, "web01"),
    ],
)
def test_what_goes_wrong_stays_to_be_seen(
    desk: Desk,
    notifications: FakeNotifications,
    does: Callable[[Desk], object],
    code: Exit,
    says: str,
) -> None:
    does(desk)
    assert desk.open() == code
    seen = notifications.only()
    assert seen.summary.endswith("cannot be shown")
    assert seen.timeout == 0
    assert says in seen.body
    assert "guestwake: " in desk.world.err


def _never_ready(desk: Desk) -> None:
    desk.window("true")
    desk.world.clock.at_wait = lambda: None


def test_where_nothing_shows_notifications_nothing_is_said(
    desk: Desk, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_notice, "_SILENT_FOR", 0.0)
    desk.window("exit 3")
    for address in (bus.address, "unix:path=/nowhere", "nonsense"):
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        desk.waits = 0
        assert desk.open() == Exit.NOT_SHOWN
        assert len(desk.world.err.splitlines()) == 1


def test_one_that_is_silent_is_asked_once(
    desk: Desk, notifications: FakeNotifications, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_notice, "_PATIENCE", 0.3)
    notifications.may_answer.clear()
    desk.window("exit 3")
    began = time.monotonic()
    assert desk.open() == Exit.NOT_SHOWN
    assert time.monotonic() - began < 5
    notifications.may_answer.set()


# published


def test_publish_list_unpublish(desk: Desk) -> None:
    world = desk.world
    assert world.run("applications") == 0
    assert world.out.startswith("No application is published.")
    icon = desk.folder / "icon.svg"
    icon.write_text("<svg/>")
    desk.publish("writer", "--name", "A Writer", "--icon", str(icon), "--guest", "linux")
    assert world.out.startswith("'A Writer' of 'web01' is published. The workspace is the system's")
    assert "'guestwake open web01 writer' opens it." in world.out
    assert world.json("applications", "web01") == [
        {
            "workspace": "web01",
            "application": "writer",
            "name": "A Writer",
            "command": "writer",
            "guest": "linux",
            "open": [],
        }
    ]
    assert world.run("applications") == 0
    assert "A Writer" in world.out
    desk.publish("writer", "--command", "x --y", "--guest", "windows")
    (told,) = world.json("applications")
    assert (told["name"], told["command"], told["guest"]) == ("writer", "x --y", "windows")
    application = world.application
    workspace = application.workspaces.find("web01")
    assert Applications(application).icon(workspace, "writer") == b"<svg/>"
    assert world.run("unpublish", "web01", "writer") == 0
    assert world.json("applications") == []
    assert world.run("unpublish", "web01", "writer") == Exit.NO_WORKSPACE
    assert "There are none." in world.err
    assert world.run("open", "web01", "writer") == Exit.NO_WORKSPACE


def test_whose_menu_it_is_in_is_told(desk: Desk) -> None:
    workspaces = desk.world.application.workspaces
    workspaces.write(replace(workspaces.find("web01"), owner="anna"))
    desk.publish("writer", "--guest", "linux")
    assert "in the menu of anna once 'guestwake agent' runs in their session" in desk.world.out


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("Writer", "--guest", "linux"), Exit.NO_WORKSPACE, "small letters"),
        (("writer",), Exit.USAGE, "say --guest linux or --guest windows"),
        (("writer", "--guest", "beos"), Exit.USAGE, "beos"),
        (("writer", "--guest", "linux", "--icon", "/nowhere"), Exit.USAGE, "/nowhere"),
        (("writer", "--guest", "linux", "--icon", "/dev/zero"), Exit.NO_WORKSPACE, "256 KiB"),
        (("writer", "--guest", "linux", "--command", "a\nb"), Exit.NO_WORKSPACE, "one line"),
        (("writer", "--guest", "linux", "--name", "\x1b[31m"), Exit.NO_WORKSPACE, "printed"),
    ],
)
def test_what_cannot_be_published(
    desk: Desk, words: tuple[str, ...], code: Exit, says: str
) -> None:
    assert desk.world.run("publish", "web01", *words) == code
    assert says in desk.world.err
    assert desk.world.json("applications") == []


@pytest.mark.parametrize(
    ("os_", "how"),
    [("Debian GNU/Linux 12 (bookworm)", "linux"), ("Microsoft Windows 11 Pro", "windows")],
)
def test_the_guest_itself_says_what_it_is(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, os_: str, how: str
) -> None:
    monkeypatch.setattr(Applications, "guest_os", lambda *_: os_)
    desk.publish("writer")
    assert desk.world.json("applications")[0]["guest"] == how


# on record


def test_what_is_open_is_told_apart_by_its_workspace(desk: Desk) -> None:
    application = desk.world.application
    applications, workspace = Applications(application), application.workspaces.find("web01")
    opened = applications.open(workspace, "", "boot/1/1")
    other: Any = workspace.__class__
    stranger = other("db01", UUID_OF_NOBODY, workspace.uri, None, workspace.added, 512, None)
    assert not applications.show(stranger, opened, "boot/2/2")
    assert not applications.close(stranger, opened)
    assert applications.opening(stranger, opened).is_open is False
    for count in range(7):
        assert applications.show(workspace, opened, f"boot/{count}/1")
    with pytest.raises(Exception, match="8 processes"):
        applications.show(workspace, opened, "boot/9/9")
    assert applications.close(workspace, opened)
    assert not applications.show(workspace, opened, "boot/2/2")


def test_a_launcher_that_was_killed_and_its_window_leave_nothing(desk: Desk) -> None:
    """Whoever opens the next one finds it closed; a manager finds so by itself."""
    application = desk.world.application
    applications, workspace = Applications(application), application.workspaces.find("web01")
    first = applications.open(workspace, "", "boot/1/1")
    applications.show(workspace, first, "boot/2/2")
    desk.world.host.processes.add("boot/2/2")  # the window outlives its launcher
    applications.open(workspace, "", "boot/3/3")
    assert applications.opening(workspace, first).is_open
    desk.world.host.processes.clear()
    applications.open(workspace, "", "boot/4/4")
    assert not applications.opening(workspace, first).is_open


def test_nothing_is_started_for_a_launcher_that_died(desk: Desk) -> None:
    application = desk.world.application
    workspace = application.workspaces.find("web01")
    Applications(application).open(workspace, "", "boot/1/1")
    assert desk.world.run("wake", "--scheduled", "web01") == Exit.DONE
    assert desk.world.power("web01") is Power.SAVED
    assert desk.world.json("history") == []


def test_who_has_it_open_is_known(desk: Desk) -> None:
    application = desk.world.application
    applications, workspace = Applications(application), application.workspaces.find("web01")
    process = f"boot/{os.getpid()}/1"
    opened = applications.open(workspace, "", process)
    assert applications.is_of(workspace, opened, os.getuid() + 1)  # it does not live
    desk.world.host.processes.add(process)
    assert applications.is_of(workspace, opened, os.getuid())
    assert not applications.is_of(workspace, opened, os.getuid() + 1)


def test_one_user_cannot_take_all_places(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    application, owners = desk.world.application, {1: 1000, 2: 1001, 3: 0}
    monkeypatch.setattr(processes, "owner_of", owners.get)
    desk.world.host.processes |= {"boot/1/1", "boot/2/1", "boot/3/1"}
    applications, workspace = Applications(application), application.workspaces.find("web01")
    for _ in range(16):
        applications.open(workspace, "", "boot/1/1")
    with pytest.raises(WorkspaceError, match="you have 16 applications"):
        applications.open(workspace, "", "boot/1/1")
    applications.open(workspace, "", "boot/2/1")
    for _ in range(20):
        applications.open(workspace, "", "boot/3/1")


def test_a_manager_runs_nothing_of_the_folder_that_its_caller_is_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may have put something there: /tmp is such a folder."""
    world = CommandWorld(tmp_path / "root", capsys)
    world.vm("web01")
    (tmp_path / "guestwake/edges").mkdir(parents=True)
    for package in ("guestwake", "guestwake/edges"):
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "guestwake/edges/cli.py").write_text(f"open('{tmp_path}/ran', 'w')\n")
    monkeypatch.chdir(tmp_path)
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def starts(*words: Any, **how: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*words, **how))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", starts)
    application = world.application
    Applications(application)._start_detached(application.workspaces.find("web01"))
    assert started[0].wait(60) is not None
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "uri",
    [
        "qemu+ext:///system?command=/tmp/x",
        "qemu+ssh://host/system?command=/tmp/x",
        "qemu+ssh://host/system?socket=/a&command=/tmp/x",
    ],
)
def test_an_address_that_has_a_command_run_is_refused(uri: str) -> None:
    with pytest.raises(NotShown, match="has a command run"):
        safe_uri(uri)


@pytest.mark.parametrize("uri", ["qemu:///system", "qemu+ssh://host/system?socket=/a"])
def test_other_addresses_are_taken_as_they_are(uri: str) -> None:
    assert safe_uri(uri) == uri
