"""JSON read as if an enemy had written it (contract, section 11).

Refused: more than a frame, anything but ASCII, too much nesting, duplicate keys, NaN and
Infinity, fractions, huge numbers, lone surrogates, control characters, wrong types, values out
of bounds, unknown words where only known ones may stand. Fields that are not asked for are
ignored, so that a newer sender may say more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from enum import Enum
from typing import Any, NoReturn, TypeVar

from guestwake_wire.framing import FRAME_BYTES_MAX

DEPTH_MAX = 6
DIGITS_MAX = 16

_T = TypeVar("_T")
_E = TypeVar("_E", bound=Enum)

# An unfinished string goes on to the end: a pattern that could fail there would be tried again
# from each of its quotes, in the square of the time.
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"?')
_BRACKETS = re.compile(rb"[\[\]{}]")


class BadMessage(ValueError):
    """A sentence for people; it names fields of ours and quotes nothing of what was sent."""


def parsed(text: bytes) -> dict[str, Any]:
    """Raises BadMessage."""
    if len(text) > FRAME_BYTES_MAX:
        raise BadMessage("longer than a frame")
    if not text.isascii():
        raise BadMessage("not ASCII")
    _check_depth(text)
    try:
        value = _DECODER.decode(text.decode("ascii"))
    except BadMessage:
        raise
    except (ValueError, RecursionError):
        raise BadMessage("not JSON") from None
    if not isinstance(value, dict):
        raise BadMessage("not a JSON object")
    return value


class Fields:
    """The fields of one JSON object; each reader raises BadMessage."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def text(self, name: str, characters_max: int, *, least: int = 0) -> str:
        value = self._typed(name, str)
        if not least <= len(value) <= characters_max:
            raise BadMessage(f"'{name}' must have {least} to {characters_max} characters")
        if not value.isprintable():  # nor are surrogates
            raise BadMessage(f"'{name}' has characters that are none to be shown")
        return str(value)

    def integer(self, name: str, low: int, high: int) -> int:
        return _bounded(name, self._typed(name, int), low, high)

    def optional_integer(self, name: str, low: int, high: int) -> int | None:
        return None if self._values.get(name) is None else self.integer(name, low, high)

    def integers(self, name: str, most: int, low: int, high: int) -> tuple[int, ...]:
        return tuple(_bounded(name, each, low, high) for each in self._list(name, most))

    def truth(self, name: str) -> bool | None:
        return None if self._values.get(name) is None else bool(self._typed(name, bool))

    def choice(self, name: str, words: type[_E]) -> _E:
        try:
            return words(self._typed(name, str))
        except ValueError:
            raise BadMessage(f"'{name}' is no word that is known there") from None

    def each(self, name: str, most: int, read: Callable[[Fields], _T]) -> tuple[_T, ...]:
        """A list that is not there is empty."""
        found = self._list(name, most) if name in self._values else []
        return tuple(read(Fields(_object(name, value))) for value in found)

    def _list(self, name: str, most: int) -> list[Any]:
        found: list[Any] = self._typed(name, list)
        if len(found) > most:
            raise BadMessage(f"'{name}' has more than {most} entries")
        return found

    def _typed(self, name: str, kind: type) -> Any:
        value = self._values.get(name)
        if type(value) is not kind:  # a bool is an int to isinstance
            raise BadMessage(f"'{name}' is missing or of the wrong type")
        return value


def _object(name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadMessage(f"'{name}' has an entry that is no object")
    return value


def _bounded(name: str, value: object, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise BadMessage(f"'{name}' must be a whole number from {low} to {high}")
    return value


def _check_depth(text: bytes) -> None:
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", text)):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEPTH_MAX:
            raise BadMessage(f"nested deeper than {DEPTH_MAX}")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadMessage("a field stands twice in one object")
    return found


def _integer(digits: str) -> int:
    if len(digits) > DIGITS_MAX:
        raise BadMessage(f"a number of more than {DIGITS_MAX} digits")
    return int(digits)


def _refused(number: str) -> NoReturn:
    raise BadMessage("a number that is not whole")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_without_duplicates,
    parse_int=_integer,
    parse_float=_refused,
    parse_constant=_refused,
)
