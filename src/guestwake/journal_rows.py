"""How the journal's tables are asked and written; what they mean is for those who inherit this."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from guestwake.journal_file import JournalDamaged, connect, connect_blank, translated

_Given = TypeVar("_Given")
_Read = TypeVar("_Read")


class Rows:
    """One connection to the journal at `path`. Raises JournalError. `damage`: what was read and
    cannot have been written; None: nothing yet. `blank`: where the file cannot even be read."""

    def __init__(self, path: Path, *, readonly: bool = False, blank: bool = False) -> None:
        self.path = path
        self.damage: JournalDamaged | None = None
        self._turned = 0  # how often what was read may have become untrue without a write
        self._unread = 0  # rows changed here that whoever asks for an edition does not read
        with translated(path):
            self._db = connect_blank(path) if blank else connect(path, readonly=readonly)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One transaction; other writers wait. Rolled back where the body raises."""
        self._do("BEGIN IMMEDIATE")
        try:
            yield
            self._do("COMMIT")
        except BaseException:
            self._turned += 1
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def edition(self) -> tuple[int, int, int]:
        """While it is the same nobody has written anything, here or by another connection, but
        events, the record of a run and what a guest says here: what else was read need not be
        read again."""
        row = self._one("PRAGMA data_version")
        return row[0] if row else 0, self._db.total_changes - self._unread, self._turned

    # for those who inherit

    def _raise(self, err: Exception) -> NoReturn:
        """As ours, if it is one of the journal."""
        try:
            with translated(self.path):
                raise err
        except JournalDamaged as damaged:
            self.damage = damaged
            raise

    def _read(self, as_: Callable[[_Given], _Read], value: _Given) -> _Read:
        """What SQLite does not see: a bit that changed inside a value. Raises JournalDamaged."""
        try:
            return as_(value)
        except (ValueError, TypeError, LookupError, OverflowError, AttributeError) as err:
            self.damage = JournalDamaged(f"{self.path}: {err}")
            raise self.damage from err

    def _instant(self, text: str) -> datetime:
        return self._read(aware, text)

    def _day(self, text: str) -> date:
        return self._read(date.fromisoformat, text)

    @contextmanager
    def _together(self) -> Iterator[None]:
        if self._db.in_transaction:
            yield
        else:
            with self.turn():
                yield

    # There are dozens of statements in a pass: no context manager around each.

    def _do(self, statement: str, *values: object) -> int:
        try:
            return self._db.execute(statement, values).rowcount
        except Exception as err:
            self._raise(err)

    def _do_unread(self, statement: str, *values: object) -> None:
        """Who asks for an edition reads none of it."""
        self._unread += self._do(statement, *values)

    def _one(self, statement: str, *values: object) -> tuple[Any, ...] | None:
        try:
            row: tuple[Any, ...] | None = self._db.execute(statement, values).fetchone()
        except Exception as err:
            self._raise(err)
        return row

    def _all(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(statement, values).fetchall()
        except Exception as err:
            self._raise(err)


def aware(text: str) -> datetime:
    """An instant as it is kept. Raises ValueError, TypeError."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no zone")
    return instant
