"""docs/events.md, made from events.py."""

from __future__ import annotations

from collections.abc import Iterator

from guestwake.events import OF_WHY, Event
from guestwake.reports import catalogue

_HEAD = """\
# Events

<!-- Generated from src/guestwake/events.py by `make docs`: change it there. -->

Each event has an id that never changes its meaning. 11001 to 11003 are MED-V's own; those from
12000 are Guestwake's. `guestwake events --happened` shows those that were recorded,
EventLogLevel says which are. NAME stands for the workspace.

A standing event stays in `guestwake status` until what it tells of has ended. "Once" means: once
for one window, however often it is tried.
"""


def events_page() -> str:
    return "\n".join([_HEAD, *(line for event in catalogue() for line in _lines(event))])


def _lines(event: Event) -> Iterator[str]:
    answers = ", ".join(f"`{why}`" for why, known in OF_WHY.items() if known.id == event.id)
    marks = [event.level.name.lower()]
    marks += ["once"] if event.once else []
    marks += ["standing"] if event.standing else []
    yield f"## {event.id}: {_named(event.sentence)}"
    yield ""
    yield f"- Level: {', '.join(marks)}"
    yield f"- Cause: {_named(event.cause)}"
    yield f"- Remedy: {_named(event.remedy)}"
    if answers:
        yield f"- In the history and in JSON: {answers}"
    yield ""


def _named(text: str) -> str:
    return text.replace("{name}", "NAME")
