"""Raw bytes to and from one guest, and what they say once they were read.

Whoever holds a channel pumps bytes and reads no meaning into them: they go to the reader process
(contract, section 11). A channel never blocks, waits or retries.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from guestwake_wire.messages import Hello, Report

PORT_NAME = "org.guestwake.update.0"  # of the virtio-serial port, on both sides
VSOCK_PORT = 0x6777  # "gw"
HV_SERVICE = f"{VSOCK_PORT:08x}-facb-11e6-bd58-64006a7986d3"  # the same port, as Hyper-V names it
CHUNK_BYTES_MAX = 16384  # of one stream that are parsed in one go


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
    """The guest was stopped, its port went, the hypervisor was lost; or more was sent, or came and
    was not received, than the way to the guest holds. Bytes may have been lost in between."""


class Heard(NamedTuple):
    """The last of each that came; a snapshot makes those before it nothing, and a hello all that
    came before it. `refused`: messages that were none; `dropped`: messages beyond the rate;
    `junk`: bytes outside of any frame."""

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


class PairingError(Exception):
    """A guest cannot be paired, or is not any more: a sentence with its remedy."""
