"""docs/policy.md: what happens when, by asking the policy itself over the whole grid of facts.

Prints the page. A test compares it with the file, so the page cannot say what the code does not.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import product
from typing import NamedTuple
from zoneinfo import ZoneInfo

from guestwake.events import OF_WHY, Level
from guestwake.policy import close, wake
from guestwake.policy import prompt as prompts
from guestwake.policy.in_use import Evidence, Reporter, Session
from guestwake.policy.limits import CloseAction, Limits, RestartInWindow, ReturnState
from guestwake.policy.prompt import Prompt
from guestwake.policy.restart import MarkedReason, RestartMark
from guestwake.policy.run import (
    Facts,
    Goal,
    GuestReport,
    Kind,
    Phase,
    Prior,
    Restart,
    Step,
    WakeRun,
    Why,
)
from guestwake.policy.window import Opening, Schedule, schedule_of
from guestwake.policy.words import Now, Power, Start, StoppedBy, Trouble, Verb

ANY = "any"
YES, NO = "yes", "no"
OPEN, ENDED = "open", "ended"
STRETCHED = "after MaxExtension"  # busy still, when the window cannot be stretched any more

_MIDNIGHT = datetime(2026, 6, 9, tzinfo=UTC)
_UP = 100_000.0  # seconds that the host has been up at the opening
_WINDOW = Opening(date(2026, 6, 9), _MIDNIGHT, _MIDNIGHT + timedelta(hours=1))
_LIMITS = Limits(guest_update_time=time(0), guest_update_duration=timedelta(hours=1))
_START = Start("ours", _UP)


class Cell(NamedTuple):
    """One point of the grid; the fields are the table's columns, in their order."""

    window: str
    prior: str
    in_use: str
    busy: str
    used: str
    at_risk: str
    return_state: str
    close_action: str


_TITLES = (
    "window", "prior", "in use", "installing", "used earlier", "work at risk",
    "ReturnState", "CloseAction",
)  # fmt: skip
_VALUES: tuple[tuple[str, ...], ...] = (
    (OPEN, ENDED),
    tuple(Prior),
    (NO, YES),
    (NO, YES, STRETCHED),
    (NO, YES),
    (NO, YES),
    tuple(ReturnState),
    tuple(CloseAction),
)
Known = tuple[tuple[str, ...], ...]
Values = tuple[frozenset[str], ...]
Rows = dict[Values, str]


def policy_page() -> str:
    """The whole page, as Markdown."""
    return "\n".join(
        [
            "# What the wake run does when",
            "",
            "*Made by `tools/policy_page.py`, which asks the policy itself; do not edit.*",
            "",
            "## The phases",
            "",
            *_phases(),
            "",
            "## At the opening",
            "",
            "What is found decides what is done and what is remembered as *prior*, given network, "
            "power and room.",
            "",
            *_table(("found", "answer", "asked of the hypervisor", "prior"), _opening_rows()),
            "",
            "## While it is ours: the whole grid",
            "",
            *_LEGEND,
            "",
            *_table((*_TITLES, "answer", "what is done"), grid_rows()),
            "",
            "## When it runs for somebody",
            "",
            *_FOR_SOMEBODY,
            "",
            *_table((*_USE_TITLES, "answer", "what is done"), use_rows()),
            "",
            "## When the guest needs a restart",
            "",
            "Its window is open, nobody uses it, nobody's work is at risk, unless the row says "
            "otherwise. What it needs is a mark that outlives everything but its next boot; a "
            "restart that is not done in this window is looked at again in the next.",
            "",
            *_table(("", "answer", "what is done"), _restart_rows()),
            "",
            "### Outside its windows",
            "",
            "What the resident service does about the mark, from the journal alone. *try*: a "
            "manager looks at the VM.",
            "",
            *_table(("", "what is done"), _said_rows()),
            "",
            "What that look comes to:",
            "",
            *_table(("the VM is", "nobody was signed in", "somebody was", "agreed"), _answers()),
            "",
            "## When it is not as we left it",
            "",
            "The VM was woken by us, and this is what the next look finds.",
            "",
            *_table(("found", "stopped by", "window open", "window ended"), _hands_rows()),
            "",
            "## Every answer",
            "",
            "`guestwake events` has the cause and the remedy of each.",
            "",
            *_table(("answer", "level", "says"), _why_rows()),
            "",
        ]
    )


