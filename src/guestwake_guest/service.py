"""The loop: look at this guest, report to the host, wait.

Level, not edge: whatever woke it, every pass asks each stream what is so. While no host is
connected it looks at nothing; a host that comes, or says hello, hears all at once. Times are by
the elapsed clock. What is Linux's or Windows' is behind `Guest`, `Signal` and `Waits`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Protocol

from guestwake_guest.conversation import Conversation
from guestwake_guest.journal import tell, warn
from guestwake_guest.replaced import SETTLED, Replaced
from guestwake_guest.report import Findings, Identity, framed, report, substance
from guestwake_guest.transports.api import Stream, StreamClosed, Transport, TransportDenied
from guestwake_wire.messages import Message, Nudge, RestartNotice, Window, WindowOver

LOOK_IN_WINDOW = 5.0
LOOK = 30.0
TICK = 30.0  # looks for transports, and for its own successor
SAY_PAUSE = 1.0  # between two reports to one host
SAY_AGAIN = 120.0  # the host takes five minutes of silence for silence
NUDGE_PAUSE = 600.0


class Guest(Protocol):
    """This guest. `elapsed`: seconds by a clock that nobody sets; `wall`: unix seconds."""

    identity: Identity

    def elapsed(self) -> float: ...
    def wall(self) -> float: ...
    def opened(self, since: float | None) -> None:
        """A window is open, by the wall clock since then; None: none is."""
        ...

    def look(self) -> Findings: ...
    def is_unsure(self) -> bool:
        """Who is here, or whether the guest is busy, will be known in a moment."""
        ...

    def tend(self, now: float) -> bool:
        """What was asked and goes on beside us. True: an answer has come, so it is time to look."""
        ...

    def next_end(self, now: float) -> float | None:
        """When `tend` is due, if nothing is heard before."""
        ...

    def outputs(self) -> Iterable[int]:
        """File descriptors that say when to `tend`."""
        ...

    def nudge(self, now: float) -> None: ...


class Signal(Protocol):
    """Other software's "restart required". `end`: a file descriptor that says when to look; None:
    whoever watches it ends the wait."""

    paused_until: float

    @property
    def end(self) -> int | None: ...
    def is_readable(self) -> bool: ...
    def take(self) -> bool:
        """True: it is new in this boot."""
        ...


class Waits(Protocol):
    def add(self, stream: Stream) -> None:
        """What comes on it ends a wait."""
        ...

    def wait(self, seconds: float, ends: set[int], outputs: Iterable[int]) -> None: ...


class Ended(Enum):
    REPLACED = "its own file was replaced: systemd starts the new one"
    DENIED = "a port came that it may not open: systemd starts it anew"
    STOPPED = "it was told to stop"


class Service:
    def __init__(
        self,
        guest: Guest,
        waits: Waits,
        transports: tuple[Transport, ...],
        signal: Signal | None = None,
        replaced: Replaced | None = None,
    ) -> None:
        self._guest = guest
        self._waits = waits
        self._transports = transports
        self._signal = signal
        self._replaced = replaced
        self.is_told_to_stop = False
        self._conversations: dict[Transport, Conversation] = {}
        self._findings = Findings()
        self._looked_at: float | None = None
        self._look_now = False
        self._window_until = 0.0
        self._nudged_at: float | None = None
        self._number = 0
        self._tick_at = 0.0

    def run(self) -> Ended:
        while True:
            ended = self.turn()
            if ended:
                return ended
            self.wait(self.pause())

    def turn(self) -> Ended | None:
        """One pass: everything that is due now. None: go on."""
        now = self._guest.elapsed()
        if self.is_told_to_stop:
            return Ended.STOPPED
        self._take_signal(now)
        if self._guest.tend(now):
            self._look_now = True
        if now >= self._tick_at:
            self._tick_at = now + TICK
            if self._replaced and self._replaced.settled(now):
                return Ended.REPLACED
            if self._replaced and self._replaced.is_settling():
                self._tick_at = now + SETTLED
        try:
            self._find_hosts()
        except TransportDenied as error:
            warn(str(error))
            return Ended.DENIED
        self._listen(now)
        self._look(now)
        self._report(now)
        return None

    # --- the host ---

    def _find_hosts(self) -> None:
        for transport in self._transports:
            stream = transport.look()
            if stream:
                self._close(transport)
                self._conversations[transport] = Conversation(stream)
                self._waits.add(stream)

    def _listen(self, now: float) -> None:
        for transport, conversation in list(self._conversations.items()):
            try:
                for message in conversation.hear():
                    self._heed(message, now)
            except StreamClosed:
                self._close(transport)
                transport.lost()

    def _close(self, transport: Transport) -> None:
        conversation = self._conversations.pop(transport, None)
        if conversation:
            conversation.stream.close()

    def _heed(self, message: Message, now: float) -> None:
        """Anything else is what a guest says, not a host."""
        if isinstance(message, Window):
            self._open_window(message, now)
        elif isinstance(message, WindowOver):
            self._open_window(Window(0, 0), now)
        elif isinstance(message, Nudge):
            self._nudge(now)
        elif isinstance(message, RestartNotice):
            tell(f"the host restarts this guest in {message.seconds} s")

    def _open_window(self, window: Window, now: float) -> None:
        if window.left and not self._window_is_open(now):
            tell(f"the window is open for {window.left} s")
            # The host counts from before a restart, which this service does not remember.
            self._guest.opened(self._guest.wall() - window.since)
            self._look_now = True
        elif not window.left and self._window_is_open(now):
            tell("the window is over")
        self._window_until = now + window.left

    def _window_is_open(self, now: float) -> bool:
        return now < self._window_until

    def _nudge(self, now: float) -> None:
        if self._nudged_at is None or now >= self._nudged_at + NUDGE_PAUSE:
            self._nudged_at = now
            self._guest.nudge(now)

    # --- looking and reporting ---

    def _look(self, now: float) -> None:
        hosts = [one for one in self._conversations.values() if one.may_report()]
        if not self._window_is_open(now):
            self._guest.opened(None)
        asked = any(host.wants_all for host in hosts) and now > (self._looked_at or 0.0) + SAY_PAUSE
        if hosts and (self._look_now or asked or now >= self._look_at(now)):
            self._findings = self._guest.look()
            self._looked_at = now
            self._look_now = False

    def _look_at(self, now: float) -> float:
        if self._looked_at is None:
            return now
        return self._looked_at + (LOOK_IN_WINDOW if self._window_is_open(now) else LOOK)

    def _report(self, now: float) -> None:
        for transport, conversation in list(self._conversations.items()):
            try:
                self._say(conversation, now)
                conversation.send()
            except StreamClosed:
                self._close(transport)
                transport.lost()

    def _say(self, host: Conversation, now: float) -> None:
        """Nothing while a session may be missing in what was found: what a report does not name is
        not so."""
        if not host.connected or self._guest.is_unsure() or now < self._say_at(host, now):
            return
        if host.wants_all:
            host.say_hello()
        host.wants_all = False
        host.told_at = now
        if host.may_report():
            host.told = substance(self._findings)
            self._number += 1
            wall = int(self._guest.wall())
            host.say(framed(report(self._guest.identity, self._findings, self._number, wall)))

    def _say_at(self, host: Conversation, now: float) -> float:
        if host.told_at is None:
            return now
        is_news = host.may_report() and substance(self._findings) != host.told
        return host.told_at + (SAY_PAUSE if host.wants_all or is_news else SAY_AGAIN)

    # --- waiting ---

    def pause(self) -> float:
        """Seconds until something is due, if nothing happens before."""
        now = self._guest.elapsed()
        due = [self._tick_at]
        for host in self._conversations.values():
            if host.connected and not self._guest.is_unsure():
                due.append(self._say_at(host, now))
            if host.may_report():
                due.append(self._look_at(now))
            if host.has_more:
                due.append(now)
        if self._signal and self._signal.paused_until > now:
            due.append(self._signal.paused_until)
        child_ends = self._guest.next_end(now)
        if child_ends is not None:
            due.append(child_ends)
        return max(0.0, min(due) - now)

    def wait(self, seconds: float) -> None:
        ends = [transport.waits_on() for transport in self._transports]
        if self._signal and self._signal.paused_until <= self._guest.elapsed():
            ends.append(self._signal.end)
        self._waits.wait(seconds, {end for end in ends if end is not None}, self._guest.outputs())

    def _take_signal(self, now: float) -> None:
        """Taken whether or not a host is there: a FIFO is not to fill up."""
        if self._signal and now >= self._signal.paused_until and self._signal.is_readable():
            self._look_now = self._signal.take() or self._look_now
