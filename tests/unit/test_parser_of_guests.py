"""What the parser of one guest's stream makes of it: the last word, counts, and a rate."""

from __future__ import annotations

from guestwake.channels.api import Heard
from guestwake.channels.parser import (
    MESSAGES_BURST,
    MESSAGES_EACH_SECOND,
    Allowance,
    InProcess,
    Parser,
)
from guestwake_wire.messages import Hello, Nudge, Report, encode

HELLO = Hello((1,), "agent")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def report(number: int) -> Report:
    return Report(number, 0, "boot", "", "", "", busy=None)


def test_the_last_of_each_counts() -> None:
    said = [HELLO, report(1), Hello((2,), "later"), report(2)]
    heard = Parser().feed(b"".join(map(encode, said)))
    assert heard == Heard(Hello((2,), "later"), report(2))


def test_a_report_before_the_hello_was_for_another_connection() -> None:
    """A guest that was hibernated while it wrote goes on writing where it was: who has signed in
    since is not in it."""
    stale, fresh = encode(report(1)), encode(report(2))
    parser = Parser()
    assert parser.feed(stale + encode(HELLO)) == Heard(HELLO)
    assert parser.feed(fresh) == Heard(report=report(2))


def test_half_a_report_is_kept_for_the_next_bytes() -> None:
    parser, data = Parser(), encode(report(1))
    assert parser.feed(data[:20]) == Heard()
    assert parser.feed(data[20:]) == Heard(report=report(1))


def test_what_is_none_is_counted() -> None:
    data = b"junk" + encode(Nudge()) + encode(HELLO) + b"\x1e{\n" + b"\x1ehalf" + encode(report(1))
    assert Parser().feed(data) == Heard(HELLO, report(1), refused=2, junk=9)


def test_junk_is_counted_once() -> None:
    parser = Parser()
    assert parser.feed(b"12345").junk == 5
    assert parser.feed(b"").junk == 0
    assert parser.feed(b"67").junk == 2


def test_a_burst_and_then_a_rate() -> None:
    clock = Clock()
    parser = Parser(clock)
    many = b"".join(encode(report(number)) for number in range(1, MESSAGES_BURST + 6))
    heard = parser.feed(many)
    assert (heard.report, heard.dropped) == (report(MESSAGES_BURST), 5)
    assert parser.feed(encode(report(99))) == Heard(dropped=1)
    clock.now += 1 / MESSAGES_EACH_SECOND
    assert parser.feed(encode(report(100)) * 2) == Heard(report=report(100), dropped=1)


def test_refused_messages_count_for_the_rate_too() -> None:
    parser = Parser(Clock())
    heard = parser.feed(b"\x1e{\n" * (MESSAGES_BURST + 1))
    assert (heard.refused, heard.dropped) == (MESSAGES_BURST, 1)


def test_a_long_silence_saves_up_no_more_than_a_burst() -> None:
    clock = Clock()
    allowance = Allowance(clock)
    assert allowance.takes()
    clock.now += 1e9
    assert [allowance.takes() for _ in range(MESSAGES_BURST + 1)].count(True) == MESSAGES_BURST


def test_a_clock_that_steps_back_gives_nothing_and_takes_nothing() -> None:
    clock = Clock()
    allowance = Allowance(clock, left=1)
    assert allowance.takes()
    clock.now -= 500
    assert not allowance.takes()
    clock.now += 1
    assert allowance.takes()


def test_streams_have_nothing_of_each_other() -> None:
    parses, data = InProcess(Clock()), encode(report(1))
    parses.parse(1, data[:20])
    assert parses.parse(2, data[20:]) == Heard(junk=len(data) - 20)
    assert parses.parse(1, data[20:]).report == report(1)


def test_a_number_that_is_used_again_begins_anew() -> None:
    parses, data = InProcess(Clock()), encode(report(1))
    parses.parse(1, data[:20])
    parses.forget(1)
    parses.forget(1)
    assert parses.parse(1, data[20:]).report is None
