"""`guestwake settings` on Windows, with `reg.exe` as the other reader and writer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guestwake.edges.exit_codes import Exit
from lab.wine import Wine

POLICY = r"SOFTWARE\Policies\Microsoft\MEDV"
OURS = r"SOFTWARE\Microsoft\MEDV"
# The page's.
VM = r"HKLM\Software\Microsoft\MEDV\v2\VM"
UUID = "6f3a2f86-0d7e-4a0e-9d0c-0a1b2c3d4e5f"
HOSTILE = "a \"b\" 'c' $HOME; rm -rf `d` & %TEMP% ☃"


class Windows:
    def __init__(self, wine: Wine) -> None:
        self._wine = wine
        self.state = wine.drive / "ProgramData" / "Guestwake" / "state"

    def add(self, key: str, name: str, kind: str, data: str) -> None:
        self._wine.reg("add", key, "/v", name, "/t", kind, "/d", data, "/f")

    def query(self, key: str, name: str) -> tuple[str, str] | None:
        """Type and value. None: it is not there."""
        done = self._wine.reg("query", key, "/v", name, check=False)
        if done.returncode:
            return None
        (line,) = (line for line in done.stdout.splitlines() if line.strip().startswith(name))
        kind, data = line.strip().removeprefix(name).split(maxsplit=1)
        return kind, data.strip()

    def guestwake(self, *words: str) -> tuple[int, str]:
        done = self._wine.python("-m", "guestwake.edges.cli", *words, check=False)
        return done.returncode, done.stdout + done.stderr

    def show(self, *words: str) -> dict[str, tuple[Any, str, str | None]]:
        """Value, layer and place, by the settings' names."""
        code, said = self.guestwake("settings", "show", "--json", *words)
        assert code == 0, said
        return {
            each["name"]: (each["value"], each["layer"], each["place"]) for each in json.loads(said)
        }

    def workspace(self, name: str, owner: str | None) -> None:
        (self.state / "workspaces").mkdir(parents=True, exist_ok=True)
        values = {
            "name": name,
            "uuid": UUID,
            "uri": "hyperv:///",
            "owner": owner,
            "added": "2026-01-01T00:00:00+00:00",
            "memory": 512,
            "image_folder": None,
            "removing": False,
        }
        (self.state / "workspaces" / f"{UUID}.json").write_text(json.dumps(values))

    def clean(self) -> None:
        keys = [rf"{hive}\{key}" for hive in ("HKLM", "HKCU") for key in (OURS, POLICY)]
        self._wine.run("cmd", "/c", " & ".join(f"reg delete {key} /f" for key in keys), check=False)
        (self.state / "workspaces" / f"{UUID}.json").unlink(missing_ok=True)
        (self.state / "policy-last-good.json").unlink(missing_ok=True)


@pytest.fixture
def windows(wine: Wine) -> Iterator[Windows]:
    one = Windows(wine)
    yield one
    one.clean()


def test_the_pages_two_values_count_where_the_page_puts_them(windows: Windows) -> None:
    windows.add(VM, "GuestUpdateTime", "REG_SZ", "03:30")
    windows.add(VM, "GuestUpdateDuration", "REG_DWORD", "90")
    shown = windows.show()
    place = r"HKLM\SOFTWARE\Microsoft\MEDV\v2\VM"
    assert shown["GuestUpdateTime"] == ("03:30", "machine", place)
    assert shown["GuestUpdateDuration"] == (90, "machine", place)
    assert shown["CloseAction"] == ("HIBERNATE", "default", None)


def test_what_is_set_others_find_and_what_is_cleared_they_do_not(windows: Windows) -> None:
    code, said = windows.guestwake(
        *("settings", "set", "GuestUpdateTime=7:05", "GuestUpdateDuration=1440"),
        *("GuestUpdateDays=Mon,Thu", "LogonStartEnabled=0"),
    )
    assert code == 0, said
    assert r"GuestUpdateTime is 07:05 now: machine, HKLM\SOFTWARE\Microsoft\MEDV\v2\VM." in said
    assert windows.query(VM, "GuestUpdateTime") == ("REG_SZ", "07:05")
    assert windows.query(VM, "GuestUpdateDuration") == ("REG_DWORD", "0x5a0")
    assert windows.query(VM, "GuestUpdateDays") == ("REG_MULTI_SZ", r"Monday\0Thursday")
    experience = VM.replace("VM", "UserExperience")
    assert windows.query(experience, "LogonStartEnabled") == ("REG_DWORD", "0x0")
    (undo,) = (line for line in said.splitlines() if line.startswith("Undo: guestwake "))
    code, said = windows.guestwake(*undo.removeprefix("Undo: guestwake ").split())
    assert code == 0, said
    assert windows.query(VM, "GuestUpdateTime") is None
    assert windows.query(experience, "LogonStartEnabled") is None


def test_the_policy_wins_and_is_written_where_that_is_asked_for(windows: Windows) -> None:
    code, said = windows.guestwake("settings", "set", "--policy", "GuestUpdateDuration=60")
    assert code == 0, said
    policy = rf"HKLM\{POLICY}\v2\VM"
    assert windows.query(policy, "GuestUpdateDuration") == ("REG_DWORD", "0x3c")
    code, said = windows.guestwake("settings", "set", "GuestUpdateDuration=5")
    assert code == 0, said
    assert "But what counts is 60: machine policy" in said


