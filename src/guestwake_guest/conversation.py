"""What is said and heard on one stream to a host (docs/protocol.md).

Of what is to be sent no more is kept than the rest of the frame under way, a hello and the newest
report: a port that nobody reads costs nothing. What is heard is decoded strictly; what is not a
message is counted and left.
"""

from __future__ import annotations

from collections.abc import Iterator

from guestwake_guest import AGENT
from guestwake_guest.journal import warn
from guestwake_guest.report import Findings
from guestwake_guest.transports.api import Stream
from guestwake_wire.framing import Framer
from guestwake_wire.messages import (
    VERSIONS,
    BadMessage,
    Hello,
    Message,
    common_version,
    decode,
    encode,
)

_READS_MAX = 16  # in one go; the rest waits its turn
_READ_BYTES = 4096
_HELLO = encode(Hello(VERSIONS, AGENT))


class Conversation:
    """`wants_all`: the host has just come, or has said hello: it is to hear hello and a report.
    `told`: the substance of the last report; `told_at`: when, None: never."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.connected = False
        self.wants_all = False
        self.told: Findings | None = None
        self.told_at: float | None = None
        self.bad = 0
        self.has_more = False  # there is more to read than one go takes
        self._understood = True
        self._begin()

    def hear(self) -> list[Message]:
        """What the host says, other than hello. Raises StreamClosed."""
        self._notice_the_host()
        return [message for message in self._heard() if not self._is_hello(message)]

    def may_report(self) -> bool:
        return self.connected and self._understood

    def say_hello(self) -> None:
        self._hello = _HELLO

    def say(self, report: bytes) -> None:
        """In the place of one that was not sent yet."""
        self._report = report

    def _begin(self) -> None:
        self._framer = Framer()
        self._under_way = b""
        self._hello = b""
        self._report = b""

    def _notice_the_host(self) -> None:
        connected = self.stream.connected()
        if connected and not self.connected:
            self.wants_all = self._understood = True
        if connected != self.connected:
            self._begin()  # neither end knows what the other one had of a frame
        self.connected = connected

    def _heard(self) -> Iterator[Message]:
        self.has_more = True
        for _ in range(_READS_MAX):
            data = self.stream.receive(_READ_BYTES)
            if not data:
                self.has_more = False
                return
            for text in self._framer.feed(data):
                message = self._decoded(text)
                if message is not None:
                    yield message

    def _decoded(self, text: bytes) -> Message | None:
        try:
            return decode(text)
        except BadMessage as error:
            if self.bad == 0:
                warn(f"the host sent what is no message: {error}; further ones are only counted")
            self.bad += 1
            return None

    def _is_hello(self, message: Message) -> bool:
        """A host that has no version in common with us is told hello, and nothing more."""
        if not isinstance(message, Hello):
            return False
        understood = common_version(VERSIONS, message.versions) is not None
        if not understood and self._understood:
            warn(f"the host '{message.agent}' speaks another protocol: it gets no reports")
        self._understood = understood
        self.wants_all = True
        return True

    def send(self) -> None:
        """As much as the host takes now. Raises StreamClosed."""
        while self.connected and self._next():
            taken = self.stream.send(self._under_way)
            self._under_way = self._under_way[taken:]
            if not taken:
                return

    def _next(self) -> bytes:
        if not self._under_way:
            self._under_way, self._hello = self._hello, b""
        if not self._under_way:
            self._under_way, self._report = self._report, b""
        return self._under_way
