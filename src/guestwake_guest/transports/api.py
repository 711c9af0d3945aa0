"""What the service asks of a transport. Nothing here ever waits."""

from __future__ import annotations

from typing import Protocol


class StreamClosed(Exception):
    """For ever. The transport may have another one later."""


class TransportDenied(Exception):
    """It came after this service was started: what that may open was settled then."""


class Stream(Protocol):
    """Bytes to and from one host."""

    def fileno(self) -> int: ...

    def connected(self) -> bool:
        """There is a host at the far end, now."""
        ...

    def receive(self, bytes_max: int) -> bytes:
        """b"": nothing now. Raises StreamClosed."""
        ...

    def send(self, data: bytes) -> int:
        """How many of the bytes were taken, from the first; 0: none now. Raises StreamClosed."""
        ...

    def close(self) -> None: ...


class Transport(Protocol):
    def look(self) -> Stream | None:
        """A stream that is new; None: none. Raises TransportDenied. Cheap: it is asked every half
        minute, and when `waits_on` can be read."""
        ...

    def waits_on(self) -> int | None:
        """A file descriptor that says when to look."""
        ...

    def lost(self) -> None:
        """The stream that it gave last is closed."""
        ...
