"""A Windows guest as the loop knows it. Pure but for what it is given."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Callable, Optional

from guestwake_guest.journal import tell, warn
from guestwake_guest.reasons import Reasons
from guestwake_guest.report import Findings, Identity
from guestwake_guest.view import Unclear
from guestwake_guest.windows.detectors import DETECTORS
from guestwake_guest.windows.registry import Registry
from guestwake_guest.windows.sessions import sessions
from guestwake_guest.windows.update_client import UpdateClient
from guestwake_guest.windows.view import WindowsView
from guestwake_wire.messages import ClientState, Session, SessionKind
from guestwake_wire.terminal_services import Told

_SETTLED_WITHIN, _LOOKS_EACH = 30.0, 0.2
_NOBODY_KNOWS = Session("?", SessionKind.GRAPHICAL, 0, None)


class WindowsGuest:
    """`told`: the sessions, raising OSError; `given`: when the first ESD signal
    of this boot came, likewise."""

    def __init__(
        self,
        identity: Identity,
        registry: Registry,
        told: Callable[[], Iterable[Told]],
        given: Callable[[], Optional[float]],
        updates: UpdateClient,
        *,
        elapsed: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.identity = identity
        self.elapsed, self.wall = elapsed, wall
        self._registry, self._told, self._given = registry, told, given
        self._updates = updates
        self._reasons = Reasons(elapsed)
        self._changed = threading.Event()
        self._settles_at: Optional[float] = None
        self._window_since: Optional[float] = None
        self._warned = False

    def changed(self) -> None:
        """Something that is watched: it is time to look. From any thread."""
        self._changed.set()

    def opened(self, since: float | None) -> None:
        self._window_since = since
        if since is not None:
            self._updates.ask_soon()

    def look(self) -> Findings:
        view = WindowsView(self._registry, self.elapsed(), self._signal())
        client = self._updates.client(self._window_since)
        busy = None if client.state is ClientState.UNKNOWN else client.state is ClientState.BUSY
        restart = self._reasons.found(view, DETECTORS)
        left = self._reasons.settling
        self._settles_at = None if left is None else self.elapsed() + left
        return Findings(busy, restart, (client,), self._sessions())

    def is_unsure(self) -> bool:
        return self._updates.is_unsure()

    def tend(self, now: float) -> bool:
        changed = self._changed.is_set()
        if changed:
            self._changed.clear()
        settled = self._settles_at is not None and now >= self._settles_at
        if settled:
            self._settles_at = None
        return self._updates.has_news() or changed or settled

    def next_end(self, now: float) -> float | None:
        """When a reason that settles will count."""
        return self._settles_at

    def settled(self, wait: Callable[[float], object]) -> Findings:
        """A look for who has no loop: nothing that was seen settles any more, and the update
        client has answered, or half a minute has passed."""
        self.look()
        until = self.elapsed() + _SETTLED_WITHIN
        while self.elapsed() < until and (self.is_unsure() or self._settles_at is not None):
            wait(_LOOKS_EACH)
            if self.tend(self.elapsed()):
                self.look()
        return self.look()

    def outputs(self) -> Iterable[int]:
        return ()

    def nudge(self, now: float) -> None:
        tell("letting Windows Update look now")
        self._updates.nudge()

    def _signal(self) -> float | Unclear | None:
        try:
            return self._given()
        except OSError:
            return Unclear.CANNOT_TELL

    def _sessions(self) -> tuple[Session, ...]:
        """Where nobody can tell, somebody may be there: that is never nobody."""
        try:
            found = sessions(self._told())
        except OSError as error:
            if not self._warned:
                warn(f"Windows does not tell who is here: {error}")
            self._warned = True
            return (_NOBODY_KNOWS,)
        self._warned = False
        return found
