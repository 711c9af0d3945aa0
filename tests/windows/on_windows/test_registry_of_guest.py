"""The guest's detectors on Windows' own registry, with reg.exe as the other writer."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
import win32con
import win32event
import win32file

from guestwake_guest.windows.detectors import DETECTORS, pending_renames, windows_update
from guestwake_guest.windows.pairing import Token
from guestwake_guest.windows.view import WindowsView
from guestwake_guest.windows.windows_boot import KeptSignal, boot_id
from guestwake_guest.windows.windows_parts import identity, pair, paired, unpair
from guestwake_guest.windows.windows_registry import Watched, WindowsRegistry
from guestwake_wire.messages import Strength

UPDATE = r"SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update"
SERVICING = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing"


def reg(*words: str) -> str:
    done = subprocess.run(("reg", *words), capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def view() -> Iterator[WindowsView]:
    yield WindowsView(WindowsRegistry(), 100.0)
    for key in (rf"{UPDATE}\RebootRequired", SERVICING):
        subprocess.run(("reg", "delete", rf"HKLM\{key}", "/f"), capture_output=True, check=False)


def sources(view: WindowsView) -> set[str]:
    return {found.source for one in DETECTORS if (found := one.find(view))}


def test_what_windows_update_and_servicing_write_is_seen(view: WindowsView) -> None:
    before = sources(view)
    assert "windows-update" not in before
    reg("add", rf"HKLM\{UPDATE}\RebootRequired", "/f", "/reg:64")
    reg("add", rf"HKLM\{SERVICING}\RebootPending", "/f", "/reg:64")
    assert sources(view) == before | {"windows-update", "component-based-servicing"}
    reg("delete", rf"HKLM\{UPDATE}\RebootRequired", "/f", "/reg:64")
    assert windows_update.find(view) is None


def test_a_hotfix_and_a_new_name(view: WindowsView) -> None:
    updates = r"HKLM\SOFTWARE\Microsoft\Updates"
    reg("add", updates, "/v", "UpdateExeVolatile", "/t", "REG_DWORD", "/d", "1", "/f", "/reg:64")
    names = r"SYSTEM\CurrentControlSet\Control\ComputerName"
    registry = WindowsRegistry()
    both = {
        key: registry.value(key, "ComputerName")
        for key in (rf"{names}\ActiveComputerName", rf"{names}\ComputerName")
    }

    def named(*each: str | None) -> None:
        for key, name in zip(both, each, strict=True):
            reg("add", rf"HKLM\{key}", "/v", "ComputerName", "/d", name or "", "/f")

    try:
        named("OLD", "NEW")
        assert {"update-exe", "computer-name"} <= sources(view)
        named("OLD", "OLD")
        assert "computer-name" not in sources(view)
    finally:  # others ask for its name
        named(*both.values())
    reg("add", updates, "/v", "UpdateExeVolatile", "/t", "REG_DWORD", "/d", "0", "/f", "/reg:64")
    assert "update-exe" not in sources(view)


def test_a_file_that_goes_at_the_next_start_is_a_weak_sign(view: WindowsView) -> None:
    path = r"C:\goes at the next start.txt"
    with open(path, "w"):
        pass
    win32file.MoveFileEx(path, None, win32con.MOVEFILE_DELAY_UNTIL_REBOOT)
    found = pending_renames.find(view)
    assert found is not None
    assert found.strength is Strength.WEAK


def heard(watched: Watched) -> bool:
    return bool(win32event.WaitForSingleObject(watched.event, 20_000) == win32event.WAIT_OBJECT_0)


def test_a_change_is_heard_once_for_each_arming(view: WindowsView) -> None:
    watched = Watched(UPDATE)
    reg("add", rf"HKLM\{UPDATE}", "/f", "/reg:64")
    watched.arm()
    for number in range(2):
        reg("add", rf"HKLM\{UPDATE}\RebootRequired", "/v", f"x{number}", "/f", "/reg:64")
        assert heard(watched)
        watched.arm()
    watched.close()


def test_a_key_that_comes_is_heard_by_its_parent() -> None:
    key = r"SOFTWARE\Microsoft\GuestwakeTest\Below\Deep"
    watched = Watched(key)
    watched.arm()
    reg("add", rf"HKLM\{key}", "/f", "/reg:64")
    assert heard(watched)
    watched.arm()
    reg("add", rf"HKLM\{key}", "/v", "x", "/f", "/reg:64")
    assert heard(watched)
    watched.close()
    reg("delete", r"HKLM\SOFTWARE\Microsoft\GuestwakeTest", "/f", "/reg:64")


def test_a_signal_is_kept_for_this_boot() -> None:
    kept = KeptSignal()
    assert kept.read() is None
    kept.write(12.5)
    assert KeptSignal().read() == 12.5
    assert boot_id() == boot_id()
    assert identity().boot_id == boot_id()
    assert identity().os.startswith("Windows")


def test_a_token_is_kept_and_forgotten() -> None:
    assert paired() is None
    new = Token(b"s" * 32, b"f" * 32, "127.0.0.1", 26487)
    pair(new)
    assert paired() == new
    assert unpair()
    assert not unpair()
    assert paired() is None
