"""The Windows Update client: busy or not, what is left, what it last installed.

Who asks it waits in a thread of its own; a look takes the last answer. A running TiWorker proves
nothing, so nobody looks for one (contract, section 6).
"""

from __future__ import annotations

import threading
from typing import Callable, NamedTuple, Optional, Protocol

from guestwake_guest.journal import warn
from guestwake_wire.messages import INSTALLED_MAX, NAME_MAX, Client, ClientState, Installed, clean

NAME = "windows-update"
ASK_AGAIN = 60.0  # seconds between two questions
PATIENCE = 120.0  # seconds without an answer, after which nobody knows
REPORT_WAITS = 20.0  # seconds, for the first answer: who is here is to be told too


class Entry(NamedTuple):
    """`at`: unix seconds."""

    title: str
    at: int


class Answer(NamedTuple):
    """`left`: updates that are not installed yet, as of Windows' own last look; None: not asked, as
    it is busy. `looked_at`: when that was, in unix seconds; None: Windows does not say."""

    busy: bool
    left: Optional[int]
    installed: tuple[Entry, ...] = ()
    looked_at: Optional[float] = None


class Asks(Protocol):
    """Each may take minutes. Raises OSError."""

    def ask(self) -> Answer: ...
    def nudge(self) -> None: ...


class UpdateClient:
    """`agent` makes who asks Windows, in the thread that will. `hurry` is called from that thread
    when there is an answer."""

    def __init__(
        self,
        agent: Callable[[], Asks],
        elapsed: Callable[[], float],
        hurry: Callable[[], None],
    ) -> None:
        self._agent, self._elapsed, self._hurry = agent, elapsed, hurry
        self._wanted = threading.Event()
        self._lock = threading.Lock()
        self._answer: Optional[Answer] = None
        self._asked_at: Optional[float] = None
        self._under_way = False
        self._ask_again = False
        self._has_answered = False
        self._is_new = False
        self._nudge = False
        self._warned = ""
        threading.Thread(target=self._work, daemon=True).start()

    def client(self, window_since: Optional[float] = None) -> Client:
        """As of the last answer; the next one is on its way. `window_since`: by the wall clock,
        when the window was opened that is open now."""
        now = self._elapsed()
        with self._lock:
            answer = self._answer
            asked_at = self._asked_at
            is_due = asked_at is None or self._ask_again or now >= asked_at + ASK_AGAIN
            if not self._under_way and is_due:
                self._under_way, self._ask_again, self._asked_at = True, False, now
                self._wanted.set()
            elif self._under_way and asked_at is not None and now > asked_at + PATIENCE:
                answer = None
        return _client(answer, window_since)

    def has_news(self) -> bool:
        """An answer has come since this was asked last."""
        with self._lock:
            news, self._is_new = self._is_new, False
            return news

    def is_unsure(self) -> bool:
        """The first answer will be here in a moment."""
        with self._lock:
            asked_at = self._asked_at
            waits = self._under_way and not self._has_answered and asked_at is not None
            return waits and self._elapsed() < (asked_at or 0.0) + REPORT_WAITS

    def ask_soon(self) -> None:
        """Also where a question is under way: what that one brings may be older."""
        with self._lock:
            self._ask_again = True

    def nudge(self) -> None:
        with self._lock:
            self._nudge = True
        self._wanted.set()

    def _work(self) -> None:
        agent: Optional[Asks] = None
        while True:
            self._wanted.wait()
            self._wanted.clear()
            try:
                agent = agent or self._agent()
                self._do(agent)
            except Exception as error:  # whatever Windows' own parts raise
                self._take(None, f"{type(error).__name__}: {error}")

    def _do(self, agent: Asks) -> None:
        with self._lock:
            nudge, self._nudge, asks = self._nudge, False, self._under_way
        if nudge:
            _nudge(agent)
        if asks:
            self._take(agent.ask(), "")

    def _take(self, answer: Optional[Answer], trouble: str) -> None:
        with self._lock:
            self._answer = answer
            self._under_way, self._has_answered, self._is_new = False, True, True
        if trouble and trouble != self._warned:
            warn(f"Windows Update cannot be asked: {trouble}; asking on")
        self._warned = trouble
        self._hurry()


def _nudge(agent: Asks) -> None:
    """What it cannot be told it may still be asked."""
    try:
        agent.nudge()
    except OSError as error:
        warn(f"Windows Update cannot be told to look: {error}; it looks when it does")


def _client(answer: Optional[Answer], window_since: Optional[float]) -> Client:
    if answer is None:
        return Client(NAME, ClientState.UNKNOWN)
    state = ClientState.IDLE
    if answer.busy:
        state = ClientState.BUSY
    elif answer.left == 0 and _looked_in_window(answer, window_since):
        state = ClientState.NOTHING_LEFT
    installed = tuple(
        Installed(clean(one.title, NAME_MAX), "", one.at)
        for one in answer.installed[:INSTALLED_MAX]
    )
    return Client(NAME, state, installed, len(answer.installed) - len(installed))


def _looked_in_window(answer: Answer, window_since: Optional[float]) -> bool:
    """Nothing that was left long ago says nothing of today."""
    if answer.looked_at is None or window_since is None:
        return False
    return answer.looked_at >= window_since
