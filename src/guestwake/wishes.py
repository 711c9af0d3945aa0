"""What a person wishes of a workspace: leave out, pause, hold, wake, restart now or later.

Each is a row in the journal, which managers and the resident service heed; nothing here opens a
hypervisor or waits for anything.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from shlex import quote
from zoneinfo import ZoneInfo

from guestwake.application import Application
from guestwake.clock import Clock
from guestwake.journal import AskedRun, Journal
from guestwake.locks import AlreadyRunning, is_held
from guestwake.policy import prompt
from guestwake.policy.window import Opening, last_opened, openings
from guestwake.policy.words import Deadline, Now
from guestwake.update_manager import lock_of
from guestwake.workspaces import Workspace, WorkspaceError, Workspaces

_HOLDS_MAX = 32  # of one workspace
_LOOK_AHEAD = timedelta(days=15)  # further than any window to come, whatever GuestUpdateDays says


class Wishes:
    """Of the people of one host, or one user."""

    def __init__(self, application: Application) -> None:
        self._application = application

    @property
    def workspaces(self) -> Workspaces:
        return self._application.workspaces

    @property
    def clock(self) -> Clock:
        return self._application.clock

    def zone(self, workspace: Workspace) -> ZoneInfo:
        """The zone that its GuestUpdateTime is meant in."""
        return self._application.schedule(workspace).zone

    def skip(self, workspace: Workspace) -> Opening | None:
        """Leave out the next window that no run has begun; a second time changes nothing. None:
        there is none to come."""
        with self._application.journal() as journal:
            window = self._next_to_skip(workspace, journal)
            if window is not None:
                journal.skip(workspace.uuid, window.date, window.ends)
            return window

    def unskip(self, workspace: Workspace) -> Opening | None:
        """The window that opens after all; None: none to come was left out."""
        with self._application.journal() as journal:
            window = self._next_to_skip(workspace, journal)
            if window is None or not journal.unskip(workspace.uuid, window.date):
                return None
            return window

    def _next_to_skip(self, workspace: Workspace, journal: Journal) -> Opening | None:
        schedule, now = self._application.schedule(workspace), self._application.clock.now().wall
        run = journal.run(workspace.uuid)
        had = journal.ledger(workspace.uuid, workspace.added).done - journal.skipped(workspace.uuid)
        taken = had | (set(run.dates) if run else set())
        to_come = openings(schedule, now, now + _LOOK_AHEAD)
        return next((window for window in to_come if window.date not in taken), None)

    def pause(self, workspace: Workspace, until: datetime) -> None:
        with self._application.journal() as journal:
            journal.pause(workspace.uuid, until)
        self._application.poke()

    def resume(self, workspace: Workspace) -> bool:
        """Whether it was paused. The window that passed last counts as left out, so that nothing
        is caught up for the pause; `due` never goes further back than that one."""
        schedule, now = self._application.schedule(workspace), self._application.clock.now().wall
        with self._application.journal() as journal, journal.turn():
            passed = last_opened(schedule, now)
            done = journal.ledger(workspace.uuid, workspace.added).done
            was_paused = journal.resume(workspace.uuid)
            if was_paused and passed and passed.ends <= now and passed.date not in done:
                journal.skip(workspace.uuid, passed.date, passed.ends)
        self._application.poke()
        return was_paused

    def hold(self, workspace: Workspace, until: datetime, reason: str) -> None:
        """It is in use until then; wakes nothing. Raises WorkspaceError where there are too many
        holds already."""
        now = self._application.clock.now().wall
        with self._application.journal() as journal, journal.turn():
            journal.drop_old_holds(workspace.uuid, now)
            if len(journal.holds(workspace.uuid, now)) >= _HOLDS_MAX:
                raise WorkspaceError(
                    f"'{workspace.name}' has {_HOLDS_MAX} holds already: "
                    f"'guestwake hold {quote(workspace.name)} --release' ends them."
                )
            journal.hold(workspace.uuid, until, reason)

    def release(self, workspace: Workspace) -> int:
        """How many holds there were."""
        with self._application.journal() as journal:
            return journal.release(workspace.uuid)

    def ask_wake(self, workspace: Workspace, duration: timedelta | None) -> None:
        """What the next `wake_scheduled` does: a person's run of that length, None: of
        GuestUpdateDuration. Raises AlreadyRunning, JournalError, WorkspaceError."""
        length = duration or self._application.resolved(workspace).limits.guest_update_duration
        if not length:
            raise WorkspaceError(
                f"'{workspace.name}': GuestUpdateDuration is 0, which disables the policy: say "
                "for how long it is to be awake."
            )
        path = lock_of(self._application.locks, workspace.uuid)
        if is_held(path):
            raise AlreadyRunning(path, None)
        with self._application.journal() as journal:
            asked = AskedRun(length, self._application.clock.now().wall)
            journal.ask_wake(workspace.uuid, asked)
        self._application.poke()  # a manager that ends in this moment has not seen it

    def agree(self, workspace: Workspace) -> None:
        """Somebody said "restart now". Raises WorkspaceError where nothing needs it."""
        self._prompted(workspace, prompt.agreed)

    def postpone(self, workspace: Workspace) -> Deadline:
        """Somebody put it off; until when that is possible. Raises WorkspaceError likewise, and
        where it was announced already."""
        limits = self._application.resolved(workspace).limits

        def put_off(before: prompt.Prompt, now: Now) -> prompt.Prompt:
            if prompt.is_announced(before, limits, now):
                raise WorkspaceError(
                    f"the restart of '{workspace.name}' cannot be postponed any more: save what "
                    "is open in its guest."
                )
            return prompt.postponed(before, now)

        until = prompt.last_moment(self._prompted(workspace, put_off), limits)
        assert until is not None  # it has been seen
        return until

    def prompt_seen(self, workspace: Workspace) -> None:
        """A logged-on user sees the prompt. Raises WorkspaceError likewise."""
        self._prompted(workspace, prompt.was_seen)

    def _prompted(
        self, workspace: Workspace, change: Callable[[prompt.Prompt, Now], prompt.Prompt]
    ) -> prompt.Prompt:
        with self._application.journal() as journal, journal.turn():
            mark = journal.restart_mark(workspace.uuid)
            if mark is None:
                raise WorkspaceError(f"'{workspace.name}' needs no restart.")
            now = self._application.clock.now()
            kept = journal.change_prompt(
                workspace.uuid, lambda before: change(prompt.about(before, mark), now)
            )
            assert kept is not None
        self._application.poke()
        return kept
