"""What is reported, for people: values of `reports.py` as text, in each workspace's own zone.

What must not be overlooked begins with `LOUD`; who prints it makes it bold where there is a
terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat

from guestwake.edges import guest_text
from guestwake.edges.text import DOING, local, printable, span, table
from guestwake.journal import FOR_EVER, EventRow
from guestwake.reports import Application, Happened, OpenRun, Past, Planned, Status, catalogue

LOUD = "  !!    "


def status(found: Sequence[Status]) -> str:
    """The empty text: there is no workspace."""
    return "\n\n".join("\n".join(_status_lines(each)) for each in found)


def _status_lines(status: Status) -> Iterator[str]:
    workspace, zone = status.workspace, status.zone
    yield f"{printable(workspace.name)}  ({printable(workspace.uri)}, {owner(workspace.owner)})"
    for sentence in attention(status):
        yield f"{LOUD}{printable(sentence)}"
    if workspace.removing:
        yield "  now   being removed"
    if status.run:
        yield f"  now   {_run(status.run, status)}"
    for row in status.opened:
        what = printable(row.application) or "its desktop"
        yield f"  open  {what}{'' if row.shown else ' is wanted'} since {local(row.since, zone)}"
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


def attention(status: Status) -> Iterator[str]:
    """What must not be overlooked, each with what to do."""
    name = status.workspace.name
    if status.standing:
        yield standing(name, status.standing)
    if status.run and not status.run.manager_lives:
        yield f"Its run is open and nobody minds it. Go on with: guestwake wake {_quoted(name)}"
    if status.is_stale and not status.is_disabled:
        yield (
            f"No window for {span(status.without_window)}; CatchUpDays is "
            f"{status.catch_up_days}. See: guestwake history {_quoted(name)}"
        )
    yield from (f"Settings: {problem}" for problem in status.problems)
    if status.set_aside:
        yield (
            f"The journal was damaged, and was set aside as '{status.set_aside}'. Say again what "
            "was skipped, paused or held before, and move that file away."
        )


def standing(name: str, row: EventRow) -> str:
    """The standing event of the workspace of that name, with its remedy."""
    from guestwake.events import OF_WHY

    event = OF_WHY[row.why]
    detail = f" ({row.detail})" if row.detail else ""
    remedy = event.remedy.replace("{name}", _quoted(name))
    return f"{event.sentence.replace('{name}', name)}{detail} {remedy}"


def plan(found: Sequence[Planned]) -> str:
    """ "The empty text: nothing is planned."""
    headers = ("workspace", "date", "opens", "ends", "happens", "why")
    return table(headers, map(_planned_row, found)) if found else ""


def _planned_row(planned: Planned) -> tuple[object, ...]:
    return (
        planned.workspace,
        planned.date,
        local(planned.opens, planned.zone),
        local(planned.ends, planned.zone),
        "yes" if planned.happens else "no",
        planned.why,
    )


def history(found: Iterable[Past]) -> str:
    headers = (
        *("workspace", "kind", "began", "before", "awake", "ended", "outcome", "used"),
        *("restarts", "installed"),
    )
    return table(headers, map(_past_row, found))


def _past_row(past: Past) -> tuple[object, ...]:
    row = past.row
    return (
        past.workspace,
        row.kind,
        local(row.began, past.zone),
        row.prior,
        span(row.ended - row.woke) if row.woke else "-",
        local(row.ended, past.zone),
        row.why,
        "yes" if row.used else "no",
        row.restarts or None,
        guest_text.installed(past.installed),
    )


def applications(found: Sequence[Application]) -> str:
    """The empty text: none is published."""
    headers = ("workspace", "application", "title", "guest", "command", "open since")
    return table(headers, map(_application_row, found)) if found else ""


def _application_row(found: Application) -> tuple[object, ...]:
    row = found.row
    since = "; ".join(local(each, found.zone) for each in found.opened)
    return (found.workspace, row.id, row.name, row.how, row.command, since)


def happened(found: Iterable[Happened]) -> str:
    return "\n".join(_happened_lines(found))


def _happened_lines(found: Iterable[Happened]) -> Iterator[str]:
    known = {event.id: event for event in catalogue()}
    for each in found:
        event = known[each.event]
        sentence = event.sentence.replace("{name}", f"'{each.workspace}'")
        detail = f" ({each.detail})" if each.detail else ""
        when = local(each.at, each.zone)
        yield printable(f"{when}  {each.event} {event.level.name.lower()}: {sentence}{detail}")


def owner(owner: str | None) -> str:
    return "the system's" if owner is None else f"{printable(owner)}'s"


def _quoted(name: str) -> str:
    """For a command line that a person may copy."""
    from shlex import quote

    return quote(name)
