"""One VM's talk with its Guest Update Service: bytes from the channel to the reader process,
reports back, the host's few words out.

Pumps and remembers; it decides nothing. What a guest sends costs at most one look a second and a
fixed amount of memory, whatever it is (contract, section 11). Not for two threads at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from guestwake.channels.api import (
    CHUNK_BYTES_MAX,
    Channel,
    ChannelClosed,
    Heard,
    Parses,
    ReaderFailed,
)
from guestwake.hypervisors.api import Hypervisor, HypervisorError, OpensChannel, Unreachable, Vm
from guestwake.policy.words import Now, Power, Start
from guestwake_wire import __version__
from guestwake_wire.messages import (
    VERSIONS,
    Hello,
    Message,
    Report,
    Window,
    WindowOver,
    common_version,
    encode,
)

log = logging.getLogger(__name__)

CHUNKS_MAX = 4  # in one go
OPEN_AGAIN = 30.0  # seconds after a channel could not be opened, or its reader failed
LOST_AGAIN = 5.0  # seconds after one has closed: the guest restarts, or floods, or it was replaced
LISTENS_AGAIN = 1.0  # seconds between two goes, once the first few are used up
LISTENS_AT_ONCE = 8
ASK_AGAIN = 150.0  # seconds without a word after which it is asked for one
ASKS_MAX = 3
UNSENT_MAX = 4096  # bytes: a guest that does not read is told no more
WINDOW_MOVED = timedelta(seconds=5)

_STREAM = 0  # one guest, one stream of the reader
_HELLO = Hello(VERSIONS, f"guestwake {__version__}")


class Conversation:
    """`opens`: the way to the guest, mostly the hypervisor's. `hurry` is called from any thread
    when there is something to `listen` to."""

    def __init__(
        self,
        hypervisor: Hypervisor,
        opens: OpensChannel,
        vm: Vm,
        parser: Parses,
        hurry: Callable[[], None],
    ) -> None:
        self._hypervisor, self._opens, self._vm = hypervisor, opens, vm
        self._parser, self._hurry = parser, hurry
        self._channel: Channel | None = None
        self._start: Start | None = None
        self._not_before = 0.0
        self._goes, self._went = float(LISTENS_AT_ONCE), 0.0
        self._behind = self._lost = False
        self._unsent = b""
        self.refused = 0  # messages of `_refused_of` that were none, or too many
        self._refused_of: str | None = None  # a start of the VM: one may open many channels
        self._quiet()

    def _quiet(self) -> None:
        self._answered = False
        self._window_told: timedelta | None = None  # end of the window, on the elapsed clock
        self._over_told = False
        self._heard_at: float | None = None
        self._asked = 0

    @property
    def is_answered(self) -> bool:
        """The guest has said hello on this connection, in a version that both speak."""
        return self._answered

    @property
    def start(self) -> Start | None:
        """The start of the VM that it is held in; None: no channel is open."""
        return self._start if self._channel is not None else None

    @property
    def look_within(self) -> timedelta | None:
        """There is something to be done, and not at once. None: `hurry` will tell."""
        if self._behind:
            return timedelta(seconds=LISTENS_AGAIN)
        return timedelta(seconds=LOST_AGAIN) if self._lost else None

    def listen(self, now: Now) -> Report | None:
        """The last report that came, if any. Opens the channel where the VM runs and none is.

        Raises Unreachable where the hypervisor is lost.
        """
        if self._channel is None and not self._open(now):
            return None
        try:
            report = self._taken_in(now)
            self._ask_for_a_word(now)
            self._flush()
        except ChannelClosed as err:
            log.debug("channel of '%s': %s", self._vm.name, err)
            self._not_before = now.elapsed + LOST_AGAIN
            self.close()
            self._lost = True
            return None
        except ReaderFailed as err:
            log.warning("what the guest of '%s' sent could not be read: %s", self._vm.name, err)
            self._not_before = now.elapsed + OPEN_AGAIN
            self.close()
            return None
        return report

    def say(self, message: Message) -> None:
        """Nothing where nobody has answered."""
        if self._channel is None or not self._answered:
            return
        self._queue(message)
        with suppress(ChannelClosed):  # the next `listen` finds out
            self._flush()

    def tell_window(self, left: timedelta | None, awake: timedelta, now: Now) -> None:
        """How long the window is open yet, None: it is over; and how long the VM has been awake
        for it. What was said is not said again."""
        if left is None:
            if not self._over_told:
                self._over_told, self._window_told = self._answered, None
                self.say(WindowOver())
            return
        ends = timedelta(seconds=now.elapsed) + left
        told = self._window_told
        if self._answered and (told is None or abs(told - ends) > WINDOW_MOVED):
            self._over_told, self._window_told = False, ends
            self.say(Window(_seconds(left), _seconds(awake)))

    def end(self) -> None:
        """For now; the next `listen` begins anew, and at once."""
        self.close()
        self._not_before = 0.0

    def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
            self._parser.forget(_STREAM)
        self._start, self._unsent = None, b""
        self._behind = self._lost = False
        self._quiet()

    # below

    def _open(self, now: Now) -> bool:
        if now.elapsed < self._not_before:
            return False
        self._not_before, self._lost = now.elapsed + OPEN_AGAIN, False
        try:
            return self._opened()
        except Unreachable:
            raise
        except HypervisorError as err:  # it has none, or somebody else holds it, or is not told
            log.debug("channel of '%s': %s", self._vm.name, err)
            return False

    def _opened(self) -> bool:
        """Raises HypervisorError."""
        before = self._hypervisor.state(self._vm)
        if before.power is not Power.RUNNING or before.start is None:
            self._not_before = 0.0
            return False
        channel = self._opens.open_channel(self._vm, self._hurry)
        try:
            after = self._hypervisor.state(self._vm).start
        except HypervisorError:
            channel.close()  # left open, it would keep the port from the next one
            raise
        if after is None or after.id != before.start.id:
            channel.close()  # whose it is nobody can tell
            self._not_before = 0.0
            return False
        self._channel, self._start = channel, before.start
        if before.start.id != self._refused_of:
            self._refused_of, self.refused = before.start.id, 0
        self._queue(_HELLO)
        return True

    def _taken_in(self, now: Now) -> Report | None:
        if not self._may_go(now):
            self._behind = True
            return None
        assert self._channel is not None
        report: Report | None = None
        for _ in range(CHUNKS_MAX):
            data = self._channel.receive(CHUNK_BYTES_MAX)
            if not data:
                self._behind = False
                return report
            report = self._take(self._parser.parse(_STREAM, data), now) or report
        self._behind = True
        return report

    def _may_go(self, now: Now) -> bool:
        gained = max(0.0, now.elapsed - self._went) / LISTENS_AGAIN
        self._goes, self._went = min(LISTENS_AT_ONCE, self._goes + gained), now.elapsed
        if self._goes < 1:
            return False
        self._goes -= 1
        return True

    def _take(self, heard: Heard, now: Now) -> Report | None:
        if heard.refused + heard.dropped and not self.refused:
            log.warning(
                "the guest of '%s' sends what is no message, or too many; they are passed over",
                self._vm.name,
            )
        self.refused += heard.refused + heard.dropped
        if heard.hello is not None:
            self._answered = common_version(VERSIONS, heard.hello.versions) is not None
            self._window_told, self._over_told = None, False
        if heard.report is None:
            return None
        if not self._answered:  # its hello may have been lost among too many: it is asked for
            self._heard_at = now.elapsed if self._heard_at is None else self._heard_at
            return None
        self._heard_at, self._asked = now.elapsed, 0
        return heard.report

    def _ask_for_a_word(self, now: Now) -> None:
        if self._heard_at is None or self._asked >= ASKS_MAX:
            return
        if now.elapsed - self._heard_at > ASK_AGAIN * (self._asked + 1):
            self._asked += 1
            self._queue(_HELLO)

    def _queue(self, message: Message) -> None:
        data = encode(message)
        if len(self._unsent) + len(data) <= UNSENT_MAX:
            self._unsent += data

    def _flush(self) -> None:
        while self._channel is not None and self._unsent:
            taken = self._channel.send(self._unsent)
            if not taken:
                return
            self._unsent = self._unsent[taken:]


def _seconds(span: timedelta) -> int:
    return max(0, int(span.total_seconds()))
