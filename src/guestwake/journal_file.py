"""The journal's file: opened, checked, brought up to date, set aside; its errors as ours.

SQLite in WAL mode, synchronous FULL. The format has a version since its first day; `_MIGRATIONS`
brings an older file up to date, and a newer one is refused.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

if sys.platform == "win32":
    from guestwake import locks_windows
else:
    import fcntl

_APPLICATION_ID = 0x47575731  # "GWW1"
_VERSION_MAX = 1000  # far beyond any to come
_LOCKED_FOR = 10.0  # seconds to wait for another writer; each holds the file for milliseconds

_MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE run (workspace TEXT PRIMARY KEY, run TEXT NOT NULL, memory INTEGER NOT NULL);
    CREATE TABLE window (
        workspace TEXT NOT NULL, date TEXT NOT NULL, why TEXT NOT NULL, ends TEXT NOT NULL,
        available INTEGER NOT NULL, PRIMARY KEY (workspace, date));
    CREATE TABLE history (
        id INTEGER PRIMARY KEY, workspace TEXT NOT NULL, token TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL, dates TEXT NOT NULL, prior TEXT, why TEXT NOT NULL,
        began TEXT NOT NULL, woke TEXT, ended TEXT NOT NULL, used INTEGER NOT NULL,
        crashes INTEGER NOT NULL, restarts INTEGER NOT NULL);
    CREATE TABLE event (
        id INTEGER PRIMARY KEY, at TEXT NOT NULL, workspace TEXT NOT NULL, token TEXT NOT NULL,
        why TEXT NOT NULL, detail TEXT NOT NULL);
    CREATE TABLE standing (
        workspace TEXT PRIMARY KEY, since TEXT NOT NULL, why TEXT NOT NULL, detail TEXT NOT NULL);
    CREATE TABLE hold (
        id INTEGER PRIMARY KEY, workspace TEXT NOT NULL, until TEXT NOT NULL,
        reason TEXT NOT NULL);
    CREATE TABLE pause (workspace TEXT PRIMARY KEY, until TEXT NOT NULL);
    CREATE TABLE owed_off (workspace TEXT PRIMARY KEY);
    CREATE TABLE note (
        id INTEGER PRIMARY KEY, at TEXT NOT NULL, event INTEGER NOT NULL, detail TEXT NOT NULL);
    CREATE INDEX event_at ON event (workspace, at);
    """,
    # The guest's last word, and what follows from it.
    """
    CREATE TABLE report (
        workspace TEXT PRIMARY KEY, start TEXT NOT NULL, at TEXT NOT NULL, elapsed REAL NOT NULL,
        host_boot TEXT NOT NULL, by TEXT NOT NULL, text TEXT NOT NULL, boot_before TEXT,
        refused INTEGER NOT NULL);
    CREATE TABLE restart_mark (workspace TEXT PRIMARY KEY, mark TEXT NOT NULL);
    CREATE TABLE installed (
        id INTEGER PRIMARY KEY, workspace TEXT NOT NULL, token TEXT NOT NULL, client TEXT NOT NULL,
        name TEXT NOT NULL, version TEXT NOT NULL, at TEXT NOT NULL,
        UNIQUE (workspace, client, name, version, at));
    CREATE INDEX installed_by ON installed (token);
    """,
    # The resident service's: what was said about a restart mark, and which timers were written.
    """
    CREATE TABLE prompt (workspace TEXT PRIMARY KEY, prompt TEXT NOT NULL);
    CREATE TABLE timer (workspace TEXT PRIMARY KEY);
    CREATE TABLE asked_wake (
        workspace TEXT PRIMARY KEY, seconds REAL NOT NULL, at TEXT NOT NULL);
    """,
    # Published applications, those that are open, and Fast Start.
    """
    ALTER TABLE asked_wake ADD COLUMN kind TEXT NOT NULL DEFAULT 'extra';
    CREATE TABLE application (
        workspace TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, command TEXT NOT NULL,
        how TEXT NOT NULL, icon BLOB, PRIMARY KEY (workspace, id));
    CREATE TABLE opened (
        id INTEGER PRIMARY KEY AUTOINCREMENT, workspace TEXT NOT NULL, application TEXT NOT NULL,
        processes TEXT NOT NULL, since TEXT NOT NULL, ready INTEGER NOT NULL,
        shown INTEGER NOT NULL);
    CREATE INDEX opened_of ON opened (workspace);
    CREATE TABLE fast_start (workspace TEXT PRIMARY KEY, at TEXT NOT NULL);
    """,
)


