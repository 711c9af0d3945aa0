"""The reader process: parses what guests send, and can do nothing else (contract, section 11).

    python -m guestwake.channels.reader

Reads questions from standard input and answers each on standard output, until the input ends. A
question is a stream's number and bytes of it; none means that the stream has closed. An answer is
what was counted, and the last hello and report, as frames written by us. Before the first
question it gives up all that a process can: files, network, other processes, its user's rights,
memory beyond a limit. Whoever asks trusts the answer no more than the guest, and decodes it as
strictly again.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator

from guestwake.channels.api import CHUNK_BYTES_MAX, Heard
from guestwake.channels.parser import Parser
from guestwake_wire.framing import FRAME_BYTES_MAX, Framer
from guestwake_wire.messages import Hello, Report, decode, encode

QUESTION = struct.Struct("!II")  # stream, bytes that follow
ANSWER = struct.Struct("!IIII")  # refused, dropped, junk, bytes that follow
ANSWER_BYTES_MAX = 2 * FRAME_BYTES_MAX
STREAMS_MAX = 4096
MEMORY_MAX = 64 << 20  # bytes of address space; Python's own is a good part of it
_COUNT_MAX = 2**32 - 1


def answer_of(heard: Heard) -> bytes:
    frames = _frames(heard)
    counts = (min(each, _COUNT_MAX) for each in (heard.refused, heard.dropped, heard.junk))
    return ANSWER.pack(*counts, len(frames)) + frames


def heard_of(counts: tuple[int, int, int], frames: bytes) -> Heard:
    """Raises BadMessage, and ValueError for bytes that `answer_of` would not have written."""
    messages = [decode(text) for text in Framer().feed(frames)]
    hello = next((each for each in messages if isinstance(each, Hello)), None)
    report = next((each for each in messages if isinstance(each, Report)), None)
    heard = Heard(hello, report, *counts)
    if _frames(heard) != frames:
        raise ValueError("no hello and report as they would be written")
    return heard


def _frames(heard: Heard) -> bytes:
    return b"".join(encode(each) for each in (heard.hello, heard.report) if each)


def main() -> int:
    if sys.platform == "win32":
        import msvcrt

        from guestwake.channels.rights_windows import give_up_rights

        for end in (0, 1):
            msvcrt.setmode(end, os.O_BINARY)
    else:
        from guestwake.channels.rights import give_up_rights
    # All that is imported late must be in memory before no file can be opened any more.
    answer_of(Parser().feed(encode(Hello((1,), "warm")) + b"\x1e{\n"))
    give_up_rights(MEMORY_MAX)
    parsers: dict[int, Parser] = {}
    for stream, data in _questions():
        if not data:
            parsers.pop(stream, None)
            continue
        if stream not in parsers and len(parsers) >= STREAMS_MAX:
            return 1
        _write(answer_of(parsers.setdefault(stream, Parser()).feed(data)))
    return 0


def _questions() -> Iterator[tuple[int, bytes]]:
    while True:
        head = _read(QUESTION.size)
        if len(head) < QUESTION.size:
            return
        stream, length = QUESTION.unpack(head)
        if length > CHUNK_BYTES_MAX:
            return
        data = _read(length)
        if len(data) < length:
            return
        yield stream, data


def _read(length: int) -> bytes:
    found = b""
    while len(found) < length and (more := os.read(0, length - len(found))):
        found += more
    return found


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    sys.exit(main())
