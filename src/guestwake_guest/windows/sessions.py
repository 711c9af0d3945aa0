"""Who is using this Windows: its sessions, as Terminal Services tell of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Optional

from guestwake_wire.messages import NAME_MAX, SESSIONS_MAX, Session, SessionKind, clean
from guestwake_wire.terminal_services import CONSOLE, PEOPLE, Told

_TICKS = 10_000_000  # a second, in FILETIME's


def sessions(told: Iterable[Told]) -> tuple[Session, ...]:
    """Whose work is the likeliest to be lost first."""
    found = [_session(one) for one in told if one.user and one.state in PEOPLE]
    return tuple(sorted(found, key=_work)[:SESSIONS_MAX])


def _session(one: Told) -> Session:
    is_console = one.station.lower() == CONSOLE
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