class JournalError(Exception):
    """The journal cannot be read or written: a sentence with its remedy."""


class JournalDamaged(JournalError):
    """The file is there and is no journal of ours, or no longer one."""


def set_aside(path: Path, at: datetime) -> Path:
    """Rename a damaged journal, its WAL with it, so that a new one can begin. Nothing of it is
    deleted, nor anything set aside before; the new name is returned, to be reported."""
    name = _free_name(path.with_name(f"{path.name}.damaged-{at:%Y%m%dT%H%M%S}"))
    # The file itself last: SQLite would delete a WAL that it finds alone.
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(name.with_name(name.name + suffix))
    return name


def _free_name(name: Path) -> Path:
    taken = set(os.listdir(name.parent))
    names = (name.name, *(f"{name.name}-{number}" for number in range(2, len(taken) + 3)))
    return name.with_name(
        next(each for each in names if not taken & {each, f"{each}-wal", f"{each}-shm"})
    )


def were_set_aside(path: Path) -> list[Path]:
    """The names under which journals lie there, the latest last; of some only the WAL is left."""
    found = path.parent.glob(f"{path.name}.damaged-*")
    names = {each.name.removesuffix("-wal").removesuffix("-shm") for each in found}
    return [path.with_name(name) for name in sorted(names)]


def file_of(path: Path) -> tuple[int, int] | None:
    """Which file is there, by device and number; None: none, or nobody can tell."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Of several processes that find the same damage one is at it; the others wait, and find it
    mended."""
    if sys.platform == "win32":
        with locks_windows.alone(folder / "mending.lock"):
            yield
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def connect(path: Path, *, readonly: bool) -> sqlite3.Connection:
    if readonly:
        return _connect_readonly(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _check_wal(path)
    if path.exists() and not os.access(path, os.W_OK):  # SQLite would open it to read, and be late
        raise JournalError(f"{path}: {_REMEDIES[sqlite3.SQLITE_READONLY]}")
    db = sqlite3.connect(path, timeout=_LOCKED_FOR, isolation_level=None)
    try:
        _to_wal(db)
        db.execute("PRAGMA synchronous = FULL")
        _check(db, path)
        _migrate(db, path)
    except BaseException:
        db.close()
        raise
    return db


# What it says when it cannot make the index that readers of a WAL share.
_CANNOT_SHARE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR)


def connect_blank(path: Path) -> sqlite3.Connection:
    """Knows nothing, and takes nothing."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    _migrate(db, path)
    db.execute("PRAGMA query_only = 1")
    return db


def _connect_readonly(path: Path) -> sqlite3.Connection:
    if not path.exists():
        return connect_blank(path)
    try:
        db = _open_readonly(path)
    except sqlite3.OperationalError as err:
        if err.sqlite_errorcode & 0xFF not in _CANNOT_SHARE:
            raise
        return _read_as_copy(path)
    if _version(db, path) == len(_MIGRATIONS):
        return db
    # One of an older Guestwake is brought up to date by whoever writes it next, and read as a copy
    # until then.
    with closing(db):
        return _copied(db, path)


def _open_readonly(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_LOCKED_FOR, isolation_level=None
    )
    try:
        db.execute("PRAGMA user_version").fetchone()  # only now is the file opened
    except BaseException:
        db.close()
        raise
    return db


def _read_as_copy(path: Path) -> sqlite3.Connection:
    """In a folder that cannot be written, or is full, SQLite refuses to read a file in WAL mode,
    unless another process has it open."""
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory(prefix="guestwake-") as folder:
        copy = Path(folder, path.name)
        for suffix in ("-wal", ""):
            part = path.with_name(path.name + suffix)
            if part.exists():
                shutil.copyfile(part, copy.with_name(part.name))
        with closing(sqlite3.connect(copy, isolation_level=None)) as db:
            return _copied(db, path)


def _copied(db: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    """In memory, brought up to date."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    try:
        db.backup(copy)
        _migrate(copy, path)
        copy.execute("PRAGMA query_only = 1")
    except BaseException:
        copy.close()
        raise
    return copy


