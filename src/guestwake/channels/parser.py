"""What guests sent, parsed: one `Parser` for each stream, within bounds of size and rate.

Runs in the reader process (`reader.py`); tests may run it in their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from guestwake.channels.api import Heard
from guestwake_wire.framing import Framer, FrameTooLong
from guestwake_wire.messages import Hello, Report, decode, encode
from guestwake_wire.strict import BadMessage

MESSAGES_BURST = 16
MESSAGES_EACH_SECOND = 2.0


@dataclass
class Allowance:
    """A bucket of messages that refills; `clock` in seconds."""

    clock: Callable[[], float] = monotonic
    left: float = MESSAGES_BURST
    at: float | None = None

    def takes(self) -> bool:
        now = self.clock()
        gained = 0.0 if self.at is None else max(0.0, now - self.at) * MESSAGES_EACH_SECOND
        self.left, self.at = min(MESSAGES_BURST, self.left + gained), now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class Parser:
    """Of one stream. Holds one unfinished frame at the most."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._framer = Framer()
        self._allowance = Allowance(clock)

    def feed(self, data: bytes) -> Heard:
        hello: Hello | None = None
        report: Report | None = None
        refused = dropped = 0
        junk = -self._framer.discarded
        for text in self._framer.feed(data):
            if not self._allowance.takes():
                dropped += 1
                continue
            try:
                message = decode(text)
                encode(message)  # it is passed on as we write it, which may be longer
            except (BadMessage, FrameTooLong):
                refused += 1
                continue
            match message:
                case Hello():  # what came before it may be of another connection: not heard
                    hello, report = message, None
                case Report():
                    report = message
                case _:  # a host's words: no guest has a use for them
                    refused += 1
        return Heard(hello, report, refused, dropped, junk + self._framer.discarded)


class InProcess:
    """For tests that cannot have a process of their own for it."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._parsers: dict[int, Parser] = {}

    def parse(self, stream: int, data: bytes) -> Heard:
        return self._parsers.setdefault(stream, Parser(self._clock)).feed(data)

    def forget(self, stream: int) -> None:
        self._parsers.pop(stream, None)
