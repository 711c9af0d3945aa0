"""Messages that are nearly right, and JSON as it comes: never more than BadMessage, never more
memory than one frame, and the next honest report is heard all the same."""

from __future__ import annotations

import json
import random
import tracemalloc
from copy import deepcopy
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guestwake.channels.api import CHUNK_BYTES_MAX
from guestwake.channels.parser import Parser
from guestwake.channels.reader import ANSWER, ANSWER_BYTES_MAX, answer_of, heard_of
from guestwake_wire.framing import FRAME_BYTES_MAX
from guestwake_wire.messages import BadMessage, Report, decode, encode

RECORDED = Path(__file__).resolve().parents[1] / "wire" / "recorded" / "v1"
VALID = [file.read_bytes()[1:-1] for file in sorted(RECORDED.glob("*.bin"))]
GOOD = encode(Report(9, 1, "boot", "agent", "os", "kernel", busy=False))

# What has broken decoders before.
# (A new one each time: a list that is drawn twice would be changed twice.)
ODD = st.sampled_from(
    [
        *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**15, 10**300, 0.5, 1e300),
        *(float("nan"), float("inf"), "", "x" * 65, "x" * 201, "\0", "\ud800", "\u202e", "%s%n"),
        *([], {}, [[]], [{}], {"": ""}, [None] * 33, "exec", "report", "strong", "busy"),
    ]
).map(deepcopy)
ANY_JSON = st.recursive(
    ODD | st.text(max_size=8) | st.integers(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=8), below),
    max_leaves=12,
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid message of which a few places were replaced, removed, doubled or given more."""
    message: Any = json.loads(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(1, 3))):
        _change(draw, message)
    text = json.dumps(message).encode("ascii")
    return _bent(draw, text) if draw(st.booleans()) else text


def _change(draw: st.DrawFn, message: Any) -> None:
    at = message
    while isinstance(at, dict | list) and at:
        keys = sorted(at) if isinstance(at, dict) else list(range(len(at)))
        key = draw(st.sampled_from(keys))
        if isinstance(at[key], dict | list) and at[key] and draw(st.booleans()):
            at = at[key]
            continue
        match draw(st.sampled_from(["replace", "remove", "add", "double"])):
            case "replace":
                at[key] = draw(ANY_JSON)
            case "remove":
                del at[key]
            case "double" if isinstance(at, list):
                at.extend(at * draw(st.integers(1, 8)))
            case _ if isinstance(at, dict):
                at[draw(st.text(max_size=8))] = draw(ANY_JSON)
        return


def _bent(draw: st.DrawFn, text: bytes) -> bytes:
    """Cut, or with bytes of JSON where they do not belong."""
    place = draw(st.integers(0, len(text)))
    more = draw(
        st.sampled_from([b"", b'"', b"\\", b"{", b"]", b",", b":", b"e9", b"\x1e", b"\xff"])
    )
    return text[:place] + more + text[place + draw(st.integers(0, 3)) :]


def only_bad_message(text: bytes) -> None:
    try:
        decode(text)
    except BadMessage as err:
        said = str(err)
    else:
        return
    assert said.isprintable()
    assert len(said) < 100


@settings(max_examples=50)
@given(mutated())
def test_a_mutated_message_is_read_or_refused(text: bytes) -> None:
    only_bad_message(text)


@settings(max_examples=40)
@given(ANY_JSON)
def test_any_json_is_read_or_refused(value: object) -> None:
    only_bad_message(json.dumps(value).encode("ascii"))


@settings(max_examples=40)
@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    only_bad_message(text)


@settings(max_examples=40)
@given(st.lists(mutated() | st.binary(max_size=60), max_size=5))
def test_an_honest_report_is_heard_after_anything(before: list[bytes]) -> None:
    parser = Parser(clock=count(0.0).__next__)  # a second between any two
    for each in before:
        parser.feed(b"\x1e" + each[:CHUNK_BYTES_MAX] + b"\n")
    assert parser.feed(GOOD).report == decode(GOOD[1:-1])


@settings(max_examples=40)
@given(st.lists(mutated(), max_size=4))
def test_what_the_reader_passes_on_is_read_as_it_was(texts: list[bytes]) -> None:
    passed_on_as_it_was(texts)


def passed_on_as_it_was(texts: list[bytes]) -> None:
    heard = Parser(clock=lambda: 0.0).feed(b"".join(b"\x1e" + text + b"\n" for text in texts))
    passed = answer_of(heard)
    assert len(passed) <= ANSWER.size + ANSWER_BYTES_MAX
    assert heard_of((heard.refused, heard.dropped, heard.junk), passed[ANSWER.size :]) == heard


@settings(max_examples=40)
@given(st.binary(max_size=100) | mutated().map(lambda text: b"\x1e" + text + b"\n"))
def test_an_answer_of_anything_is_read_or_refused(frames: bytes) -> None:
    """A reader that was taken over says what it likes: a ValueError at the worst."""
    try:
        heard = heard_of((0, 0, 0), frames)
    except ValueError:
        return
    assert answer_of(heard)[ANSWER.size :] == frames


@pytest.mark.full
@settings(max_examples=3000)
@given(st.lists(mutated(), max_size=3))
def test_for_a_long_time(texts: list[bytes]) -> None:
    passed_on_as_it_was(texts)


def test_a_thousand_parsers_hold_a_frame_each() -> None:
    half = b"\x1e" + b"x" * (FRAME_BYTES_MAX - 2)
    random_cut = random.Random(1)
    tracemalloc.start()
    try:
        parsers = [Parser() for _ in range(1000)]
        for parser in parsers:
            cut = random_cut.randrange(len(half))
            parser.feed(half[:cut])
            parser.feed(half[cut:])
        held, _ = tracemalloc.get_traced_memory()
        for parser in parsers:
            parser.feed(b"x" * CHUNK_BYTES_MAX)
        empty, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    print(f"\n{held / 1000:.0f} bytes a parser with half a frame, {empty / 1000:.0f} without")
    assert held / 1000 < 2 * FRAME_BYTES_MAX
    assert empty / 1000 < 1024
