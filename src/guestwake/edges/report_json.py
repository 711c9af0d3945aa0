"""What is reported, for machines: values of `reports.py` as JSON objects. Times in UTC.

The command line prints these, and the D-Bus API answers with them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

from guestwake.edges import guest_text
from guestwake.edges.report_text import attention
from guestwake.edges.text import utc
from guestwake.journal import FOR_EVER
from guestwake.reports import Application, Happened, OpenRun, Past, Planned, Status, catalogue
from guestwake.workspaces import Workspace

if TYPE_CHECKING:
    from guestwake.events import Event


def status(status: Status) -> dict[str, object]:
    workspace, window = status.workspace, status.next_window
    return {
        "workspace": workspace.name,
        "uuid": workspace.uuid,
        "uri": workspace.uri,
        "owner": workspace.owner,
        "removing": workspace.removing,
        "time_zone": str(status.zone),
        "run": _run_json(status.run) if status.run else None,
        "last_window": utc(status.last_window),
        "next_window": window and {"opens": utc(window.opens), "ends": utc(window.ends)},
        "days_without_window": status.without_window // timedelta(days=1),
        "stale": status.is_stale,
        "disabled": status.is_disabled,
        "paused": status.paused_until is not None,
        "paused_until": _until_json(status),
        "skipped": [day.isoformat() for day in status.skipped],
        "holds": [{"until": utc(hold.until), "reason": hold.reason} for hold in status.holds],
        "standing": status.standing
        and {
            "since": utc(status.standing.at),
            "why": status.standing.why,
            "detail": status.standing.detail,
        },
        "open": [
            {"application": row.application, "since": utc(row.since), "shown": row.shown}
            for row in status.opened
        ],
        "guest": guest_text.guest_json(status.guest),
        "restart_required": guest_text.restart_json(status.restart_mark),
        "settings_problems": [str(problem) for problem in status.problems],
        "attention": list(attention(status)),
    }


def _until_json(status: Status) -> str | None:
    """null: not paused, or until resumed."""
    return None if status.paused_until == FOR_EVER else utc(status.paused_until)


def _run_json(open_run: OpenRun) -> dict[str, object]:
    run, left = open_run.run, open_run.left
    return {
        "kind": run.kind,
        "phase": run.phase,
        "why": run.why,
        "prior": run.prior,
        "opens": utc(run.opens),
        "ends": utc(run.ends.wall),
        "minutes_left": None if left is None else left // timedelta(minutes=1),
        "manager_lives": open_run.manager_lives,
        "used": run.used,
        "in_use_by": list(run.users),
    }


def planned(planned: Planned) -> dict[str, object]:
    return {
        "workspace": planned.workspace,
        "local_date": planned.date.isoformat(),
        "opens": utc(planned.opens),
        "ends": utc(planned.ends),
        "happens": planned.happens,
        "why": planned.why,
    }


def past(past: Past) -> dict[str, object]:
    row = past.row
    return {
        "workspace": past.workspace,
        "uuid": row.workspace,
        "kind": row.kind,
        "dates": [day.isoformat() for day in row.dates],
        "prior": row.prior,
        "why": row.why,
        "began": utc(row.began),
        "woke": utc(row.woke),
        "ended": utc(row.ended),
        "used": row.used,
        "crashes": row.crashes,
        "restarts": row.restarts,
        "installed": guest_text.installed_json(past.installed),
    }


def application(found: Application) -> dict[str, object]:
    return {
        "workspace": found.workspace,
        "application": found.row.id,
        "name": found.row.name,
        "command": found.row.command,
        "guest": found.row.how,
        "open": [utc(since) for since in found.opened],
    }


def happened(found: Iterable[Happened]) -> list[dict[str, object]]:
    known = {event.id: event for event in catalogue()}
    return [
        {
            "at": utc(each.at),
            "workspace": each.workspace,
            "event": each.event,
            "level": known[each.event].level.name.lower(),
            "sentence": known[each.event].sentence.replace("{name}", each.workspace or ""),
            "detail": each.detail,
        }
        for each in found
    ]


def event(event: Event) -> dict[str, object]:
    return {
        "id": event.id,
        "level": event.level.name.lower(),
        "sentence": event.sentence,
        "cause": event.cause,
        "remedy": event.remedy,
    }


def workspace(workspace: Workspace) -> dict[str, object]:
    return {
        "workspace": workspace.name,
        "uuid": workspace.uuid,
        "uri": workspace.uri,
        "owner": workspace.owner,
        "added": utc(workspace.added),
        "removing": workspace.removing,
    }