_LEGEND = (
    "The VM runs, and the run knows it as its own. Each column is one question; `any` means that "
    "the answer is the same whatever stands there.",
    "",
    "- *window*: open, or ended with no window that touches it.",
    "- *in use*: somebody uses it at this moment. *used earlier*: somebody has since the wake.",
    f"- *installing*: the guest says that it is busy; `{STRETCHED}`: it still does when the window "
    "cannot be stretched any more.",
    "- *work at risk*: a restart or a shutdown could lose somebody's work.",
    "- *owed: off*: it is saved and should really be off; the next run settles it.",
)


_FOR_SOMEBODY = (
    "Normal Start: it was started for the first application that somebody opened. Fast Start: for "
    "a logon. Or it was woken for a window, and somebody began to use it. Where nobody uses it, "
    "nobody has for as long as is waited for: "
    f"{int(close.CLOSED_FOR / timedelta(minutes=1))} minute after the last application of Normal "
    f"Start, {int(close.USE_ENDED_FOR / timedelta(minutes=1))} minutes after any other use, and "
    "not at all after a logoff.",
    "",
    "- *window*: none near, open, or just ended.",
    "- *application*: none; *waits*: a `guestwake open` waits for it; *open*.",
    "- *else in use*: by a hold, a viewer, a remote desktop. *guest's word*: the guest alone says "
    "so, by somebody's input.",
    "- *logged on*: its owner; where it is shared, or the system's, anybody.",
)


def _phases() -> list[str]:
    """The drawing in the policy's own docstring."""
    text = inspect.getdoc(wake) or ""
    drawing = [line for line in text.splitlines() if line.startswith("    ")]
    explained = text.split(drawing[-1])[1].strip().split("\n\n")[0]
    return ["```", *(line[4:] for line in drawing), "```", "", explained]


# At the opening


def _opening_rows() -> Iterable[tuple[str, ...]]:
    for power in Power:
        step = _begin(Facts(power, _START if power in _LIVE else None))
        if step.run.prior is Prior.SAVED:
            started = Facts(Power.PAUSED, _START, done=Verb.START)
            paused = _next(step.run, started, _at(0))
            yield _opening_row("saved", step)
            yield _opening_row("an image that was saved while paused, started", paused)
            yield _opening_row("saved, and *owed: off*", _begin(Facts(Power.SAVED, owed_off=True)))
            yield _opening_row(
                "saved, and the image will not do", _begin(Facts(Power.SAVED, image_ok=False))
            )
        else:
            yield _opening_row(power, step)


_LIVE = (Power.RUNNING, Power.PAUSED, Power.SUSPENDED)


def _opening_row(found: str, step: Step) -> tuple[str, ...]:
    return found, _code(step.why), _code(step.verb), step.run.prior or ""


def _begin(facts: Facts) -> Step:
    return wake.begin(_WINDOW, Kind.SCHEDULED, "token", facts, _LIMITS, _schedule(), _at(0))


# The grid


def grid_rows() -> list[tuple[str, ...]]:
    """The grid, with rows that agree made one: values, then the answer and what is done."""
    rows: Rows = {
        tuple(frozenset([value]) for value in cell): _outcome(Cell(*cell))
        for cell in product(*_VALUES)
    }
    return _fewest(rows, _VALUES)


def _fewest(rows: Rows, known: Known) -> list[tuple[str, ...]]:
    """From the last column to the first: that gives the fewest rows."""
    for column in range(len(known) - 1, -1, -1):
        rows = _merged(rows, column)
    ordered = sorted(rows.items(), key=lambda row: _position(row[0], known))
    return [(*_shown(values, known), *outcome.split("|")) for values, outcome in ordered]


def _merged(rows: Rows, column: int) -> Rows:
    """Rows that differ in that column only, and have the same outcome, as one."""
    groups: dict[tuple[Values, str], frozenset[str]] = {}
    for values, outcome in rows.items():
        key = ((*values[:column], frozenset(), *values[column + 1 :]), outcome)
        groups[key] = groups.get(key, frozenset()) | values[column]
    return {
        (*values[:column], merged, *values[column + 1 :]): outcome
        for (values, outcome), merged in groups.items()
    }


def _position(values: Values, known: Known) -> list[list[int]]:
    return [
        sorted(each.index(value) for value in found)
        for found, each in zip(values, known, strict=True)
    ]


def _shown(values: Values, known: Known) -> list[str]:
    return [
        ANY if len(found) == len(each) else ", ".join(one for one in each if one in found)
        for found, each in zip(values, known, strict=True)
    ]


