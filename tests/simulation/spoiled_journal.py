"""What can become of a journal's files when a host or its disk fails: as bytes, made from those
that were there at one moment.

SQLite promises that a commit is whole or not there at all, whatever was written when the power
went. That promise is kept by a disk that writes what it says it has written. Here is also what
comes of one that does not: cut, emptied, overwritten, an older copy of one part.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from guestwake.journal import Journal

Files = Mapping[str, bytes]  # by suffix: "", "-wal"

PAGE = 4096
_WAL_HEADER = 32
_FRAME_HEADER = 24
_FRAME = _FRAME_HEADER + PAGE
_GARBAGE = b"no journal at all "
_LATER = datetime(2030, 1, 1, tzinfo=UTC)


def files_of(path: Path) -> Files:
    """As kill -9 would leave them now; the index in shared memory is made anew by SQLite."""
    parts = {suffix: path.with_name(path.name + suffix) for suffix in ("", "-wal")}
    return {suffix: part.read_bytes() for suffix, part in parts.items() if part.exists()}


def place(files: Files, path: Path) -> None:
    """In place of whatever is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    for suffix, data in files.items():
        path.with_name(path.name + suffix).write_bytes(data)


def cut(files: Files) -> Iterator[tuple[str, Files]]:
    """The WAL ends anywhere: at each frame, and inside each."""
    wal = files.get("-wal", b"")
    for offset in _offsets(len(wal)):
        yield f"WAL cut at {offset}", {**files, "-wal": wal[:offset]}


def _offsets(length: int) -> Iterator[int]:
    yield from (0, 1, _WAL_HEADER - 1, _WAL_HEADER)
    for frame in range(_WAL_HEADER, length, _FRAME):
        for inside in (1, 8, _FRAME_HEADER, _FRAME_HEADER + 1, PAGE // 2, _FRAME - 1, _FRAME):
            if frame + inside < length:
                yield frame + inside


def torn_checkpoints(files: Files, path: Path) -> Iterator[tuple[str, Files]]:
    """The host died while the WAL was taken into the file: some pages of it are there, in any
    order. The WAL is whole still, and read again."""
    done = checkpointed(files, path)
    before = files.get("", b"").ljust(len(done), b"\0")
    pages = range(0, len(done), PAGE)
    for number, _ in enumerate(pages):
        some = b"".join(
            (done if (number >> at) & 1 or at == number else before)[page : page + PAGE]
            for at, page in enumerate(pages)
        )
        yield f"checkpoint torn at page {number}", {**files, "": some}
        half = number * PAGE + PAGE // 2
        yield f"checkpoint torn inside page {number}", {**files, "": done[:half] + before[half:]}


def checkpointed(files: Files, path: Path) -> bytes:
    place(files, path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.read_bytes()


def at_rest(files: Files, path: Path) -> Files:
    """The same when the last process that had it open has closed it."""
    return {"": checkpointed(files, path)}


def lost(files: Files) -> Iterator[tuple[str, Files]]:
    """One part is gone, empty, or something else."""
    for suffix in files:
        without = {each: data for each, data in files.items() if each != suffix}
        yield f"'{suffix}' gone", without
        yield f"'{suffix}' empty", {**without, suffix: b""}
        yield f"'{suffix}' is garbage", {**without, suffix: _GARBAGE * 1000}
        yield f"'{suffix}' is zeroes", {**without, suffix: bytes(len(files[suffix]))}


def cut_file(files: Files) -> Iterator[tuple[str, Files]]:
    whole = files.get("", b"")
    for page in range(0, len(whole), PAGE):
        yield f"cut at page {page // PAGE}", {**files, "": whole[:page]}
        yield f"cut inside page {page // PAGE}", {**files, "": whole[: page + PAGE // 3]}
        gone = whole[:page] + bytes(PAGE) + whole[page + PAGE :]
        yield f"page {page // PAGE} is zeroes", {**files, "": gone}


def mixed(files: Files, others: Mapping[str, Files]) -> Iterator[tuple[str, Files]]:
    """An older or newer copy of one of the parts."""
    for name, other in others.items():
        for suffix in other:
            if other[suffix] != files.get(suffix):
                yield f"'{suffix}' of {name}", {**files, suffix: other[suffix]}


def flipped(files: Files, count: int, seed: int) -> Iterator[tuple[str, Files]]:
    """One bit is another: in the headers, in the frames, in what the pages say."""
    rng = random.Random(seed)
    for suffix, data in files.items():
        used = [at for at, byte in enumerate(data) if byte] or [0]
        for at in [*range(min(100, len(data)))][:: max(1, 200 // count)] + rng.choices(
            used, k=count
        ):
            bit = 1 << rng.randrange(8)
            changed = bytearray(data)
            changed[at] ^= bit
            yield f"bit {bit} of byte {at} of '{suffix}'", {**files, suffix: bytes(changed)}


def said_by(journal: Journal, workspace: str) -> str:
    """All of it, by each way to read it. Raises JournalDamaged."""
    token = ""
    for row in journal.history():
        token = row.token
    return repr(
        (
            *(journal.run(workspace), journal.glance(workspace), journal.open_runs()),
            *(journal.ledger(workspace, _LATER), journal.skipped(workspace)),
            *(journal.had(workspace, _LATER.date()), journal.owed_off(workspace)),
            *(journal.holds(workspace, _LATER), journal.said(workspace)),
            *(journal.restart_mark(workspace), journal.prompt(workspace)),
            *(journal.asked_wake(workspace), journal.timers(), journal.installed(token)),
            *(journal.notes(), journal.standing(workspace), journal.events(), journal.history()),
            *(journal.published(workspace), journal.opened(workspace)),
            *(journal.menu(workspace), journal.fast_started(workspace)),
        )
    )
