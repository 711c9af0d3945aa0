"""Published applications: which there are, which are open, and that their workspace runs for them.

Opening one asks for a run (`Kind.USE`) that starts the VM where need be and puts it to rest when
its use has ended; a manager does that. Which applications are open is in the journal, with the
processes on this host that have them open: those of whoever opened it, and of the window itself.
So nothing is lost with a crash of either, or of a manager, and nothing stays open for ever.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from shlex import quote
from typing import NamedTuple

from guestwake.application import Application
from guestwake.journal import AskedRun, Glance, Journal
from guestwake.journal_applications import OpenedRow, PublishedRow
from guestwake.locks import is_held
from guestwake.policy.run import Kind, Why
from guestwake.policy.words import Now
from guestwake.restart_service import asked_run
from guestwake.said import report_of
from guestwake.schedulers.api import SchedulerError
from guestwake.update_manager import lock_of
from guestwake.workspaces import Workspace, WorkspaceError, Workspaces

log = logging.getLogger(__name__)

APPLICATIONS_MAX = 64  # of one workspace
OPENED_MAX = 64  # likewise
OPENED_OF_ONE_MAX = 16  # of them, of one user but root
PROCESSES_MAX = 8  # of one that is open
ICON_BYTES_MAX = 256 * 1024
NAME_MAX = 80  # characters
COMMAND_MAX = 1000
ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
WAYS = ("linux", "windows")
ICONS = {b"\x89PNG\r\n\x1a\n": "png", b"<svg": "svg", b"<?xml": "svg"}  # by how they begin


class HowFar(NamedTuple):
    """Of one that is being opened. `is_open` False: it counts as closed. `run`: the open one of
    its workspace. `failed`: how the run ended that was to make it ready, and did not. `is_left`:
    nobody is at it."""

    is_open: bool
    is_ready: bool
    run: Glance | None = None
    failed: Why | None = None
    is_left: bool = False


class Applications:
    """Of the workspaces of one host, or one user."""

    def __init__(self, application: Application) -> None:
        self._application = application

    @property
    def workspaces(self) -> Workspaces:
        return self._application.workspaces

    # published

    def guest_os(self, workspace: Workspace) -> str | None:
        """Which system its guest said last that it is; None, or empty: it never did."""
        with self._application.journal(readonly=True) as journal:
            said = journal.said(workspace.uuid)
        report = report_of(said) if said else None
        return report.os if report else None

    def publish(self, workspace: Workspace, row: PublishedRow, icon: bytes | None) -> None:
        """Anew where it is published already; `icon` None: it keeps the one it has. Raises
        WorkspaceError."""
        _check(row, icon)
        with self._application.journal() as journal, journal.turn():
            known = {each.id for each in journal.published(workspace.uuid)}
            if row.id not in known and len(known) >= APPLICATIONS_MAX:
                raise WorkspaceError(
                    f"'{workspace.name}' has {APPLICATIONS_MAX} applications already: "
                    "'guestwake unpublish' takes one away."
                )
            journal.publish(workspace.uuid, row, icon)
        self._application.poke()

    def unpublish(self, workspace: Workspace, application: str) -> None:
        """Raises WorkspaceError where it is not published."""
        self.find(workspace, application)
        with self._application.journal() as journal:
            journal.unpublish(workspace.uuid, application)
        self._application.poke()

    def published(self, workspace: Workspace) -> list[PublishedRow]:
        with self._application.journal(readonly=True) as journal:
            return journal.published(workspace.uuid)

    def icon(self, workspace: Workspace, application: str) -> bytes | None:
        with self._application.journal(readonly=True) as journal:
            return journal.icon(workspace.uuid, application)

    def find(self, workspace: Workspace, application: str) -> PublishedRow:
        """Raises WorkspaceError."""
        return self.find_in(self.published(workspace), workspace, application)

    @staticmethod
    def find_in(
        known: Sequence[PublishedRow], workspace: Workspace, application: str
    ) -> PublishedRow:
        """Raises WorkspaceError."""
        for row in known:
            if row.id == application:
                return row
        there = f"There are: {', '.join(row.id for row in known)}." if known else "There are none."
        raise WorkspaceError(
            f"'{workspace.name}' has no published application '{application}'. {there} "
            f"'guestwake publish {quote(workspace.name)} {quote(application)}' makes one."
        )

    # open

    def open(self, workspace: Workspace, application: str, process: str) -> int:
        """Somebody wants it open: `application` is "" for the whole desktop, `process` theirs, as
        `hosts.processes` names it. Its VM is started where need be, and in use from now on. An id
        for the calls below. Raises JournalError, SchedulerError, WorkspaceError."""
        if application:
            self.find(workspace, application)
        now, limits = self._application.clock.now(), self._application.resolved(workspace).limits
        with self._application.journal() as journal, journal.turn():
            for row in journal.opened(workspace.uuid):
                if not any(map(self._application.host.is_alive, row.processes)):
                    journal.closes(row.id)
            if len(journal.opened(workspace.uuid)) >= OPENED_MAX:
                raise WorkspaceError(
                    f"'{workspace.name}' has {OPENED_MAX} applications open: close one first."
                )
            user = _user_of(process)
            if user and self._count(journal, workspace, user) >= OPENED_OF_ONE_MAX:
                raise WorkspaceError(
                    f"you have {OPENED_OF_ONE_MAX} applications of '{workspace.name}' open: close "
                    "one first."
                )
            opened = journal.opens(workspace.uuid, application, [process], now.wall)
            if not self._comes_anyway(journal, workspace, now):
                asked = AskedRun(limits.task_timeout, now.wall, Kind.USE.value)
                journal.ask_wake(workspace.uuid, asked)
        try:
            self.have_manager(workspace)
        except SchedulerError:
            self.close(workspace, opened)
            raise
        return opened

    @staticmethod
    def _count(journal: Journal, workspace: Workspace, user: int) -> int:
        """How many that user has open, or waits for."""
        opened = journal.opened(workspace.uuid)
        return sum(any(_user_of(process) == user for process in row.processes) for row in opened)

    def _comes_anyway(self, journal: Journal, workspace: Workspace, now: Now) -> bool:
        """Whether a person's run is about to begin, in which it can be opened."""
        if journal.glance(workspace.uuid) is not None:
            return False
        asked = asked_run(journal, self._application.host, workspace.uuid, now)
        return asked is not None and asked.kind != Kind.USE

    def opening(self, workspace: Workspace, opened: int) -> HowFar:
        with self._application.journal(readonly=True) as journal:
            row = _row(journal, workspace, opened)
            run = journal.glance(workspace.uuid)
            last = journal.history(workspace.uuid, most=1)
        if row is None:
            return HowFar(is_open=False, is_ready=False, run=run)
        is_minded = run is not None or self._application.is_running(workspace)
        if not row.ready and not is_minded and last and last[-1].began >= row.since:
            return HowFar(is_open=True, is_ready=False, failed=last[-1].why)
        is_left = not row.ready and not self._application.is_running(workspace)
        return HowFar(is_open=True, is_ready=row.ready, run=run, is_left=is_left)

    def show(self, workspace: Workspace, opened: int, process: str) -> bool:
        """It is open now, and that process has it open too. False: it counts as closed. Raises
        WorkspaceError where too many have it open."""
        with self._application.journal() as journal, journal.turn():
            row = _row(journal, workspace, opened)
            if row is not None and len(row.processes) >= PROCESSES_MAX:
                raise WorkspaceError(f"{PROCESSES_MAX} processes have it open already.")
            is_open = row is not None and journal.shows(opened, process)
        self._application.hurry_manager(workspace)
        return is_open

    def close(self, workspace: Workspace, opened: int) -> bool:
        """Whether it was open."""
        with self._application.journal() as journal, journal.turn():
            row = _row(journal, workspace, opened)
            was_open = row is not None and journal.closes(opened)
        self._application.hurry_manager(workspace)
        return was_open

    def is_of(self, workspace: Workspace, opened: int, user: int) -> bool:
        """Whether only processes of that user, if any, have it open still."""
        with self._application.journal(readonly=True) as journal:
            row = _row(journal, workspace, opened)
        alive = filter(self._application.host.is_alive, row.processes if row else ())
        return all(_user_of(process) == user for process in alive)

    def have_manager(self, workspace: Workspace) -> None:
        """One is at it: the one that is, which looks again at once, or a new one. Raises
        SchedulerError."""
        if is_held(lock_of(self._application.locks, workspace.uuid)):
            self._application.hurry_manager(workspace)
            return
        scheduler = self._application.scheduler()
        try:
            if scheduler is not None:
                scheduler.start_run(workspace.uuid)
                return
        except SchedulerError as err:
            log.debug("'%s': no unit can be started: %s", workspace.name, err)
        self._start_detached(workspace)

    def _start_detached(self, workspace: Workspace) -> None:
        """Where no systemd of ours runs: a manager that outlives whoever asked for it."""
        root = self._application.paths.root
        command = [
            *(sys.executable, "-P", "-m", "guestwake.edges.cli"),  # nothing of the folder we are in
            *(("--root", str(root)) if root else ()),
            *("wake", "--scheduled", workspace.uuid),
        ]
        try:
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as err:
            raise SchedulerError(f"no manager can be started: {err}") from err


