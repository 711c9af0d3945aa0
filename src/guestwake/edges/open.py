"""`guestwake open`: an application of a guest, or its desktop, in a window of this desktop.

The VM is started by a manager, at the word of this process or of the host's service. What holds it
are the processes on record: this one, and the window's, which a killed launcher leaves behind. The
same for our own workspaces and for the host's (`remote_applications.py`).
"""

from __future__ import annotations

import logging
import os
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple, Protocol

from guestwake.application import Application
from guestwake.applications import Applications, HowFar, process_of
from guestwake.edges import dbus_values
from guestwake.edges.agent_prompts import Asked, asked_of, notification
from guestwake.edges.call import sentence_of
from guestwake.edges.exit_codes import Exit
from guestwake.edges.live import Live
from guestwake.edges.open_notice import Notice, notice
from guestwake.edges.open_window import NotReady, Window, forwarded, program_of, wanted
from guestwake.edges.remote import HostAway, HostRefused
from guestwake.edges.text import complain, how_far, is_terminal, printable, span
from guestwake.edges.wishes import Finds
from guestwake.journal_applications import PublishedRow
from guestwake.journal_file import JournalError
from guestwake.policy.words import Deadline
from guestwake.reports import Reports
from guestwake.settings.resolve import load, resolve
from guestwake.wishes import Wishes
from guestwake.workspaces import UnknownWorkspace, Workspace, WorkspaceError

log = logging.getLogger(__name__)

_LOOK_AGAIN = 0.4  # seconds
_SHOW_AGAIN = 5.0
_MANAGER_LOOKS = timedelta(minutes=1)  # again at the latest
_TASKS_MAX = 4  # until it is ready: a manager, a wake, the guest's first word, a restart
_AWAY_MAX = timedelta(minutes=1)
_BEGINS_WITHIN = timedelta(seconds=5)  # a manager that was started
_ACTIONS = ("actions",)  # a terminal shows no commands where it takes answers


class Said(NamedTuple):
    """How far one is that opens, as D-Bus tells it."""

    is_open: bool
    is_ready: bool
    sentence: str


class Opens(Protocol):
    """Who starts the VM: we ourselves, or the host's service. Raises HostRefused, JournalError,
    SchedulerError, WorkspaceError."""

    @property
    def workspaces(self) -> Finds: ...
    def published(self, workspace: Workspace) -> list[PublishedRow]: ...
    def open(self, workspace: Workspace, application: str) -> int: ...
    def opening(self, workspace: Workspace, opened: int) -> Said: ...
    def show(self, workspace: Workspace, opened: int, pid: int) -> bool: ...
    def close(self, workspace: Workspace, opened: int) -> None: ...
    def asked(self, workspace: Workspace) -> Asked | None: ...
    def agree(self, workspace: Workspace) -> None: ...
    def postpone(self, workspace: Workspace) -> object: ...
    def prompt_seen(self, workspace: Workspace) -> None: ...


def open_application(arguments: Namespace, application: Application, live: Live) -> Exit:
    shown = notice(arguments.application or f"'{printable(arguments.workspace)}'")
    try:
        with _whoever_opens(arguments.workspace, application) as opens:
            workspace = opens.workspaces.find(arguments.workspace)
            launcher = _Launcher(application, opens, workspace, live, shown)
            return launcher.run(arguments.application)
    except Exception as err:
        shown.failed(sentence_of(err))
        raise
    finally:
        shown.is_shown()


@contextmanager
def _whoever_opens(name: str, application: Application) -> Iterator[Opens]:
    """Raises UnknownWorkspace, HostRefused."""
    from guestwake.edges.as_service import service_account
    from guestwake.edges.remote_applications import host_applications

    if service_account(application.paths) is not None:  # root: the state is the service's
        with host_applications(None) as host:
            if host is None:
                raise HostRefused(
                    "the host's service does not run: start it with 'systemctl start guestwake'."
                )
            yield host
        return
    try:
        application.workspaces.find(name)
    except UnknownWorkspace:
        if application.paths.user is None:
            raise
        with host_applications(application.paths.user) as host:
            if host is None or not host.knows(name):
                raise
            yield host
        return
    yield AtHome(application)


