"""A scripted stand-in for the reader process: it answers each question as badly as it is told to,
as one would that a guest has taken over.

fake_reader.py HOW
"""

from __future__ import annotations

import os
import signal
import sys
import time

from guestwake.channels.reader import ANSWER, ANSWER_BYTES_MAX, QUESTION
from guestwake_wire.framing import FRAME_BYTES_MAX
from guestwake_wire.messages import Hello, Report, Window, encode

HELLO = encode(Hello((1,), "fake"))
REPORT = encode(Report(1, 0, "b", "", "", "", busy=None))


def answer(frames: bytes) -> bytes:
    return ANSWER.pack(0, 0, 0, len(frames)) + frames


BAD_ANSWERS = {
    "nonsense": b"\xff" * 4096,
    "too long": ANSWER.pack(0, 0, 0, ANSWER_BYTES_MAX + 1) + bytes(ANSWER_BYTES_MAX + 1),
    "two reports": answer(REPORT + REPORT),
    "two hellos": answer(HELLO + HELLO),
    "the wrong way round": answer(REPORT + HELLO),
    "a host's word": answer(encode(Window(1, 1))),
    "junk around it": answer(b"junk" + REPORT),
    "half a frame": answer(REPORT + REPORT[:20]),
    "no JSON": answer(b"\x1e{\n"),
    "a report that is none": answer(b'\x1e{"type":"report"}\n'),
    "not canonical": answer(REPORT.replace(b",", b", ")),
    "deep": answer(b"\x1e" + b"[" * 4000 + b"\n"),
    "a frame that is too long": answer(b"\x1e" + b"x" * (FRAME_BYTES_MAX + 8) + b"\n"),
    "of another VM": answer(REPORT.replace(b'"report",', b'"report","vm":"db01",')),
    "of another stream": answer(REPORT.replace(b'"report",', b'"report","stream":2,')),
}
GOOD_ANSWER = answer(HELLO + REPORT)
DEATHS = ("before a question", "within a question", "after a question", "within an answer")


def main(how: str) -> int:
    if how == "before a question":
        return 1
    if how == "reads nothing":
        time.sleep(600)
    if how == "answers before it is asked":
        os.write(1, GOOD_ANSWER)
    if how == "answers without end":
        while True:
            os.write(1, GOOD_ANSWER)
    while head := os.read(0, QUESTION.size):
        if how == "within a question":
            return 1
        _, length = QUESTION.unpack(head)
        while length:
            length -= len(os.read(0, length))
        if how == "after a question":
            return 1
        if how == "within an answer":
            os.write(1, GOOD_ANSWER[:20])
            return 1
        while how == "computes for ever":
            pass
        if how == "answers twice":
            os.write(1, GOOD_ANSWER + GOOD_ANSWER)
            continue
        if how == "closes its ends":
            os.write(1, GOOD_ANSWER)
            os.close(0)
            os.close(1)
            time.sleep(600)
        if how == "stops itself":
            os.write(1, GOOD_ANSWER)
            os.kill(os.getpid(), signal.SIGSTOP)
            continue
        if how in ("half an answer", "too slow, byte by byte"):
            for byte in GOOD_ANSWER[:-1]:
                os.write(1, bytes([byte]))
                time.sleep(0.05 if how.startswith("too slow") else 0)
            continue
        if how != "says nothing":
            os.write(1, BAD_ANSWERS.get(how, GOOD_ANSWER))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
