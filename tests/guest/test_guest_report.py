"""What was found becomes a message that always fits a frame."""

from __future__ import annotations

import random

import pytest

from guestwake_guest import AGENT
from guestwake_guest.report import Findings, Identity, framed, report, substance
from guestwake_wire.framing import FRAME_BYTES_MAX, Framer
from guestwake_wire.messages import (
    INSTALLED_MAX,
    NAME_MAX,
    REASONS_MAX,
    SESSIONS_MAX,
    TEXT_MAX,
    TIME_MAX,
    Client,
    ClientState,
    Installed,
    Message,
    Reason,
    Report,
    Session,
    SessionKind,
    Strength,
    clean,
    decode,
)

IDENTITY = Identity("boot", "Debian 12", "6.1")
REASON = Reason("reboot-required", Strength.STRONG, 10, "asked for by libc6")
SESSION = Session("anna", SessionKind.TEXT, 100, 5)


def read(frame: bytes) -> Message:
    (text,) = Framer().feed(frame)
    return decode(text)


def full(character: str) -> Findings:
    """As much of everything as a message may hold, of one character."""
    package = Installed(character * NAME_MAX, character * NAME_MAX, TIME_MAX)
    return Findings(
        None,
        tuple(
            Reason(f"s{n}" + "s" * (NAME_MAX - 2), Strength.WEAK, 2**31 - 1, character * TEXT_MAX)
            for n in range(REASONS_MAX)
        ),
        tuple(Client(f"c{n}", ClientState.NOTHING_LEFT, (package,) * INSTALLED_MAX) for n in "123"),
        tuple(
            Session(character * NAME_MAX, SessionKind.GRAPHICAL, 2**31 - 1, 2**31 - 1)
            for _ in range(SESSIONS_MAX)
        ),
    )


def test_what_was_found_is_what_is_said() -> None:
    client = Client("apt", ClientState.IDLE, (Installed("curl", "8.1", 1700000000),))
    findings = Findings(True, (REASON,), (client,), (SESSION,))
    said = read(framed(report(IDENTITY, findings, 7, 1700000001)))
    assert said == Report(
        7, 1700000001, "boot", AGENT, "Debian 12", "6.1", True, (REASON,), (client,), (SESSION,)
    )


@pytest.mark.parametrize("character", ["x", "ä", "\U00020000", "\x1b", "\udc80", '"', "\\"])
def test_the_longest_report_fits_a_frame(character: str) -> None:
    long = Identity(character * 500, character * 500, character * 500)
    frame = framed(report(long, full(clean(character)), 2**31 - 1, 2**40))
    assert len(frame) <= FRAME_BYTES_MAX
    assert isinstance(read(frame), Report)


def test_what_was_installed_long_ago_is_left_out_first() -> None:
    packages = tuple(Installed(f"package-{n}" + "x" * 40, "1.0", n) for n in range(32))
    client = Client("apt", ClientState.IDLE, packages, more=3)
    findings = Findings(False, (REASON,), (client, client), (SESSION,))
    said = read(framed(report(IDENTITY, findings, 1, 1)))
    assert isinstance(said, Report)
    assert (said.restart, said.sessions) == ((REASON,), (SESSION,))
    shown = said.clients[0].installed
    assert 0 < len(shown) < 32
    assert shown == packages[: len(shown)]
    assert said.clients[0].more == 3 + 32 - len(shown)


def test_reasons_and_sessions_stay_when_all_else_is_cut() -> None:
    said = read(framed(report(IDENTITY, full("x"), 1, 1)))
    assert isinstance(said, Report)
    assert (len(said.restart), len(said.sessions)) == (REASONS_MAX, SESSIONS_MAX)


def test_any_text_at_all_makes_a_frame() -> None:
    source = random.Random(7)
    for _ in range(200):
        text = "".join(chr(source.randrange(0x110000)) for _ in range(source.randrange(300)))
        findings = Findings(None, (REASON._replace(text=text),) * 9)
        assert isinstance(read(framed(report(Identity(text, text, text), findings, 1, 1))), Report)


def test_ages_alone_are_no_news() -> None:
    before = Findings(False, (REASON,), (), (SESSION,))
    after = Findings(
        False, (REASON._replace(since=70),), (), (SESSION._replace(since=160, input=65),)
    )
    assert substance(before) == substance(after)


@pytest.mark.parametrize(
    "news",
    [
        Findings(True, (REASON,), (), (SESSION,)),
        Findings(False, (), (), (SESSION,)),
        Findings(False, (REASON._replace(text="more"),), (), (SESSION,)),
        Findings(False, (REASON,), (), ()),
        Findings(False, (REASON,), (), (SESSION._replace(input=-1),)),
        Findings(False, (REASON,), (), (SESSION._replace(input=None),)),
        Findings(False, (REASON,), (Client("apt", ClientState.BUSY),), (SESSION,)),
    ],
)
def test_this_is_news(news: Findings) -> None:
    assert substance(news) != substance(Findings(False, (REASON,), (), (SESSION,)))


def test_sessions_that_cannot_tell_stand_beside_those_that_can() -> None:
    sessions = (SESSION, SESSION._replace(input=None), SESSION._replace(input=-1))
    assert substance(Findings(sessions=sessions)) == substance(Findings(sessions=sessions[::-1]))
