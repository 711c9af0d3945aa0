"""Who is using this Windows: its sessions, as Terminal Services tell of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Optional

from guestwake_wire.messages import NAME_MAX, SESSIONS_MAX, Session, SessionKind, clean

_PEOPLE = (0, 1, 3, 4)  # WTSActive, WTSConnected, WTSShadow, WTSDisconnected
_SOMEBODY = "?"
_HAS_ENDED = (2, 7022)  # ERROR_FILE_NOT_FOUND, ERROR_CTX_WINSTATION_NOT_FOUND
_CONSOLE = "console"
_TICKS = 10_000_000  # a second, in FILETIME's


class Told(NamedTuple):
    """One of them as Windows has it: times in FILETIME, 0: Windows does not say."""

    user: str
    state: int
    station: str
    logged_on: int
    last_input: int
    now: int


def untold(number: int, state: int, error: int) -> Optional[Told]:
    """What is told of a session of which Windows says no more than its number and state, but
    `error`. Somebody may be there. None: nobody is: it has ended since, or it is the services'."""
    if number == 0 or error in _HAS_ENDED:
        return None
    return Told(_SOMEBODY, state, _CONSOLE, 0, 0, 0)


def sessions(told: Iterable[Told]) -> tuple[Session, ...]:
    """Whose work is the likeliest to be lost first."""
    found = [_session(one) for one in told if one.user and one.state in _PEOPLE]
    return tuple(sorted(found, key=_work)[:SESSIONS_MAX])


def _session(one: Told) -> Session:
    is_console = one.station.lower() == _CONSOLE
    kind = SessionKind.GRAPHICAL if is_console else SessionKind.REMOTE
    since = _ago(one, one.logged_on)
    return Session(clean(one.user, NAME_MAX), kind, since or 0, _ago(one, one.last_input))


def _ago(one: Told, then: int) -> Optional[int]:
    """Seconds; None: cannot be told, as of the input at a console."""
    if not then or not one.now:
        return None
    return max(0, (one.now - then) // _TICKS)


def _work(session: Session) -> tuple[int, int]:
    """The latest input, then whom nobody can tell of."""
    return (1, -session.since) if session.input is None else (0, session.input)