def _outcome(cell: Cell) -> str:
    minute = {OPEN: 30.0, ENDED: 60.0}[cell.window]
    if cell.window == ENDED and cell.busy == STRETCHED:
        minute += _LIMITS.max_extension / timedelta(minutes=1)
    limits = replace(
        _LIMITS,
        return_state=ReturnState(cell.return_state),
        close_action=CloseAction(cell.close_action),
    )
    step = _next(_held(cell), _seen(cell), _at(minute), limits)
    return f"{_code(step.why)}|{_done(step)}"


def _held(cell: Cell) -> WakeRun:
    """The run of a VM that we woke at the opening, or that ran before."""
    watching = cell.prior == Prior.RUNNING
    begun = _begin(Facts(Power.RUNNING, _START)).run
    return replace(
        begun,
        phase=Phase.WATCHING if watching else Phase.HOLDING,
        prior=Prior(cell.prior),
        start=_START.id,
        kept_memory=cell.prior != Prior.OFF,
        woke=None if watching else _at(0).after(timedelta(0)),
        told=True,
        used=cell.used == YES and not watching,
    )


def _seen(cell: Cell) -> Facts:
    before = Session("alice", _UP - 9000, _UP - 8000)  # older than the wake: at risk, not in use
    return Facts(
        Power.RUNNING,
        _START,
        evidence=Evidence(
            holds=("alice",) if cell.in_use == YES else (),
            reporter=Reporter.FRESH,
            sessions=(before,) if cell.at_risk == YES else (),
        ),
        guest=GuestReport("boot", busy=cell.busy != NO),
    )


_DONE = {
    Goal.PAUSED: "paused",
    Goal.SUSPENDED: "suspended",
    Goal.SAVED: "saved",
    Goal.SAVED_PAUSED: "saved as paused",
    Goal.OFF: "asked to shut down",
    Goal.TURNED_OFF: "switched off",
}


def _done(step: Step) -> str:
    if step.run.goal is None:
        return "left as it is" if step.over else "stays up"
    return _DONE[step.run.goal] + (", owed: off" if step.run.owed_off else "")


# When it runs for somebody


class For(NamedTuple):
    """One point of that grid; the fields are the table's columns, in their order."""

    started: str
    window: str
    application: str
    in_use: str
    logged_on: str
    fast_start: str
    close_action: str


NORMAL, FAST, WINDOW = "application", "logon", "window"
NOWHERE = "none"
WAITS, SHOWN = "waits", "open"
BY_GUEST = "guest's word"
_USE_TITLES = (
    "started for", "window", "application", "else in use", "logged on", "LogonStartEnabled",
    "CloseAction",
)  # fmt: skip
_USE_VALUES: Known = (
    (NORMAL, FAST, WINDOW),
    (NOWHERE, OPEN, ENDED),
    (NOWHERE, WAITS, SHOWN),
    (NO, BY_GUEST, YES),
    (NO, YES),
    ("0", "1"),
    tuple(CloseAction),
)
_KINDS = {NORMAL: Kind.USE, FAST: Kind.FAST_START, WINDOW: Kind.SCHEDULED}


def use_rows() -> list[tuple[str, ...]]:
    cells = (For(*cell) for cell in product(*_USE_VALUES))
    return _fewest(
        {tuple(frozenset([value]) for value in cell): _use_outcome(cell) for cell in cells},
        _USE_VALUES,
    )


def _use_outcome(cell: For) -> str:
    minute = {NOWHERE: 400.0, OPEN: 30.0, ENDED: 60.0}[cell.window]
    limits = replace(
        _LIMITS,
        close_action=CloseAction(cell.close_action),
        logon_start_enabled=cell.fast_start == "1",
    )
    step = _next(_run_for(cell), _seen_for(cell, minute, limits), _at(minute), limits)
    return f"{_code(step.why)}|{_done(step)}"


def _run_for(cell: For) -> WakeRun:
    """Started hours ago for its user, or woken at the opening and used since."""
    kind = _KINDS[cell.started]
    began = 0 if kind is Kind.SCHEDULED else 200 if cell.window == NOWHERE else -120
    own = Opening(_MIDNIGHT.date(), _at(began).wall, _at(began).wall)
    windows = () if cell.window == NOWHERE else (_WINDOW,)
    return replace(
        _held(Cell(OPEN, Prior.SAVED, NO, NO, YES, NO, "", "")),
        kind=kind,
        chain=(_WINDOW,) if kind is Kind.SCHEDULED else (own, *windows),
        ends=_at(60 if windows or kind is Kind.SCHEDULED else began).after(timedelta(0)),
        phase=Phase.HOLDING if windows else Phase.LENT,
        woke=_at(began).after(timedelta(0)),
        idle=None if windows else _at(380).after(timedelta(0)),
    )


