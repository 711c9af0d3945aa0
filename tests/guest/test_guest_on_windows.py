"""What a Windows guest finds and says, on a pretend Windows (windows_scene.py)."""

from __future__ import annotations

import pytest
from windows_scene import Scene, until

from guestwake_guest.windows.sessions import sessions
from guestwake_guest.windows.signal import WindowsSignal
from guestwake_guest.windows.update_client import (
    ASK_AGAIN,
    PATIENCE,
    REPORT_WAITS,
    Answer,
    Entry,
)
from guestwake_wire.messages import ClientState, Reason, SessionKind, Strength
from guestwake_wire.terminal_services import Told, untold

SERVICING = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing"
AUTO_UPDATE = r"SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update"
MANAGER = r"SYSTEM\CurrentControlSet\Control\Session Manager"
NAMES = r"SYSTEM\CurrentControlSet\Control\ComputerName"
SECOND = 10_000_000


@pytest.fixture
def scene() -> Scene:
    return Scene()


def found(scene: Scene) -> dict[str, Reason]:
    return {reason.source: reason for reason in scene.guest.look().restart}


# -- restart required


def test_a_fresh_windows_wants_none(scene: Scene) -> None:
    assert found(scene) == {}


STRONG = [
    ("windows-update", rf"{AUTO_UPDATE}\RebootRequired", {}),
    ("update-exe", r"SOFTWARE\Microsoft\Updates", {"UpdateExeVolatile": 2}),
    (
        "configuration-manager",
        r"SOFTWARE\Microsoft\SMS\Mobile Client\Reboot Management\RebootData",
        {},
    ),
]


@pytest.mark.parametrize(("source", "key", "values"), STRONG)
def test_a_source_says_so_and_no_more(
    scene: Scene, source: str, key: str, values: dict[str, object]
) -> None:
    scene.registry.values[key] = values
    assert {name: one.strength for name, one in found(scene).items()} == {source: Strength.STRONG}
    scene.now += 40
    assert found(scene)[source].since == 40
    del scene.registry.values[key]
    assert found(scene) == {}


@pytest.mark.parametrize("name", ["RebootPending", "RebootInProgress", "PackagesPending"])
def test_servicing_counts_once_it_has_settled(scene: Scene, name: str) -> None:
    scene.registry.values[rf"{SERVICING}\{name}"] = {}
    assert found(scene) == {}
    assert scene.guest.next_end(scene.now) == scene.now + 15
    scene.now += 14
    assert not looks(scene)
    assert found(scene) == {}
    scene.now += 1
    assert looks(scene)  # it does not wait for the next look
    assert not looks(scene)
    assert name in found(scene)["component-based-servicing"].text
    assert scene.guest.next_end(scene.now) is None


def test_who_asks_once_waits_until_it_has_settled(scene: Scene) -> None:
    scene.registry.values[rf"{SERVICING}\RebootPending"] = {}

    def wait(seconds: float) -> None:
        scene.now += seconds

    before = scene.now
    (reason,) = scene.guest.settled(wait).restart
    assert reason.source == "component-based-servicing"
    assert 15 <= scene.now - before < 30
    scene.registry.values.clear()
    before = scene.now
    assert scene.guest.settled(wait).restart == ()
    assert scene.now == before


def looks(scene: Scene) -> bool:
    """Windows Update's first answer aside, which comes when it does."""
    until(lambda: not scene.guest.is_unsure())
    scene.updates.has_news()
    return scene.guest.tend(scene.now)


def test_a_watched_key_that_changes_lets_it_look_once(scene: Scene) -> None:
    scene.guest.changed()
    assert looks(scene)
    assert not looks(scene)


def test_servicing_that_comes_and_goes_is_nothing(scene: Scene) -> None:
    for _ in range(5):
        scene.registry.values[rf"{SERVICING}\RebootPending"] = {}
        assert found(scene) == {}
        scene.now += 10
        scene.registry.values.clear()
        assert found(scene) == {}
        scene.now += 10


def test_a_new_computer_name(scene: Scene) -> None:
    scene.registry.values[rf"{NAMES}\ActiveComputerName"] = {"ComputerName": "OLD"}
    scene.registry.values[rf"{NAMES}\ComputerName"] = {"ComputerName": "old"}
    assert found(scene) == {}
    scene.registry.values[rf"{NAMES}\ComputerName"] = {"ComputerName": "NEW"}
    assert "'NEW'" in found(scene)["computer-name"].text


def test_pending_renames_are_a_weak_sign(scene: Scene) -> None:
    names = [r"\??\C:\a", "", r"\??\C:\b", r"!\??\C:\c"]
    scene.registry.values[MANAGER] = {"PendingFileRenameOperations": names}
    (only,) = scene.guest.look().restart
    assert only.strength is Strength.WEAK
    assert only.text.startswith("2 files")


JUNK = [b"\0" * 9, "text", 0, None, [], {}, 2**64]


