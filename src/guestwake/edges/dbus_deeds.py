"""What each method of the D-Bus API does: one short function, called in a thread of its own.

Arguments are checked here, once more than the bus does. Nothing here opens a hypervisor or waits
for a guest: what would, is started by the service.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from guestwake.application import Application
from guestwake.applications import Applications, process_of
from guestwake.edges import report_json, report_text
from guestwake.edges.changing import changed
from guestwake.edges.dbus_guard import Refused
from guestwake.edges.dbus_values import seconds
from guestwake.edges.dbus_words import (
    BAD_ARGUMENT,
    DENIED,
    HISTORY_MAX,
    MANAGER,
    REASON_MAX,
    REPORTS,
    VALUE_MAX,
    WAKE_MINUTES_MAX,
    WORKSPACE,
)
from guestwake.edges.text import how_far, printable
from guestwake.journal import FOR_EVER
from guestwake.journal_applications import PublishedRow
from guestwake.policy.window import Opening
from guestwake.reports import Reports
from guestwake.settings import Problem, SettingsError
from guestwake.settings.change import Change, as_json, own_layer, unwished, wished
from guestwake.wishes import Wishes
from guestwake.workspaces import Workspace

Wakes = Callable[[Workspace, timedelta | None], None]
Body = list[Any]


@dataclass(frozen=True, slots=True)
class Desk:
    """`wake` starts a run of that length, None: GuestUpdateDuration, and does not wait for it.
    Raises AlreadyRunning, SchedulerError, WorkspaceError. `caller`: the user id of who calls."""

    application: Application
    wake: Wakes
    caller: int = 0

    @property
    def wishes(self) -> Wishes:
        return Wishes(self.application)

    @property
    def applications(self) -> Applications:
        return Applications(self.application)

    @property
    def reports(self) -> Reports:
        """Anew each time: settings may have changed."""
        return Reports(self.application.paths)


# reports


def _status(desk: Desk) -> Body:
    found = desk.reports.status(desk.application.clock.now())
    return [_json([report_json.status(each) for each in found])]


def _history(desk: Desk, workspace: str, most: int) -> Body:
    if most > HISTORY_MAX:
        raise Refused(BAD_ARGUMENT, f"most: {most} is out of range, it may be 0 to {HISTORY_MAX}.")
    found = desk.reports.history(workspace or None, most=most or 50)
    return [_json([report_json.past(each) for each in found])]


def _plan(desk: Desk, workspace: str) -> Body:
    found = desk.reports.plan(desk.application.clock.now(), name=workspace or None)
    return [_json([report_json.planned(each) for each in found])]


def _events(desk: Desk, workspace: str) -> Body:
    return [_json(report_json.happened(desk.reports.happened(workspace or None)))]


def _applications(desk: Desk, workspace: str) -> Body:
    found = desk.reports.applications(workspace or None)
    return [_json([report_json.application(each) for each in found])]


def _show(desk: Desk, report: str, workspace: str) -> Body:
    name, now, reports = workspace or None, desk.application.clock.now(), desk.reports
    match report:
        case "status":
            return [report_text.status(reports.status(now, name))]
        case "plan":
            return [report_text.plan(reports.plan(now, name=name))]
        case "history":
            return [report_text.history(reports.history(name))]
        case "events":
            return [report_text.happened(reports.happened(name))]
        case "applications":
            return [report_text.applications(reports.applications(name))]
    raise Refused(
        BAD_ARGUMENT, f"report: there is no '{_cut(report)}'. There are: {', '.join(REPORTS)}."
    )


# settings


def _set_setting(desk: Desk, workspace: str, name: str, value: str) -> Body:
    if len(value) > VALUE_MAX:
        raise Refused(BAD_ARGUMENT, f"value: it may have {VALUE_MAX} characters at most.")
    return _changed(desk, workspace, lambda: wished([f"{name}={value}"]))


def _clear_setting(desk: Desk, workspace: str, name: str) -> Body:
    return _changed(desk, workspace, lambda: unwished([name]))


def _changed(desk: Desk, name: str, changes: Callable[[], Sequence[Change]]) -> Body:
    application = desk.application
    try:
        wanted = changes()
    except SettingsError as err:
        raise Refused(BAD_ARGUMENT, "; ".join(_told(one) for one in err.problems)) from err
    workspace = application.workspaces.find(name) if name else None
    layer = own_layer(application.paths)
    return [_json([as_json(one) for one in changed(application.paths, layer, workspace, wanted)])]


def _told(problem: Problem) -> str:
    return f"{problem.setting}: {problem.sentence}"


# what a person wishes


def _wake(desk: Desk, workspace: Workspace, minutes: int) -> Body:
    if minutes > WAKE_MINUTES_MAX:
        raise Refused(
            BAD_ARGUMENT, f"minutes: {minutes} is out of range, it may be 0 to {WAKE_MINUTES_MAX}."
        )
    desk.wake(workspace, timedelta(minutes=minutes) if minutes else None)
    return []


def _hold(desk: Desk, workspace: Workspace, until: int, reason: str) -> Body:
    if len(reason) > REASON_MAX:
        raise Refused(BAD_ARGUMENT, f"reason: it may have {REASON_MAX} characters at most.")
    desk.wishes.hold(workspace, _to_come(until, desk), reason)
    return []


def _release(desk: Desk, workspace: Workspace) -> Body:
    return [desk.wishes.release(workspace)]


def _skip(desk: Desk, workspace: Workspace) -> Body:
    return _window(desk.wishes.skip(workspace))


def _unskip(desk: Desk, workspace: Workspace) -> Body:
    return _window(desk.wishes.unskip(workspace))


def _pause(desk: Desk, workspace: Workspace, until: int) -> Body:
    desk.wishes.pause(workspace, _to_come(until, desk) if until else FOR_EVER)
    return []


def _resume(desk: Desk, workspace: Workspace) -> Body:
    return [desk.wishes.resume(workspace)]


def _restart_now(desk: Desk, workspace: Workspace) -> Body:
    desk.wishes.agree(workspace)
    return []


def _postpone(desk: Desk, workspace: Workspace) -> Body:
    return [seconds(desk.wishes.postpone(workspace).wall)]


def _prompt_seen(desk: Desk, workspace: Workspace) -> Body:
    desk.wishes.prompt_seen(workspace)
    return []


def _icon(desk: Desk, workspace: Workspace, application: str) -> Body:
    return [desk.applications.icon(workspace, application) or b""]


def _publish(
    desk: Desk, workspace: Workspace, id_: str, name: str, command: str, how: str, icon: bytes
) -> Body:
    desk.applications.publish(workspace, PublishedRow(id_, name, command, how), icon or None)
    return []


def _unpublish(desk: Desk, workspace: Workspace, application: str) -> Body:
    desk.applications.unpublish(workspace, application)
    return []


def _open(desk: Desk, workspace: Workspace, application: str, pid: int) -> Body:
    process = process_of(pid, desk.caller)
    return [desk.applications.open(workspace, application, process)]


def _opening(desk: Desk, workspace: Workspace, opened: int) -> Body:
    far = desk.applications.opening(workspace, opened)
    return [far.is_open and far.failed is None, far.is_ready, how_far(workspace.name, far)]


def _show_opened(desk: Desk, workspace: Workspace, opened: int, pid: int) -> Body:
    _check_opener(desk, workspace, opened)
    return [desk.applications.show(workspace, opened, process_of(pid, desk.caller))]


def _close(desk: Desk, workspace: Workspace, opened: int) -> Body:
    _check_opener(desk, workspace, opened)
    desk.applications.close(workspace, opened)
    return []


def _check_opener(desk: Desk, workspace: Workspace, opened: int) -> None:
    if desk.caller != 0 and not desk.applications.is_of(workspace, opened, desk.caller):
        raise Refused(DENIED, "Another user has it open: only they and root may do this.")


def _window(window: Opening | None) -> Body:
    if window is None:
        return ["", 0, 0]
    return [window.date.isoformat(), seconds(window.opens), seconds(window.ends)]


def _to_come(until: int, desk: Desk) -> datetime:
    try:
        at = datetime.fromtimestamp(until, UTC)
    except (OverflowError, ValueError, OSError) as err:
        raise Refused(
            BAD_ARGUMENT, f"until: {until} lies beyond the year 9999; it counts seconds since 1970."
        ) from err
    if at <= desk.application.clock.now().wall:
        raise Refused(BAD_ARGUMENT, f"until: {at:%Y-%m-%d %H:%M:%S} UTC has passed.")
    return at


def _json(value: object) -> str:
    return json.dumps(value)


def _cut(text: str) -> str:
    return printable(text[:80])


# By interface and method; those of a workspace get it as their second argument.
DEEDS: Mapping[tuple[str, str], Callable[..., Body]] = {
    (MANAGER.name, "Status"): _status,
    (MANAGER.name, "History"): _history,
    (MANAGER.name, "Plan"): _plan,
    (MANAGER.name, "Events"): _events,
    (MANAGER.name, "Show"): _show,
    (MANAGER.name, "SetSetting"): _set_setting,
    (MANAGER.name, "ClearSetting"): _clear_setting,
    (MANAGER.name, "Applications"): _applications,
    (WORKSPACE.name, "Wake"): _wake,
    (WORKSPACE.name, "Hold"): _hold,
    (WORKSPACE.name, "Release"): _release,
    (WORKSPACE.name, "Skip"): _skip,
    (WORKSPACE.name, "Unskip"): _unskip,
    (WORKSPACE.name, "Pause"): _pause,
    (WORKSPACE.name, "Resume"): _resume,
    (WORKSPACE.name, "RestartNow"): _restart_now,
    (WORKSPACE.name, "Postpone"): _postpone,
    (WORKSPACE.name, "PromptSeen"): _prompt_seen,
    (WORKSPACE.name, "Icon"): _icon,
    (WORKSPACE.name, "Publish"): _publish,
    (WORKSPACE.name, "Unpublish"): _unpublish,
    (WORKSPACE.name, "Open"): _open,
    (WORKSPACE.name, "Opening"): _opening,
    (WORKSPACE.name, "Show"): _show_opened,
    (WORKSPACE.name, "Close"): _close,
}
