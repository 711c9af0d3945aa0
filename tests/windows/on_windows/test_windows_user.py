"""An ordinary user's `guestwake settings` on Windows. Who runs the tests under Wine is always an
administrator: that one is not is a double, all else is as it is."""

from __future__ import annotations

import os
import uuid
import winreg
from collections.abc import Iterator
from pathlib import Path

import pytest

from guestwake import paths_windows
from guestwake.edges.cli import main
from guestwake.edges.exit_codes import Exit
from guestwake.paths import Paths, PathsError, own_id
from guestwake.settings import kept
from guestwake.settings.registry_keys import OURS, POLICIES, dword, text
from guestwake.settings.registry_windows import WindowsRegistry

REGISTRY = WindowsRegistry()
VALUES = ("GuestUpdateTime", "GuestUpdateDuration")


@pytest.fixture(autouse=True)
def ordinary(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(paths_windows, "is_administrator", lambda: False)
    clean()
    yield
    clean()


def clean() -> None:
    for root in (rf"HKCU\{OURS}", rf"HKCU\{POLICIES}", rf"HKLM\{OURS}", rf"HKLM\{POLICIES}"):
        for name in VALUES:
            REGISTRY.delete(rf"{root}\VM", name)


def test_ones_own_files_lie_in_ones_profile() -> None:
    paths = Paths.here(None, os.environ, own_id())
    assert paths.user == paths_windows.account_name()
    assert paths.state == Path(os.environ["LOCALAPPDATA"]) / "Guestwake" / "state"
    assert Paths.here(None, os.environ, 0).state.is_relative_to(os.environ["PROGRAMDATA"])


def test_where_windows_names_no_folder_one_is_asked_for() -> None:
    with pytest.raises(PathsError, match="GUESTWAKE_ROOT"):
        Paths.here(None, {"LOCALAPPDATA": "here"}, 1)


def test_what_one_sets_is_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    hosts = REGISTRY.read(rf"HKLM\{OURS}\VM", 1024)
    assert main(["settings", "set", "GuestUpdateTime=05:00"]) == Exit.DONE
    with winreg.OpenKey(winreg.HKEY_CURRENT_USER, rf"{OURS}\VM") as key:
        assert winreg.QueryValueEx(key, "GuestUpdateTime") == ("05:00", winreg.REG_SZ)
    assert REGISTRY.read(rf"HKLM\{OURS}\VM", 1024) == hosts
    main(["settings", "show"])
    assert rf"user, HKCU\{OURS}\VM" in capsys.readouterr().out
    assert main(["settings", "clear", "GuestUpdateTime"]) == Exit.DONE
    with winreg.OpenKey(winreg.HKEY_CURRENT_USER, rf"{OURS}\VM") as key:
        assert winreg.QueryInfoKey(key)[1] == 0


def test_the_layers_of_who_calls(capsys: pytest.CaptureFixture[str]) -> None:
    layers = ((rf"HKCU\{OURS}", "user"), (rf"HKLM\{OURS}", "machine"))
    layers += ((rf"HKCU\{POLICIES}", "user policy"), (rf"HKLM\{POLICIES}", "machine policy"))
    for hour, (root, layer) in enumerate(layers, 1):
        REGISTRY.write(rf"{root}\VM", text("GuestUpdateTime", f"0{hour}:00"))
        main(["settings", "show"])
        shown = capsys.readouterr().out.splitlines()
        (line,) = (line for line in shown if line.startswith("GuestUpdateTime "))
        assert line.split(maxsplit=2) == ["GuestUpdateTime", f"0{hour}:00", rf"{layer}, {root}\VM"]


@pytest.mark.parametrize("option", ["--machine", "--policy"])
def test_what_is_not_ones_own_is_an_administrators(
    capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert main(["settings", "set", "GuestUpdateTime=05:00", option]) == Exit.SETTINGS
    assert "elevated prompt" in capsys.readouterr().err


def test_ones_own_mistakes_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "check"]) == Exit.DONE
    REGISTRY.write(rf"HKCU\{OURS}\VM", text("GuestUpdateTime", "24:00"))
    assert main(["settings", "set", "GuestUpdateTime=24:00"]) == Exit.USAGE
    assert main(["settings", "check"]) == Exit.SETTINGS
    said = capsys.readouterr()
    assert '"24:00" will not do' in said.out
    assert '"24:00" will not do' in said.err


def test_ones_own_layer_has_ones_own_keys() -> None:
    paths = Paths.here(None, os.environ, own_id())
    REGISTRY.write(rf"HKCU\{OURS}\VM", dword("GuestUpdateDuration", 5))
    source = kept.source(paths, paths.user)
    assert source.remember() == ()
    assert not (paths.state / "users-registry").exists()


def test_which_installation_of_windows_it_is() -> None:
    assert uuid.UUID(paths_windows.machine_id())
