"""A scheduler that lives in this process, for tests: it works, and can be tampered with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from guestwake.policy.words import Drift, Found, Timer
from guestwake.schedulers.api import SchedulerError


@dataclass
class MemoryScheduler:
    """`trouble`: what each call raises from now on; None: nothing."""

    timers: dict[str, Timer] = field(default_factory=dict)
    tampered: dict[str, tuple[Drift, ...]] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    written: int = 0
    trouble: str | None = None

    def workspaces(self) -> frozenset[str]:
        self._may()
        return frozenset(self.timers)

    def look(self, workspace: str, wanted: Timer | None) -> Found | None:
        self._may()
        there = self.timers.get(workspace)
        if there is None:
            return None
        drifts = self.tampered.get(workspace, ())
        edited = Drift.EDITED in drifts
        others = tuple(drift for drift in drifts if drift is not Drift.EDITED)
        return Found(as_wanted=there == wanted, as_written=not edited, drifts=others)

    def write(self, timer: Timer) -> None:
        self._may()
        self.written += 1
        self.timers[timer.workspace] = timer
        self.tampered.pop(timer.workspace, None)

    def remove(self, workspace: str) -> None:
        self._may()
        self.timers.pop(workspace, None)
        self.tampered.pop(workspace, None)

    def folders(self) -> tuple[Path, ...]:
        return ()

    def unit(self, workspace: str) -> None:
        return None

    def start_run(self, workspace: str) -> None:
        self._may()
        self.started.append(workspace)

    # what somebody else does

    def tamper(self, workspace: str, drift: Drift) -> None:
        if drift is Drift.DELETED:
            self.timers.pop(workspace, None)
            return
        self.tampered[workspace] = (*self.tampered.get(workspace, ()), drift)
        if drift is Drift.EDITED:
            self.timers[workspace] = replace(self.timers[workspace], instants=())

    def _may(self) -> None:
        if self.trouble is not None:
            raise SchedulerError(self.trouble)