class AtHome:
    """Of our own workspaces."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._applications = Applications(application)
        self._wishes = Wishes(application)
        self._left: Deadline | None = None  # nobody has been at it until then
        self.workspaces: Finds = application.workspaces
        self.published = self._applications.published
        self.agree = self._wishes.agree
        self.postpone = self._wishes.postpone
        self.prompt_seen = self._wishes.prompt_seen

    def open(self, workspace: Workspace, application: str) -> int:
        return self._applications.open(workspace, application, process_of(os.getpid(), 0))

    def opening(self, workspace: Workspace, opened: int) -> Said:
        far = self._applications.opening(workspace, opened)
        self._have_one_at_it(workspace, far)
        is_open = far.is_open and far.failed is None
        return Said(is_open, far.is_ready, how_far(workspace.name, far))

    def _have_one_at_it(self, workspace: Workspace, far: HowFar) -> None:
        """The manager that was found at work may have ended in that moment, or died since."""
        now = self._application.clock.now()
        if not far.is_left:
            self._left = None
        elif self._left is None:
            self._left = now.after(_BEGINS_WITHIN)
        elif self._left.passed(now):
            self._left = None
            self._applications.have_manager(workspace)

    def show(self, workspace: Workspace, opened: int, pid: int) -> bool:
        return self._applications.show(workspace, opened, process_of(pid, 0))

    def close(self, workspace: Workspace, opened: int) -> None:
        self._applications.close(workspace, opened)

    def asked(self, workspace: Workspace) -> Asked | None:
        now = self._application.clock.now()
        (status,) = Reports(self._application.paths).status(now, workspace.uuid)
        return asked_of(dbus_values.of(status), workspace.owner or "")


class _Launcher:
    def __init__(
        self,
        application: Application,
        opens: Opens,
        workspace: Workspace,
        live: Live,
        shown: Notice,
    ) -> None:
        self._application = application
        self._opens = opens
        self._workspace = workspace
        self._live = live
        self._shown = shown
        self._away: Deadline | None = None  # the host's service has been silent until then
        self._name = f"'{printable(workspace.name)}'"
        # They name what runs as who calls: a host's workspace is shown as its caller likes it.
        paths = application.paths
        user = workspace.owner if paths.root is not None else paths.user
        resolved = resolve(load(paths, user), (workspace.name, workspace.uuid))
        for problem in resolved.problems:
            log.warning("%s", problem)
        self._limits = resolved.limits

    def run(self, application: str) -> Exit:
        row = self._row(application)
        self._shown.is_about(f"{row.name if row else 'The desktop'} ({self._workspace.name})")
        window = Window(
            wanted(row, self._limits),
            self._workspace,
            self._application,
            self._limits.task_timeout,
        )
        program_of(window.command)
        self._ask_about_restart()
        opened = self._opens.open(self._workspace, application)
        try:
            with forwarded(window):
                self._wait_until_ready(opened)
                pid = window.open(self._tell)
                self._live.end()
                self._shown.is_shown()
                while not self._show(opened, pid) and not window.has_ended(_SHOW_AGAIN):
                    pass
                return window.wait()
        finally:
            self._close(opened)

    def _row(self, application: str) -> PublishedRow | None:
        """None: the desktop. Raises WorkspaceError."""
        if not application:
            return None
        return Applications.find_in(
            self._opens.published(self._workspace), self._workspace, application
        )

    def _wait_until_ready(self, opened: int) -> None:
        """Each thing that goes on, a wake, a restart, has TaskTimeout. Raises NotReady."""
        clock, timeout = self._application.clock, self._limits.task_timeout
        each, said = timeout + _MANAGER_LOOKS, ""
        deadline, last = clock.now().after(each), clock.now().after(_TASKS_MAX * each)
        while True:
            far = self._opening(opened)
            if far.is_ready:
                return
            if not far.is_open:
                raise NotReady(far.sentence)
            if far.sentence != said:
                log.info("%s", far.sentence)
                deadline, said = clock.now().after(each), far.sentence
            if deadline.passed(clock.now()) or last.passed(clock.now()):
                raise NotReady(
                    f"{self._name} was not ready within TaskTimeout ({span(timeout)}): "
                    f"{far.sentence}. 'guestwake status' tells more."
                )
            self._tell(said)
            clock.wait(_LOOK_AGAIN)

    def _opening(self, opened: int) -> Said:
        """A service that is replaced is away for a moment."""
        try:
            said = self._opens.opening(self._workspace, opened)
        except HostAway:
            now = self._application.clock.now()
            self._away = self._away or now.after(_AWAY_MAX)
            if self._away.passed(now):
                raise
            waits = f"{self._name}: waits for the host's service"
            return Said(is_open=True, is_ready=False, sentence=waits)
        self._away = None
        return said

    def _tell(self, sentence: str) -> None:
        self._live.tell(sentence)
        self._shown.waits(sentence)

    def _show(self, opened: int, pid: int) -> bool:
        """That its window is open goes on record. False: to be tried again, as a window that is not
        there would count as one that nobody works in."""
        try:
            if not self._opens.show(self._workspace, opened, pid):
                log.warning("%s may be put to rest while this is open", self._name)
        except (HostAway, JournalError, OSError) as err:
            log.info("%s: that it is open could not be told yet: %s", self._name, err)
            return False
        except (HostRefused, WorkspaceError) as err:
            log.warning("%s is held by this process alone: %s", self._name, err)
        return True

    def _close(self, opened: int) -> None:
        """Whatever goes wrong, it is over when its processes are."""
        try:
            self._opens.close(self._workspace, opened)
        except (HostRefused, JournalError, OSError, WorkspaceError) as err:
            log.info("%s: that this is closed could not be told: %s", self._name, err)

    # the restart that updates need

    def _ask_about_restart(self) -> None:
        """What cannot be asked, or not be done, keeps nothing from being opened."""
        try:
            asked = self._opens.asked(self._workspace)
            if asked is not None:
                self._ask(asked)
        except (HostRefused, WorkspaceError) as err:
            complain(str(err))

    def _ask(self, asked: Asked) -> None:
        """Raises HostRefused; WorkspaceError, where it needs none any more or cannot be put off."""
        if asked.notice or not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
            said = notification(asked, ())
            complain(" ".join((said.summary, *said.body.split("\n"))))
            return
        said = notification(asked, _ACTIONS)
        print(f"{said.summary}\n{said.body}", file=sys.stderr)
        self._opens.prompt_seen(self._workspace)
        answer = _answer()
        if answer == "r":
            self._opens.agree(self._workspace)
        elif answer is not None:
            self._opens.postpone(self._workspace)


def _answer() -> str | None:
    """None: nobody answered."""
    print("Restart it now, or later? [r/L] ", end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    return line.strip().lower()[:1] if line else None
