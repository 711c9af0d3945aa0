"""The commands that only report: values of `reports.py` as text or JSON."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import chain, repeat

from guestwake.clock import SystemClock
from guestwake.edges import guest_text
from guestwake.edges.exit_codes import Exit
from guestwake.edges.text import (
    DOING,
    complain,
    local,
    loud,
    printable,
    say,
    say_json,
    span,
    table,
    utc,
)
from guestwake.journal import FOR_EVER
from guestwake.paths import Paths
from guestwake.reports import OpenRun, Planned, Reports, Status, catalogue


def run(arguments: Namespace, paths: Paths) -> Exit:
    return _COMMANDS[arguments.command](arguments, Reports(paths))


# status


def _status(arguments: Namespace, reports: Reports) -> Exit:
    found = reports.status(SystemClock().now(), arguments.workspace)
    if arguments.json:
        say_json([_status_json(each) for each in found])
    elif found:
        say("\n\n".join("\n".join(_status_lines(each)) for each in found))
    else:
        say("There is no workspace yet. 'guestwake workspace add NAME' adds the VM of that name.")
    wrong = arguments.check and any(each.is_wrong for each in found)
    return Exit.ATTENTION if wrong else Exit.DONE


def _status_lines(status: Status) -> Iterator[str]:
    workspace, zone = status.workspace, status.zone
    yield f"{printable(workspace.name)}  ({printable(workspace.uri)}, {_owner(workspace.owner)})"
    for sentence in _attention(status):
        yield loud(f"  !!    {printable(sentence)}")
    if workspace.removing:
        yield "  now   being removed"
    if status.run:
        yield f"  now   {_run(status.run, status)}"
    for hold in status.holds:
        reason = f": {printable(hold.reason)}" if hold.reason else ""
        yield f"  held  until {local(hold.until, zone)}{reason}"
    yield f"  last  {local(status.last_window, zone) if status.last_window else 'no window yet'}"
    yield f"  next  {_next(status)}"
    for label, line in zip(chain(["guest"], repeat("")), guest_text.lines(status), strict=False):
        yield f"  {label:5} {line}"


def _run(open_run: OpenRun, status: Status) -> str:
    run = open_run.run
    left = f", {span(open_run.left)} left" if open_run.left else ""
    until = f", until {local(run.ends.wall, status.zone)}" if open_run.left else ""
    used = ", was used" if run.used else ""
    if run.users:
        used = f", in use: {', '.join(map(printable, run.users))}"
    doing = DOING.get(run.phase, run.phase)
    return f"{printable(doing)} ({printable(run.why)}){left}{until}{used}"


def _next(status: Status) -> str:
    if status.is_disabled:
        return "no windows: GuestUpdateDuration is 0"
    notes = [f"{day} is left out" for day in status.skipped]
    if status.paused_until:
        ever = status.paused_until == FOR_EVER
        until = "resumed" if ever else local(status.paused_until, status.zone)
        notes.insert(0, f"paused until {until}")
    window = status.next_window
    if window is not None:
        notes.insert(0, f"{local(window.opens, status.zone)}, {span(window.ends - window.opens)}")
    return "; ".join(notes) or "no window in the next two weeks"


def _attention(status: Status) -> Iterator[str]:
    """What must not be overlooked, each with what to do."""
    name = status.workspace.name
    if status.standing:
        from guestwake.events import OF_WHY

        event = OF_WHY[status.standing.why]
        detail = f" ({status.standing.detail})" if status.standing.detail else ""
        remedy = event.remedy.replace("{name}", _quoted(name))
        yield f"{event.sentence.replace('{name}', name)}{detail} {remedy}"
    if status.run and not status.run.manager_lives:
        yield f"Its run is open and nobody minds it. Go on with: guestwake wake {_quoted(name)}"
    if status.is_stale and not status.is_disabled:
        yield (
            f"No window for {span(status.without_window)}; CatchUpDays is "
            f"{status.catch_up_days}. See: guestwake history {_quoted(name)}"
        )
    yield from (f"Settings: {problem}" for problem in status.problems)


def _status_json(status: Status) -> dict[str, object]:
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
        "guest": guest_text.guest_json(status.guest),
        "restart_required": guest_text.restart_json(status.restart_mark),
        "settings_problems": [str(problem) for problem in status.problems],
        "attention": list(_attention(status)),
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
    }


# plan


def _plan(arguments: Namespace, reports: Reports) -> Exit:
    now = SystemClock().now()
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
    if arguments.json:
        say_json([_planned_json(each) for each in found])
    elif found:
        headers = ("workspace", "date", "opens", "ends", "happens", "why")
        say(table(headers, map(_planned_row, found)))
    else:
        say(
            "No windows: there is no workspace, or GuestUpdateDuration is 0, or GuestUpdateDays "
            "names none of these days."
        )
    return Exit.DONE


def _planned_row(planned: Planned) -> tuple[object, ...]:
    return (
        planned.workspace,
        planned.date,
        local(planned.opens, planned.zone),
        local(planned.ends, planned.zone),
        "yes" if planned.happens else "no",
        planned.why,
    )


def _planned_json(planned: Planned) -> dict[str, object]:
    return {
        "workspace": planned.workspace,
        "local_date": planned.date.isoformat(),
        "opens": utc(planned.opens),
        "ends": utc(planned.ends),
        "happens": planned.happens,
        "why": planned.why,
    }


# the others


def _list(arguments: Namespace, reports: Reports) -> Exit:
    found = reports.chosen(None)
    if arguments.json:
        say_json(
            [
                {
                    "workspace": each.name,
                    "uuid": each.uuid,
                    "uri": each.uri,
                    "owner": each.owner,
                    "added": utc(each.added),
                    "removing": each.removing,
                }
                for each in found
            ]
        )
    else:
        headers = ("workspace", "UUID", "URI", "owner")
        say(table(headers, ((x.name, x.uuid, x.uri, _owner(x.owner)) for x in found)))
    return Exit.DONE


def _history(arguments: Namespace, reports: Reports) -> Exit:
    found = reports.history(arguments.workspace)
    if arguments.json:
        say_json(
            [
                {
                    "workspace": each.workspace,
                    "uuid": each.row.workspace,
                    "kind": each.row.kind,
                    "dates": [day.isoformat() for day in each.row.dates],
                    "prior": each.row.prior,
                    "why": each.row.why,
                    "began": utc(each.row.began),
                    "woke": utc(each.row.woke),
                    "ended": utc(each.row.ended),
                    "used": each.row.used,
                    "crashes": each.row.crashes,
                    "restarts": each.row.restarts,
                    "installed": guest_text.installed_json(each.installed),
                }
                for each in found
            ]
        )
        return Exit.DONE
    headers = (
        *("workspace", "kind", "began", "before", "awake", "ended", "outcome", "used"),
        *("restarts", "installed"),
    )
    rows = (
        (
            each.workspace,
            each.row.kind,
            local(each.row.began, each.zone),
            each.row.prior,
            span(each.row.ended - each.row.woke) if each.row.woke else "-",
            local(each.row.ended, each.zone),
            each.row.why,
            "yes" if each.row.used else "no",
            each.row.restarts or None,
            guest_text.installed(each.installed),
        )
        for each in found
    )
    say(table(headers, rows))
    return Exit.DONE


def _settings_show(arguments: Namespace, reports: Reports) -> Exit:
    from guestwake.settings import as_json, rows

    resolved = reports.settings(arguments.workspace)
    if arguments.json:
        say_json(as_json(resolved))
    else:
        say(table(("setting", "value", "from"), rows(resolved)))
        for problem in resolved.problems:
            say(loud(f"!! {printable(str(problem))}"))
    return Exit.DONE


def _settings_check(arguments: Namespace, reports: Reports) -> Exit:
    problems = reports.problems()
    for name in reports.strangers():
        complain(f"[workspace.{name}]: no workspace here has that name or UUID (yet)")
    if arguments.json:
        keys = ("place", "setting", "sentence", "section")
        say_json([dict(zip(keys, problem, strict=True)) for problem in problems])
    elif problems:
        say("\n".join(printable(str(problem)) for problem in problems))
    else:
        say("The settings are in order.")
    return Exit.SETTINGS if problems else Exit.DONE


def _events(arguments: Namespace, reports: Reports) -> Exit:
    if arguments.happened is not None:
        return _happened(arguments, reports)
    events = catalogue()
    if arguments.json:
        say_json(
            [
                {
                    "id": event.id,
                    "level": event.level.name.lower(),
                    "sentence": event.sentence,
                    "cause": event.cause,
                    "remedy": event.remedy,
                }
                for event in events
            ]
        )
        return Exit.DONE
    for event in events:
        say(f"{event.id} {event.level.name.lower()}: {event.sentence.replace('{name}', 'NAME')}")
        say(f"      cause:  {event.cause}")
        say(f"      remedy: {event.remedy.replace('{name}', 'NAME')}")
    return Exit.DONE


def _happened(arguments: Namespace, reports: Reports) -> Exit:
    sentences = {event.id: event for event in catalogue()}
    found = reports.happened(arguments.happened or None)
    if arguments.json:
        say_json(
            [
                {
                    "at": utc(each.at),
                    "workspace": each.workspace,
                    "event": each.event,
                    "level": sentences[each.event].level.name.lower(),
                    "sentence": sentences[each.event].sentence.replace(
                        "{name}", each.workspace or ""
                    ),
                    "detail": each.detail,
                }
                for each in found
            ]
        )
        return Exit.DONE
    for each in found:
        event = sentences[each.event]
        sentence = event.sentence.replace("{name}", f"'{each.workspace}'")
        detail = f" ({each.detail})" if each.detail else ""
        level = event.level.name.lower()
        when = local(each.at, each.zone)
        say(printable(f"{when}  {each.event} {level}: {sentence}{detail}"))
    return Exit.DONE


def _owner(owner: str | None) -> str:
    return "the system's" if owner is None else f"{printable(owner)}'s"


def _quoted(name: str) -> str:
    """For a command line that a person may copy."""
    from shlex import quote

    return quote(name)


_COMMANDS: dict[str, Callable[[Namespace, Reports], Exit]] = {
    "workspace list": _list,
    "status": _status,
    "plan": _plan,
    "history": _history,
    "settings show": _settings_show,
    "settings check": _settings_check,
    "events": _events,
}
