"""What a person wishes of a workspace: leave out, pause, hold. The same for our own workspaces and
for the host's, which are reached over D-Bus (`remote.py`)."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from guestwake.clock import Clock
from guestwake.edges.exit_codes import Exit
from guestwake.edges.text import local, printable, say
from guestwake.edges.times import BadTime, instant
from guestwake.journal import FOR_EVER
from guestwake.policy.window import Opening
from guestwake.workspaces import Workspace


class Finds(Protocol):
    def find(self, name_or_uuid: str) -> Workspace: ...


class Grants(Protocol):
    """Who fulfils them: `Wishes`, or the host's service."""

    @property
    def workspaces(self) -> Finds: ...
    @property
    def clock(self) -> Clock: ...
    def zone(self, workspace: Workspace) -> ZoneInfo: ...
    def skip(self, workspace: Workspace) -> Opening | None: ...
    def unskip(self, workspace: Workspace) -> Opening | None: ...
    def pause(self, workspace: Workspace, until: datetime) -> None: ...
    def resume(self, workspace: Workspace) -> bool: ...
    def hold(self, workspace: Workspace, until: datetime, reason: str) -> None: ...
    def release(self, workspace: Workspace) -> int: ...


def _skip(arguments: Namespace, grants: Grants) -> Exit:
    workspace = grants.workspaces.find(arguments.workspace)
    if arguments.undo:
        back = grants.unskip(workspace)
        if back is None:
            say(f"{_name(workspace)}: no window to come was left out.")
        else:
            say(f"{_name(workspace)}: the window of {back.date} opens after all.")
        return Exit.DONE
    window = grants.skip(workspace)
    if window is None:
        say(f"{_name(workspace)} has no window to leave out: GuestUpdateDuration is 0.")
        return Exit.DONE
    opens = local(window.opens, grants.zone(workspace))
    say(f"{_name(workspace)}: the window of {opens} is left out.")
    return Exit.DONE


def _pause(arguments: Namespace, grants: Grants) -> Exit:
    workspace = grants.workspaces.find(arguments.workspace)
    zone = grants.zone(workspace)
    until = FOR_EVER
    if arguments.until is not None:
        until = _to_come("--until", arguments.until, grants.clock.now().wall, zone)
    grants.pause(workspace, until)
    then = "until resumed" if until == FOR_EVER else f"until {local(until, zone)}"
    say(f"{_name(workspace)} has no windows {then}.")
    return Exit.DONE


def _resume(arguments: Namespace, grants: Grants) -> Exit:
    workspace = grants.workspaces.find(arguments.workspace)
    was = grants.resume(workspace)
    say(f"{_name(workspace)} {'has its windows again' if was else 'was not paused'}.")
    return Exit.DONE


def _hold(arguments: Namespace, grants: Grants) -> Exit:
    workspace = grants.workspaces.find(arguments.workspace)
    if arguments.release:
        count = grants.release(workspace)
        say(f"{_name(workspace)}: {count or 'no'} hold{'' if count == 1 else 's'} ended.")
        return Exit.DONE
    zone = grants.zone(workspace)
    until = _to_come("--for", arguments.until, grants.clock.now().wall, zone)
    grants.hold(workspace, until, arguments.reason)
    say(f"{_name(workspace)} is held until {local(until, zone)}.")
    return Exit.DONE


def _to_come(option: str, text: str, now: datetime, zone: ZoneInfo) -> datetime:
    try:
        until = instant(text, now, zone)
    except BadTime as err:
        raise BadTime(f"{option} '{text}': {err}.") from err
    if until <= now:
        raise BadTime(f"{option} '{text}': {local(until, zone)} has passed.")
    return until


def _name(workspace: Workspace) -> str:
    return f"'{printable(workspace.name)}'"


WISHES: Mapping[str, Callable[[Namespace, Grants], Exit]] = {
    "skip": _skip,
    "pause": _pause,
    "resume": _resume,
    "hold": _hold,
}
