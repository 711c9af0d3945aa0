"""What a Linux guest's agent tells becomes a report, or nothing at all: recorded from a real one,
and made up by an enemy."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from fake_agent import (
    BOOT_ID,
    BOOT_ID_FILE,
    JUNK,
    RECORDED,
    UTMP,
    WALL,
    FakeAgent,
    Place,
    encoded,
    without,
)
from hypothesis import given
from hypothesis import strategies as st

from guestwake.guest_agent import PATIENCE
from guestwake.hypervisors.api import AgentSilent, HypervisorError, Unreachable
from guestwake_wire.messages import (
    SESSIONS_MAX,
    Report,
    Session,
    SessionKind,
    Strength,
    decode,
    encode,
)

REQUIRED = "/run/reboot-required"
REQUIRED_BY = "/run/reboot-required.pkgs"


@pytest.fixture
def agent() -> FakeAgent:
    return FakeAgent()


@pytest.fixture
def place(agent: FakeAgent) -> Place:
    return Place(agent)


def test_a_quiet_guest_tells_who_it_is(place: Place) -> None:
    assert place.told() == Report(
        number=1,
        time=1795578337,
        boot_id=BOOT_ID,
        agent="qemu-guest-agent 7.2.22",
        os="Debian GNU/Linux 12 (bookworm)",
        kernel="6.1.0-56-cloud-amd64",
        busy=None,
    )
    assert place.told().number == 2


@pytest.mark.parametrize("each", range(1, 11))
def test_one_that_answers_just_in_time_holds_nobody_up_for_long(
    each: int, agent: FakeAgent, place: Place
) -> None:
    agent.each_takes = float(each)
    told = place.ask() is not None
    assert told == (10 * each <= PATIENCE)  # when the eleventh question is asked
    # The question that was under way, and the file that it left open.
    assert agent.elapsed <= PATIENCE + 2 * each
    agent.each_takes = 0.0
    assert place.ask() is not None


def test_what_stays_is_asked_once_a_boot(agent: FakeAgent, place: Place) -> None:
    place.told()
    assert len(agent.calls) == 11
    place.told()
    assert agent.calls == [
        *("guest-file-open", "guest-file-read", "guest-file-close"),
        *("guest-get-users", "guest-get-time", "guest-file-open"),
    ]
    other = "01234567-89ab-4cde-8fff-0123456789ab"
    agent.files[BOOT_ID_FILE] = f"{other}\n".encode()
    agent.osinfo = {**agent.osinfo, "kernel-release": "6.1.0-57-cloud-amd64"}
    report = place.told()
    assert (report.boot_id, report.kernel) == (other, "6.1.0-57-cloud-amd64")
    assert len(agent.calls) == 11
    place.told()
    assert len(agent.calls) == 6


def test_a_restart_is_required_and_by_whom(agent: FakeAgent, place: Place) -> None:
    agent.files[REQUIRED] = b""
    (reason,) = place.told().restart
    assert (reason.source, reason.strength, reason.since) == (
        *("reboot-required", Strength.STRONG, None),
    )
    assert reason.text == "asked for by a package"
    agent.files[REQUIRED_BY] = base64.b64decode(RECORDED["reboot-required.pkgs"]["buf-b64"])
    (reason,) = place.told().restart
    assert reason.text == "asked for by linux-image-6.1, libc6"
    assert len(agent.calls) == 10


def test_somebody_is_signed_in(agent: FakeAgent, place: Place) -> None:
    recorded = RECORDED["root signed in"]
    agent.users, agent.time = recorded["guest-get-users"], recorded["guest-get-time"]
    assert place.told().sessions == (Session("root", SessionKind.TEXT, 1, None),)


def test_an_age_is_by_the_guests_own_clock_and_never_negative(
    agent: FakeAgent, place: Place
) -> None:
    agent.time = 1000 * 10**9
    agent.users = [{"user": "anna", "login-time": 1500}, {"user": "ben", "login-time": 100.5}]
    assert [(one.user, one.since) for one in place.told().sessions] == [("ben", 899), ("anna", 0)]


def test_of_many_the_longest_signed_in_are_told(agent: FakeAgent, place: Place) -> None:
    agent.users = [{"user": f"user{n}", "login-time": 1795570000 - n} for n in range(100)]
    users = [session.user for session in place.told().sessions]
    assert users == [f"user{n}" for n in range(99, 99 - SESSIONS_MAX, -1)]


# --- what an agent may be unable to tell ---


@pytest.mark.parametrize(
    "command",
    [
        *("guest-file-open", "guest-file-read", "guest-file-close"),
        *("guest-get-osinfo", "guest-get-users", "guest-get-time"),
    ],
)
def test_with_a_command_switched_off_it_is_not_even_asked(command: str) -> None:
    agent = FakeAgent(info=without(command))
    assert Place(agent).ask() is None
    assert command not in agent.calls


def test_rhels_agent_tells_too_little_and_costs_two_calls() -> None:
    off = ("open", "close", "read", "write", "seek", "flush")
    agent = FakeAgent(info=without("guest-exec", *(f"guest-file-{what}" for what in off)))
    place = Place(agent)
    for _ in range(3):
        assert place.ask() is None
        assert len(agent.calls) == 2


def test_a_guest_that_keeps_no_record_of_sessions_is_not_taken_for_empty(
    agent: FakeAgent, place: Place
) -> None:
    agent.files[UTMP] = b""
    assert place.ask() is None
    del agent.files[UTMP]
    assert place.ask() is None


def test_a_restart_that_cannot_be_read_of_is_not_made_up(agent: FakeAgent, place: Place) -> None:
    agent.files[REQUIRED] = b""
    assert place.told().restart
    del agent.files[REQUIRED]
    assert place.told().restart == ()


@pytest.mark.parametrize(
    "command",
    [
        *("guest-info", "guest-get-osinfo", "guest-file-open", "guest-file-read"),
        *("guest-get-users", "guest-get-time"),
    ],
)
def test_a_silent_agent_is_no_report_and_all_is_asked_anew_after_it(
    agent: FakeAgent, place: Place, command: str
) -> None:
    agent.breaks[command] = AgentSilent("it does not answer")
    assert place.ask() is None
    del agent.breaks[command]
    assert place.told().number == 1
    agent.breaks["guest-file-open"] = AgentSilent("it does not answer")
    assert place.ask() is None
    assert agent.calls == ["guest-file-open"]
    del agent.breaks["guest-file-open"]
    assert place.told().number == 2
    assert len(agent.calls) == 11


def test_one_that_is_not_there_costs_one_call(agent: FakeAgent, place: Place) -> None:
    agent.breaks["guest-info"] = AgentSilent("it does not answer")
    assert place.ask() is None
    assert agent.calls == ["guest-info"]


def test_a_file_that_cannot_be_closed_does_not_matter(agent: FakeAgent, place: Place) -> None:
    def closes_and_fails(asked: dict[str, Any]) -> Any:
        agent.file_close(asked)
        raise HypervisorError(RECORDED["refused"]["guest-file-close"])

    place.guest.answers["guest-file-close"] = closes_and_fails
    assert place.told().boot_id == BOOT_ID


@pytest.mark.parametrize("command", ["guest-info", "guest-file-read", "guest-file-close"])
def test_an_unreachable_hypervisor_is_the_callers_to_know(
    agent: FakeAgent, place: Place, command: str
) -> None:
    agent.breaks[command] = Unreachable("gone")
    with pytest.raises(Unreachable):
        place.reporter.ask(WALL)


# --- an agent that lies ---


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
@pytest.mark.parametrize(
    "command",
    [
        *("guest-info", "guest-get-osinfo", "guest-get-users", "guest-get-time"),
        *("guest-file-open", "guest-file-read", "guest-file-close"),
    ],
)
def test_junk_raises_nothing(place: Place, command: str, junk: Any) -> None:
    place.guest.answers[command] = lambda _: junk
    report = place.reporter.ask(WALL)
    if report is not None:
        assert command in ("guest-get-osinfo", "guest-get-users", "guest-get-time") or (
            command == "guest-file-close"
        )
        assert decode(encode(report)[1:-1]) == report


@pytest.mark.parametrize(
    "users",
    [
        [{"user": "anna", "login-time": 1}] * 10_000,
        [{"user": "x" * (1 << 20), "login-time": 1}],
        [{"user": "anna"}],
        [{"user": 5, "login-time": 1}],
        *([{"user": "anna", "login-time": bad}] for bad in ("1", True, -1, 1e300, float("nan"))),
        [{"user": "\N{SNOWMAN}" * 64, "login-time": 1}] * SESSIONS_MAX,  # more than a frame
    ],
)
def test_users_that_cannot_be_believed_are_no_report(
    agent: FakeAgent, place: Place, users: Any
) -> None:
    agent.users = users
    assert place.ask() is None


def test_names_are_cleaned(agent: FakeAgent, place: Place) -> None:
    agent.users = [{"user": "an\x1b[2Jna\ud800" + "x" * 100, "login-time": 1}]
    agent.info["version"] = "7.2\n" + "9" * 100
    agent.osinfo = {"pretty-name": "Debian\u202e\n" + "y" * 1000}
    agent.files |= {REQUIRED: b"", REQUIRED_BY: b"\xff\x1b\n" + b"z" * 4000}
    report = place.told()
    (session,), (reason,) = report.sessions, report.restart
    assert session.user.startswith("an?[2Jna?xxx")
    texts = (session.user, report.agent, report.os, reason.text)
    assert [len(text) for text in texts] == [64, 64, 200, 200]
    assert all(text.isprintable() for text in texts)


@pytest.mark.parametrize("time", [-1, 2**36 * 10**9 + 10**9, 1.5, "1795578337101310000"])
def test_a_time_out_of_all_bounds(agent: FakeAgent, place: Place, time: Any) -> None:
    agent.time = time
    assert place.ask() is None


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\n", b"x" * 36, BOOT_ID.encode() * 2, f"{BOOT_ID}\n\n".encode()),
        *(BOOT_ID.upper().encode(), f" {BOOT_ID}".encode(), BOOT_ID.encode() + b"\0"),
    ],
)
def test_a_boot_id_that_is_none(agent: FakeAgent, place: Place, content: bytes) -> None:
    agent.files[BOOT_ID_FILE] = content
    assert place.ask() is None


@pytest.mark.parametrize(
    "text", ["%%%", "QUJD=QUJD", "QUI", "Ä" * 8, 5, None, encoded(b"x" * 4097), "A" * (1 << 20)]
)
def test_base64_that_is_none_or_too_much(agent: FakeAgent, place: Place, text: Any) -> None:
    agent.read = lambda _: {"count": 1, "buf-b64": text, "eof": False}
    assert place.ask() is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
like_the_truth = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("version", "supported_commands", "id", "buf-b64", "user", "login-time", "pid"),
        json_values,
    ),
)


@given(
    st.dictionaries(
        st.sampled_from(sorted(FakeAgent().answers())),
        json_values | like_the_truth | st.lists(like_the_truth, max_size=3),
    )
)
def test_whatever_it_answers_comes_to_a_report_or_to_nothing(said: dict[str, Any]) -> None:
    place = Place(FakeAgent())
    place.guest.answers |= {name: lambda _, value=value: value for name, value in said.items()}
    for _ in range(2):
        report = place.reporter.ask(WALL)
        assert report is None or decode(encode(report)[1:-1]) == report
