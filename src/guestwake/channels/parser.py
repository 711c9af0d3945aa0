"""What guests sent, parsed: one `Parser` for each stream, within bounds of size and rate.

Runs in the reader process (`reader.py`); tests may run it in their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple, Protocol

from guestwake_wire.framing import Framer, FrameTooLong
from guestwake_wire.messages import Hello, Report, decode, encode
from guestwake_wire.strict import BadMessage

CHUNK_BYTES_MAX = 16384  # of one stream in one go
MESSAGES_BURST = 16
MESSAGES_EACH_SECOND = 2.0


class Heard(NamedTuple):
    """The last of each that came; a snapshot makes those before it nothing. `refused`: messages
    that were none; `dropped`: messages beyond the rate; `junk`: bytes outside of any frame."""

    hello: Hello | None = None
    report: Report | None = None
    refused: int = 0
    dropped: int = 0
    junk: int = 0


class Parses(Protocol):
    def parse(self, stream: int, data: bytes) -> Heard:
        """At most CHUNK_BYTES_MAX of one stream; its parser remembers half a frame for the next
        call. Raises ReaderFailed, after which the stream begins anew."""
        ...

    def forget(self, stream: int) -> None:
        """That stream has closed; its number may be used again."""
        ...


class ReaderFailed(Exception):
    """The reader process died or did not answer; the next call starts another."""


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
                case Hello():
                    hello = message
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
