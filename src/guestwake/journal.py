"""What must survive: open runs, windows had, history, holds, events. SQLite, WAL, synchronous.

One file, written by whoever runs a wake run and read by all that reports. The decision of a pass
is made inside `turn()`, so that two managers never count the same room twice. How the file itself
is opened, checked and set aside is in `journal_file.py`.
"""

from __future__ import annotations

import json
from binascii import crc32
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from guestwake.journal_applications import ApplicationRows
from guestwake.journal_file import file_of
from guestwake.journal_rows import aware
from guestwake.policy.due import Ledger
from guestwake.policy.words import Deadline

# The policy of the run takes longer to import than most reports take: only where a run, an event
# or a history row is at hand.
if TYPE_CHECKING:
    from guestwake.policy.prompt import Prompt
    from guestwake.policy.restart import RestartMark
    from guestwake.policy.run import Prior, WakeRun, Why

_OF_WORKSPACE = (
    *("run", "window", "standing", "hold", "pause", "owed_off", "asked_wake"),
    *("report", "restart_mark", "prompt", "application", "opened", "fast_start"),
)
FOR_EVER = datetime.max.replace(tzinfo=UTC)
_LENGTH_MAX = timedelta(days=3650)
INSTALLED_MAX = 1000  # of one run: a guest may make up new ones each second

# Named tuples: a dataclass takes longer to define, which all that reports would wait for.


class OpenRun(NamedTuple):
    """One wake run that is not over."""

    workspace: str  # UUID
    run: WakeRun
    memory: int  # MiB


class Glance(NamedTuple):
    """What `status` shows of an open run; words as the policy spells them."""

    kind: str
    phase: str
    why: str
    prior: str | None
    opens: datetime
    ends: Deadline
    dates: frozenset[date]
    used: bool
    users: tuple[str, ...]  # who kept it awake at the last look; what guests say among it


class HistoryRow(NamedTuple):
    """One wake run that is over."""

    workspace: str
    kind: str
    dates: tuple[date, ...]
    prior: Prior | None
    why: Why
    began: datetime
    woke: datetime | None
    ended: datetime
    used: bool
    crashes: int
    restarts: int
    token: str  # of `installed`


class EventRow(NamedTuple):
    """One event of one workspace."""

    at: datetime
    workspace: str
    why: Why
    detail: str


class Said(NamedTuple):
    """The last that a guest said. `start`: of the VM, which it was said in; `by`: "service" or
    "agent"; `text`: a report as the protocol writes it; `boot_before`: the guest's boot id as it
    was last reported in an earlier start, None: never; `refused`: how much of what the guest sent
    since that start was nonsense."""

    start: str
    at: Deadline
    by: str
    text: str
    boot_before: str | None
    refused: int


class InstalledRow(NamedTuple):
    """What one of the guest's update clients installed in a run, by the guest's own logs and
    clock."""

    client: str
    name: str
    version: str
    at: datetime


class Hold(NamedTuple):
    """What keeps an awake VM up until then."""

    until: datetime
    reason: str


class AskedRun(NamedTuple):
    """`kind`: as the policy spells it."""

    length: timedelta
    at: datetime
    kind: str = "extra"


