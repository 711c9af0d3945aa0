"""MED-V's event under Windows' own rules: who may open it with which rights, who else makes one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
import pywintypes
import win32api
import win32con
import win32event
import win32process
import win32security
import winerror

from guestwake_guest.windows import windows_watch
from guestwake_guest.windows.windows_event import SDDL, RestartEvent, Squatted, set_event
from guestwake_guest.windows.windows_watch import Watch

MODIFY, SYNCHRONIZE, ALL = win32event.EVENT_MODIFY_STATE, win32con.SYNCHRONIZE, 0x1F0003
DENIED = winerror.ERROR_ACCESS_DENIED


@pytest.fixture
def name() -> str:
    """Each test has one of its own: names are of the whole machine."""
    return rf"Global\GuestwakeTest-{uuid4().hex}"


def until(true: Callable[[], object]) -> bool:
    deadline = time.monotonic() + 20
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_set(handle: object) -> bool:
    return bool(win32event.WaitForSingleObject(handle, 0) == win32event.WAIT_OBJECT_0)


OPEN_EACH = """\
import json, sys, pywintypes, win32event
said = []
for rights in json.loads(sys.argv[2]):
    try:
        handle = win32event.OpenEvent(rights, 0, sys.argv[1])
        rights & 2 and win32event.SetEvent(handle)
        said.append(0)
    except pywintypes.error as error:
        said.append(error.winerror)
with open(sys.argv[3], "w") as file:
    json.dump(said, file)
