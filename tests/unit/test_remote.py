"""The command line of an ordinary user, on a host whose own Guestwake runs, hangs, or does not."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dbus_world import OTHER_UUID, UUID, DbusWorld, dbus_world, untouched
from fake_bus import FakeService

from guestwake.application import Application
from guestwake.edges import call, remote, remote_settings
from guestwake.edges.cli import main
from guestwake.edges.dbus_guard import Refused, Request
from guestwake.edges.dbus_words import DENIED, MANAGER_PATH, SERVICE, Action
from guestwake.edges.exit_codes import Exit
from guestwake.paths import Paths
from guestwake.policy.restart import MarkedReason, RestartMark
from guestwake.workspaces import Workspace

OWN_UUID = "5d3f3a0e-1c55-4e7b-9a05-5a3b8f1f0c22"


@dataclass
class Home:
    """An ordinary user's own Guestwake beside the host's."""

    host: DbusWorld
    paths: Paths
    capsys: pytest.CaptureFixture[str]
    out: str = ""
    err: str = ""

    def run(self, *words: str) -> int:
        code = main(words, build=self._build)
        self.out, self.err = self.capsys.readouterr()
        return code

    def json(self, *words: str) -> Any:
        assert self.run(*words, "--json") == 0, self.err
        return json.loads(self.out)

    def workspace(self, name: str) -> None:
        added = self.host.clock.now().wall - timedelta(hours=1)
        made = Workspace(name, OWN_UUID, "qemu:///session", "anna", added, 512, None)
        self._build(self.paths).workspaces.write(made)

    def _build(self, paths: Paths) -> Application:
        return Application(paths, clock=self.host.clock, open_hypervisor=untouched)


@pytest.fixture
def home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Home]:
    folders = (tmp_path / name for name in ("etc", "state", "run"))
    paths = Paths(*folders, 1000, user="anna", own_config=tmp_path / "own")
    with dbus_world() as host:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", host.address)
        monkeypatch.setattr(remote, "_RUNTIME", host.folder)
        for module in (remote, remote_settings):  # the machine may be busy
            monkeypatch.setattr(module, "PATIENCE", 20.0)
        monkeypatch.setattr(call, "_paths", lambda root: paths)
        yield Home(host, paths, capsys)


def test_status_shows_ones_own_and_the_hosts(home: Home) -> None:
    home.workspace("mine")
    home.host.workspace("web01")
    home.host.serve()
    assert home.run("status") == 0
    assert home.out.index("mine  (qemu:///session") < home.out.index("web01  (qemu:///system")
    assert [each["workspace"] for each in home.json("status")] == ["mine", "web01"]


def test_the_hosts_alone_are_shown_without_a_word_of_ones_own(home: Home) -> None:
    home.host.workspace("web01")
    home.host.serve()
    for report in ("status", "plan"):
        assert home.run(report) == 0
        assert "web01" in home.out
        assert "no workspace" not in home.out.lower()
    assert home.run("history") == 0
    assert home.run("events", "--happened") == 0


def test_a_workspace_that_only_the_host_knows(home: Home) -> None:
    home.workspace("mine")
    home.host.workspace("web01")
    home.host.workspace("db01", OTHER_UUID)
    home.host.serve()
    for name in ("web01", UUID):
        assert [each["workspace"] for each in home.json("status", name)] == ["web01"]
    assert {each["workspace"] for each in home.json("plan", "db01")} == {"db01"}
    assert home.json("history", "web01") == []
    assert home.run("status", "db01") == 0
    assert "db01" in home.out
    assert "web01" not in home.out


def test_a_workspace_of_ones_own_comes_first(home: Home) -> None:
    home.workspace("web01")
    home.host.workspace("web01")
    home.host.serve()
    (status,) = home.json("status", "web01")
    assert status["uuid"] == OWN_UUID


def test_what_nobody_knows_is_told_as_ever(home: Home) -> None:
    home.workspace("mine")
    home.host.workspace("web01")
    home.host.serve()
    for words in (("status", "wbe01"), ("hold", "wbe01", "--for", "2h"), ("history", "x")):
        assert home.run(*words) == Exit.NO_WORKSPACE
        assert "There are: mine." in home.err


def test_what_needs_attention_at_the_host_counts(home: Home) -> None:
    home.workspace("mine")
    home.host.workspace("web01")
    home.host.serve()
    assert home.run("status", "--check", "mine") == Exit.DONE, home.out
    assert home.run("status", "--check") == Exit.ATTENTION  # no window for 30 days
    assert "!!" in home.out
    assert home.run("status", "--check", "web01") == Exit.ATTENTION


def test_wishes_reach_the_host(home: Home) -> None:
    home.host.workspace("web01")
    service = home.host.serve()
    assert home.run("hold", "web01", "--for", "2h", "--reason", "a demo") == 0
    assert home.out.startswith("'web01' is held until ")
    assert [hold["reason"] for hold in home.json("status")[0]["holds"]] == ["a demo"]
    assert home.run("hold", "web01", "--release") == 0
    assert home.out == "'web01': 1 hold ended.\n"
    assert home.run("skip", "web01") == 0
    assert "is left out" in home.out
    assert home.run("skip", "web01", "--undo") == 0
    assert "opens after all" in home.out
    assert home.run("pause", "web01") == 0
    assert home.out == "'web01' has no windows until resumed.\n"
    assert home.run("resume", "web01") == 0
    assert home.out == "'web01' has its windows again.\n"
    assert home.run("wake", "web01", "--duration", "30") == 0
    assert home.out == "'web01' is being woken; 'guestwake status' tells how it goes.\n"
    assert service.woken == [("web01", timedelta(minutes=30))]


def test_a_restart_of_the_hosts(home: Home) -> None:
    home.host.workspace("web01")
    home.host.serve()
    assert home.run("postpone", "web01") == Exit.NO_WORKSPACE
    assert "needs no restart" in home.err
    mark = RestartMark((MarkedReason("apt", ""),), home.host.clock.now().wall, "boot")
    with home.host.application.journal() as journal:
        journal.mark_restart(UUID, mark)
    assert home.run("postpone", "web01") == 0
    assert "is postponed" in home.out
    assert home.run("restart", "web01") == 0
    assert "is being restarted" in home.out


def test_times_are_meant_in_the_workspaces_zone(home: Home) -> None:
    home.host.workspace("web01")
    home.host.paths.config.mkdir(parents=True)
    settings = home.host.paths.config / "guestwake.toml"
    settings.write_text('time_zone = "Pacific/Kiritimati"\n')
    home.host.serve()
    assert home.run("hold", "web01", "--for", "tomorrow") == 0, home.err
    assert "+14" in home.out


# where there is nobody


def test_a_host_without_the_service_is_not_asked(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.workspace("mine")
    monkeypatch.setattr(remote, "_RUNTIME", home.host.folder / "none")
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere")
    assert [each["workspace"] for each in home.json("status")] == ["mine"]


def test_a_service_that_does_not_run_is_not_started(home: Home) -> None:
    home.workspace("mine")
    assert [each["workspace"] for each in home.json("status")] == ["mine"]
    assert home.run("hold", "web01", "--for", "2h") == Exit.NO_WORKSPACE


@pytest.mark.parametrize("answer", ["", "not JSON", "{}", "[1, {}]", '[{"workspace": "web01"}]'])
def test_a_service_that_talks_nonsense_spoils_no_report(home: Home, answer: str) -> None:
    home.workspace("mine")
    methods = {
        (MANAGER_PATH, SERVICE, "Status"): lambda _: ("s", (answer,)),
        (MANAGER_PATH, SERVICE, "Show"): lambda _: ("s", ("a\x1bb",)),
    }
    home.host.fake(FakeService(SERVICE, MANAGER_PATH, SERVICE, {}, methods=dict(methods)))
    assert home.run("status") == 0
    assert "mine" in home.out
    assert "\x1b" not in home.out


def test_silence_is_as_if_there_were_nobody(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PATIENCE", 0.5)
    home.workspace("mine")
    service = home.host.fake(FakeService(SERVICE, MANAGER_PATH, SERVICE, {}))
    service.hangs = True
    began = time.monotonic()
    assert home.run("status") == 0
    assert "mine" in home.out
    assert time.monotonic() - began < 20  # it ends
    assert service.asked >= 1


def test_a_wish_that_is_refused_says_why(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.host.workspace("web01")
    service = home.host.serve()
    assert service.exported is not None

    async def refuse(uid: int, request: Request) -> None:
        if request.action is not Action.READ:
            raise Refused(DENIED, "polkit refuses it: ask the administrator.")

    monkeypatch.setattr(service.exported._guard, "check", refuse)
    assert home.run("pause", "web01") == Exit.HOST_REFUSED
    assert "polkit refuses it" in home.err


# settings


def own_file(home: Home) -> Path:
    return home.paths.own_config / "guestwake.toml"  # type: ignore[operator]  # a user has one


def test_a_users_settings_are_their_own(home: Home) -> None:
    home.workspace("mine")
    home.host.serve()
    assert home.run("settings", "set", "Splay=1") == 0
    assert home.run("settings", "set", "Splay=2", "--workspace", "mine") == 0
    assert own_file(home).read_text() == "splay = 1\n\n[workspace.mine]\nsplay = 2\n"
    assert f"Splay is 2 for 'mine' now: user, {own_file(home)}:4." in home.out
    assert not home.host.paths.config.exists()


def test_for_their_workspace_of_the_hosts_it_is_their_own_file_too(home: Home) -> None:
    home.host.workspace("web01", owner="anna")
    home.host.serve()
    assert home.run("settings", "set", "Splay=2", "--workspace", "web01") == 0
    assert own_file(home).read_text() == "[workspace.web01]\nsplay = 2\n"
    assert not home.host.paths.config.exists()


def test_the_host_writes_what_is_the_hosts(home: Home) -> None:
    home.host.workspace("web01")
    home.host.serve()
    file = home.host.paths.config / "guestwake.toml"
    assert home.run("settings", "set", "Splay=2", "MaxAwake=3", "--workspace", "web01") == 0
    assert file.read_text() == "[workspace.web01]\nsplay = 2\nmax_awake = 3\n"
    assert f"Splay is 2 for 'web01' now: machine, {file}:2." in home.out
    assert "Undo: guestwake settings clear Splay MaxAwake --workspace web01" in home.out
    assert home.run("settings", "clear", "Splay", "MaxAwake", "--workspace", "web01") == 0
    assert home.run("settings", "set", "Splay=5", "--machine") == 0
    assert file.read_text().strip() == "splay = 5"
    assert "Undo: guestwake settings clear Splay --machine" in home.out
    (found,) = home.json("settings", "clear", "Splay", "--machine")
    assert (found["before"], found["value"], found["layer"]) == (5, 0, "default")
    assert not own_file(home).exists()


def test_nothing_is_asked_of_the_host_where_a_value_is_wrong(home: Home) -> None:
    home.host.serve()
    assert home.run("settings", "set", "Splay=5", "MaxAwake=x", "--machine") == Exit.USAGE
    assert not home.host.paths.config.exists()


@pytest.mark.parametrize("json_too", [False, True])
def test_what_was_changed_before_the_host_refused_is_told(
    home: Home, monkeypatch: pytest.MonkeyPatch, json_too: bool
) -> None:
    """As where the password is asked for a second time, and not given."""
    service = home.host.serve()
    assert service.exported is not None
    asked: list[str] = []

    async def refuse(uid: int, request: Request) -> None:
        if request.action is Action.SETTINGS:
            asked.append(request.method)
        if len(asked) > 1:
            raise Refused(DENIED, "polkit refuses it: ask the administrator.")

    monkeypatch.setattr(service.exported._guard, "check", refuse)
    words = ("settings", "set", "Splay=5", "MaxAwake=3", "--machine")
    assert home.run(*words, *(["--json"] if json_too else [])) == Exit.HOST_REFUSED
    assert "polkit refuses it" in home.err
    assert (home.host.paths.config / "guestwake.toml").read_text() == "splay = 5\n"
    if json_too:
        assert [each["name"] for each in json.loads(home.out)] == ["Splay"]
    else:
        assert "Splay is 5 now: machine" in home.out
        assert "Undo: guestwake settings clear Splay --machine" in home.out


def test_without_the_hosts_service_one_is_told_what_to_do(home: Home) -> None:
    assert home.run("settings", "set", "Splay=5", "--machine") == Exit.HOST_REFUSED
    assert "call as root" in home.err
    assert home.run("settings", "set", "Splay=5", "--workspace", "web01") == Exit.NO_WORKSPACE
    assert home.run("settings", "set", "Splay=5", "--policy") == Exit.SETTINGS
    assert "call as root" in home.err
    home.host.serve()
    assert home.run("settings", "set", "Splay=5", "--workspace", "web01") == Exit.NO_WORKSPACE
    assert not own_file(home).exists()


def test_ones_own_settings_do_not_count_for_a_workspace_of_nobody(home: Home) -> None:
    home.workspace("mine")
    workspaces = home._build(home.paths).workspaces
    workspaces.write(replace(workspaces.find("mine"), owner=None))
    assert home.run("settings", "set", "Splay=5", "--workspace", "mine") == Exit.SETTINGS
    assert "belongs to no user" in home.err
    assert not own_file(home).exists()
