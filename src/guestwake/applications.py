"""Published applications: which there are, which are open, and that their workspace runs for them.

Opening one asks for a run (`Kind.USE`) that starts the VM where need be and puts it to rest when
its use has ended; a manager does that. Which applications are open is in the journal, with the
processes on this host that have them open: those of whoever opened it, and of the window itself.
So nothing is lost with a crash of either, or of a manager, and nothing stays open for ever.
"""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from shlex import quote

from guestwake.application import Application
from guestwake.journal import AskedRun, Glance
from guestwake.journal_applications import OpenedRow, PublishedRow
from guestwake.locks import is_held
from guestwake.policy.run import Kind
from guestwake.schedulers.api import SchedulerError
from guestwake.update_manager import lock_of
from guestwake.workspaces import Workspace, WorkspaceError

log = logging.getLogger(__name__)

APPLICATIONS_MAX = 64  # of one workspace
OPENED_MAX = 64  # likewise
ICON_BYTES_MAX = 256 * 1024
NAME_MAX = 80  # characters
COMMAND_MAX = 1000
ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
WAYS = ("linux", "windows")
ICONS = {b"\x89PNG\r\n\x1a\n": "png", b"<svg": "svg", b"<?xml": "svg"}  # by how they begin


class Applications:
    """Of the workspaces of one host, or one user."""

    def __init__(self, application: Application) -> None:
        self._application = application

    # published

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
        known = self.published(workspace)
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
            opened = journal.opens(workspace.uuid, application, [process], now.wall)
            asked = AskedRun(limits.task_timeout, now.wall, Kind.USE.value)
            journal.ask_wake(workspace.uuid, asked)
        try:
            self.have_manager(workspace)
        except SchedulerError:
            self.close(workspace, opened)
            raise
        return opened

    def opening(self, workspace: Workspace, opened: int) -> tuple[OpenedRow | None, Glance | None]:
        """How far it is: the row, None: it is closed; and the open run, None: there is none."""
        with self._application.journal(readonly=True) as journal:
            rows = journal.opened(workspace.uuid)
            return next((row for row in rows if row.id == opened), None), journal.glance(
                workspace.uuid
            )

    def show(self, workspace: Workspace, opened: int, process: str) -> bool:
        """It is open now, and that process has it open too. False: it counts as closed."""
        with self._application.journal() as journal:
            is_open = journal.shows(opened, process)
        self._application.hurry_manager(workspace)
        return is_open

    def close(self, workspace: Workspace, opened: int) -> bool:
        """Whether it was open."""
        with self._application.journal() as journal:
            was_open = journal.closes(opened)
        self._application.hurry_manager(workspace)
        return was_open

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
            *(sys.executable, "-m", "guestwake.edges.cli"),
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
