"""Windows' registry as it is read and written, with values that no tool would write."""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time
import winreg
from collections.abc import Callable, Iterator
from ctypes import wintypes

import pytest
import win32api

from guestwake.paths_windows import account_name, profile, sid_of
from guestwake.settings import policy_at_rest_windows
from guestwake.settings.registry import RegistrySource, parts
from guestwake.settings.registry_keys import (
    NUMBERS,
    OURS,
    POLICIES,
    RegistryError,
    RegKey,
    RegValue,
    dword,
    text,
    texts,
)
from guestwake.settings.registry_watch_windows import RegistryWatch
from guestwake.settings.registry_windows import WindowsRegistry
from guestwake.settings.registry_writer import value
from guestwake.settings.source import USER_BYTES_MAX
from guestwake.settings.table import SETTINGS, Setting

ROOT = rf"HKCU\{OURS}"
VM = rf"{ROOT}\VM"
POLICY = rf"HKLM\{POLICIES}\VM"
REGISTRY = WindowsRegistry()
HEARS = 30.0  # seconds until a test gives up on what comes in a moment
BYTES = 1024 * 1024


@pytest.fixture(autouse=True)
def nothing_there() -> Iterator[None]:
    remove(r"SOFTWARE\Microsoft\MEDV")
    yield
    remove(r"SOFTWARE\Microsoft\MEDV")


def remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        with winreg.OpenKeyEx(winreg.HKEY_CURRENT_USER, path, 0x8, winreg.KEY_READ) as key:
            names = [winreg.EnumKey(key, at) for at in range(winreg.QueryInfoKey(key)[0])]
        for name in names:
            remove(rf"{path}\{name}")
        winreg.DeleteKey(winreg.HKEY_CURRENT_USER, path)


def read() -> RegKey:
    tree = REGISTRY.read(ROOT, BYTES)
    assert tree is not None
    (key,) = tree.keys
    return key


def problems() -> list[str]:
    tree = REGISTRY.read(ROOT, BYTES)
    assert tree is not None
    return [str(each) for part in parts(ROOT, tree) for each in part.problems]


def test_no_key_is_no_trouble() -> None:
    assert REGISTRY.read(ROOT, BYTES) is None
    REGISTRY.delete(VM, "GuestUpdateTime")
    REGISTRY.delete_empty(VM)


ODD = [
    RegValue("Nothing", NUMBERS["REG_NONE"], b""),
    RegValue("Short", NUMBERS["REG_DWORD"], b"\1\2\3"),
    RegValue("Long", NUMBERS["REG_QWORD"], bytes(8)),
    RegValue("Binary", NUMBERS["REG_BINARY"], bytes(range(256))),
    RegValue("Expands", NUMBERS["REG_EXPAND_SZ"], "%TEMP%\0".encode("utf-16-le")),
    RegValue("GoesOn", NUMBERS["REG_SZ"], "03:30\0evil\0".encode("utf-16-le")),
    RegValue("OddBytes", NUMBERS["REG_SZ"], b"\x30\x00\x31"),
    RegValue("Surrogate", NUMBERS["REG_SZ"], b"\x00\xd8\x00\x00"),
    RegValue("OfNoType", 4711, b"x"),
    RegValue("", NUMBERS["REG_SZ"], "default\0".encode("utf-16-le")),
    text('a "quoted" $name; with ☃ and 机', "03:30"),
]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.name)
def test_values_are_read_as_they_are_stored(odd: RegValue) -> None:
    REGISTRY.write(VM, odd)
    assert read().values == (odd,)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_what_is_written_is_what_others_read(setting: Setting) -> None:
    plain = setting.kind.plain(setting.default)
    plain = "Europe/Berlin" if plain is None else plain
    REGISTRY.write(rf"{ROOT}\{setting.key}", value(setting, plain))
    with winreg.OpenKey(winreg.HKEY_CURRENT_USER, rf"{OURS}\{setting.key}") as key:
        there, kind = winreg.QueryValueEx(key, setting.name)
    assert kind == NUMBERS[setting.kind.registry]
    assert there == ([plain] if kind == winreg.REG_MULTI_SZ else plain)


