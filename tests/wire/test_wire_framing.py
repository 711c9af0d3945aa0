"""Bytes to frames: however they are cut, and whatever stands around them."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestwake_wire.framing import FRAME_BYTES_MAX, Framer, FrameTooLong, frame

RS, LF = b"\x1e", b"\n"

texts = st.binary(max_size=40).map(lambda data: data.translate(None, RS + LF))
# Bytes in which much happens.
lively = st.lists(st.sampled_from([RS, LF, b"a", b"\0", b"{}", b"x" * 4000]), max_size=40)
# Without an RS no frame begins.
junk = st.binary(max_size=60).map(lambda data: data.translate(None, RS))


def feed(framer: Framer, data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [text for begin, end in pairwise(places) for text in framer.feed(data[begin:end])]


def expected(data: bytes) -> list[bytes]:
    """The page's rule, one byte at a time, and nothing else."""
    texts, begun = [], None
    for number in data:
        byte = bytes([number])
        if byte == RS:
            begun = b""
        elif byte == LF:
            if begun is not None:
                texts.append(begun)
            begun = None
        elif begun is not None:
            begun = begun + byte if len(begun) < FRAME_BYTES_MAX - 2 else None
    return texts


@given(lively.map(b"".join), st.lists(st.integers(0, 20000), max_size=8))
def test_any_cut_into_chunks_gives_the_frames_of_the_rule(data: bytes, cuts: list[int]) -> None:
    assert feed(Framer(), data, cuts) == expected(data)


@given(lively.map(b"".join), st.lists(st.integers(0, 20000), max_size=8))
def test_what_is_discarded_is_counted_to_the_byte(data: bytes, cuts: list[int]) -> None:
    framer = Framer()
    found = feed(framer, data, cuts)
    held = len(framer._begun) + 1 if framer._begun is not None else 0
    assert sum(len(text) + 2 for text in found) + framer.discarded + held == len(data)
    assert held < FRAME_BYTES_MAX


@given(st.lists(texts, max_size=6), junk, junk, st.lists(st.integers(0, 400), max_size=6))
def test_junk_around_frames_costs_none(
    sent: list[bytes], before: bytes, between: bytes, cuts: list[int]
) -> None:
    framer = Framer()
    data = before + b"".join(frame(text) + between for text in sent)
    assert feed(framer, data, cuts) == sent
    assert framer.discarded == len(before) + len(between) * len(sent)


@given(texts, texts)
def test_half_a_frame_and_then_a_new_one(half: bytes, whole: bytes) -> None:
    framer = Framer()
    assert list(framer.feed(RS + half + frame(whole))) == [whole]
    assert framer.discarded == 1 + len(half)


def test_an_rs_inside_begins_anew() -> None:
    assert list(Framer().feed(b"\x1eone\x1etwo\x1e\x1ethree\n")) == [b"three"]


def test_an_empty_frame_is_one() -> None:
    assert list(Framer().feed(b"\n\x1e\n\n")) == [b""]


def test_a_frame_may_have_just_the_limit() -> None:
    fits = b"x" * (FRAME_BYTES_MAX - 2)
    assert list(Framer().feed(frame(fits))) == [fits]
    with pytest.raises(FrameTooLong):
        frame(fits + b"x")
    framer = Framer()
    assert list(framer.feed(RS + fits + b"x" + LF)) == []
    assert framer.discarded == FRAME_BYTES_MAX + 1
    assert list(framer.feed(frame(b"next"))) == [b"next"]


@pytest.mark.parametrize("size", [1, 7, 4096, 16384])
@pytest.mark.parametrize("begin", [b"", RS], ids=["no frame", "a frame"])
def test_an_endless_line_is_thrown_away_as_it_comes(size: int, begin: bytes) -> None:
    framer = Framer()
    chunk, sent = b"x" * size, len(begin)
    list(framer.feed(begin))
    tracemalloc.start()
    try:
        for _ in range(min(20_000, (4 << 20) // size)):
            assert list(framer.feed(chunk)) == []
            sent += size
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert framer.discarded in (sent, sent - len(begin))
    assert peak < 4 * FRAME_BYTES_MAX + size
    assert list(framer.feed(LF + frame(b"next"))) == [b"next"]
