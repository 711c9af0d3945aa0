"""Bytes to frames and back; no sockets (docs/protocol.md, "Frames").

A frame is a JSON text sequence element (RFC 7464): RS, one JSON text in ASCII, LF. Whoever comes
into the middle of a stream finds its feet at the next RS. The framer never holds more than one
frame, whatever is fed to it: an endless line is thrown away as it comes (libvirt's
CVE-2018-1064).
"""

from __future__ import annotations

from collections.abc import Iterator

FRAME_BYTES_MAX = 4096  # RS and LF among them
_RS, _LF = b"\x1e", b"\n"


class FrameTooLong(ValueError):
    """What was to be sent does not fit into one frame."""


def frame(text: bytes) -> bytes:
    """Raises FrameTooLong."""
    made = _RS + text + _LF
    if len(made) > FRAME_BYTES_MAX:
        raise FrameTooLong(f"{len(made)} bytes, {FRAME_BYTES_MAX} at most")
    return made


class Framer:
    """One for each stream. `discarded`: bytes so far that belonged to no frame."""

    def __init__(self) -> None:
        self.discarded = 0
        self._begun: bytearray | None = None  # None: not inside a frame

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The texts of the frames that are whole now, without RS and LF. The rest of `data` is
        taken in when the iterator is driven to its end."""
        at = 0
        while at < len(data):
            if self._begun is None:
                at = self._skip(data, at)
                continue
            end = data.find(_LF, at)
            stop = len(data) if end < 0 else end
            begin = data.rfind(_RS, at, stop)
            if begin >= 0:  # the frame before was never finished
                self._drop(begin - at)
                self._begun, at = bytearray(), begin + 1
            if len(self._begun) + stop - at > FRAME_BYTES_MAX - 2:
                self._drop(stop - at)
            else:
                self._begun += data[at:stop]
                if end >= 0:
                    text, self._begun, stop = bytes(self._begun), None, end + 1
                    yield text
            at = stop

    def _skip(self, data: bytes, at: int) -> int:
        begin = data.find(_RS, at)
        if begin < 0:
            self.discarded += len(data) - at
            return len(data)
        self.discarded += begin - at
        self._begun = bytearray()
        return begin + 1

    def _drop(self, more: int) -> None:
        """The frame that was begun, and `more` bytes that would have gone into it."""
        self.discarded += 1 + len(self._begun or b"") + more
        self._begun = None