"""
MORE = (
    *(ALL, SYNCHRONIZE, SYNCHRONIZE | MODIFY, win32con.WRITE_DAC, win32con.WRITE_OWNER),
    *(win32con.DELETE, win32con.READ_CONTROL | MODIFY),
)


def errors(name: str, folder: Path, token: object = None) -> list[int]:
    """Of another process that opens it with modify rights alone, and with more; each 0 where it was
    opened. `token`: whose process it is; None: ours."""
    told, program = folder / "said.json", folder / "open_each.py"
    program.write_text(OPEN_EACH)
    words = (sys.executable, str(program), name, json.dumps([MODIFY, *MORE]), str(told))
    if token is None:
        subprocess.run(words, check=True)
    else:
        line, startup = subprocess.list2cmdline(words), win32process.STARTUPINFO()
        process, *_ = win32process.CreateProcessAsUser(
            token, None, line, None, None, 0, 0, None, None, startup
        )
        win32event.WaitForSingleObject(process, 60_000)
        assert win32process.GetExitCodeProcess(process) == 0
    return list(json.loads(told.read_text()))


# -- the page's own way


def test_modify_alone_opens_and_sets_it(name: str) -> None:
    event = RestartEvent(name)
    assert event.squatted is None
    assert not is_set(event.handle)
    set_event(name)
    assert is_set(event.handle)
    assert not is_set(event.handle)  # it resets itself
    event.close()


@pytest.mark.parametrize("rights", MORE)
def test_more_rights_are_refused(name: str, rights: int) -> None:
    event = RestartEvent(name)
    with pytest.raises(pywintypes.error) as raised:
        win32event.OpenEvent(rights, 0, name)
    assert raised.value.winerror == DENIED
    event.close()


def test_another_process_has_the_same_rights(name: str, tmp_path: Path) -> None:
    event = RestartEvent(name)
    assert errors(name, tmp_path) == [0, *[DENIED] * len(MORE)]
    assert is_set(event.handle)
    event.close()


def test_a_restricted_token_has_the_same_rights(name: str, tmp_path: Path) -> None:
    """As of a browser's or an installer's less trusted part: no administrator, no privileges."""
    event = RestartEvent(name)
    own = win32security.OpenProcessToken(win32api.GetCurrentProcess(), win32con.MAXIMUM_ALLOWED)
    administrators = win32security.CreateWellKnownSid(
        win32security.WinBuiltinAdministratorsSid, None
    )
    less = win32security.CreateRestrictedToken(
        own, win32security.DISABLE_MAX_PRIVILEGE, [(administrators, 0)], [], []
    )
    assert errors(name, tmp_path, less) == [0, *[DENIED] * len(MORE)]
    assert is_set(event.handle)
    event.close()


def test_it_ends_with_its_service(name: str) -> None:
    RestartEvent(name).close()
    with pytest.raises(pywintypes.error) as raised:
        set_event(name)
    assert raised.value.winerror == winerror.ERROR_FILE_NOT_FOUND


# -- somebody else's


def made_by_another(name: str, sddl: str | None, *, manual: bool = False) -> object:
    attributes = None
    if sddl is not None:
        attributes = pywintypes.SECURITY_ATTRIBUTES()
        attributes.SECURITY_DESCRIPTOR = (
            win32security.ConvertStringSecurityDescriptorToSecurityDescriptor(
                sddl, win32security.SDDL_REVISION_1
            )
        )
    return win32event.CreateEvent(attributes, manual, 0, name)


def test_one_that_was_made_before_is_heard_and_told(name: str) -> None:
    other = made_by_another(name, None)
    event = RestartEvent(name)
    assert event.squatted is not None
    assert name in event.squatted
    win32event.SetEvent(other)
    assert is_set(event.handle)
    event.close()


def test_one_that_may_only_be_waited_for_is_heard(name: str) -> None:
    other = made_by_another(name, "O:SYG:SYD:P(A;;0x100000;;;WD)")
    event = RestartEvent(name)
    assert event.squatted is not None
    win32event.SetEvent(other)
    assert is_set(event.handle)
    event.reset()  # may not be, and does no harm
    event.close()


def test_one_that_lets_nobody_in_is_told(name: str) -> None:
    other = made_by_another(name, "O:SYG:SYD:P(D;;GA;;;WD)")
    with pytest.raises(Squatted, match="somebody else"):
        RestartEvent(name)
    del other


def test_a_name_of_another_kind_is_told(name: str) -> None:
    other = win32event.CreateMutex(None, 0, name)
    with pytest.raises(Squatted):
        RestartEvent(name)
    other.Close()


# -- the thread that waits


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def watch(name: str, heard: list[str]) -> Iterator[Watch]:
    made = Watch((), lambda: heard.append("signal"), lambda: heard.append("change"), name)
    yield made
    made.close()


def test_a_signal_is_heard(watch: Watch, name: str, heard: list[str]) -> None:
    set_event(name)
    assert until(lambda: heard == ["signal"])
    set_event(name)
    assert until(lambda: heard == ["signal"] * 2)


def test_one_that_somebody_keeps_set_is_heard_on_and_on(name: str, heard: list[str]) -> None:
    """Once a second: the thread pauses after each."""
    other = made_by_another(name, "O:SYG:SYD:P(A;;0x100000;;;WD)", manual=True)
    win32event.SetEvent(other)
    watch = Watch((), lambda: heard.append("signal"), lambda: None, name)
    assert until(lambda: len(heard) >= 3)
    watch.close()


KEEPS_SET = "O:SYG:SYD:P(A;;0x100000;;;WD)"


def test_one_that_is_kept_set_does_not_hide_a_change(name: str, heard: list[str]) -> None:
    other = made_by_another(name, KEEPS_SET, manual=True)
    win32event.SetEvent(other)
    key = rf"SOFTWARE\Microsoft\GuestwakeTest-{uuid4().hex}"
    subprocess.run(("reg", "add", rf"HKLM\{key}", "/f", "/reg:64"), check=True)
    watch = Watch((key,), lambda: heard.append("signal"), lambda: heard.append("change"), name)
    assert until(lambda: heard.count("signal") > 1)
    before = heard.count("change")
    subprocess.run(("reg", "add", rf"HKLM\{key}", "/v", "x", "/f", "/reg:64"), check=True)
    assert until(lambda: heard.count("change") > before)
    watch.close()
    subprocess.run(("reg", "delete", rf"HKLM\{key}", "/f", "/reg:64"), check=True)


def test_one_that_is_kept_set_is_replaced_once_its_maker_is_gone(
    name: str, heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows_watch, "EACH", 0.0)
    other = made_by_another(name, KEEPS_SET, manual=True)
    win32event.SetEvent(other)
    watch = Watch((), lambda: heard.append("signal"), lambda: None, name)
    assert until(lambda: heard)
    with pytest.raises(pywintypes.error):
        set_event(name)
    other.Close()  # type: ignore[attr-defined]

    def may_be_set() -> bool:
        with suppress(pywintypes.error):
            set_event(name)
            return True
        return False

    assert until(may_be_set)
    watch.close()


def test_the_descriptor_is_understood() -> None:
    win32security.ConvertStringSecurityDescriptorToSecurityDescriptor(
        SDDL, win32security.SDDL_REVISION_1
    )
