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
from datetime import date, datetime, timedelta
from enum import Enum
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

# Each where it is read: `status` reads marks and prompts, and must not wait for the run's policy.
if TYPE_CHECKING:
    from guestwake.policy.prompt import Prompt
    from guestwake.policy.restart import RestartMark
    from guestwake.policy.run import WakeRun

_Kind = TypeVar("_Kind")


class RecordError(ValueError):
    """Text that is no record of ours."""


def dump_run(run: WakeRun) -> str:
    return json.dumps(_plain(run), separators=(",", ":"), sort_keys=True)


@lru_cache(maxsize=256)
def load_run(text: str) -> WakeRun:
    """Raises RecordError on anything that `dump_run` would not have written.

    Remembered by its text: each pass reads the record of every other workspace, and hardly any
    of them has changed since.
    """
    from guestwake.policy.run import WakeRun

    try:
        run = _typed(WakeRun, json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as err:
        raise RecordError(f"not the record of a wake run: {err}") from err
    if not isinstance(run, WakeRun) or not run.chain:
        raise RecordError("not the record of a wake run")
    return run


def dump_restart_mark(mark: RestartMark) -> str:
    return json.dumps(_plain(mark), separators=(",", ":"), sort_keys=True)


@lru_cache(maxsize=256)
def load_restart_mark(text: str) -> RestartMark:
    """Raises RecordError as `load_run` does."""
    from guestwake.policy.restart import RestartMark

    return _loaded(RestartMark, text, "a restart mark")


def dump_prompt(prompt: Prompt) -> str:
    return json.dumps(_plain(prompt), separators=(",", ":"), sort_keys=True)


@lru_cache(maxsize=256)
def load_prompt(text: str) -> Prompt:
    """Raises RecordError as `load_run` does."""
    from guestwake.policy.prompt import Prompt

    return _loaded(Prompt, text, "a prompt")


def _loaded(kind: type[_Kind], text: str, what: str) -> _Kind:
    try:
        value = _typed(kind, json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as err:
        raise RecordError(f"not {what}: {err}") from err
    if not isinstance(value, kind):
        raise RecordError(f"not {what}")
    return value


def _plain(value: object) -> Any:
    match value:
        case Enum():
            return value.value
        case datetime() | date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case frozenset():
            return sorted(value)
        case tuple():
            return [_plain(each) for each in value]
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = dataclasses.fields(value)
            return {field.name: _plain(getattr(value, field.name)) for field in fields}
        case _:
            return value


def _aware(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError(f"{instant} has no zone")
    return instant


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _typed(kind: Any, value: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        (present,) = (each for each in arguments if each is not types.NoneType)
        return None if value is None else _typed(present, value)
    if origin is tuple:
        return tuple(_typed(arguments[0], each) for each in value)
    if origin is frozenset:
        return frozenset(_typed(arguments[0], each) for each in value)
    if dataclasses.is_dataclass(kind):
        made: Any = kind
        hints = _hints(made)
        known = {name: each for name, each in value.items() if name in hints}
        return made(**{name: _typed(hints[name], each) for name, each in known.items()})
    if kind is timedelta:
        return timedelta(seconds=value)
    if kind is datetime:
        return _aware(datetime.fromisoformat(value))
    if kind is date:
        return date.fromisoformat(value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if kind is float:
        return float(value)
    if type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value
