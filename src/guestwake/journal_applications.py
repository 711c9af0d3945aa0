"""Published applications, those that are open, and what Fast Start has done, in the journal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from guestwake.journal_rows import Rows


class PublishedRow(NamedTuple):
    """One application of a guest that a workspace's people find in their menu. `command`: what the
    guest runs. `how`: by which setting it is opened, "linux" or "windows"."""

    id: str
    name: str
    command: str
    how: str


class MenuRow(NamedTuple):
    """What a menu says of one; `icon_bytes` 0: it has no icon."""

    id: str
    name: str
    icon_bytes: int


class OpenedRow(NamedTuple):
    """One application that somebody opens or has open. `processes`: those on this host that have
    it open, as `hosts.processes` names them: it is over when none of them lives. `ready`: the
    guest is, so that it can be opened; `shown`: it has been."""

    id: int
    application: str  # "": the whole desktop
    processes: tuple[str, ...]
    since: datetime
    ready: bool
    shown: bool


class ApplicationRows(Rows):
    def publish(self, workspace: str, row: PublishedRow, icon: bytes | None) -> None:
        """`icon`: None keeps the one that is there."""
        with self._together():
            kept = self.icon(workspace, row.id) if icon is None else icon
            self._do(
                "INSERT OR REPLACE INTO application VALUES (?, ?, ?, ?, ?, ?)",
                *(workspace, row.id, row.name, row.command, row.how, kept),
            )

    def unpublish(self, workspace: str, application: str) -> bool:
        """Whether it was published."""
        return bool(
            self._do(
                "DELETE FROM application WHERE workspace = ? AND id = ?", workspace, application
            )
        )

    def published(self, workspace: str) -> list[PublishedRow]:
        """By name."""
        rows = self._all(
            "SELECT id, name, command, how FROM application WHERE workspace = ? ORDER BY name, id",
            workspace,
        )
        return [PublishedRow(*row) for row in rows]

    def menu(self, workspace: str) -> list[MenuRow]:
        """The same for a menu; reads no icon, and so is cheap."""
        rows = self._all(
            "SELECT id, name, ifnull(length(icon), 0) FROM application"
            " WHERE workspace = ? ORDER BY name, id",
            workspace,
        )
        return [MenuRow(*row) for row in rows]

    def has_published(self, workspace: str) -> bool:
        row = self._one("SELECT 1 FROM application WHERE workspace = ? LIMIT 1", workspace)
        return row is not None

    def icon(self, workspace: str, application: str) -> bytes | None:
        row = self._one(
            "SELECT icon FROM application WHERE workspace = ? AND id = ?", workspace, application
        )
        return bytes(row[0]) if row and row[0] is not None else None

    # open

    def opens(
        self, workspace: str, application: str, processes: Sequence[str], since: datetime
    ) -> int:
        """Its id."""
        with self._together():
            self._do(
                "INSERT INTO opened (workspace, application, processes, since, ready, shown)"
                " VALUES (?, ?, ?, ?, 0, 0)",
                *(workspace, application, json.dumps(list(processes)), since.isoformat()),
            )
            row = self._one("SELECT last_insert_rowid()")
        assert row is not None
        return int(row[0])

    def shows(self, opened: int, process: str) -> bool:
        """A process more has it open, and it is shown. False: it counts as closed already."""
        with self._together():
            row = self._one("SELECT processes FROM opened WHERE id = ?", opened)
            if row is None:
                return False
            processes = [*self._read(json.loads, row[0]), process]
            self._do(
                "UPDATE opened SET processes = ?, shown = 1 WHERE id = ?",
                *(json.dumps(processes), opened),
            )
        return True

    def closes(self, opened: int) -> bool:
        """Whether it was open."""
        return bool(self._do("DELETE FROM opened WHERE id = ?", opened))

    def opened(self, workspace: str) -> list[OpenedRow]:
        """The longest first; whether their processes still live is for the caller to find out."""
        rows = self._all(
            "SELECT id, application, processes, since, ready, shown FROM opened"
            " WHERE workspace = ? ORDER BY id",
            workspace,
        )
        return [self._read(_opened, row) for row in rows]

    def ready_to_open(self, workspace: str, *, ready: bool) -> None:
        self._do(
            "UPDATE opened SET ready = ? WHERE workspace = ? AND ready <> ?",
            *(ready, workspace, ready),
        )

    # Fast Start

    def fast_started(self, workspace: str) -> datetime | None:
        """When that was last tried; None: never."""
        row = self._one("SELECT at FROM fast_start WHERE workspace = ?", workspace)
        return self._instant(row[0]) if row else None

    def note_fast_start(self, workspace: str, at: datetime) -> None:
        self._do("INSERT OR REPLACE INTO fast_start VALUES (?, ?)", workspace, at.isoformat())


def _opened(row: tuple[int, str, str, str, int, int]) -> OpenedRow:
    id_, application, processes, since, ready, shown = row
    return OpenedRow(
        id_,
        application,
        tuple(map(str, json.loads(processes))),
        datetime.fromisoformat(since),
        bool(ready),
        bool(shown),
    )
