"""The commands that only report: values of `reports.py` as text or JSON.

For an ordinary user the host's own Guestwake is asked as well, if its service runs (`remote.py`):
who says `status` sees all workspaces that there are.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from guestwake.clock import system_clock
from guestwake.edges import report_json, report_text
from guestwake.edges.exit_codes import Exit
from guestwake.edges.text import complain, loud, printable, say, say_json, table
from guestwake.paths import Paths
from guestwake.reports import Reports, catalogue
from guestwake.workspaces import UnknownWorkspace

if TYPE_CHECKING:
    from guestwake.edges.remote import HostReports

_Found = TypeVar("_Found")

_NO_WORKSPACE = (
    "There is no workspace yet: 'guestwake setup' chooses VMs to look after, and their hour."
)
_NO_APPLICATION = (
    "No application is published. 'guestwake publish WORKSPACE APPLICATION' publishes one."
)
_NO_WINDOWS = (
    "No windows: there is no workspace, or GuestUpdateDuration is 0, or GuestUpdateDays names none "
    "of these days."
)


def run(arguments: Namespace, paths: Paths) -> Exit:
    reports = Reports(paths)
    if arguments.command not in _MERGED or not _asks_the_host(arguments, paths):
        return _COMMANDS[arguments.command](arguments, reports, None)
    from guestwake.edges.remote import host_reports

    with host_reports(arguments.command) as host:
        try:
            return _COMMANDS[arguments.command](arguments, reports, host)
        except UnknownWorkspace:
            name = _workspace_of(arguments)
            if host is None or name is None or not host.knows(name):
                raise
            return _tell_hosts(arguments, host, name)


def _asks_the_host(arguments: Namespace, paths: Paths) -> bool:
    """Root's files are the host's; and what the service is not told it cannot answer. On Windows
    it answers nobody."""
    if sys.platform == "win32" or paths.user is None:
        return False
    if arguments.command == "events" and arguments.happened is None:
        return False
    if arguments.command == "plan":
        return (arguments.start, arguments.days, arguments.assignments) == (None, 7, [])
    return True


def _tell_hosts(arguments: Namespace, host: HostReports, name: str) -> Exit:
    """Of the workspace `name`, which only the host's Guestwake knows."""
    found = host.objects(name)
    if arguments.json:
        say_json(found)
    else:
        nothing = _NO_APPLICATION if arguments.command == "applications" else ""
        _say_report(host.text(name) or nothing)
    return _checked(arguments, wrong=any(each.get("attention") for each in found))


def _tell(
    arguments: Namespace,
    found: Sequence[_Found],
    objects: Callable[[Sequence[_Found]], list[dict[str, object]]],
    text: Callable[[Sequence[_Found]], str],
    host: HostReports | None,
    *,
    nothing: str = "",
) -> None:
    """Ours, then the host's. `nothing`: what to say where there is neither."""
    everything = host is not None and not _workspace_of(arguments)
    if arguments.json:
        say_json([*objects(found), *(host.objects() if host and everything else ())])
        return
    more = host.text() if host and everything and host.objects() else ""
    own = text(found) if found or not more else ""
    _say_report("\n\n".join(filter(None, (own, more))) or nothing)


def _workspace_of(arguments: Namespace) -> str | None:
    name = arguments.happened if arguments.command == "events" else arguments.workspace
    return name or None


def _say_report(text: str) -> None:
    lines = text.split("\n")
    say("\n".join(loud(line) if line.startswith(report_text.LOUD) else line for line in lines))


def _checked(arguments: Namespace, *, wrong: bool) -> Exit:
    asked = arguments.command == "status" and arguments.check
    return Exit.ATTENTION if asked and wrong else Exit.DONE


def _status(arguments: Namespace, reports: Reports, host: HostReports | None) -> Exit:
    found = reports.status(system_clock().now(), arguments.workspace)
    _tell(
        arguments,
        found,
        lambda found: [report_json.status(each) for each in found],
        report_text.status,
        host,
        nothing=_NO_WORKSPACE,
    )
    wrong = any(each.is_wrong for each in found)
    if arguments.check and host is not None and not arguments.workspace:
        wrong = wrong or any(each.get("attention") for each in host.objects())
    return _checked(arguments, wrong=wrong)


