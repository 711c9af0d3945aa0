"""Three ways to run, three sets of folders."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from guestwake.paths import Paths, PathsError, account_name


def test_under_a_root_nothing_lies_outside(tmp_path: Path) -> None:
    paths = Paths.here(None, {"GUESTWAKE_ROOT": str(tmp_path), "HOME": "/root"}, euid=0)
    assert paths.config == tmp_path / "etc/guestwake"
    assert paths.state == tmp_path / "var/lib/guestwake"
    assert paths.runtime == tmp_path / "run/guestwake"
    assert paths.home("alice") == tmp_path / "home/alice"
    assert paths.user_config_dir("alice") == tmp_path / "home/alice/.config/guestwake"


def test_the_option_beats_the_variable(tmp_path: Path) -> None:
    paths = Paths.here(tmp_path / "option", {"GUESTWAKE_ROOT": "/elsewhere"}, euid=1000)
    assert paths.root == tmp_path / "option"


def test_a_relative_root_is_taken_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Paths.here(Path("r"), {}, euid=0).state == tmp_path / "r/var/lib/guestwake"


def test_an_empty_root_is_refused_rather_than_touching_the_system() -> None:
    with pytest.raises(PathsError, match="GUESTWAKE_ROOT is empty"):
        Paths.here(None, {"GUESTWAKE_ROOT": ""}, euid=0)


def test_root_has_the_systems_folders() -> None:
    paths = Paths.here(None, {"HOME": "/root", "XDG_STATE_HOME": "/root/state"}, euid=0)
    assert [str(p) for p in (paths.config, paths.state, paths.runtime)] == [
        "/etc/guestwake",
        "/var/lib/guestwake",
        "/run/guestwake-host",
    ]
    assert paths.policy_dir == Path("/etc/guestwake/policy.d")
    assert paths.user_policy_dir("alice") == Path("/etc/guestwake/policy.d/users/alice")


def test_the_services_own_user_has_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guestwake.paths.account_name", lambda euid: {7: "guestwake"}[euid])
    paths = Paths.here(None, {"HOME": "/var/lib/guestwake"}, euid=7)
    assert paths == Paths.system(7)
    assert paths.user is None


def test_an_ordinary_user_keeps_state_at_home_under_the_machines_policy() -> None:
    paths = Paths.here(None, {"HOME": "/h", "XDG_RUNTIME_DIR": "/run/user/1"}, euid=4_000_000)
    assert paths.config == Path("/etc/guestwake")
    assert paths.state == Path("/h/.local/state/guestwake")
    assert paths.runtime == Path("/run/user/1/guestwake")
    assert paths.user == "4000000"
    assert paths.user_config_dir("4000000") == Path("/h/.config/guestwake")


def test_an_ordinary_users_own_folders_are_heeded_and_relative_ones_ignored() -> None:
    environ = {"HOME": "/h", "XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "state"}
    paths = Paths.here(None, environ, euid=4_000_000)
    assert paths.user_config_dir("4000000") == Path("/c/guestwake")
    assert paths.state == Path("/h/.local/state/guestwake")
    assert paths.runtime == paths.state / "run/guestwake"


def test_without_any_home_a_user_is_told() -> None:
    with pytest.raises(PathsError, match="HOME is not set"):
        Paths.here(None, {}, euid=4_000_000)


def test_another_users_home_comes_from_the_accounts() -> None:
    account = pwd.getpwuid(0)
    assert Paths.system().home(account.pw_name) == Path(account.pw_dir)
    assert Paths.system().home("no-such-user-here") is None
    assert Paths.system().user_config_dir("no-such-user-here") is None


def test_who_has_no_account_goes_by_the_number() -> None:
    assert account_name(0) == "root"
    assert account_name(4_000_000_001) == "4000000001"


@pytest.mark.parametrize("owner", ["", ".", "..", "../alice", "a/b", "a\0b"])
def test_a_users_name_leads_nowhere_else(tmp_path: Path, owner: str) -> None:
    paths = Paths.under(tmp_path, euid=0)
    with pytest.raises(PathsError, match="not the name of a user"):
        paths.home(owner)
    with pytest.raises(PathsError, match="not the name of a user"):
        paths.user_policy_dir(owner)


def test_the_owner_of_the_root_counts_as_the_administrator(tmp_path: Path) -> None:
    folder = os.stat(tmp_path)
    paths = Paths.under(tmp_path, euid=4_000_000)
    assert paths.administrators().uids == {0, folder.st_uid}
    assert paths.administrators().gids == {folder.st_gid}
    assert Paths.system().administrators().uids == {0}
    assert not Paths.system().administrators().gids
