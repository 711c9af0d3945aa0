"""What is root and writes settings: two things, of the table's own values, into one file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from errands import listening

from guestwake import errand
from guestwake.errand import RefusedError
from guestwake.paths import Paths
from guestwake.schedulers.systemd_install import packaged
from guestwake.settings import settings_helper
from guestwake.settings.change import Whose, change, unwished, wished
from guestwake.settings.settings_client import AskedWrites, writes_for
from guestwake.settings.source import Layer, NotWritten
from guestwake.settings.table import SETTINGS, CommandLine

UUID = "6a1f3c52-9d1e-4a53-8a55-0c7f2a9b1d10"
WEB01 = ("web01", UUID)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.under(tmp_path / "host", os.geteuid())


@pytest.fixture
def file(paths: Paths) -> Path:
    return paths.config / "guestwake.toml"


def do(paths: Paths, asked: object) -> None:
    settings_helper.do(asked, paths)


SET = {"set": "GuestUpdateTime", "value": "3:30", "workspace": None}


def test_it_sets_and_clears_in_the_tables_own_spelling(paths: Paths, file: Path) -> None:
    do(paths, SET)
    do(paths, {"set": "GuestUpdateDays", "value": "mon,THU", "workspace": UUID})
    assert file.read_text() == (
        'guest_update_time = "03:30"\n\n'
        f'[workspace.{UUID}]\nguest_update_days = ["Monday", "Thursday"]\n'
    )
    do(paths, {"clear": "GuestUpdateTime", "workspace": None})
    do(paths, {"clear": "GuestUpdateDays", "workspace": UUID})
    do(paths, {"clear": "GuestUpdateDays", "workspace": UUID})
    assert file.read_text().strip() == ""


def test_a_section_of_another_name_must_be_there(paths: Paths, file: Path) -> None:
    with pytest.raises(RefusedError, match="no section"):
        do(paths, {**SET, "workspace": "web01"})
    assert not file.exists()
    file.parent.mkdir(parents=True)
    file.write_text("[workspace.web01]\n")
    do(paths, {**SET, "workspace": "web01"})
    assert file.read_text() == '[workspace.web01]\nguest_update_time = "03:30"\n'


_SECTIONS: tuple[Any, ...] = ("", "..", "x]\nsplay = 1", UUID.upper(), f"{UUID}\n", 7, [], {})
_NAMES: tuple[Any, ...] = ("guest_update_time", "Splya", "", "workspace", None)


@pytest.mark.parametrize(
    "asked",
    [
        *({**SET, "workspace": name} for name in _SECTIONS),
        *({"clear": "Splay", "workspace": name} for name in _SECTIONS),
        *({**SET, "set": name} for name in _NAMES),
        *({**SET, "value": value} for value in ("24:00", "", '3:30"\n[x]', "x" * 3000, None, 330)),
        *({"set": "Splay", "value": value, "workspace": None} for value in ("-1", "1441", "1.5")),
        {"set": "GuestUpdateTime", "value": "3:30"},
        {"clear": "GuestUpdateTime"},
        {**SET, "file": "/etc/passwd"},
        {"clear": "Splay", "workspace": None, "value": "5"},
        {**SET, "clear": "Splay"},
        {"write": UUID},
        {},
        [],
        [SET],
        "set",
        None,
        7,
    ],
)
def test_it_does_nothing_else(paths: Paths, file: Path, asked: Any) -> None:
    with pytest.raises(RefusedError):
        do(paths, asked)
    assert not file.exists()


def test_what_is_free_text_is_roots_alone(paths: Paths, file: Path) -> None:
    """Such as a command that users run."""

    for name in ("DesktopCommand", "LinuxApplicationCommand", "WindowsApplicationCommand"):
        with pytest.raises(RefusedError, match="for root alone"):
            do(paths, {"set": name, "value": "xterm", "workspace": None})
        with pytest.raises(RefusedError, match="for root alone"):
            do(paths, {"clear": name, "workspace": UUID})
    assert not file.exists()


def test_each_kind_of_value_was_thought_about() -> None:
    kinds = {type(one.kind) for one in SETTINGS}
    assert kinds - set(settings_helper.KINDS) == {CommandLine}


def test_its_unit_cannot_change_the_policy() -> None:
    text = dict(packaged())["usr/lib/systemd/system/guestwake-settings@.service"]
    assert f"ReadOnlyPaths=-{Paths.system().policy_dir}\n" in text


def test_it_follows_no_link_and_writes_no_file_of_others(paths: Paths, file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.symlink_to("elsewhere")
    with pytest.raises(NotWritten, match="symbolic link"):
        do(paths, SET)
    file.unlink()
    file.write_text("splay = = 1\n")
    with pytest.raises(NotWritten, match=r"guestwake\.toml:1: this is not valid"):
        do(paths, SET)
    assert file.read_text() == "splay = = 1\n"


# both ends


@pytest.fixture
def asked(paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AskedWrites]:
    monkeypatch.setattr(errand, "service_uid", os.geteuid)
    does = partial(settings_helper.do, paths=paths)
    with listening(tmp_path / "socket", lambda taken: errand.answered(taken, does, NotWritten)):
        yield AskedWrites(tmp_path / "socket")


def test_what_is_asked_is_written(paths: Paths, file: Path, asked: AskedWrites) -> None:
    whose = Whose(Layer.MACHINE, None, WEB01)
    (told,) = change(paths, whose, wished(["GuestUpdateDays=mon,fri"]), asked)
    assert file.read_text() == f'[workspace.{UUID}]\nguest_update_days = ["Monday", "Friday"]\n'
    assert (told.counts, told.before, told.written) == (True, None, ["Monday", "Friday"])
    (told,) = change(paths, whose, unwished(["GuestUpdateDays"]), asked)
    assert (file.read_text(), told.before) == ("", ["Monday", "Friday"])


def test_a_section_by_name_is_used_and_cleared(
    paths: Paths, file: Path, asked: AskedWrites
) -> None:
    whose = Whose(Layer.MACHINE, None, WEB01)
    change(paths, whose, wished(["Splay=1"]))  # by root itself
    assert file.read_text() == "[workspace.web01]\nsplay = 1\n"
    change(paths, whose, wished(["Splay=2", "MaxAwake=3"]), asked)
    assert file.read_text() == "[workspace.web01]\nsplay = 2\nmax_awake = 3\n"
    change(paths, whose, unwished(["Splay", "MaxAwake"]), asked)
    assert file.read_text() == ""


def test_who_asks_is_told_why_not(paths: Paths, file: Path, asked: AskedWrites) -> None:
    file.parent.mkdir(parents=True)
    file.parent.chmod(0o777)
    with pytest.raises(NotWritten, match="others than its owner may write"):
        change(paths, Whose(Layer.MACHINE), wished(["Splay=1"]), asked)
    file.parent.chmod(0o755)
    with pytest.raises(NotWritten, match="does not answer"):
        change(paths, Whose(Layer.MACHINE), wished(["Splay=1"]), AskedWrites(paths.config / "no"))


def test_only_the_hosts_service_asks(tmp_path: Path) -> None:
    assert writes_for(Paths.under(tmp_path, 1000)) is None
    assert writes_for(Paths.system(0)) is None
    assert writes_for(Paths.here(None, {"HOME": "/home/x"}, 54321)) is None
    assert writes_for(Paths.system(999)) is not None
