"""A wake run as JSON text and back: for the journal, and for the mark in the VM's metadata. And a
restart mark and the prompt about it, for the journal.

Works from the types of the dataclasses, so a new field needs nothing here as long as it has a
default: older text simply lacks it, and a field that is unknown here is left out.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Callable
from datetime import date, datetime, timedelta
from enum import Enum
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any, TypeVar

# Each where it is read: `status` reads marks and prompts, and must not wait for the run's policy.
if TYPE_CHECKING:
    from guestwake.policy.prompt import Prompt
    from guestwake.policy.restart import RestartMark
    from guestwake.policy.run import WakeRun

_Kind = TypeVar("_Kind")
# What reading such text may raise.
_NOT_OURS = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError)
_SECONDS_MAX = 1e10  # three centuries: what is more cannot be counted with


class RecordError(ValueError):
    """Text that is no record of ours."""


def dump_run(run: WakeRun) -> str:
    return _text(run)


@lru_cache(maxsize=256)
def load_run(text: str) -> WakeRun:
    """Raises RecordError on anything that `dump_run` would not have written.

    Remembered by its text: each pass reads the record of every other workspace, and hardly any
    of them has changed since.
    """
    from guestwake.policy.run import WakeRun

    try:
        run = _reader(WakeRun)(json.loads(text))
    except _NOT_OURS as err:
        raise RecordError(f"not the record of a wake run: {err}") from err
    if not isinstance(run, WakeRun) or not run.chain:
        raise RecordError("not the record of a wake run")
    return run


def dump_restart_mark(mark: RestartMark) -> str:
    return _text(mark)


@lru_cache(maxsize=256)
def load_restart_mark(text: str) -> RestartMark:
    """Raises RecordError as `load_run` does."""
    from guestwake.policy.restart import RestartMark

    return _loaded(RestartMark, text, "a restart mark")


def dump_prompt(prompt: Prompt) -> str:
    return _text(prompt)


@lru_cache(maxsize=256)
def load_prompt(text: str) -> Prompt:
    """Raises RecordError as `load_run` does."""
    from guestwake.policy.prompt import Prompt

    return _loaded(Prompt, text, "a prompt")


def _loaded(kind: type[_Kind], text: str, what: str) -> _Kind:
    try:
        value = _reader(typing.cast(Any, kind))(json.loads(text))
    except _NOT_OURS as err:
        raise RecordError(f"not {what}: {err}") from err
    if not isinstance(value, kind):
        raise RecordError(f"not {what}")
    return value


def _plain(value: object) -> Any:
    """Of what JSON has no word for; texts, numbers and tuples it has, enums of them too."""
    match value:
        case datetime() | date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case frozenset():
            return sorted(value)
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {name: getattr(value, name) for name in value.__dataclass_fields__}
        case _:
            raise TypeError(f"{value!r} has no place in a record")


_text = json.JSONEncoder(separators=(",", ":"), sort_keys=True, default=_plain).encode


def _aware(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError(f"{instant} has no zone")
    return instant


_Read = Callable[[Any], Any]


@cache
def _reader(kind: Any) -> _Read:
    """What makes one of that type of plain values, or raises what `load_run` expects."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        (present,) = (_reader(each) for each in arguments if each is not types.NoneType)
        return lambda value: None if value is None else present(value)
    if origin in (tuple, frozenset):
        made, one = origin, _reader(arguments[0])
        return lambda value: made(map(one, value))
    if dataclasses.is_dataclass(kind):
        return _reader_of_fields(kind)
    if kind in _READ:
        return _READ[kind]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    return partial(_exactly, kind)


def _reader_of_fields(kind: Any) -> _Read:
    read = {name: _reader(hint) for name, hint in typing.get_type_hints(kind).items()}

    def reader(value: Any) -> Any:
        return kind(**{name: read[name](each) for name, each in value.items() if name in read})

    return reader


def _exactly(kind: type, value: object) -> object:
    if type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _seconds(value: Any) -> float:
    seconds = float(value)
    if not abs(seconds) < _SECONDS_MAX:  # nor what is no number
        raise ValueError(f"{seconds} seconds")
    return seconds


_READ: dict[Any, _Read] = {
    timedelta: lambda seconds: timedelta(seconds=_seconds(seconds)),
    datetime: lambda text: _aware(datetime.fromisoformat(text)),
    date: date.fromisoformat,
    float: _seconds,
}