NAMES = ['"quoted"', "a;b", "$HOME", "%TEMP%", "two words", "a/b", "wéb ☃ 机", ".", "x" * 255]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_workspace_of_any_name_has_a_key_that_goes_with_its_last_value(name: str) -> None:
    path = rf"{VM}\{name}"
    REGISTRY.write(path, dword("GuestUpdateDuration", 5))
    REGISTRY.write(path, text("GuestUpdateTime", "03:30"))
    assert [each.name for each in read().keys] == [name]
    REGISTRY.delete(path, "GuestUpdateDuration")
    REGISTRY.delete_empty(path)
    assert [each.name for each in read().keys] == [name]
    REGISTRY.delete(path, "guestupdatetime")
    REGISTRY.delete_empty(path)
    assert read() == RegKey("VM")


def test_a_name_of_a_key_that_is_too_long_is_refused() -> None:
    with pytest.raises(RegistryError):
        REGISTRY.write(rf"{VM}\{'x' * 300}", dword("GuestUpdateDuration", 5))


def test_several_days_are_one_value() -> None:
    REGISTRY.write(VM, texts("GuestUpdateDays", ["Monday", "Thu"]))
    with winreg.OpenKey(winreg.HKEY_CURRENT_USER, rf"{OURS}\VM") as key:
        assert winreg.QueryValueEx(key, "GuestUpdateDays")[0] == ["Monday", "Thu"]


# what a hostile user may put there, and the service reads


def test_more_than_is_read_is_told_and_not_taken() -> None:
    REGISTRY.write(VM, dword("GuestUpdateDuration", 5))
    big = RegValue("Big", NUMBERS["REG_BINARY"], bytes(USER_BYTES_MAX))
    REGISTRY.write(rf"{ROOT}\UserExperience", big)
    tree = REGISTRY.read(ROOT, USER_BYTES_MAX)
    assert tree is not None
    troubles = {key.name: key.trouble for key in tree.keys}
    assert "64 KiB in all" in str(troubles["UserExperience"])
    assert REGISTRY.read(ROOT, 2 * USER_BYTES_MAX + 4096) is not None


def test_many_keys_are_too_much_as_well() -> None:
    for number in range(200):
        REGISTRY.write(rf"{VM}\{number:0200}", dword("GuestUpdateDuration", 5))
    tree = REGISTRY.read(ROOT, USER_BYTES_MAX)
    assert tree is not None
    assert "64 KiB in all" in str([each.trouble for each in tree.keys])


def test_what_lies_deep_is_not_read_but_told() -> None:
    REGISTRY.write(rf"{VM}\web01\a\b\c\d", text("GuestUpdateTime", "03:30"))
    (told,) = problems()
    assert r"VM\web01: a: nothing is read so far below" in told


def link(path: str, target: str) -> None:
    """A key that leads to another, which only a native call can make."""
    create = ctypes.windll.advapi32.RegCreateKeyExW
    key = wintypes.HKEY()
    volatile_link, access = 0x2, winreg.KEY_WRITE | 0x20  # REG_OPTION_CREATE_LINK, KEY_CREATE_LINK
    code = create(
        ctypes.c_void_p(winreg.HKEY_CURRENT_USER),
        ctypes.c_wchar_p(path),
        0,
        None,
        volatile_link,
        access,
        None,
        ctypes.byref(key),
        None,
    )
    assert code == 0, ctypes.WinError(code)
    data = target.encode("utf-16-le")
    set_ = ctypes.windll.advapi32.RegSetValueExW
    code = set_(key, "SymbolicLinkValue", 0, NUMBERS["REG_LINK"], data, len(data))
    ctypes.windll.advapi32.RegCloseKey(key)
    assert code == 0, ctypes.WinError(code)