class Journal(ApplicationRows):
    """Open with `Journal(path)` to write, `Journal(path, readonly=True)` to report."""

    def __init__(self, path: Path, *, readonly: bool = False, blank: bool = False) -> None:
        super().__init__(path, readonly=readonly, blank=blank)
        self._file = None if readonly or blank else file_of(path)
        self._saved: object = None  # the run that was saved last, and of what edition

    def is_gone(self) -> bool:
        """Whether another file is at its path by now, or none; or it was opened not to write."""
        return self._file is None or self._file != file_of(self.path)

    def become(self, other: Journal) -> None:
        """That one, which is not to be used any more."""
        self.close()
        self._db, self._file, self.damage = other._db, other._file, other.damage
        self._turned += 1

    # open runs

    def run(self, workspace: str) -> WakeRun | None:
        """Raises JournalDamaged where the record cannot be understood."""
        row = self._one("SELECT run FROM run WHERE workspace = ?", workspace)
        return self._load(row[0]) if row else None

    def glance(self, workspace: str) -> Glance | None:
        """The same run without the types of its policy. Raises JournalDamaged as `run` does."""
        row = self._one("SELECT run FROM run WHERE workspace = ?", workspace)
        return self._read(_glance, row[0]) if row else None

    def open_runs(self, *, but: str | None = None) -> list[OpenRun]:
        """Of all workspaces but that one; a record that cannot be understood is its own
        workspace's trouble."""
        from guestwake.record import load_run

        found = []
        statement = "SELECT workspace, run, memory FROM run WHERE workspace IS NOT ?"
        for workspace, text, memory in self._all(statement, but):
            try:
                found.append(OpenRun(workspace, load_run(_unsealed(text)), memory))
            except (ValueError, AttributeError, TypeError):
                continue
        return found

    def save(self, workspace: str, run: WakeRun, *, memory: int) -> None:
        """Most passes save what is saved already."""
        from guestwake.record import dump_run

        saving = workspace, run, memory, self.edition()
        if saving == self._saved:
            return
        self._do_unread(
            "INSERT INTO run VALUES (?, ?, ?) ON CONFLICT (workspace) DO UPDATE"
            " SET run = excluded.run, memory = excluded.memory WHERE run <> excluded.run",
            workspace,
            _sealed(dump_run(run)),
            memory,
        )
        self._saved = saving

    def finish(self, workspace: str, run: WakeRun, why: Why, at: datetime) -> None:
        """The run is over: one history row, its dates' windows, and no open run any more."""
        from guestwake.policy.wake import MISSED

        with self._together():
            self._do("DELETE FROM run WHERE workspace = ?", workspace)
            if why not in MISSED:
                self._windows(workspace, run, why)
            self._do("DELETE FROM owed_off WHERE workspace = ?", workspace)
            if run.owed_off:
                self._do("INSERT INTO owed_off VALUES (?)", workspace)
            self._do(
                "INSERT OR IGNORE INTO history (workspace, token, kind, dates, prior, why, began,"
                " woke, ended, used, crashes, restarts)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                workspace,
                run.token,
                run.kind.value,
                " ".join(day.isoformat() for day in run.dates),
                run.prior.value if run.prior else None,
                why.value,
                run.chain[0].opens.isoformat(),
                run.first_awake.wall.isoformat() if run.first_awake else None,
                at.isoformat(),
                run.used,
                run.crashes,
                run.restarts,
            )

    def _windows(self, workspace: str, run: WakeRun, why: Why) -> None:
        from guestwake.policy.run import Why

        available = run.first_awake is not None or why is Why.WATCHED
        for opening in run.chain[-len(run.dates) :] if run.dates else ():
            self._do(
                "INSERT OR REPLACE INTO window VALUES (?, ?, ?, ?, ?)",
                workspace,
                opening.date.isoformat(),
                why.value,
                opening.ends.isoformat(),
                available,
            )

    def is_known(self, token: str) -> bool:
        """Whether a run of that name was ever finished here."""
        return self._one("SELECT 1 FROM history WHERE token = ?", token) is not None

    def has_others(self, workspace: str) -> bool:
        """Whether other workspaces have had runs here."""
        row = self._one("SELECT 1 FROM history WHERE workspace <> ? LIMIT 1", workspace)
        return row is not None

    # windows

    def ledger(self, workspace: str, added: datetime) -> Ledger:
        rows = self._all("SELECT date FROM window WHERE workspace = ?", workspace)
        done = {self._day(day) for (day,) in rows}
        return Ledger(
            done=frozenset(done),
            added=added,
            last_window=self.last_window(workspace),
            paused_until=self.paused_until(workspace),
        )

    def has_window(self, workspace: str) -> bool:
        """Whether one is known that it had, or that was left out."""
        row = self._one("SELECT 1 FROM window WHERE workspace = ? LIMIT 1", workspace)
        return row is not None

    def last_window(self, workspace: str) -> datetime | None:
        """End of the last window in which the VM was available; None: there was none."""
        row = self._one("SELECT max(ends) FROM window WHERE workspace = ? AND available", workspace)
        return self._instant(row[0]) if row and row[0] else None

    def skip(self, workspace: str, day: date, ends: datetime) -> None:
        self._do(
            "INSERT OR REPLACE INTO window VALUES (?, ?, 'skipped', ?, 0)",
            workspace,
            day.isoformat(),
            ends.isoformat(),
        )

    def unskip(self, workspace: str, day: date) -> bool:
        """Whether that date had been skipped."""
        return bool(
            self._do(
                "DELETE FROM window WHERE workspace = ? AND date = ? AND why = 'skipped'",
                workspace,
                day.isoformat(),
            )
        )

    def had(self, workspace: str, since: date) -> frozenset[date]:
        """Dates from then on that had their window, or were skipped."""
        rows = self._all(
            "SELECT date FROM window WHERE workspace = ? AND date >= ?",
            *(workspace, since.isoformat()),
        )
        return frozenset(self._day(day) for (day,) in rows)

    def skipped(self, workspace: str) -> frozenset[date]:
        rows = self._all(
            "SELECT date FROM window WHERE workspace = ? AND why = 'skipped'", workspace
        )
        return frozenset(self._day(day) for (day,) in rows)

    def pause(self, workspace: str, until: datetime) -> None:
        """`until` FOR_EVER: until resumed."""
        self._do("INSERT OR REPLACE INTO pause VALUES (?, ?)", workspace, until.isoformat())

    def resume(self, workspace: str) -> bool:
        """Whether it was paused."""
        return bool(self._do("DELETE FROM pause WHERE workspace = ?", workspace))

    def paused_until(self, workspace: str) -> datetime | None:
        row = self._one("SELECT until FROM pause WHERE workspace = ?", workspace)
        return self._instant(row[0]) if row else None

    def owed_off(self, workspace: str) -> bool:
        """It was left saved and should really be off."""
        return self._one("SELECT 1 FROM owed_off WHERE workspace = ?", workspace) is not None

    # holds

    def hold(self, workspace: str, until: datetime, reason: str) -> None:
        self._do(
            "INSERT INTO hold (workspace, until, reason) VALUES (?, ?, ?)",
            workspace,
            until.isoformat(),
            reason,
        )

    def drop_old_holds(self, workspace: str, now: datetime) -> None:
        """Those that are over."""
        for hold_id, until in self._all(
            "SELECT id, until FROM hold WHERE workspace = ?", workspace
        ):
            if self._instant(until) <= now:
                self._do("DELETE FROM hold WHERE id = ?", hold_id)

    def release(self, workspace: str) -> int:
        """How many holds there were."""
        return self._do("DELETE FROM hold WHERE workspace = ?", workspace)

    def holds(self, workspace: str, now: datetime | None = None) -> list[Hold]:
        """Those that last; `now` None: those that are over too."""
        rows = self._all("SELECT until, reason FROM hold WHERE workspace = ?", workspace)
        holds = [Hold(self._instant(until), reason) for until, reason in rows]
        return [hold for hold in holds if now is None or hold.until > now]

    # the guest's word

    def said(self, workspace: str) -> Said | None:
        """None: no reporter of that guest was ever heard."""
        row = self._one(
            "SELECT start, at, elapsed, host_boot, by, text, boot_before, refused FROM report"
            " WHERE workspace = ?",
            workspace,
        )
        if row is None:
            return None
        start, at, elapsed, host_boot, by, text, boot_before, refused = row
        when = Deadline(self._instant(at), self._read(float, elapsed), host_boot)
        return Said(start, when, by, text, boot_before, self._read(int, refused))

    def hear(self, workspace: str, said: Said) -> None:
        self._do_unread(
            "INSERT OR REPLACE INTO report VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            workspace,
            said.start,
            said.at.wall.isoformat(),
            said.at.elapsed,
            said.at.boot_id,
            said.by,
            said.text,
            said.boot_before,
            said.refused,
        )

    def restart_mark(self, workspace: str) -> RestartMark | None:
        """Raises JournalDamaged where the mark cannot be understood."""
        row = self._one("SELECT mark FROM restart_mark WHERE workspace = ?", workspace)
        if row is None:  # nor is anything imported
            return None
        from guestwake.record import load_restart_mark

        return self._read(load_restart_mark, row[0])

    def mark_restart(self, workspace: str, mark: RestartMark | None) -> None:
        """None: no restart is required any more."""
        from guestwake.record import dump_restart_mark

        if mark is None:
            self._do("DELETE FROM restart_mark WHERE workspace = ?", workspace)
            return
        self._do(
            "INSERT OR REPLACE INTO restart_mark VALUES (?, ?)", workspace, dump_restart_mark(mark)
        )

    def prompt(self, workspace: str) -> Prompt | None:
        """What was said about its restart mark, be it an older one. One that cannot be understood
        is None: people are asked again."""
        row = self._one("SELECT prompt FROM prompt WHERE workspace = ?", workspace)
        if row is None:
            return None
        from guestwake.record import RecordError, load_prompt

        try:
            return load_prompt(row[0])
        except RecordError:
            return None

    def change_prompt(
        self, workspace: str, change: Callable[[Prompt | None], Prompt | None]
    ) -> Prompt | None:
        """In one transaction, as people and the service speak at once. `change`: from what is
        kept to what is to be; None: nothing is changed. What is kept then."""
        with self._together():
            before = self.prompt(workspace)
            after = change(before)
            if after is None or after == before:
                return before
            self.keep_prompt(workspace, after)
            return after

    def keep_prompt(self, workspace: str, prompt: Prompt) -> None:
        from guestwake.record import dump_prompt

        self._do("INSERT OR REPLACE INTO prompt VALUES (?, ?)", workspace, dump_prompt(prompt))

    # a run that somebody asked for, and that a manager has yet to begin

    def ask_wake(self, workspace: str, asked: AskedRun) -> None:
        """One at a time: the latest counts."""
        self._do(
            "INSERT OR REPLACE INTO asked_wake (workspace, seconds, at, kind) VALUES (?, ?, ?, ?)",
            *(workspace, asked.length.total_seconds(), asked.at.isoformat(), asked.kind),
        )

    def asked_wake(self, workspace: str) -> AskedRun | None:
        row = self._one("SELECT seconds, at, kind FROM asked_wake WHERE workspace = ?", workspace)
        if row is None:
            return None
        from guestwake.policy.run import Kind

        length, kind = self._read(_length, row[0]), self._read(Kind, row[2])
        return AskedRun(length, self._instant(row[1]), kind.value)

    def forget_asked_wake(self, workspace: str, at: datetime) -> None:
        """The one that was asked for then; one that came meanwhile stays."""
        self._do("DELETE FROM asked_wake WHERE workspace = ? AND at = ?", workspace, at.isoformat())

    # timers

    def timers(self) -> frozenset[str]:
        """UUIDs of the workspaces that a timer was written for."""
        return frozenset(workspace for (workspace,) in self._all("SELECT workspace FROM timer"))

    def note_timer(self, workspace: str, *, there: bool) -> None:
        if there:
            self._do("INSERT OR IGNORE INTO timer VALUES (?)", workspace)
        else:
            self._do("DELETE FROM timer WHERE workspace = ?", workspace)

    def note_installed(self, workspace: str, token: str, rows: Iterable[InstalledRow]) -> None:
        """Of the run `token`, INSTALLED_MAX at the most; what is known already belongs to the run
        that it was noted in."""
        for row in rows:
            self._do(
                "INSERT OR IGNORE INTO installed (workspace, token, client, name, version, at)"
                " SELECT ?, ?, ?, ?, ?, ?"
                " WHERE (SELECT count(*) FROM installed WHERE token = ?) < ?",
                *(workspace, token, row.client, row.name, row.version, row.at.isoformat()),
                *(token, INSTALLED_MAX),
            )

    def installed(self, token: str) -> list[InstalledRow]:
        """In the order in which it was installed."""
        rows = self._all(
            "SELECT client, name, version, at FROM installed WHERE token = ? ORDER BY at, id", token
        )
        return [
            InstalledRow(client, name, version, self._instant(at))
            for client, name, version, at in rows
        ]

    # events

    def tell(self, workspace: str, token: str, why: Why, at: datetime, detail: str = "") -> None:
        self._do_unread(
            "INSERT INTO event (at, workspace, token, why, detail) VALUES (?, ?, ?, ?, ?)",
            at.isoformat(),
            workspace,
            token,
            why.value,
            detail,
        )

    def note(self, event: int, at: datetime, detail: str) -> None:
        """An event of no workspace, by its id."""
        self._do(
            "INSERT INTO note (at, event, detail) VALUES (?, ?, ?)", at.isoformat(), event, detail
        )

    def notes(self, *, most: int = 20) -> list[tuple[datetime, int, str]]:
        """The latest, oldest of them first."""
        rows = self._all("SELECT at, event, detail FROM note ORDER BY id DESC LIMIT ?", most)
        return [(self._instant(at), event, detail) for at, event, detail in reversed(rows)]

    def was_told(self, token: str, whys: Sequence[Why]) -> bool:
        marks = ", ".join("?" * len(whys))
        names = [why.value for why in whys]
        return (
            self._one(f"SELECT 1 FROM event WHERE token = ? AND why IN ({marks})", token, *names)
            is not None
        )

    def stand(self, workspace: str, why: Why, since: datetime, detail: str) -> None:
        """A standing event: stays until what it tells of has ended."""
        self._do(
            "INSERT INTO standing VALUES (?, ?, ?, ?) ON CONFLICT (workspace) DO UPDATE"
            " SET why = excluded.why, detail = excluded.detail"
            " WHERE why <> excluded.why OR detail <> excluded.detail",
            workspace,
            since.isoformat(),
            why.value,
            detail,
        )

    def unstand(self, workspace: str) -> None:
        self._do("DELETE FROM standing WHERE workspace = ?", workspace)

    def standing(self, workspace: str) -> EventRow | None:
        row = self._one(
            "SELECT since, workspace, why, detail FROM standing WHERE workspace = ?", workspace
        )
        return self._read(_event, row) if row else None

    def events(self, workspace: str | None = None, *, most: int = 100) -> list[EventRow]:
        """The latest, oldest of them first."""
        rows = self._all(
            "SELECT at, workspace, why, detail FROM event WHERE ? IS NULL OR workspace = ?"
            " ORDER BY id DESC LIMIT ?",
            workspace,
            workspace,
            most,
        )
        return [self._read(_event, row) for row in reversed(rows)]

    def history(self, workspace: str | None = None, *, most: int = 50) -> list[HistoryRow]:
        """The latest, oldest of them first."""
        rows = self._all(
            "SELECT workspace, kind, dates, prior, why, began, woke, ended, used, crashes,"
            " restarts, token FROM history WHERE ? IS NULL OR workspace = ?"
            " ORDER BY id DESC LIMIT ?",
            workspace,
            workspace,
            most,
        )
        return [self._read(_history, row) for row in reversed(rows)]

    def forget(self, workspace: str) -> None:
        """Everything of a workspace that was taken off, but its history and events."""
        with self._together():
            for table in _OF_WORKSPACE:
                self._do(f"DELETE FROM {table} WHERE workspace = ?", workspace)

    # below

    def _load(self, text: str) -> WakeRun:
        from guestwake.record import load_run

        return self._read(load_run, self._read(_unsealed, text))