@pytest.mark.parametrize("junk", JUNK)
def test_values_of_any_type_harm_nobody(scene: Scene, junk: object) -> None:
    scene.registry.values = {
        MANAGER: {"PendingFileRenameOperations": junk},
        rf"{NAMES}\ActiveComputerName": {"ComputerName": junk},
        rf"{NAMES}\ComputerName": {"ComputerName": "x"},
        r"SOFTWARE\Microsoft\Updates": {"UpdateExeVolatile": junk},
    }
    assert set(found(scene)) <= {"computer-name", "update-exe"}


def test_what_cannot_be_read_is_what_it_was(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.registry.values[rf"{AUTO_UPDATE}\RebootRequired"] = {}
    assert set(found(scene)) == {"windows-update"}
    scene.registry.trouble = PermissionError("no")
    assert set(found(scene)) == {"windows-update"}
    assert "windows-update" in capsys.readouterr().err


# -- the ESD signal


def test_a_signal_is_heard_once_and_kept_for_the_boot(scene: Scene) -> None:
    signal = WindowsSignal(scene.kept, scene.elapsed)
    assert not signal.is_readable()
    signal.heard()
    assert signal.is_readable()
    assert signal.take()
    assert not signal.is_readable()
    assert signal.paused_until == scene.now + 1
    scene.now += 30
    signal.heard()
    assert not signal.take()  # it is known
    assert found(scene)["esd-signal"] == Reason(
        "esd-signal", Strength.STRONG, 30, "asked for without a reason"
    )
    scene.kept.trouble = PermissionError("no")
    assert set(found(scene)) == {"esd-signal"}  # it was, and nobody says that it is not
    scene.kept.trouble = None
    scene.kept.given = None  # another boot
    assert found(scene) == {}


def test_a_signal_that_cannot_be_kept_is_tried_again(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    signal = WindowsSignal(scene.kept, scene.elapsed)
    signal.heard()
    scene.kept.trouble = OSError("no")
    for _ in range(3):
        assert not signal.take()
        assert signal.is_readable()
    assert capsys.readouterr().err.count("could not be recorded") == 1
    scene.kept.trouble = None
    assert signal.take()
    assert scene.kept.given == scene.now


# -- who is here


def told(user: str = "anna", state: int = 0, station: str = "Console", **times: int) -> Told:
    now = 1_000 * SECOND
    return Told(
        user,
        state,
        station,
        times.get("logged_on", now - 600 * SECOND),
        times.get("last_input", 0),
        now,
    )


def test_the_console_has_a_person_of_whose_input_nobody_can_tell(scene: Scene) -> None:
    scene.sessions = [told()]
    (anna,) = scene.guest.look().sessions
    assert (anna.user, anna.kind, anna.since, anna.input) == (
        "anna",
        SessionKind.GRAPHICAL,
        600,
        None,
    )


def test_a_remote_session_tells_its_input() -> None:
    (one,) = sessions([told(station="RDP-Tcp#1", last_input=970 * SECOND)])
    assert (one.kind, one.input) == (SessionKind.REMOTE, 30)


def test_services_listeners_and_empty_stations_are_nobody() -> None:
    nobody = [told(user=""), told(state=6), told(state=9)]
    assert sessions(nobody) == ()
    assert len(sessions([told(state=4)])) == 1  # disconnected: the work is still there


UNTOLD = [
    (1, 0, 5, ["?"]),  # access denied
    (1, 4, 0, ["?"]),  # less than it should
    (1, 6, 5, []),  # a listener
    (0, 4, 5, []),  # the services'
    (1, 0, 2, []),  # ended since
    (1, 0, 7022, []),
]


@pytest.mark.parametrize(("number", "windows_state", "error", "users"), UNTOLD)
def test_a_session_of_which_nothing_is_told_may_have_somebody(
    number: int, windows_state: int, error: int, users: list[str]
) -> None:
    session = untold(number, windows_state, error)
    found = sessions([session] if session else [])
    assert [one.user for one in found] == users
    assert [one.input for one in found] == [None] * len(users)  # work at risk, and no use


def test_the_latest_input_comes_first_and_many_are_cut() -> None:
    many = [told(f"u{n}", last_input=(1000 - n) * SECOND) for n in range(40)]
    found = sessions([told("?"), *reversed(many)])
    assert [one.user for one in found[:3]] == ["u0", "u1", "u2"]
    assert len(found) == 16


def test_names_are_cleaned() -> None:
    (one,) = sessions([told("a\x1b[2J\nb" + "x" * 200)])
    assert "\x1b" not in one.user
    assert "\n" not in one.user
    assert len(one.user) <= 64


def test_where_nobody_can_tell_somebody_may_be_there(scene: Scene) -> None:
    scene.sessions = OSError("no")
    (one,) = scene.guest.look().sessions
    assert (one.user, one.input) == ("?", None)


# -- Windows Update


OPENED = 1_800_000_000.0


def state(scene: Scene) -> ClientState:
    scene.guest.look()
    assert until(lambda: not scene.guest.is_unsure())
    return scene.guest.look().clients[0].state


STATES = [
    (Answer(True, None), ClientState.BUSY, True),
    (Answer(False, 3), ClientState.IDLE, False),
    (Answer(False, 0), ClientState.IDLE, False),
    (OSError("the service is disabled"), ClientState.UNKNOWN, None),
]


@pytest.mark.parametrize(("answer", "expected", "busy"), STATES)
def test_what_it_answers_is_told(
    scene: Scene, answer: Answer | Exception, expected: ClientState, *, busy: bool | None
) -> None:
    scene.agent.answer = answer
    assert state(scene) is expected
    assert scene.guest.look().busy is busy
    assert scene.guest.tend(scene.now)
    assert not scene.guest.tend(scene.now)


LOOKS = [
    (OPENED - 1, ClientState.IDLE),  # of an older day: there may be new ones today
    (OPENED, ClientState.NOTHING_LEFT),
    (None, ClientState.IDLE),
]


@pytest.mark.parametrize(("looked_at", "expected"), LOOKS)
def test_nothing_is_left_where_it_has_looked_in_the_window(
    scene: Scene, looked_at: float | None, expected: ClientState
) -> None:
    scene.agent.answer = Answer(False, 0, (), looked_at)
    scene.guest.opened(OPENED)
    assert state(scene) is expected
    scene.guest.opened(None)
    assert scene.guest.look().clients[0].state is ClientState.IDLE


def test_it_is_asked_each_minute_and_at_once_when_a_window_opens(scene: Scene) -> None:
    assert state(scene) is ClientState.IDLE
    assert until(lambda: scene.guest.tend(scene.now))  # the first answer's news
    scene.guest.look()
    assert scene.agent.asked == 1
    scene.now += ASK_AGAIN
    scene.guest.look()
    assert until(lambda: scene.agent.asked == 2)
    assert until(lambda: scene.guest.tend(scene.now))
    scene.guest.opened(0.0)
    scene.guest.look()
    assert until(lambda: scene.agent.asked == 3)


def test_one_that_hangs_is_waited_for_and_then_unknown(scene: Scene) -> None:
    assert state(scene) is ClientState.IDLE
    scene.agent.may_answer.clear()
    scene.now += ASK_AGAIN
    assert scene.guest.look().clients[0].state is ClientState.IDLE
    assert until(lambda: scene.agent.asked == 2)
    scene.now += PATIENCE + 1
    assert scene.guest.look().clients[0].state is ClientState.UNKNOWN
    assert scene.guest.look().busy is None
    assert scene.agent.asked == 2  # nobody asks a second one beside it
    scene.agent.may_answer.set()


def test_one_that_hangs_while_a_window_opens_is_unknown_too(scene: Scene) -> None:
    assert state(scene) is ClientState.IDLE
    assert scene.guest.tend(scene.now)
    scene.agent.may_answer.clear()
    scene.now += ASK_AGAIN
    scene.guest.look()
    assert until(lambda: scene.agent.asked == 2)
    scene.guest.opened(OPENED)
    scene.now += PATIENCE + 1
    assert scene.guest.look().clients[0].state is ClientState.UNKNOWN
    scene.agent.may_answer.set()  # what it brings may be older than the window
    assert until(lambda: scene.guest.tend(scene.now))
    scene.guest.look()
    assert until(lambda: scene.agent.asked == 3)


def test_one_that_fails_slowly_holds_up_only_the_first_report(scene: Scene) -> None:
    scene.agent.answer = OSError("the service is disabled")
    assert state(scene) is ClientState.UNKNOWN
    scene.agent.may_answer.clear()
    scene.now += ASK_AGAIN
    scene.guest.look()
    assert until(lambda: scene.agent.asked == 2)
    assert not scene.guest.is_unsure()
    scene.agent.may_answer.set()


def test_a_first_answer_that_does_not_come_holds_up_no_report_for_long(scene: Scene) -> None:
    scene.agent.may_answer.clear()
    assert scene.guest.look().busy is None
    assert scene.guest.is_unsure()
    scene.now += REPORT_WAITS
    assert not scene.guest.is_unsure()
    scene.agent.may_answer.set()


def test_a_nudge_that_fails_is_told_and_no_answer(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    assert state(scene) is ClientState.IDLE
    scene.agent.nudge_fails = FileNotFoundError("UsoClient.exe")
    scene.guest.nudge(scene.now)
    said = ""

    def told_so() -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return "UsoClient.exe" in said

    assert until(told_so)
    assert scene.guest.look().clients[0].state is ClientState.IDLE


def test_what_was_installed_is_told(scene: Scene) -> None:
    scene.agent.answer = Answer(False, 0, tuple(Entry(f"KB{n}", n) for n in range(40)))
    state(scene)
    client = scene.guest.look().clients[0]
    assert len(client.installed) == 32
    assert client.more == 8
    assert client.installed[0].name == "KB0"


def test_a_nudge_goes_to_windows_own_client(scene: Scene) -> None:
    scene.guest.nudge(scene.now)
    assert until(lambda: scene.agent.nudged == 1)
    assert scene.agent.asked == 0
