"""What a guest said, kept and understood: its reports into the journal, and back as the policy's
words. An old report becomes "unknown" (contract, sections 5, 6 and 11).

The guest is not trusted: a report is advice, taken within the caps of the policy. It names no VM:
which one it is of, and which start of it, is what the channel was opened on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from guestwake.journal import InstalledRow, Journal, Said
from guestwake.policy.in_use import Reporter, Session
from guestwake.policy.restart import MarkedReason, RestartMark, marked
from guestwake.policy.run import GuestReport, Restart
from guestwake.policy.words import Now, Start
from guestwake.said import is_fresh, report_of
from guestwake_wire import messages
from guestwake_wire.messages import ClientState, Report, Strength

_NONE_YET = -1  # of `messages.Session.input`


@dataclass(frozen=True, slots=True)
class Word:
    """A guest's word as one look needs it; `guest` None: nothing fresh from this start."""

    guest: GuestReport | None = None
    reporter: Reporter = Reporter.NEVER
    sessions: tuple[Session, ...] = ()
    boot_id_before_rest: str | None = None


def keep(
    journal: Journal,
    workspace: str,
    report: Report,
    start: Start,
    now: Now,
    *,
    by: str,
    refused: int = 0,
) -> None:
    """The report, and the restart mark that follows from it. Raises JournalError."""
    with journal.turn():
        before = journal.said(workspace)
        journal.hear(workspace, said_of(report, start, now, by=by, refused=refused, before=before))
        mark = journal.restart_mark(workspace)
        then = marked(mark, report.boot_id, _strong(report), now.wall)
        if then != mark:
            journal.mark_restart(workspace, then)


def said_of(
    report: Report, start: Start, now: Now, *, by: str, refused: int, before: Said | None
) -> Said:
    """The report as the journal has it; `before`: what that guest said last."""
    text = messages.encode(report)[1:-1].decode()
    at = now.after(timedelta(0))
    return Said(start.id, at, by, text, _boot_before(before, start), refused)


def keep_installed(
    journal: Journal, workspace: str, token: str, report: Report, awake: timedelta
) -> None:
    """What was installed while we have had it `awake`, by the guest's own logs. Raises
    JournalError."""
    since = report.time - awake.total_seconds()
    rows = [
        InstalledRow(client.name, each.name, each.version, datetime.fromtimestamp(each.at, UTC))
        for client in report.clients
        for each in reversed(client.installed)
        if since <= each.at <= report.time + 60
    ]
    if rows:
        with journal.turn():
            journal.note_installed(workspace, token, rows)


def understood(said: Said | None, mark: RestartMark | None, start: Start | None, now: Now) -> Word:
    """`start`: the VM's now, None: it is at rest, or nobody can tell."""
    if said is None:
        return Word()
    report = report_of(said)
    if report is None:
        return Word(reporter=Reporter.SILENT)
    sessions = tuple(_session(each, said, now) for each in report.sessions)
    same_start = start is not None and start.id == said.start
    before = said.boot_before if same_start else report.boot_id
    if not same_start or not is_fresh(said, now):
        return Word(None, Reporter.SILENT, sessions, before)
    guest = GuestReport(
        boot_id=report.boot_id,
        busy=report.busy,
        nothing_left=nothing_left(report),
        restart=_restart(mark),
    )
    return Word(guest, Reporter.FRESH, sessions, before)


def nothing_left(report: Report) -> bool | None:
    """True: each of its update clients says so, and there is one at least."""
    states = {client.state for client in report.clients}
    if states == {ClientState.NOTHING_LEFT}:
        return True
    return None if not states or ClientState.UNKNOWN in states else False


def _boot_before(before: Said | None, start: Start) -> str | None:
    if before is None:
        return None
    if before.start == start.id:
        return before.boot_before
    report = report_of(before)
    return report.boot_id if report else before.boot_before


def _strong(report: Report) -> list[MarkedReason]:
    return [
        MarkedReason(reason.source, reason.text)
        for reason in report.restart
        if reason.strength is Strength.STRONG
    ]


def _restart(mark: RestartMark | None) -> Restart:
    if mark is None:
        return Restart.NOT_REQUIRED
    return Restart.IN_VAIN if mark.is_in_vain else Restart.REQUIRED


def _session(session: messages.Session, said: Said, now: Now) -> Session:
    """Ages become instants of the host's elapsed clock; across its restart, by wall time."""
    heard = now.elapsed + said.at.left(now).total_seconds()
    known = session.input is not None
    none_yet = session.input is None or session.input == _NONE_YET
    return Session(
        user=session.user,
        since=heard - session.since,
        input=None if none_yet else heard - float(session.input or 0),
        input_known=known,
    )
