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
        """Those with the latest input first."""
        found = logind.sessions(view, self._terminals) if logind.is_here(view) else None
        if found is None:
            found = utmp.sessions(view, self._terminals) or logind.unknown(view)
        return tuple(sorted(found, key=_quiet_for)[:SESSIONS_MAX])


def _quiet_for(session: Session) -> int:
    silent = session.input is None or session.input < 0
    return session.since if silent else session.input  # type: ignore[return-value]
