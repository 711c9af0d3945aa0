"""What the resident service is built of, beside the application: buses, managers, its desk."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from guestwake.application import SYSTEM_BUS, Application
from guestwake.journal import Journal
from guestwake.paths import PathsError
from guestwake.restart_service import RestartService, ServiceWorld, Starts
from guestwake.schedulers.api import Scheduler
from guestwake.settings.resolve import Layers
from guestwake.update_manager import Settings
from guestwake.workspaces import Workspace

if TYPE_CHECKING:
    from guestwake.hosts.linux_events import LinuxEvents
    from guestwake.schedulers.systemd_install import Installation

log = logging.getLogger(__name__)


@contextmanager
def service(
    application: Application, scheduler: Scheduler | None, starts: Starts
) -> Iterator[RestartService]:
    """The resident service, for one thread: the one that enters this."""
    world = ServiceWorld(
        application.workspaces,
        application.host,
        application.clock,
        scheduler,
        starts,
        application.locks,
    )
    desk = _ServiceDesk(application)
    try:
        yield RestartService(world, desk)
    finally:
        desk.close()


def bus_address(application: Application) -> str:
    """Of the bus that our API is on: the system's, or the session's of an ordinary user."""
    if application.paths.user is None:
        return os.environ.get("DBUS_SYSTEM_BUS_ADDRESS", SYSTEM_BUS)
    runtime = application.paths.runtime.parent
    return os.environ.get("DBUS_SESSION_BUS_ADDRESS", f"unix:path={runtime}/bus")


def events(application: Application, on_change: Callable[[], None]) -> list[LinuxEvents]:
    """What tells, in an event loop, that the host or a unit may have changed."""
    from guestwake.hosts.linux_events import LinuxEvents

    system = LinuxEvents(os.environ.get("DBUS_SYSTEM_BUS_ADDRESS", SYSTEM_BUS), on_change)
    if application.paths.user is None:
        return [system]
    return [system, LinuxEvents(bus_address(application), on_change, ())]


def children(application: Application, retried: Collection[int]) -> Starts:
    """Managers as children of this process, called as it was. `retried`: exit codes that are
    worth another try."""
    from guestwake.schedulers.children import Children

    root = [] if application.paths.root is None else ["--root", str(application.paths.root)]
    command = [sys.executable, "-P", "-m", "guestwake.edges.cli", *root, "wake", "--scheduled"]
    return Children(command, lambda code: code < 0 or code in retried)


def installation(application: Application) -> Installation:
    """Of the service, for the host or for an ordinary user. Raises PathsError."""
    if application.paths.root is not None:
        raise PathsError(
            "a service is for the real system: leave out --root, and unset GUESTWAKE_ROOT"
        )
    from guestwake.schedulers.systemd import manager_of
    from guestwake.schedulers.systemd_install import Installation

    return Installation(manager_of(application.paths))


class _ServiceDesk:
    """What the resident service asks at each pass."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._journal: Journal | None = None
        self._noted: dict[str | None, Layers] = {}

    def journal(self) -> Journal:
        """The one that is there now: a damaged one may have been set aside meanwhile."""
        if self._journal is None:
            self._journal = self._application.opened_journal()
        self._application.renew(self._journal)
        return self._journal

    def hurry(self, workspace: Workspace) -> None:
        self._application.hurry_manager(workspace)

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def settings(self, workspace: Workspace) -> Settings:
        self._note_problems(workspace.owner)
        resolved = self._application.resolved(workspace)
        return self._application.settings(workspace, resolved.limits)

    def _note_problems(self, owner: str | None) -> None:
        """Once for each time that the files were read."""
        layers = self._application.layers(owner)
        if layers is not self._noted.get(owner):
            self._noted[owner] = layers
            for problem in (*layers.problems, *layers.remember()):
                log.warning("%s", problem)
