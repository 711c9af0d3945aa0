"""Who is using this guest: interactive sessions of people, and when they last gave input."""

from __future__ import annotations

from guestwake_guest.presence import logind, utmp
from guestwake_guest.presence.terminals import Terminals
from guestwake_guest.view import View
from guestwake_wire.messages import SESSIONS_MAX, Session


class Presence:
    def __init__(self) -> None:
        self._terminals = Terminals()

    def sessions(self, view: View) -> tuple[Session, ...]:
        """Whose work is the likeliest to be lost first: the last ones may be left out."""
        found = logind.sessions(view, self._terminals) if logind.is_here(view) else None
        if found is None:
            found = utmp.sessions(view, self._terminals) or logind.unknown(view)
        return tuple(sorted(found, key=_work)[:SESSIONS_MAX])


def _work(session: Session) -> tuple[int, int]:
    """The latest input, then whom nobody can tell of, then the oldest: an untouched session that
    is older than the wake is work at risk, however many others are signed in after it."""
    if session.input is None:
        return 1, 0
    return (2, -session.since) if session.input < 0 else (0, session.input)