def process_of(pid: int, user: int) -> str:
    """What the methods above call it. `user`: whose it must be, root's may be anybody's. Raises
    WorkspaceError."""
    from guestwake.hosts.processes import name_of, owner_of

    name = name_of(pid)
    if name is None:
        raise WorkspaceError(f"there is no process {pid}, or this service may not see it.")
    if user not in (0, owner_of(pid)):
        raise WorkspaceError(f"process {pid} is another user's: name one of your own.")
    return name


def this_process() -> str:
    """Raises WorkspaceError."""
    return process_of(os.getpid(), 0)


def _user_of(process: str) -> int | None:
    """User id. None: it does not live, or is hidden."""
    from guestwake.hosts.processes import owner_of

    return owner_of(int(process.split("/")[1]))


def _row(journal: Journal, workspace: Workspace, opened: int) -> OpenedRow | None:
    return next((row for row in journal.opened(workspace.uuid) if row.id == opened), None)


def _check(row: PublishedRow, icon: bytes | None) -> None:
    """Raises WorkspaceError."""
    if not ID.fullmatch(row.id):
        raise WorkspaceError(
            f"'{row.id[:80]}' will not do as the name of an application: it must be of small "
            "letters, digits, '.', '_' and '-', 64 at most."
        )
    if not row.name.strip() or len(row.name) > NAME_MAX or not row.name.isprintable():
        raise WorkspaceError(f"the title must have 1 to {NAME_MAX} characters that can be printed.")
    if not row.command.strip() or len(row.command) > COMMAND_MAX or not row.command.isprintable():
        raise WorkspaceError(f"the command must have 1 to {COMMAND_MAX} characters, on one line.")
    if row.how not in WAYS:
        raise WorkspaceError(f"the guest must be one of: {', '.join(WAYS)}.")
    if icon is not None and len(icon) > ICON_BYTES_MAX:
        raise WorkspaceError(f"the icon must not be larger than {ICON_BYTES_MAX // 1024} KiB.")
    if icon is not None and icon_kind(icon) is None:
        raise WorkspaceError("the icon must be a PNG or SVG file.")


def icon_kind(icon: bytes) -> str | None:
    """The ending of its file's name. None: it is neither PNG nor SVG."""
    start = icon.lstrip()[:16] if icon[:1] != b"\x89" else icon
    return next((kind for begins, kind in ICONS.items() if start.startswith(begins)), None)
