"""What a bus brings, cut to a size before it is taken apart.

Anybody may send a call or a signal of 32 MiB to any connection of the system bus, and as Python's
objects it takes twenty times that. Answers are of those who were asked, and come through whole:
the bus lets no other pass.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

BODY_BYTES_MAX = 1 << 20  # of a call or a signal
HEADER_BYTES_MAX = 64 << 10
_FIXED = 16  # bytes that each message begins with; they end with the length of the fields
_ANSWERS = (2, 3)  # kinds: METHOD_RETURN and ERROR


class Cut:
    """Of one connection: bytes in as they come, whole messages out. A call or signal whose body is
    too long has none, as if it had been sent so; one whose header is too long did not come.
    `only_answers`: nor did any other."""

    def __init__(self, *, only_answers: bool = False) -> None:
        self._only_answers = only_answers
        self._data = bytearray()
        self._passed_over = 0  # bytes that are still to come of what is thrown away

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Raises ValueError for what is no message."""
        gone = min(self._passed_over, len(data))
        self._passed_over -= gone
        self._data += memoryview(data)[gone:]
        while len(self._data) >= _FIXED:
            order = {ord("l"): "<", ord("B"): ">"}.get(self._data[0])
            if order is None:
                raise ValueError("this is no message of D-Bus")
            body, _, fields = struct.unpack_from(f"{order}III", self._data, 4)
            head = _FIXED + fields + -fields % 8
            is_answer = self._data[1] in _ANSWERS
            if head > HEADER_BYTES_MAX or (self._only_answers and not is_answer):
                self._drop(head + body)
                continue
            kept = 0 if body > BODY_BYTES_MAX and not is_answer else body
            if len(self._data) < head + kept:
                return
            if not kept:
                self._data[4:8] = bytes(4)
            yield bytes(self._data[: head + kept])
            self._drop(head + body)

    def _drop(self, length: int) -> None:
        self._passed_over += max(0, length - len(self._data))
        del self._data[:length]
