"""The loop: look at this guest, report to the host, wait.

Level, not edge: whatever woke it, every pass asks each stream what is so. While no host is
connected it looks at nothing; a host that comes, or says hello, hears all at once. Times are by
the elapsed clock.
"""

from __future__ import annotations

import select
from contextlib import suppress
from enum import Enum

from guestwake_guest.children import Children
from guestwake_guest.conversation import Conversation
from guestwake_guest.esd_signal.fifo import Fifo
from guestwake_guest.journal import tell, warn
from guestwake_guest.look import Looker, identity, wanted_units
from guestwake_guest.replaced import SETTLED, Replaced
from guestwake_guest.report import Findings, framed, report, substance
from guestwake_guest.system import System
from guestwake_guest.transports.api import StreamClosed, Transport
from guestwake_guest.transports.virtio_serial import PortDenied
from guestwake_wire.messages import Message, Nudge, RestartNotice, Window, WindowOver

LOOK_IN_WINDOW = 5.0
LOOK = 30.0
TICK = 30.0  # looks for transports, and for its own successor
SAY_PAUSE = 1.0  # between two reports to one host
SAY_AGAIN = 120.0  # the host takes five minutes of silence for silence
NUDGE_PAUSE = 600.0
NUDGE_SECONDS_MAX = 60.0

_SYSTEMCTL = "/usr/bin/systemctl"
_STREAM_EVENTS = select.EPOLLIN | select.EPOLLOUT | select.EPOLLET


class Ended(Enum):
    REPLACED = "its own file was replaced: systemd starts the new one"
    DENIED = "a port came that it may not open: systemd starts it anew"


class Service:
    def __init__(
        self,
        system: System,
        transports: tuple[Transport, ...],
        fifo: Fifo | None = None,
        replaced: Replaced | None = None,
    ) -> None:
        self._system = system
        self._transports = transports
        self._fifo = fifo
        self._replaced = replaced
        self._conversations: dict[Transport, Conversation] = {}
        self._children = Children()
        self._looker = Looker(system, self._children)
        self._identity = identity(system)
        self._findings = Findings()
        self._looked_at: float | None = None
        self._look_now = False
        self._window_until = 0.0
        self._nudged_at: float | None = None
        self._number = 0
        self._tick_at = 0.0
        self._epoll = select.epoll()
        self._waits_on: set[int] = set()

    def run(self) -> Ended:
        while True:
            ended = self.turn()
            if ended:
                return ended
            self.wait(self.pause())

    def turn(self) -> Ended | None:
        """One pass: everything that is due now. None: go on."""
        now = self._system.elapsed()
        self._take_signal(now)
        if self._children.tend(now):
            self._look_now = True
        if now >= self._tick_at:
            self._tick_at = now + TICK
            if self._replaced and self._replaced.settled(now):
                return Ended.REPLACED
            if self._replaced and self._replaced.is_settling():
                self._tick_at = now + SETTLED
        try:
            self._find_hosts()
        except PortDenied as error:
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
                self._epoll.register(stream.fileno(), _STREAM_EVENTS)

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
            self._looker.window_since = self._system.wall() - window.since
            self._look_now = True
        elif not window.left and self._window_is_open(now):
            tell("the window is over")
        self._window_until = now + window.left

    def _window_is_open(self, now: float) -> bool:
        return now < self._window_until

    def _nudge(self, now: float) -> None:
        """The client's own units, so its own configuration rules; its own process, so that we are
        no installer's parent."""
        if self._nudged_at is not None and now < self._nudged_at + NUDGE_PAUSE:
            return
        self._nudged_at = now
        units = wanted_units(self._looker.view())
        if not units:
            tell("asked to let the update clients look, but none here has a unit for that")
            return
        tell(f"letting the update clients look now: {', '.join(units)}")
        command = (self._system.path(_SYSTEMCTL), "start", "--no-block", *units)
        if not self._children.start(command, now + NUDGE_SECONDS_MAX, _nudged):
            warn("systemctl could not be started: the update clients look when they do")

    # --- looking and reporting ---

    def _look(self, now: float) -> None:
        hosts = [one for one in self._conversations.values() if one.may_report()]
        if not self._window_is_open(now):
            self._looker.window_since = None
        asked = any(host.wants_all for host in hosts) and now > (self._looked_at or 0.0) + SAY_PAUSE
        if hosts and (self._look_now or asked or now >= self._look_at(now)):
            self._findings = self._looker.look()
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
        if not host.connected or self._looker.is_unsure() or now < self._say_at(host, now):
            return
        if host.wants_all:
            host.say_hello()
        host.wants_all = False
        host.told_at = now
        if host.may_report():
            host.told = substance(self._findings)
            self._number += 1
            wall = int(self._system.wall())
            host.say(framed(report(self._identity, self._findings, self._number, wall)))

    def _say_at(self, host: Conversation, now: float) -> float:
        if host.told_at is None:
            return now
        is_news = host.may_report() and substance(self._findings) != host.told
        return host.told_at + (SAY_PAUSE if host.wants_all or is_news else SAY_AGAIN)

    # --- waiting ---

    def pause(self) -> float:
        """Seconds until something is due, if nothing happens before."""
        now = self._system.elapsed()
        due = [self._tick_at]
        for host in self._conversations.values():
            if host.connected and not self._looker.is_unsure():
                due.append(self._say_at(host, now))
            if host.may_report():
                due.append(self._look_at(now))
            if host.has_more:
                due.append(now)
        if self._fifo and self._fifo.paused_until > now:
            due.append(self._fifo.paused_until)
        child_ends = self._children.next_end(now)
        if child_ends is not None:
            due.append(child_ends)
        return max(0.0, min(due) - now)

    def wait(self, seconds: float) -> None:
        ends = [transport.waits_on() for transport in self._transports]
        if self._fifo and self._fifo.paused_until <= self._system.elapsed():
            ends.append(self._fifo.end)
        wanted = {end for end in ends if end is not None}
        self._watch(wanted)
        for output in self._children.outputs():
            self._watch_output(output)
        self._epoll.poll(seconds)

    def _watch(self, wanted: set[int]) -> None:
        for end in self._waits_on - wanted:
            self._epoll.unregister(end)
        for end in wanted - self._waits_on:
            self._epoll.register(end, select.EPOLLIN)
        self._waits_on = wanted

    def _watch_output(self, output: int) -> None:
        with suppress(FileExistsError):  # already; it goes by itself when it is closed
            self._epoll.register(output, select.EPOLLIN | select.EPOLLET)

    def _take_signal(self, now: float) -> None:
        """Taken whether or not a host is there: the FIFO is not to fill up."""
        if self._fifo and now >= self._fifo.paused_until and self._fifo.is_readable():
            self._look_now = self._fifo.take() or self._look_now


def _nudged(code: int, text: str) -> None:
    if code:
        warn(f"systemctl start ended with {code}: the update clients may not look now")