@pytest.mark.parametrize("place", [OURS, rf"{OURS}\VM", rf"{OURS}\VM\web01"])
def test_a_link_is_not_followed(place: str) -> None:
    elsewhere = r"SOFTWARE\Elsewhere"
    REGISTRY.write(rf"HKCU\{elsewhere}", text("GuestUpdateTime", "03:30"))
    above = place.rpartition("\\")[0]
    winreg.CreateKey(winreg.HKEY_CURRENT_USER, above).Close()
    sid = sid_of(account_name())
    link(place, rf"\REGISTRY\USER\{sid}\{elsewhere}")
    try:
        with winreg.OpenKey(winreg.HKEY_CURRENT_USER, place) as key:  # it does lead there
            assert winreg.QueryValueEx(key, "GuestUpdateTime")[0] == "03:30"
        (told,) = problems()
        assert "this is a link" in told
    finally:
        unlink(place)
        remove(elsewhere)


def unlink(path: str) -> None:
    with winreg.OpenKeyEx(winreg.HKEY_CURRENT_USER, path, 0x8, 0x10000) as key:  # DELETE
        assert ctypes.windll.ntdll.NtDeleteKey(ctypes.c_void_p(int(key))) == 0


# Group Policy, which Wine has not: it is a double that is at work until it is told to end


class FakeGroupPolicy:
    def __init__(self) -> None:
        self.ends = threading.Event()
        self.asked: list[bool] = []

    def enter(self, *, machine: bool) -> None:
        self.asked.append(machine)
        assert self.ends.wait(HEARS)


@pytest.fixture
def group_policy(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGroupPolicy]:
    double = FakeGroupPolicy()
    monkeypatch.setattr(policy_at_rest_windows, "_enter", double.enter)
    REGISTRY.write(POLICY, text("GuestUpdateTime", "03:30"))
    yield double
    double.ends.set()
    REGISTRY.delete(POLICY, "GuestUpdateTime")


def policy() -> RegKey:
    tree = REGISTRY.read(rf"HKLM\{POLICIES}", BYTES)
    assert tree is not None
    return tree


def test_a_policy_is_read_when_group_policy_is_done_with_it(
    group_policy: FakeGroupPolicy,
) -> None:
    group_policy.ends.set()
    assert policy().keys[0].values == (text("GuestUpdateTime", "03:30"),)
    REGISTRY.read(rf"HKCU\{POLICIES}", BYTES)
    REGISTRY.read(rf"HKLM\{OURS}", BYTES)
    assert group_policy.asked == [True, False]


def test_group_policy_that_does_not_end_is_not_waited_for(
    group_policy: FakeGroupPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy_at_rest_windows, "_PATIENCE", 0.05)
    assert "Group Policy has been at work" in str(policy().trouble)
    monkeypatch.setattr(policy_at_rest_windows, "_PATIENCE", HEARS)
    for _ in range(3):  # at once
        assert "Group Policy has been at work" in str(policy().trouble)
    assert group_policy.asked == [True]  # nobody asks a second time meanwhile
    group_policy.ends.set()
    deadline = time.monotonic() + HEARS
    while policy().trouble is not None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_windows_lets_itself_be_held_up() -> None:
    """Wine only says so."""
    assert policy_at_rest_windows.at_rest(lambda: 1, machine=True) == 1
    assert policy_at_rest_windows.at_rest(lambda: 2, machine=False) == 2


# changes


class Ear:
    """Listens to our keys."""

    def __init__(self) -> None:
        self._heard = threading.Semaphore(0)
        self.watch = RegistryWatch(self._heard.release)
        self.watch.keep([ROOT])
        for _ in range(2):  # once at its start, and once where something else is wanted
            self.hears()

    def hears(self) -> None:
        assert self._heard.acquire(timeout=HEARS), "nothing was heard"


