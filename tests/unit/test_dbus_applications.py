"""Applications over D-Bus: who may publish and open them, and `guestwake open` of a user on it."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dbus_world import CALLER, ME, UUID, Answer, DbusWorld, dbus_world

from guestwake.application import Application
from guestwake.applications import Applications, process_of
from guestwake.edges import call, remote
from guestwake.edges.cli import main
from guestwake.edges.exit_codes import Exit
from guestwake.edges.remote import HostAway
from guestwake.edges.remote_applications import host_applications
from guestwake.hosts.memory import MemoryHost
from guestwake.journal_applications import PublishedRow
from guestwake.paths import Paths
from guestwake.policy.prompt import Prompt
from guestwake.policy.restart import MarkedReason, RestartMark
from guestwake.policy.words import Logon
from guestwake.workspaces import WorkspaceError

pytestmark = pytest.mark.skipif(ME != "root", reason="only root can be several users")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[DbusWorld]:
    monkeypatch.setattr(Applications, "_start_detached", lambda *_: None)
    with dbus_world() as made:
        yield made


@contextmanager
def process(user: str | None) -> Iterator[int]:
    running = subprocess.Popen(["sleep", "60"], user=user)
    try:
        yield running.pid
    finally:
        running.kill()
        running.wait()


def _publish(world: DbusWorld, **how: Any) -> Answer:
    icon = [str(len(b"<svg/>")), *map(str, b"<svg/>")]
    words = ("Publish", "ssssay", "writer", "A Writer", "write", "linux", *icon)
    return world.act(*words, **how)


def _open(world: DbusWorld, pid: int, application: str = "", **how: Any) -> Answer:
    return world.act("Open", "su", application, str(pid), **how)


def _share(world: DbusWorld) -> None:
    world.paths.config.mkdir(parents=True, exist_ok=True)
    (world.paths.config / "guestwake.toml").write_text("multi_user_enabled = 1\n")


def _log_on(world: DbusWorld, *users: str) -> None:
    host = world.application.host
    assert isinstance(host, MemoryHost)
    host.logged_on = tuple(Logon(user, datetime.now(UTC)) for user in users)


def _lives(world: DbusWorld, pid: int) -> None:
    host = world.application.host
    assert isinstance(host, MemoryHost)
    host.processes.add(process_of(pid, 0))


def _actions(world: DbusWorld) -> list[str]:
    return [action for action, _, _ in world.polkit.asked]


# published


def test_an_owner_publishes_and_unpublishes(world: DbusWorld) -> None:
    workspace = world.workspace(owner=CALLER)
    service = world.serve()
    assert _publish(world).code == 0
    applications = Applications(world.application)
    assert applications.published(workspace) == [
        PublishedRow("writer", "A Writer", "write", "linux")
    ]
    assert world.act("Icon", "s", "writer").data == [list(b"<svg/>")]
    assert '"command": "write"' in world.call("Applications", "s", "web01").data[0]
    assert "A Writer" in world.call("Show", "ss", "applications", "").data[0]
    assert world.act("Publish", "ssssay", "Bad", "x", "x", "linux", "0").code != 0
    assert world.act("Unpublish", "s", "writer").code == 0
    assert applications.published(workspace) == []
    assert "no published application" in world.act("Unpublish", "s", "writer").error
    assert service.changes == 2


def test_a_stranger_publishes_nothing_not_even_where_all_may_open(world: DbusWorld) -> None:
    world.workspace(owner="anna")
    _share(world)
    _log_on(world, CALLER)
    world.serve()
    assert _publish(world).code != 0
    assert _actions(world) == ["org.guestwake.act"]


# open


def test_an_owner_opens_shows_and_closes(world: DbusWorld) -> None:
    world.workspace(owner=CALLER)
    world.serve()
    with process(CALLER) as mine, process(CALLER) as window:
        _lives(world, mine)
        (opened,) = _open(world, mine).data
        assert world.act("Opening", "t", str(opened)).data == [
            True,
            False,
            "'web01': waits for its manager",
        ]
        with world.application.journal() as journal:
            journal.ready_to_open(UUID, ready=True)
        assert world.act("Opening", "t", str(opened)).data[1] is True
        assert world.act("Show", "tu", str(opened), str(window)).data == [True]
        with world.application.journal(readonly=True) as journal:
            (row,) = journal.opened(UUID)
        assert row.shown
        assert row.processes == (process_of(mine, 0), process_of(window, 0))
        assert world.act("Close", "t", str(opened)).code == 0
        assert world.act("Opening", "t", str(opened)).data[0] is False
        assert world.act("Show", "tu", str(opened), str(window)).data == [False]


def test_a_process_of_another_user_holds_nothing(world: DbusWorld) -> None:
    world.workspace(owner=CALLER)
    world.serve()
    with process(None) as roots:
        answer = _open(world, roots)
        assert "is another user's" in answer.error
        assert "there is no process" in _open(world, 2**22 + 1).error
        with process(CALLER) as mine:
            (opened,) = _open(world, mine).data
            assert "another user's" in world.act("Show", "tu", str(opened), str(roots)).error
    with process(CALLER) as theirs:
        assert _open(world, theirs, user=None).code == 0  # root may name anybody's


def test_what_another_user_has_open_is_theirs_to_close(world: DbusWorld) -> None:
    world.workspace(owner="anna")
    _share(world)
    _log_on(world, CALLER)
    world.serve()
    with process(None) as roots, process(CALLER) as mine:
        _lives(world, roots)
        (opened,) = _open(world, roots, user=None).data
        assert "Another user has it open" in world.act("Close", "t", str(opened)).error
        assert "Another user" in world.act("Show", "tu", str(opened), str(mine)).error
        assert world.act("Opening", "t", str(opened)).data[0] is True


def test_all_who_are_logged_on_open_a_shared_workspace(world: DbusWorld) -> None:
    service = world.serve()
    for owner in ("anna", None):
        world.workspace(owner=owner)
        _share(world)
        _log_on(world, "anna", CALLER)
        with process(CALLER) as mine:
            (opened,) = _open(world, mine).data
            assert world.act("Close", "t", str(opened)).code == 0
            assert set(_actions(world)) == {"org.guestwake.act-own"}
            world.polkit.asked.clear()
            assert world.act("Wake", "u", "0").code != 0  # that is for its owner
            assert _actions(world) == ["org.guestwake.act"]
            world.polkit.asked.clear()
            _log_on(world, "anna")
            assert _open(world, mine).code != 0
            assert _actions(world) == ["org.guestwake.act"]
            world.polkit.asked.clear()
    assert service.woken == []


@pytest.mark.parametrize(
    "words", [("Wake", "u", "0"), ("RestartNow",), ("Release",), ("Close", "t", "1")]
)
def test_nobody_disturbs_an_owner_who_is_logged_on(
    world: DbusWorld, words: tuple[str, ...]
) -> None:
    world.workspace(owner="anna")
    service = world.serve()
    world.polkit.knows_password = True
    _log_on(world, "anna")
    answer = world.act(*words, asks=True)
    assert "'web01' belongs to anna, who is logged on" in answer.error
    assert "MultiUserEnabled" in answer.error
    assert world.act("Pause", "t", "0", asks=True).code == 0  # wakes and stops nothing
    _log_on(world)
    assert "belongs to" not in world.act(*words, asks=True).error
    _log_on(world, "anna")
    assert "belongs to" not in world.act(*words, user=None).error  # root
    assert len(service.woken) == (2 if words[0] == "Wake" else 0)


def test_who_is_logged_on_may_be_unknown(world: DbusWorld) -> None:
    """Then polkit decides, as ever."""
    world.workspace(owner="anna")
    world.serve()
    world.polkit.knows_password = True
    host = world.application.host
    assert isinstance(host, MemoryHost)
    host.logged_on = None
    assert world.act("Wake", "u", "0", asks=True).code == 0


# the launcher, of a user whose workspaces are the host's


@pytest.fixture
def paths(world: DbusWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    folders = (tmp_path / name for name in ("etc", "state", "run"))
    made = Paths(*folders, 1000, user="anna", own_config=tmp_path / "own")
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", world.address)
    for name in ("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"):  # nobody is notified
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(remote, "_RUNTIME", world.folder)
    monkeypatch.setattr(remote, "PATIENCE", 20.0)  # the machine may be busy
    monkeypatch.setattr(call, "_paths", lambda root: made)
    return made


def _run(*words: str) -> int:
    return main(words, build=Application)


def _manages(world: DbusWorld) -> threading.Thread:
    """As a manager: the VM is up before long."""

    def until_somebody_waits() -> None:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with world.application.journal() as journal:
                journal.ready_to_open(UUID, ready=True)
                if any(row.ready for row in journal.opened(UUID)):
                    return
            time.sleep(0.05)

    thread = threading.Thread(target=until_somebody_waits, daemon=True)
    thread.start()
    return thread


def test_a_workspace_of_the_hosts_is_published_and_opened(
    world: DbusWorld, paths: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = world.workspace()
    world.serve()
    assert _run("publish", "web01", "writer", "--guest", "linux", "--command", "write -x") == 0
    assert _run("applications", "web01") == 0
    assert "write -x" in capsys.readouterr().out
    window = tmp_path / "window"
    window.write_text(f'#!/bin/sh\nsleep 0.5; printf "%s\\n" "$@" > {tmp_path}/words\n')
    window.chmod(0o755)
    assert paths.own_config is not None
    paths.own_config.mkdir()
    (paths.own_config / "guestwake.toml").write_text(
        f'linux_application_command = "{window} {{uri}} {{application}}"\n'
    )
    thread = _manages(world)
    assert _run("open", "web01", "writer") == Exit.DONE, capsys.readouterr().err
    thread.join(20)
    assert (tmp_path / "words").read_text().splitlines() == ["qemu:///system", "write -x"]
    with world.application.journal(readonly=True) as journal:
        assert journal.opened(workspace.uuid) == []
    assert _run("unpublish", "web01", "writer") == 0
    assert _run("open", "web01", "writer") == Exit.NO_WORKSPACE
    assert _run("open", "wbe01") == Exit.NO_WORKSPACE


@pytest.mark.parametrize("owner", ["anna", "bert"])
def test_its_user_is_asked_about_the_hosts_restart(
    world: DbusWorld, paths: Paths, capsys: pytest.CaptureFixture[str], owner: str
) -> None:
    """And nobody else who may open it: they could not answer."""
    workspace = world.workspace(owner=owner)
    now = world.clock.now()
    mark = RestartMark((MarkedReason("apt", ""),), now.wall, "boot")
    prompt = Prompt("boot", tried=now.after(timedelta(0)), asking=True)
    with world.application.journal() as journal:
        journal.mark_restart(workspace.uuid, mark)
        journal.change_prompt(workspace.uuid, lambda _: prompt)
    world.serve()
    paths.config.mkdir(parents=True)
    (paths.config / "guestwake.toml").write_text('desktop_command = "true"\n')
    thread = _manages(world)
    assert _run("open", "web01") == Exit.DONE
    thread.join(20)
    is_asked = "Restart 'web01' for its updates?" in capsys.readouterr().err
    assert is_asked == (owner == "anna")


def test_a_service_that_went_away_is_told_from_one_that_refuses(
    world: DbusWorld, paths: Paths
) -> None:
    world.workspace(owner="anna")
    service = world.serve()
    with host_applications("anna") as host:
        assert host is not None
        workspace = host.workspaces.find("web01")
        assert host.opening(workspace, 1).is_open is False
        with pytest.raises(WorkspaceError):
            host.unpublish(workspace, "writer")
        service.stop()
        with pytest.raises(HostAway):
            host.opening(workspace, 1)
