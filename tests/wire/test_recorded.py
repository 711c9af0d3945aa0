"""Bytes of released versions still mean what they meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from recorded_v1 import VALUES

from guestwake_wire.framing import Framer
from guestwake_wire.messages import decode, encode

V1 = Path(__file__).parent / "recorded" / "v1"


@pytest.mark.parametrize("name", VALUES)
def test_a_recorded_message_still_decodes_to_the_very_value(name: str) -> None:
    (text,) = Framer().feed((V1 / f"{name}.bin").read_bytes())
    assert decode(text) == VALUES[name]


@pytest.mark.parametrize("name", VALUES)
def test_a_recorded_message_is_still_written_with_the_same_bytes(name: str) -> None:
    assert encode(VALUES[name]) == (V1 / f"{name}.bin").read_bytes()


def test_every_recorded_file_has_its_value() -> None:
    assert {file.stem for file in V1.iterdir()} == set(VALUES)


def test_one_stream_of_all_of_them() -> None:
    stream = b"".join((V1 / f"{name}.bin").read_bytes() for name in VALUES)
    assert [decode(text) for text in Framer().feed(stream)] == list(VALUES.values())