def test_a_workspace_has_a_key_of_its_own(windows: Windows) -> None:
    name = HOSTILE
    windows.workspace(name, None)
    code, said = windows.guestwake("settings", "set", "GuestUpdateTime=04:00", "--workspace", name)
    assert code == 0, said
    assert windows.query(rf"{VM}\{name}", "GuestUpdateTime") == ("REG_SZ", "04:00")
    windows.add(rf"{VM}\{name.upper()}", "GuestUpdateDuration", "REG_DWORD", "0")
    shown = windows.show(name)
    assert (shown["GuestUpdateTime"][0], shown["GuestUpdateDuration"][0]) == ("04:00", 0)
    code, said = windows.guestwake("settings", "clear", "GuestUpdateTime", "--workspace", name)
    assert code == 0, said
    assert windows.query(rf"{VM}\{name}", "GuestUpdateTime") is None


def test_a_users_own_settings_count_for_their_workspaces_alone(
    windows: Windows, wine: Wine
) -> None:
    """The service, which is somebody else, reads them by the user's SID."""
    code = "from guestwake.paths_windows import account_name; print(account_name())"
    user = wine.python("-c", code).stdout.strip()
    windows.workspace("web01", user)
    windows.add(rf"HKCU\{OURS}\v2\VM", "GuestUpdateTime", "REG_SZ", "05:00")
    windows.add(rf"HKCU\{POLICY}\v2\VM", "GuestUpdateDuration", "REG_DWORD", "30")
    shown = windows.show("web01")
    value, layer, place = shown["GuestUpdateTime"]
    assert (value, layer) == ("05:00", "user")
    assert place is not None
    assert place.startswith(r"HKU\S-1-5-21-")
    assert shown["GuestUpdateDuration"][:2] == (30, "user policy")
    assert windows.show()["GuestUpdateTime"][1] == "default"


def test_all_that_is_wrong_is_listed_with_its_path(windows: Windows) -> None:
    policy = rf"HKLM\{POLICY}\v2\VM"
    windows.add(VM, "GuestUpdateTime", "REG_SZ", "24:00")
    windows.add(policy, "GuestUpdateDuration", "REG_DWORD", "1441")
    windows.add(VM, "GuestUpdateDuration", "REG_SZ", "90")
    windows.add(VM, "TaskTimeout", "REG_QWORD", "600")
    windows.add(VM, "CloseAction", "REG_EXPAND_SZ", "HIBERNATE")
    windows.add(VM, "WakeHost", "REG_BINARY", "01000000")
    windows.add(VM, "TimeZone", "REG_MULTI_SZ", "Europe/Berlin")
    windows.add(VM, "GuestUpdateTme", "REG_SZ", "03:30")
    windows.add(rf"{VM}\nobody", "Splay", "REG_DWORD", "4000")
    code, said = windows.guestwake("settings", "check")
    assert code == Exit.SETTINGS
    place = r"HKLM\SOFTWARE\Microsoft\MEDV\v2\VM"
    for expected in (
        rf'{place}: GuestUpdateTime: "24:00" will not do',
        r"HKLM\SOFTWARE\Policies\Microsoft\MEDV\v2\VM: GuestUpdateDuration: 1441 is out of range",
        rf"{place}: GuestUpdateDuration: it is a REG_SZ; it must be a REG_DWORD",
        rf"{place}: TaskTimeout: it is a REG_QWORD",
        rf"{place}: CloseAction: it is a REG_EXPAND_SZ",
        rf"{place}: WakeHost: it is a REG_BINARY",
        rf"{place}: TimeZone: it is a REG_MULTI_SZ",
        rf"{place}: GuestUpdateTme: there is no setting of this name; write GuestUpdateTime",
        rf"{place}\nobody: Splay: 4000 is out of range",
    ):
        assert expected in said
    shown = windows.show()
    assert shown["GuestUpdateDuration"][:2] == (240, "default")  # and not the lower layer's
    assert shown["GuestUpdateTime"][0] == "00:00"


def test_a_change_by_another_program_is_heard(windows: Windows, wine: Wine) -> None:
    listener = (
        "import sys, threading\n"
        "from guestwake.paths import Paths\n"
        "from guestwake.settings import kept, load, resolve\n"
        "from pathlib import Path\n"
        "paths = Paths.under(Path('C:/nowhere'), 0)\n"
        "heard = threading.Semaphore(0)\n"
        "watch = kept.watch(paths, heard.release)\n"
        "watch.keep([])\n"
        "print('listens', flush=True)\n"
        "layers = load(paths, None)\n"
        "while resolve(layers).limits.guest_update_time.hour != 3:\n"
        "    assert heard.acquire(timeout=60)\n"
        "    if layers.changed():\n"
        "        layers = load(paths, None)\n"
        "print('heard', flush=True)\n"
        "watch.close()\n"
    )
    with wine.start(wine.python_exe, "-c", listener) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "listens"
        windows.add(VM, "GuestUpdateTime", "REG_SZ", "02:00")
        windows.add(VM, "GuestUpdateTime", "REG_SZ", "03:00")
        said, errors = process.communicate(timeout=120)
    assert said.strip() == "heard", errors


def test_settings_need_nothing_of_another_system(wine: Wine) -> None:
    """What Windows' Python does not have is asked for only where that runs."""
    names = sorted(
        f"guestwake.settings.{file.stem}"
        for file in (Path(__file__).parents[2] / "src/guestwake/settings").glob("[a-z]*.py")
        if file.stem not in ("toml_writer", "settings_helper")
    )
    code = f"import importlib\nfor name in {names}: importlib.import_module(name)"
    assert wine.python("-c", code, check=False).stderr == ""
