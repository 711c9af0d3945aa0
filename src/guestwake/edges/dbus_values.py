"""What the properties of the D-Bus API say: a workspace's status as plain values.

Read from the journal, the settings and the locks alone. Guests' texts are escaped here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime

from guestwake.edges.report_text import standing
from guestwake.edges.text import printable
from guestwake.journal_applications import MenuRow
from guestwake.journal_file import JournalError
from guestwake.paths import Paths, PathsError
from guestwake.policy.restart import MarkedReason, RestartMark
from guestwake.policy.words import Now
from guestwake.reports import Reports, Status
from guestwake.settings import SettingsError
from guestwake.workspaces import WorkspaceError

log = logging.getLogger(__name__)

# A struct is a list: dbus-fast 1.84, which is Debian 12's, takes no tuple for one.
Value = str | int | bool | list[str] | list[list[str]] | list[list[str | int]]
Values = Mapping[str, Value]


def look(paths: Paths, now: Now, before: Mapping[str, Values]) -> dict[str, Values]:
    """By UUID, in the order of names. One workspace's trouble is no other's: `before`, what was
    known of it, stays then."""
    reports = Reports(paths)
    found, _ = reports.workspaces.readable()  # the service itself complains of the others
    values: dict[str, Values] = {}
    for workspace in found:
        try:
            (status,) = reports.status(now, workspace.uuid)
            values[workspace.uuid] = of(status)
        except (JournalError, PathsError, SettingsError, WorkspaceError, ValueError) as err:
            log.debug("'%s': %s", workspace.name, err)
            if workspace.uuid in before:
                values[workspace.uuid] = before[workspace.uuid]
    return values


def of(status: Status) -> Values:
    workspace, run, window = status.workspace, status.run, status.next_window
    asked, at = status.prompt or ("", None)
    return {
        "Name": _unicode(workspace.name),
        "Uuid": workspace.uuid,
        "Owner": _unicode(workspace.owner or ""),
        "Phase": run.run.phase if run else "",
        "Why": run.run.why if run else "",
        "Standing": printable(standing(workspace.name, status.standing)) if status.standing else "",
        "NextOpens": seconds(window.opens if window else None),
        "Ends": seconds(run.run.ends.wall if run else None),
        "RestartRequired": status.restart_mark is not None,
        "RestartReasons": _reasons(status.restart_mark),
        "InUseBy": [printable(user) for user in run.run.users] if run else [],
        "LastWindow": seconds(status.last_window),
        "Paused": status.paused_until is not None,
        "RestartPrompt": str(asked),
        "RestartAt": seconds(at),
        "Applications": [[row.id, printable(row.name)] for row in status.menu],
        "Icons": [_icon(row) for row in status.menu if row.icon_bytes],
    }


def _unicode(text: str) -> str:
    """A bus hangs up on whoever sends half a character or a NUL."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")


def seconds(at: datetime | None) -> int:
    """Since 1970-01-01 00:00 UTC; 0: never."""
    return 0 if at is None else max(0, int(at.timestamp()))


def _icon(row: MenuRow) -> list[str | int]:
    return [row.id, row.icon_bytes]


def _reasons(mark: RestartMark | None) -> list[str]:
    return [_reason(each) for each in mark.reasons] if mark else []


def _reason(reason: MarkedReason) -> str:
    source = printable(reason.source)
    return f"{source}: {printable(reason.text)}" if reason.text else source
