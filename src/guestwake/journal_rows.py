"""How the journal's tables are asked and written; what they mean is for those who inherit this."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from guestwake.journal_file import connect, translated


class Rows:
    """One connection to the journal at `path`. Raises JournalError."""

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        self.path = path
        with translated(path):
            self._db = connect(path, readonly=readonly)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One transaction; other writers wait. Rolled back where the body raises."""
        with translated(self.path):
            self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        with translated(self.path):
            self._db.execute("COMMIT")

    # for those who inherit

    @contextmanager
    def _together(self) -> Iterator[None]:
        if self._db.in_transaction:
            yield
        else:
            with self.turn():
                yield

    def _do(self, statement: str, *values: object) -> int:
        with translated(self.path):
            return self._db.execute(statement, values).rowcount

    def _one(self, statement: str, *values: object) -> tuple[Any, ...] | None:
        with translated(self.path):
            row: tuple[Any, ...] | None = self._db.execute(statement, values).fetchone()
            return row

    def _all(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with translated(self.path):
            return self._db.execute(statement, values).fetchall()