def _seen_for(cell: For, minute: float, limits: Limits) -> Facts:
    typed = _UP + (minute - 5) * 60
    return Facts(
        Power.RUNNING,
        _START,
        evidence=Evidence(
            applications=("gimp",) if cell.application == SHOWN else (),
            openings=("gimp",) if cell.application == WAITS else (),
            holds=("alice",) if cell.in_use == YES else (),
            reporter=Reporter.FRESH,
            sessions=(Session("alice", typed - 60, typed),) if cell.in_use == BY_GUEST else (),
        ),
        guest=GuestReport("boot", busy=False),
        fast_start_holds=close.fast_start_holds(
            _MIDNIGHT if cell.logged_on == YES else None, limits, published=True
        ),
    )


# When the guest needs a restart


class Asking(NamedTuple):
    """A moment at which the guest needs a restart; the defaults stand in its way in nothing."""

    told: str
    cell: Cell
    minute: float = 30
    restart: Restart = Restart.REQUIRED
    in_window: RestartInWindow = RestartInWindow.NOBODY_SIGNED_IN
    restarts: int = 0
    minutes_since: float | None = None  # its last restart


def _asking() -> Iterable[Asking]:
    plain = Cell(OPEN, Prior.SAVED, NO, NO, NO, NO, "previous", "HIBERNATE")
    idle_too, never = RestartInWindow.OVER_IDLE_SESSIONS, RestartInWindow.NEVER
    risky, used = plain._replace(at_risk=YES), plain._replace(in_use=YES)
    yield Asking("nothing stands in its way", plain)
    yield Asking("somebody uses it", used)
    yield Asking("somebody uses it, RestartInWindow 2", used, in_window=idle_too)
    yield Asking("somebody's work is at risk", risky)
    yield Asking("somebody's work is at risk, RestartInWindow 2", risky, in_window=idle_too)
    yield Asking("RestartInWindow 0", plain, in_window=never)
    yield Asking("it is installing", plain._replace(busy=YES))
    yield Asking("less than TaskTimeout of the window is left", plain, minute=55)
    yield Asking("it was restarted within the hour", plain, restarts=1, minutes_since=20)
    yield Asking("it was restarted twice in this window", plain, restarts=2, minutes_since=90)
    yield Asking("every reason has survived two restarts", plain, restart=Restart.IN_VAIN)


def _restart_rows() -> Iterable[tuple[str, ...]]:
    for one in _asking():
        since = one.minutes_since
        run = replace(
            _held(one.cell),
            restarts=one.restarts,
            restarted=None if since is None else _at(one.minute - since).after(timedelta(0)),
        )
        seen = _seen(one.cell)
        assert seen.guest is not None
        facts = replace(seen, guest=replace(seen.guest, restart=one.restart))
        limits = replace(_LIMITS, restart_in_window=one.in_window)
        step = _next(run, facts, _at(one.minute), limits)
        yield one.told, _code(step.why), f"asked to {step.verb}" if step.verb else "held on"
    yield from _restarted_rows()


def _said_rows() -> Iterable[tuple[str, str]]:
    """Prompts about a mark that is a minute old, its owner logged on unless said otherwise."""
    mark = RestartMark((MarkedReason("apt", "libc6"),), _MIDNIGHT, "boot")
    asking = Prompt("boot", tried=_at(0).after(timedelta(0)), asking=True)
    seen = prompts.was_seen(asking, _at(0))
    delay = int(_LIMITS.reboot_absolute_delay_timeout / timedelta(minutes=1))
    noticed = prompts.noticed(seen, _at(delay))
    later, grace = prompts.postponed(asking, _at(0)), int(prompts.GRACE / timedelta(minutes=1))
    again = int(prompts.ASK_AGAIN / timedelta(minutes=1))
    on = _MIDNIGHT
    rows: tuple[tuple[str, Prompt | None, datetime | None, float], ...] = (
        ("its owner is not logged on", None, None, 1),
        ("its owner is logged on, or the mark arises while so", None, on, 1),
        ("it was off, or nothing came of the look", replace(asking, asking=False), on, 1),
        ("work may be at risk in it", asking, on, 1),
        ("it was postponed", later, on, 1),
        ("it was postponed four hours ago", later, on, again),
        ("it was postponed, and its owner logs on anew", later, on + timedelta(minutes=1), 2),
        ("somebody said: now", prompts.agreed(asking, _at(0)), on, 1),
        ("RebootAbsoluteDelayTimeout has passed since a prompt was seen", seen, None, delay),
        ("... and its ten minutes of grace", noticed, None, delay + grace),
        ("... and nobody has ever seen one", asking, on, delay),
    )
    for told, prompt, logged_on, minute in rows:
        yield told, _code(prompts.say(mark, prompt, logged_on, _LIMITS, _at(minute)))