def _sealed(record: str) -> str:
    """One bit changed by a disk could give somebody else's VM to us, or ours to them."""
    return f"{crc32(record.encode()):08x}{record}"


def _unsealed(text: str) -> str:
    """Raises ValueError. A record of before there were seals has none."""
    if text.startswith("{"):
        return text
    record = text[8:]
    if text[:8] != f"{crc32(record.encode()):08x}":
        raise ValueError("the record of a wake run is not as it was written")
    return record


def _length(seconds: float) -> timedelta:
    length = timedelta(seconds=seconds)
    if not timedelta(0) <= length <= _LENGTH_MAX:
        raise ValueError(f"{length} is no length of a run")
    return length


def _glance(text: str) -> Glance:
    run: dict[str, Any] = json.loads(_unsealed(text))
    dateless = run["kind"] in ("extra", "restart", "use", "fast-start")
    served = run["chain"][dateless:]
    return Glance(
        kind=run["kind"],
        phase=run["phase"],
        why=run["why"],
        prior=run.get("prior"),
        opens=aware(run["chain"][0]["opens"]),
        ends=Deadline(
            aware(run["ends"]["wall"]), float(run["ends"]["elapsed"]), run["ends"]["boot_id"]
        ),
        dates=frozenset(date.fromisoformat(opening["date"]) for opening in served),
        used=bool(run.get("used")),
        users=tuple(run.get("users", ())),
    )


def _event(row: Sequence[Any]) -> EventRow:
    from guestwake.policy.run import Why

    at, workspace, why, detail = row
    return EventRow(aware(at), workspace, Why(why), detail)


def _history(row: Sequence[Any]) -> HistoryRow:
    from guestwake.policy.run import Prior, Why

    workspace, kind, dates, prior, why, began, woke, ended, used, crashes, restarts, token = row
    return HistoryRow(
        workspace=workspace,
        kind=kind,
        dates=tuple(date.fromisoformat(day) for day in dates.split()),
        prior=Prior(prior) if prior else None,
        why=Why(why),
        began=aware(began),
        woke=aware(woke) if woke else None,
        ended=aware(ended),
        used=bool(used),
        crashes=int(crashes),
        restarts=int(restarts),
        token=token,
    )