@pytest.fixture
def ear() -> Iterator[Ear]:
    REGISTRY.write(VM, text("GuestUpdateTime", "03:30"))
    one = Ear()
    yield one
    one.watch.close()


def change_a_value() -> None:
    REGISTRY.write(VM, text("GuestUpdateTime", "03:31"))


def add_a_value() -> None:
    REGISTRY.write(VM, dword("GuestUpdateDuration", 5))


def take_a_value_out() -> None:
    REGISTRY.delete(VM, "GuestUpdateTime")


def make_a_key_below() -> None:
    winreg.CreateKey(winreg.HKEY_CURRENT_USER, rf"{OURS}\VM\web01").Close()


def remove_all() -> None:
    remove(r"SOFTWARE\Microsoft\MEDV")


@pytest.mark.parametrize(
    "change", [change_a_value, add_a_value, take_a_value_out, make_a_key_below, remove_all]
)
def test_a_change_is_heard(ear: Ear, change: Callable[[], None]) -> None:
    change()
    ear.hears()


@pytest.mark.parametrize("there", ["SOFTWARE", r"SOFTWARE\Microsoft\MEDV"])
def test_a_key_that_was_not_there_is_heard(there: str) -> None:
    winreg.CreateKey(winreg.HKEY_CURRENT_USER, there).Close()
    ear = Ear()
    try:
        REGISTRY.write(VM, text("GuestUpdateTime", "03:30"))
        while REGISTRY.read(VM, BYTES) != RegKey("VM", (text("GuestUpdateTime", "03:30"),)):
            ear.hears()
        ear.hears()
    finally:
        ear.watch.close()


def test_keys_that_come_and_go_are_heard_to_the_end(ear: Ear) -> None:
    """Who reads only when told ends with what is there."""
    for minute in range(10):
        remove(r"SOFTWARE\Microsoft\MEDV")
        REGISTRY.write(VM, text("GuestUpdateTime", f"03:{minute:02}"))
    seen = None
    while seen != (text("GuestUpdateTime", "03:09"),):
        ear.hears()
        tree = REGISTRY.read(VM, BYTES)
        seen = tree and tree.values


def test_other_keys_are_not_heard_and_it_ends(ear: Ear) -> None:
    REGISTRY.write(r"HKCU\SOFTWARE\Elsewhere", dword("GuestUpdateDuration", 5))
    remove(r"SOFTWARE\Elsewhere")
    ear.watch.close()
    assert not ear._heard.acquire(blocking=False)


# users


def test_who_calls_has_a_name_and_a_place() -> None:
    name = account_name()
    assert name.rpartition("\\")[2] == win32api.GetUserName()
    hive = REGISTRY.hive_of(name)
    assert hive == rf"HKU\{sid_of(name)}"
    assert REGISTRY.is_loaded(hive)
    REGISTRY.write(VM, text("GuestUpdateTime", "03:30"))
    assert REGISTRY.read(rf"{hive}\{OURS}", BYTES) == REGISTRY.read(ROOT, BYTES)
    assert profile(name) is not None


def test_who_is_not_there_has_none() -> None:
    assert REGISTRY.hive_of("no-such-user-here") is None
    assert profile("no-such-user-here") is None
    assert not REGISTRY.is_loaded(r"HKU\S-1-5-21-1-2-3-4711")


def test_a_group_is_no_user() -> None:
    assert sid_of("Everyone") is None


def test_a_source_stays_the_same_until_something_changes(tmp_path: object) -> None:
    from pathlib import Path

    from guestwake.paths import Paths

    paths = Paths.under(Path(str(tmp_path)), 1)
    source = RegistrySource(paths, account_name(), REGISTRY)
    before = source.signature()
    assert source.signature() == before
    REGISTRY.write(VM, text("GuestUpdateTime", "03:30"))
    assert source.signature() != before