def _answers() -> Iterable[tuple[str, ...]]:
    mark = RestartMark((MarkedReason("apt", "libc6"),), _MIDNIGHT, "boot")
    agreed = prompts.agreed(Prompt("boot"), _at(0))
    somebody = (Session("alice", 0.0, None),)
    for power in Power:
        empty, used = (
            Facts(power, sessions_before_rest=()),
            Facts(power, sessions_before_rest=somebody),
        )
        found = (
            prompts.answer(mark, None, empty, _at(1)),
            prompts.answer(mark, None, used, _at(1)),
            prompts.answer(mark, agreed, used, _at(1)),
        )
        yield power, *map(_code, found)


def _restarted_rows() -> Iterable[tuple[str, ...]]:
    """What the next looks find, after a restart at minute 10."""
    plain = Cell(OPEN, Prior.SAVED, NO, NO, NO, NO, "previous", "HIBERNATE")
    restarting = replace(
        _held(plain),
        phase=Phase.RESTARTING,
        since=_at(10).after(timedelta(0)),
        boot_id_before="boot",
    )
    alive, silent = _seen(plain), replace(_seen(plain), guest=None)
    anew = replace(alive, guest=GuestReport("another boot"))
    for told, facts, minute in (
        ("then: silent, or reports as before, within TaskTimeout", silent, 12),
        ("then: reports from another boot", anew, 12),
        ("then: silent past TaskTimeout", silent, 21),
        ("then: still reports as before past TaskTimeout", alive, 21),
        ("then: the hypervisor refuses", replace(alive, trouble=Trouble.REFUSED), 11),
    ):
        yield told, _code(_next(restarting, facts, _at(minute)).why), "held on"


# When it changed hands


_FOUND: tuple[tuple[str, Facts], ...] = (
    ("off", Facts(Power.OFF, stopped_by=StoppedBy.CRASH)),
    ("off", Facts(Power.OFF, stopped_by=StoppedBy.GUEST)),
    ("off", Facts(Power.OFF, stopped_by=StoppedBy.HOST)),
    ("saved", Facts(Power.SAVED, stopped_by=StoppedBy.HOST)),
    ("paused", Facts(Power.PAUSED, _START)),
    ("suspended", Facts(Power.SUSPENDED, _START)),
    ("running, another start", Facts(Power.RUNNING, Start("another", _UP + 900))),
    ("elsewhere", Facts(Power.ELSEWHERE)),
    ("crashed", Facts(Power.CRASHED)),
    ("changing", Facts(Power.CHANGING)),
    ("gone", Facts(Power.GONE)),
    ("unknown", Facts(Power.UNKNOWN)),
)


def _hands_rows() -> Iterable[tuple[str, ...]]:
    for found, facts in _FOUND:
        run = _held(Cell(OPEN, Prior.OFF, NO, NO, NO, NO, "", ""))
        answers = (_next(run, facts, _at(minute)) for minute in (30, 60))
        yield found, facts.stopped_by or "", *(_code(step.why) for step in answers)


# Every answer


def _why_rows() -> Iterable[tuple[str, ...]]:
    for why in Why:
        event = OF_WHY[why]
        yield _code(why), Level(event.level).name.lower(), event.sentence.replace("{name}", "web01")


def _next(run: WakeRun, facts: Facts, now: Now, limits: Limits = _LIMITS) -> Step:
    return wake.next_step(run, facts, limits, _schedule(), now)


def _schedule() -> Schedule:
    return schedule_of(_LIMITS, "", ZoneInfo("UTC"))


def _at(minute: float) -> Now:
    span = timedelta(minutes=minute)
    return Now(_MIDNIGHT + span, _UP + span.total_seconds(), "boot")


def _code(word: str | None) -> str:
    return f"`{word}`" if word else ""


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [titles, ["---"] * len(titles), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


if __name__ == "__main__":
    print(policy_page(), end="")
