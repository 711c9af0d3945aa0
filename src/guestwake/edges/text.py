"""Values as text for people: escaped, in the workspace's zone; and as JSON for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from guestwake.applications import HowFar
    from guestwake.policy.run import Why

# What goes on in each phase of a run, by the policy's word for it.
DOING = {
    "waiting": "waits to wake it",
    "watching": "runs already, only watched",
    "waking": "waking",
    "holding": "awake for its updates",
    "restarting": "restarting",
    "lent": "in use, stays up",
    "restoring": "putting it back",
}


def how_far(name: str, far: HowFar) -> str:
    """What is going on while one opens, or why it does not."""
    if not far.is_open:
        return f"'{printable(name)}': it was closed."
    if far.failed is not None:
        return printable(_failed(name, far.failed))
    if far.is_ready or far.run is None:
        return f"'{printable(name)}': {'ready' if far.is_ready else 'waits for its manager'}"
    doing = DOING.get(far.run.phase, far.run.phase)
    return printable(f"'{name}': {doing} ({far.run.why})")


def _failed(name: str, why: Why) -> str:
    from shlex import quote

    from guestwake.events import OF_WHY

    event = OF_WHY[why]
    sentence = event.sentence.replace("{name}", f"'{name}'")
    return f"{sentence} {event.remedy.replace('{name}', quote(name))}"


def printable(text: str) -> str:
    """Nothing in it can break a line, steer a terminal or hide what it says."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def cut(text: str, most: int) -> str:
    """Printable, and cut as it will be seen, in which a strange character takes up to ten."""
    said = printable(text)
    return said if len(said) <= most else f"{said[: most - 1]}…"


def say(text: str = "") -> None:
    """A result, on stdout. Escaped by those who made `text` from what came from outside."""
    print(text)


def say_json(value: object) -> None:
    print(json.dumps(value, indent=2))


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Cells are escaped here; None is an empty one."""
    from tabulate import tabulate

    cells = [["" if cell is None else printable(str(cell)) for cell in row] for row in rows]
    return tabulate(cells, headers=list(headers), tablefmt="simple", disable_numparse=True)


def local(at: datetime, zone: ZoneInfo) -> str:
    """Such as `Tue 2026-11-24 08:30 CET`; in UTC where the zone would lead beyond year 9999."""
    try:
        at = at.astimezone(zone)
    except OverflowError:
        at = at.astimezone(UTC)
    return f"{at:%a %Y-%m-%d %H:%M %Z}"


def utc(at: datetime | None) -> str | None:
    """ISO 8601, whole seconds, Z."""
    return None if at is None else f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def span(length: timedelta) -> str:
    """Such as `4 h 5 min`, `40 s`; to the nearest minute from one on, never negative."""
    seconds = max(0, int(length.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes = (seconds + 30) // 60
    hours, rest = divmod(minutes, 60)
    if hours < 1:
        return f"{minutes} min"
    if hours < 48:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{hours // 24} days"


def is_terminal(stream: object) -> bool:
    import os

    return getattr(stream, "isatty", lambda: False)() and os.environ.get("TERM") != "dumb"


def loud(text: str) -> str:
    """For what must not be overlooked: bold red on a terminal that may have colours."""
    import os

    if is_terminal(sys.stdout) and "NO_COLOR" not in os.environ:
        return f"\x1b[1;31m{text}\x1b[0m"
    return text


def complain(text: str) -> None:
    """On stderr; whatever names it holds, it is one line."""
    print(f"guestwake: {printable(text)}", file=sys.stderr)
