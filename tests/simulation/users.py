"""People at the simulated host: they log on and off, open applications and close them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from itertools import count

from day import Day

from guestwake.applications import Applications
from guestwake.journal_applications import PublishedRow
from guestwake.journal_file import JournalError
from guestwake.policy.words import Logon
from guestwake.workspaces import Workspace

GIMP = PublishedRow("gimp", "GIMP", "gimp", "linux")


class OnDay(Applications):
    """Whose managers are processes of the day."""

    def __init__(self, day: Day) -> None:
        super().__init__(day.office)
        self._day = day

    def have_manager(self, workspace: Workspace) -> None:
        self.hurry(workspace)
        self._day.timer(workspace.name)

    def hurry(self, workspace: Workspace) -> None:
        """As a signal would."""
        for process in self._day.running(workspace.name):
            process.hurried = True


class Users:
    """Of one day. Whoever is logged on is so until the host goes down."""

    def __init__(self, day: Day) -> None:
        self.day, self.applications = day, OnDay(day)
        self._numbers = count(1)

    def owns(self, name: str, user: str = "anna") -> None:
        """With one published application."""
        workspace = self.day.office.workspaces.find(name)
        self.day.office.workspaces.write(replace(workspace, owner=user))
        self.publishes(name)

    def publishes(self, name: str) -> None:
        self.applications.publish(self.day.office.workspaces.find(name), GIMP, None)

    def logs_on(self, user: str = "anna") -> None:
        now = self.day.now()
        one = Logon(user, now.wall, session=now.boot_id)
        self.day.host.logged_on = (*(self.day.host.logged_on or ()), one)
        self.day.all_timers()  # as the resident service would

    def logs_off(self, user: str = "anna") -> None:
        there = self.day.host.logged_on or ()
        self.day.host.logged_on = tuple(one for one in there if one.user != user)
        for process in self.day.processes:
            process.hurried = True

    def begins(self) -> str:
        """A process of somebody's on the host."""
        process = f"{self.day.now().boot_id}/{next(self._numbers)}"
        self.day.host.processes.add(process)
        return process

    def opens(self, name: str) -> Opened:
        process = self.begins()
        workspace = self.day.office.workspaces.find(name)
        return Opened(self, workspace, self.applications.open(workspace, "gimp", process), process)


class Opened:
    """One application, and the launcher that has opened it."""

    def __init__(self, users: Users, workspace: Workspace, id_: int, launcher: str) -> None:
        self._users, self.workspace, self.id = users, workspace, id_
        self.processes = [launcher]

    @property
    def is_ready(self) -> bool:
        return self._users.applications.opening(self.workspace, self.id).is_ready

    def shows(self) -> None:
        process = self._users.begins()
        with suppress(JournalError):  # it is open all the same, for as long as the launcher lives
            self._users.applications.show(self.workspace, self.id, process)
        self._users.applications.hurry(self.workspace)
        self.processes.append(process)

    def closes(self) -> None:
        with suppress(JournalError):
            self._users.applications.close(self.workspace, self.id)
        self._users.applications.hurry(self.workspace)
        self._users.day.host.processes.difference_update(self.processes)

    def launcher_dies(self) -> None:
        self._users.day.host.processes.discard(self.processes[0])

    def window_dies(self) -> None:
        self._users.day.host.processes.difference_update(self.processes[1:])
