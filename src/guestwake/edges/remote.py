"""The host's own Guestwake, for an ordinary user: over the system bus, where its service runs.

Who says `status` sees the host's workspaces beside their own; a workspace that only the host knows
is held, skipped, paused, woken there, if polkit lets the caller. Where no service runs, or it is
silent, everything is as if there were none: reports wait a second for it at most.
"""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from guestwake.clock import Clock, system_clock
from guestwake.edges.dbus_words import (
    ERROR_PREFIX,
    MANAGER,
    MANAGER_PATH,
    NO_SUCH_WORKSPACE,
    NOT_POSSIBLE,
    TOO_MANY_CALLS,
    WORKSPACE,
    Interface,
    path_of,
)
from guestwake.edges.exit_codes import Exit
from guestwake.edges.text import local, printable, say
from guestwake.journal import FOR_EVER
from guestwake.paths import SYSTEM_RUNTIME, Paths
from guestwake.policy.window import Opening
from guestwake.workspaces import UnknownWorkspace, Workspace, WorkspaceError

if TYPE_CHECKING:
    from guestwake.edges.remote_wire import Wire

PATIENCE = 1.0  # seconds
PATIENCE_WITH_A_PERSON = 150.0  # who may be asked for a password
# What the host's service keeps while it runs. Looked at first: loading jeepney takes as long as
# the rest of a report does.
_RUNTIME = SYSTEM_RUNTIME
_UNKNOWN = f"{ERROR_PREFIX}{NO_SUCH_WORKSPACE.name}"
_IMPOSSIBLE = f"{ERROR_PREFIX}{NOT_POSSIBLE.name}"

# Of the bus, where nobody answers; and ours, where too many are answered.
_AWAY = (
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.DBus.Error.NameHasNoOwner",
    "org.freedesktop.DBus.Error.NoReply",
    "org.freedesktop.DBus.Error.Disconnected",
    f"{ERROR_PREFIX}{TOO_MANY_CALLS.name}",
)

WISHES = ("skip", "pause", "resume", "hold", "wake", "restart", "postpone")
PUBLISHING = ("publish", "unpublish")


class HostRefused(Exception):
    """The host's service says no, or nothing at all: a sentence with its remedy."""


class HostAway(HostRefused):
    """It says nothing just now, as while it is replaced: asked again it may."""


@contextmanager
def host_service(patience: float) -> Iterator[HostService | None]:
    """None: none runs on this host, as far as one can tell in that many seconds."""
    if not _RUNTIME.is_dir():
        yield None
        return
    from guestwake.edges.remote_wire import Silent, connected

    with ExitStack() as open_until_then:
        try:
            wire = open_until_then.enter_context(connected(time.monotonic() + patience))
        except Silent:
            yield None
            return
        yield HostService(wire)


class HostService:
    """Its calls. Raises HostRefused; UnknownWorkspace and WorkspaceError as at home."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def manager(self, name: str, *body: object, until: float) -> tuple[Any, ...]:
        return self.call(MANAGER_PATH, MANAGER, name, body, until)

    def workspace(self, workspace: Workspace, name: str, *body: object) -> tuple[Any, ...]:
        until = time.monotonic() + PATIENCE_WITH_A_PERSON
        return self.call(path_of(workspace.uuid), WORKSPACE, name, body, until)

    def call(
        self, path: str, interface: Interface, name: str, body: tuple[object, ...], until: float
    ) -> tuple[Any, ...]:
        from guestwake.edges.remote_wire import ErrorAnswer, Silent

        try:
            return self._wire.call(path, interface, name, body, until)
        except ErrorAnswer as err:
            if err.name == _UNKNOWN:
                raise UnknownWorkspace(str(err)) from err
            if err.name == _IMPOSSIBLE:
                raise WorkspaceError(str(err)) from err
            kind = HostAway if err.name in _AWAY else HostRefused
            raise kind(f"the host's Guestwake: {err}") from err
        except Silent as err:
            raise HostAway(f"the host's Guestwake does not answer ({err}): try again.") from err


# reports


@contextmanager
def host_reports(report: str) -> Iterator[HostReports | None]:
    """`report`: the command. None: nobody is there to be asked."""
    until = time.monotonic() + PATIENCE
    with host_service(PATIENCE) as service:
        yield HostReports(service, report, until) if service else None


class HostReports:
    """Silence, or a no, is no error here: then nothing is told. `until`: the end of all waiting,
    by time.monotonic()."""

    def __init__(self, service: HostService, report: str, until: float) -> None:
        self._service = service
        self._report = report
        self._until = until

    def knows(self, name: str) -> bool:
        return any(name in _names(each) for each in self.status)

    def objects(self, name: str | None = None) -> list[dict[str, Any]]:
        match self._report:
            case "status":
                return [each for each in self.status if name in (None, *_names(each))]
            case "plan":
                return self._list("Plan", name or "")
            case "applications":
                return self._list("Applications", name or "")
            case "history":
                return self._list("History", name or "", 0)
        return self._list("Events", name or "")

    def text(self, name: str | None = None) -> str:
        try:
            (text,) = self._service.manager("Show", self._report, name or "", until=self._until)
        except (HostRefused, WorkspaceError):
            return ""
        return "\n".join(map(printable, str(text).split("\n")))

    @cached_property
    def status(self) -> list[dict[str, Any]]:
        return self._list("Status")

    def _list(self, method: str, *body: object) -> list[dict[str, Any]]:
        try:
            return objects(self._service.manager(method, *body, until=self._until))
        except (HostRefused, WorkspaceError):
            return []


# wishes


def wish(arguments: Namespace, paths: Paths) -> Exit | None:
    """Do it to the host's workspace of that name. None: nobody is there, or knows it either."""
    if paths.user is None or arguments.command not in (*WISHES, *PUBLISHING):
        return None
    if arguments.command == "wake" and arguments.scheduled:
        return None
    with host_service(PATIENCE) as service:
        if service is None:
            return None
        try:
            host = HostWorkspaces(service)
        except HostRefused:
            return None
        if not host.knows(arguments.workspace):
            return None
        if arguments.command in PUBLISHING:
            from guestwake.edges import publishing
            from guestwake.edges.remote_applications import HostApplications

            host = HostApplications(service, paths.user)
            return publishing.PUBLISHING[arguments.command](arguments, host)
        return _wish(arguments, host)


