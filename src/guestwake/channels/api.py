"""Raw bytes to and from one guest, and why there may be none.

Whoever holds a channel pumps bytes and reads no meaning into them: they go to the reader process
(contract, section 11). A channel never blocks, waits or retries.
"""

from __future__ import annotations

from typing import Protocol

PORT_NAME = "org.guestwake.update.0"  # of the virtio-serial port, on both sides
VSOCK_PORT = 0x6777  # "gw"


class Channel(Protocol):
    """Open from its making until it raises ChannelClosed, once and for ever: then make another.
    Its identity is that of the VM's start that it was opened on."""

    def receive(self, bytes_max: int) -> bytes:
        """b"": nothing now. Raises ChannelClosed."""
        ...

    def send(self, data: bytes) -> int:
        """How many of the bytes were taken, from the first; 0: none now. Raises ChannelClosed."""
        ...

    def close(self) -> None: ...


class ChannelClosed(Exception):
    """The guest was stopped, its port went, or the hypervisor was lost."""
