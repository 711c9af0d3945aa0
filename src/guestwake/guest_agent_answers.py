"""What qemu-guest-agent answers, read as if an enemy had written it (contract, section 11).

Pure: from a JSON value that came out of a guest to values of ours. Each reader checks every type
and bound and raises BadMessage; texts are cleaned and cut. Nothing here asks anybody.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from guestwake_wire.messages import (
    NAME_MAX,
    SECONDS_MAX,
    SESSIONS_MAX,
    BadMessage,
    Session,
    SessionKind,
    clean,
)

READ_BYTES_MAX = 4096  # of one file
OUTPUT_CHARACTERS_MAX = 1 << 16  # of one program, in base64
COMMANDS_MAX = 512  # an agent of today has about fifty
USERS_MAX = 1024  # of which the longest signed in are reported
TEXT_LONGEST = 4096  # what is longer is no name and no version
_TIME_MAX = 2**36  # unix seconds; no calendar goes much further
_HANDLE_MAX = 2**63 - 1
_WINDOWS = "mswindows"


@dataclass(frozen=True, slots=True)
class Agent:
    """`commands`: those that are enabled; RHEL's agents have reading files and running programs
    switched off."""

    version: str
    commands: frozenset[str]


@dataclass(frozen=True, slots=True)
class System:
    os: str
    kernel: str
    is_windows: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that has ended. `output`: its bytes in whatever code page, one character each."""

    code: int
    output: str


def agent(answer: object) -> Agent:
    """Of guest-info."""
    told = _object(answer)
    commands = told.get("supported_commands")
    if not isinstance(commands, list) or len(commands) > COMMANDS_MAX:
        raise BadMessage("'supported_commands' is no list, or too long")
    enabled = (each for each in map(_object, commands) if each.get("enabled") is True)
    version = _text(told, "version", NAME_MAX)
    return Agent(version, frozenset(_text(each, "name", NAME_MAX) for each in enabled))


def system(answer: object) -> System:
    """Of guest-get-osinfo."""
    told = _object(answer)
    is_windows = told.get("id") == _WINDOWS
    # Linux's version is a build's date; Windows' release is the build, and means nothing alone.
    names = ("kernel-version", "kernel-release") if is_windows else ("kernel-release",)
    return System(
        os=_text(told, "pretty-name") or _text(told, "name"),
        kernel=clean(".".join(filter(None, (_text(told, name) for name in names)))),
        is_windows=is_windows,
    )


def clock(answer: object) -> float:
    """Of guest-get-time: unix seconds."""
    return _integer("time", answer, _TIME_MAX * 10**9) / 1e9


def sessions(answer: object, time: float, kind: SessionKind) -> tuple[Session, ...]:
    """Of guest-get-users, the longest signed in first. `time`: the guest's own clock, by which
    it noted who came when. It names each user once, by the oldest of his sessions."""
    if not isinstance(answer, list) or len(answer) > USERS_MAX:
        raise BadMessage("the users are no list, or too many")
    found = [_session(_object(each), time, kind) for each in answer]
    return tuple(sorted(found, key=lambda session: -session.since)[:SESSIONS_MAX])


def handle(answer: object) -> int:
    """Of guest-file-open."""
    return _integer("handle", answer, _HANDLE_MAX)


def content(answer: object) -> bytes:
    """Of guest-file-read, which was asked for READ_BYTES_MAX at most."""
    found = _bytes(_object(answer), "buf-b64", READ_BYTES_MAX * 2)
    if len(found) > READ_BYTES_MAX:
        raise BadMessage("more of a file than was asked for")
    return found


def process(answer: object) -> int:
    """Of guest-exec."""
    return _integer("pid", _object(answer).get("pid"), _HANDLE_MAX)


def ended(answer: object) -> Ended | None:
    """Of guest-exec-status. None: it still runs. One that was killed has failed."""
    told = _object(answer)
    exited = told.get("exited")
    if type(exited) is not bool:
        raise BadMessage("'exited' is missing or of the wrong type")
    if not exited:
        return None
    code = _integer("exitcode", told.get("exitcode", 1), 2**32 - 1)
    output = _bytes(told, "out-data", OUTPUT_CHARACTERS_MAX)
    return Ended(code, output.decode("latin-1"))


def names(found: bytes) -> str:
    """One name a line, each once."""
    lines = (line.strip() for line in found.decode("utf-8", "replace").splitlines())
    return ", ".join(dict.fromkeys(line for line in lines if line))


def _session(told: dict[str, Any], time: float, kind: SessionKind) -> Session:
    login = told.get("login-time")
    if isinstance(login, bool) or not isinstance(login, int | float):
        raise BadMessage("'login-time' is missing or of the wrong type")
    if not 0 <= login <= _TIME_MAX:  # nor is NaN
        raise BadMessage("'login-time' is no moment")
    since = min(max(0, int(time - login)), SECONDS_MAX)  # its clock may have been set back
    return Session(_text(told, "user", NAME_MAX), kind, since, None)


def _object(answer: object) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise BadMessage("no object where one belongs")
    return answer


def _text(told: dict[str, Any], name: str, characters_max: int | None = None) -> str:
    """Empty where there is none: the agent leaves out what it does not know."""
    value = told.get(name, "")
    if type(value) is not str or len(value) > TEXT_LONGEST:
        raise BadMessage(f"'{name}' is no text, or too long")
    return clean(value) if characters_max is None else clean(value, characters_max)


def _integer(name: str, value: object, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise BadMessage(f"'{name}' must be a whole number from 0 to {most}")
    return value


def _bytes(told: dict[str, Any], name: str, characters_max: int) -> bytes:
    value = told.get(name, "")
    if type(value) is not str or len(value) > characters_max:
        raise BadMessage(f"'{name}' is no text, or too long")
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        raise BadMessage(f"'{name}' is no base64") from None
