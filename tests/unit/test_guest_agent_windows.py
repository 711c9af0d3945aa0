"""What a Windows guest's registry tells through the agent. No Windows was asked: see
`fake_agent.FakeWindows`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from fake_agent import JUNK, QUIET, WALL, FakeWindows, Place, encoded, without
from hypothesis import given
from hypothesis import strategies as st

from guestwake.guest_agent_windows import (
    AUTO_UPDATE,
    BOOT,
    COMPUTER_NAME,
    LOOKS_MAX,
    SERVICING,
    SETTLED,
    UPDATES,
    parsed,
)
from guestwake_wire.messages import Report, Session, SessionKind

MINUTE = timedelta(minutes=1)


@pytest.fixture
def windows() -> FakeWindows:
    return FakeWindows()


@pytest.fixture
def there(windows: FakeWindows) -> Place:
    """It has been asked, and its first answers are to be fetched."""
    place = Place(windows)
    assert place.ask() is None
    return place


def test_windows_is_asked_at_one_look_and_tells_at_the_next(
    windows: FakeWindows, there: Place
) -> None:
    windows.users = [{"user": "anna", "domain": "OFFICE-7", "login-time": 1795578300.25}]
    assert there.told() == Report(
        number=1,
        time=1795578337,
        boot_id="windows-boot-42",
        agent="qemu-guest-agent 7.2.22",
        os="Windows 10 Pro",
        kernel="10.0.19045",
        busy=None,
        sessions=(Session("anna", SessionKind.GRAPHICAL, 36, None),),
    )
    for what in ("guest-exec", "guest-exec-status") * 3:
        there.told()
        assert windows.calls == [what] * 5 + ["guest-get-users", "guest-get-time"]


def below(key: str, name: str) -> dict[str, str]:
    return {key: f"{QUIET[key]}{key}\\{name}\r\n"}


@pytest.mark.parametrize(
    ("registry", "source"),
    [
        (below(AUTO_UPDATE, "RebootRequired"), "windows-update"),
        (
            {UPDATES: f"\r\n{UPDATES}\r\n    UpdateExeVolatile    REG_DWORD    0x1\r\n\r\n"},
            "update-exe-volatile",
        ),
        (
            {COMPUTER_NAME: QUIET[COMPUTER_NAME].replace("OFFICE-7\r\n\r\n", "Büro-7\r\n\r\n", 1)},
            "computer-rename",
        ),
    ],
)
def test_windows_needs_a_restart(
    windows: FakeWindows, there: Place, registry: dict[str, str], source: str
) -> None:
    windows.registry |= registry
    assert there.sources() == [source]


@pytest.mark.parametrize(
    "registry",
    [
        {UPDATES: f"\r\n{UPDATES}\r\n    UpdateExeVolatile    REG_DWORD    0x0\r\n\r\n"},
        {COMPUTER_NAME: QUIET[COMPUTER_NAME].replace("OFFICE-7", "Office-7", 1)},
        below(AUTO_UPDATE, r"Results\RebootRequired"),
        {AUTO_UPDATE: f"{AUTO_UPDATE}\r\n    RebootRequired    REG_SZ    {AUTO_UPDATE}\r\n"},
    ],
)
def test_windows_needs_none(windows: FakeWindows, there: Place, registry: dict[str, str]) -> None:
    windows.registry |= registry
    assert there.sources() == []


@pytest.mark.parametrize("name", ["RebootPending", "RebootInProgress", "PackagesPending"])
def test_what_windows_setup_says_counts_once_it_has_settled(
    windows: FakeWindows, there: Place, name: str
) -> None:
    windows.registry |= below(SERVICING, name)
    assert there.sources(WALL) == []
    there.ask(WALL + SETTLED / 3)
    assert there.sources(WALL + SETTLED / 2) == []
    there.ask(WALL + SETTLED)
    assert there.sources(WALL + SETTLED) == ["component-based-servicing"]
    windows.registry |= QUIET
    there.ask(WALL + MINUTE)
    assert there.sources(WALL + MINUTE) == []
    windows.registry |= below(SERVICING, name)
    there.ask(WALL + 2 * MINUTE)
    assert there.sources(WALL + 2 * MINUTE) == []


def test_a_question_without_an_answer_is_given_up(windows: FakeWindows, there: Place) -> None:
    windows.registry |= below(AUTO_UPDATE, "RebootRequired")
    windows.slow = {SERVICING}
    for _ in range(LOOKS_MAX - 1):
        assert there.ask() is None
        assert windows.calls.count("guest-exec") == 0
    assert there.sources() == ["windows-update"]
    there.told()
    assert windows.calls.count("guest-exec") == 5


def test_until_then_the_last_round_counts(windows: FakeWindows, there: Place) -> None:
    windows.registry |= below(AUTO_UPDATE, "RebootRequired")
    assert there.sources() == ["windows-update"]
    windows.registry, windows.slow = dict(QUIET), {BOOT}
    for _ in range(LOOKS_MAX):
        assert there.sources() == ["windows-update"]
    assert there.ask() is None  # which boot it is is not known any more


def test_a_restarted_windows_knows_no_old_question(windows: FakeWindows, there: Place) -> None:
    windows.registry |= below(AUTO_UPDATE, "RebootRequired")
    there.told()
    there.told()
    windows.restarts()
    windows.registry = {**QUIET, BOOT: QUIET[BOOT].replace("0x2a", "0x2B")}
    assert there.ask() is None
    assert there.ask() is None
    report = there.told()
    assert (report.boot_id, report.restart) == ("windows-boot-43", ())


def test_windows_that_counts_no_boots_tells_nothing(windows: FakeWindows, there: Place) -> None:
    del windows.registry[BOOT]
    for _ in range(4):
        assert there.ask() is None


def test_windows_agent_that_runs_no_programs_tells_nothing() -> None:
    windows = FakeWindows(info=without("guest-exec"))
    assert Place(windows).ask() is None
    assert windows.calls == ["guest-info", "guest-get-osinfo"]


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
@pytest.mark.parametrize("command", ["guest-exec", "guest-exec-status"])
def test_junk_from_windows_raises_nothing(command: str, junk: Any) -> None:
    place = Place(FakeWindows())
    place.guest.answers[command] = lambda _: junk
    for _ in range(3):
        assert place.reporter.ask(WALL) is None


@pytest.mark.parametrize(
    "status",
    [
        *({"exited": "yes"}, {"exited": 1}, {"exited": True, "exitcode": -1}),
        *({"exited": True, "exitcode": 0, "out-data": bad} for bad in ("%", 5, "A" * (1 << 20))),
        {"exited": True, "exitcode": 0, "out-data": encoded(b"HKEY_\n    a    b\n" * 500)},
        {"exited": True, "signal": 9},
    ],
)
def test_a_status_that_is_none(there: Place, status: Any) -> None:
    there.guest.answers["guest-exec-status"] = lambda _: status
    assert there.ask() is None


# Recorded from Wine 8.0's reg.exe, the only other one there is to ask.
WINE = (
    f"\r\n{AUTO_UPDATE}\r\n    Foo    REG_DWORD    0x3\r\n\r\n{AUTO_UPDATE}\\RebootRequired\r\n"
    f"\r\n{BOOT}\r\n    BootId    REG_DWORD    0x2a\r\n\r\n"
)


def test_what_wine_prints_is_read_the_same_way() -> None:
    assert parsed(WINE) == {
        AUTO_UPDATE.casefold(): {"foo": "0x3"},
        f"{AUTO_UPDATE}\\RebootRequired".casefold(): {},
        BOOT.casefold(): {"bootid": "0x2a"},
    }


@given(st.text(st.sampled_from("HKEY_ \\\r\n\x85xREG_DWORD0x1")))
def test_any_output_is_read(output: str) -> None:
    assert isinstance(parsed(output), dict)