def _check_wal(path: Path) -> None:
    """A WAL whose file is gone or empty: SQLite would delete it."""
    wal = path.with_name(f"{path.name}-wal")  # looked at first: the file is there before it
    if wal.exists() and wal.stat().st_size and not (path.exists() and path.stat().st_size):
        raise JournalDamaged(f"{path}: is gone or empty, and its WAL is not")


def _to_wal(db: sqlite3.Connection) -> None:
    """An older file's change to WAL is refused at once, without SQLite's own waiting, while another
    reads it or makes the same change (two with a read lock that both want to write)."""
    ends = time.monotonic() + _LOCKED_FOR
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as err:
            if err.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= ends:
                raise
        time.sleep(0.01)


def _check(db: sqlite3.Connection, path: Path) -> None:
    (answer,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if answer != "ok":
        raise JournalDamaged(f"{path}: {answer}")


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    """Several begin at once after an upgrade: the first does it, and the others wait for that."""
    if _version(db, path) == len(_MIGRATIONS):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        for statements in _MIGRATIONS[_version(db, path) :]:
            for statement in statements.split(";"):
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")
        db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _version(db: sqlite3.Connection, path: Path) -> int:
    """Raises JournalError where it is of a newer Guestwake, JournalDamaged where of none ever."""
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if not 0 <= version <= _VERSION_MAX:
        raise JournalDamaged(f"{path}: is of format {version}, which there is not")
    if version > len(_MIGRATIONS):
        raise JournalError(_other_version(path, version))
    return version


def _other_version(path: Path, version: int) -> str:
    return (
        f"{path}: is of format {version}, this Guestwake knows up to {len(_MIGRATIONS)}. "
        "Use the newer Guestwake that wrote it."
    )


@contextmanager
def translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as err:
        remedy = _REMEDIES.get(getattr(err, "sqlite_errorcode", 0) & 0xFF)
        if remedy is None:  # no such table, text that is none: what we ask is always right
            raise JournalDamaged(f"{path}: {err}") from err
        raise JournalError(f"{path}: {err}. {remedy}") from err
    except (sqlite3.DatabaseError, UnicodeDecodeError) as err:  # it quotes what is in the file
        raise JournalDamaged(f"{path}: {err}") from err
    except OSError as err:
        raise JournalError(f"{path}: {err.strerror}. Is its folder there and yours?") from err


# Of what is no damage of the file.
_REMEDIES = {
    sqlite3.SQLITE_BUSY: "Another program keeps it locked; end that one, then try again.",
    sqlite3.SQLITE_LOCKED: "Another program keeps it locked; end that one, then try again.",
    sqlite3.SQLITE_PROTOCOL: "Another program keeps it locked; end that one, then try again.",
    sqlite3.SQLITE_READONLY: "It cannot be written by this user, or its disk is read-only.",
    sqlite3.SQLITE_PERM: "It cannot be opened by this user: run as its owner, or as root.",
    sqlite3.SQLITE_CANTOPEN: "It cannot be opened by this user, or its disk takes no more files.",
    sqlite3.SQLITE_FULL: "The disk is full: make room, then try again.",
    sqlite3.SQLITE_IOERR: "The disk below it fails.",
    sqlite3.SQLITE_NOMEM: "The host's memory is short: try again.",
}
