"""What keeps the time while nothing of ours runs: a timer for each workspace.

A back end writes, finds and removes timers and starts what they would start. It does not decide
whether one is right, and never waits for a run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from guestwake.policy.words import Found, Timer


class SchedulerError(Exception):
    """It could not be done; a sentence that names the place."""


@dataclass(slots=True)
class Done:
    """Sentences: what was done, and what there is to know or do next."""

    done: list[str] = field(default_factory=list)
    next: list[str] = field(default_factory=list)


class Scheduler(Protocol):
    """Short calls. Each raises SchedulerError."""

    def workspaces(self) -> frozenset[str]:
        """UUIDs of all that have a timer of ours, whatever its state."""
        ...

    def look(self, workspace: str, wanted: Timer | None) -> Found | None:
        """What is there, held against `wanted`. None: nothing at all."""
        ...

    def write(self, timer: Timer) -> None:
        """Make it so: written, enabled, started, unmasked, with nothing that overrides it. A
        timer whose text is there already is written all the same."""
        ...

    def remove(self, workspace: str) -> None:
        """Stop it and take it away; a run that is under way goes on. One that is gone is fine."""
        ...

    def folders(self) -> Iterable[Path]:
        """Where files of timers lie: a change there is worth a look."""
        ...

    def unit(self, workspace: str) -> str | None:
        """Under what name its timer can be listened to. None: it cannot."""
        ...

    def start_run(self, workspace: str) -> None:
        """Start what the timer starts, now; one that runs is left alone."""
        ...