def _plan(arguments: Namespace, reports: Reports, host: HostReports | None) -> Exit:
    now = system_clock().now()
    start = None
    if arguments.start is not None:
        from guestwake.edges.times import BadTime, instant

        zone = reports.zone(arguments.workspace, arguments.assignments)
        try:
            start = instant(arguments.start, now.wall, zone)
        except BadTime as err:
            raise BadTime(f"--from '{arguments.start}': {err}.") from err
    found = reports.plan(
        now,
        name=arguments.workspace,
        start=start,
        days=arguments.days,
        assignments=arguments.assignments,
    )
    _tell(
        arguments,
        found,
        lambda found: [report_json.planned(each) for each in found],
        report_text.plan,
        host,
        nothing=_NO_WINDOWS,
    )
    return Exit.DONE


def _applications(arguments: Namespace, reports: Reports, host: HostReports | None) -> Exit:
    _tell(
        arguments,
        reports.applications(arguments.workspace),
        lambda found: [report_json.application(each) for each in found],
        report_text.applications,
        host,
        nothing=_NO_APPLICATION,
    )
    return Exit.DONE


def _list(arguments: Namespace, reports: Reports, host: HostReports | None) -> Exit:
    found = reports.chosen(None)
    if arguments.json:
        say_json([report_json.workspace(each) for each in found])
    else:
        headers = ("workspace", "UUID", "URI", "owner")
        say(table(headers, ((x.name, x.uuid, x.uri, report_text.owner(x.owner)) for x in found)))
    return Exit.DONE


def _history(arguments: Namespace, reports: Reports, host: HostReports | None) -> Exit:
    _tell(
        arguments,
        reports.history(arguments.workspace),
        lambda found: [report_json.past(each) for each in found],
        report_text.history,
        host,
    )
    return Exit.DONE


def _settings_show(arguments: Namespace, reports: Reports, host: HostReports | None) -> Exit:
    from guestwake.settings import as_json, rows

    resolved = reports.settings(arguments.workspace)
    if arguments.json:
        say_json(as_json(resolved))
    else:
        say(table(("setting", "value", "from"), rows(resolved)))
        for problem in resolved.problems:
            say(loud(f"!! {printable(str(problem))}"))
    return Exit.DONE


def _settings_check(arguments: Namespace, reports: Reports, host: HostReports | None) -> Exit:
    problems = reports.problems()
    for name in reports.strangers():
        complain(f"settings for '{name}': no workspace here has that name or UUID (yet)")
    if arguments.json:
        keys = ("place", "setting", "sentence", "section")
        say_json([dict(zip(keys, problem, strict=True)) for problem in problems])
    elif problems:
        say("\n".join(printable(str(problem)) for problem in problems))
    else:
        say("The settings are in order.")
    return Exit.SETTINGS if problems else Exit.DONE


def _events(arguments: Namespace, reports: Reports, host: HostReports | None) -> Exit:
    if arguments.happened is not None:
        found = reports.happened(arguments.happened or None)
        _tell(arguments, found, report_json.happened, report_text.happened, host)
        return Exit.DONE
    events = catalogue()
    if arguments.json:
        say_json([report_json.event(each) for each in events])
        return Exit.DONE
    for event in events:
        say(f"{event.id} {event.level.name.lower()}: {event.sentence.replace('{name}', 'NAME')}")
        say(f"      cause:  {event.cause}")
        say(f"      remedy: {event.remedy.replace('{name}', 'NAME')}")
    return Exit.DONE


# What the host's Guestwake can tell of its own workspaces too.
_MERGED = ("status", "plan", "history", "events", "applications")
_COMMANDS: dict[str, Callable[[Namespace, Reports, HostReports | None], Exit]] = {
    "workspace list": _list,
    "status": _status,
    "plan": _plan,
    "history": _history,
    "settings show": _settings_show,
    "settings check": _settings_check,
    "events": _events,
    "applications": _applications,
}