def _wish(arguments: Namespace, host: HostWorkspaces) -> Exit:
    workspace = host.workspaces.find(arguments.workspace)
    name = f"'{printable(workspace.name)}'"
    match arguments.command:
        case "wake":
            host.wake(workspace, arguments.duration)
            say(f"{name} is being woken; 'guestwake status' tells how it goes.")
        case "restart":
            host.agree(workspace)
            say(f"{name} is being restarted; 'guestwake status' tells how it goes.")
        case "postpone":
            until = local(host.postpone(workspace), host.zone(workspace))
            say(f"The restart of {name} is postponed; it can be until {until}.")
        case _:
            from guestwake.edges.wishes import WISHES as COMMANDS

            return COMMANDS[arguments.command](arguments, host)
    return Exit.DONE


class HostWorkspaces:
    """The host's workspaces with what a person may wish of one: the counterpart of Application."""

    def __init__(self, service: HostService, patience: float | None = None) -> None:
        self._service = service
        until = time.monotonic() + (PATIENCE if patience is None else patience)
        found = objects(service.manager("Status", until=until))
        self._known = {each["uuid"]: each for each in found}
        self.clock: Clock = system_clock()

    @property
    def workspaces(self) -> HostWorkspaces:
        return self

    def knows(self, name: str) -> bool:
        return any(name in _names(each) for each in self._known.values())

    def find(self, name_or_uuid: str) -> Workspace:
        for each in self._known.values():
            if name_or_uuid in _names(each):
                return _workspace(each)
        raise UnknownWorkspace(f"the host has no workspace '{name_or_uuid}'.")

    def status(self, workspace: Workspace) -> dict[str, Any]:
        """As `guestwake status --json` shows it."""
        return self._known[workspace.uuid]

    def zone(self, workspace: Workspace) -> ZoneInfo:
        return ZoneInfo(self.status(workspace)["time_zone"])

    def skip(self, workspace: Workspace) -> Opening | None:
        return _opening(self._service.workspace(workspace, "Skip"))

    def unskip(self, workspace: Workspace) -> Opening | None:
        return _opening(self._service.workspace(workspace, "Unskip"))

    def pause(self, workspace: Workspace, until: datetime) -> None:
        ever = until == FOR_EVER
        self._service.workspace(workspace, "Pause", 0 if ever else int(until.timestamp()))

    def resume(self, workspace: Workspace) -> bool:
        return bool(self._service.workspace(workspace, "Resume")[0])

    def hold(self, workspace: Workspace, until: datetime, reason: str) -> None:
        self._service.workspace(workspace, "Hold", int(until.timestamp()), reason)

    def release(self, workspace: Workspace) -> int:
        return int(self._service.workspace(workspace, "Release")[0])

    def wake(self, workspace: Workspace, length: timedelta | None) -> None:
        minutes = 0 if length is None else max(1, round(length / timedelta(minutes=1)))
        self._service.workspace(workspace, "Wake", minutes)

    def agree(self, workspace: Workspace) -> None:
        self._service.workspace(workspace, "RestartNow")

    def postpone(self, workspace: Workspace) -> datetime:
        (until,) = self._service.workspace(workspace, "Postpone")
        return datetime.fromtimestamp(until, UTC)


def objects(answer: tuple[Any, ...]) -> list[dict[str, Any]]:
    try:
        found = json.loads(answer[0])
    except (ValueError, TypeError, IndexError) as err:
        raise HostRefused(f"the host's Guestwake answers what is not JSON: {err}") from err
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _names(status: dict[str, Any]) -> tuple[Any, ...]:
    return status.get("workspace"), status.get("uuid")


def _workspace(status: dict[str, Any]) -> Workspace:
    """As far as its commands need it."""
    return Workspace(
        name=status["workspace"],
        uuid=status["uuid"],
        uri=status["uri"],
        owner=status["owner"],
        added=datetime.min.replace(tzinfo=UTC),
        memory=0,
        image_folder=None,
        removing=status["removing"],
    )


def _opening(answer: tuple[Any, ...]) -> Opening | None:
    day, opens, ends = answer
    if not day:
        return None
    return Opening(
        date.fromisoformat(day),
        datetime.fromtimestamp(opens, UTC),
        datetime.fromtimestamp(ends, UTC),
    )
