"""The command `guestwake` as it is, but for a death at a chosen step, or a shorter patience.

    python mortal.py --dies "after start" -- wake web01 --duration 0.05

`--use-ended S` stands for the minutes after which a VM that was lent counts as no longer
used. `--dies STEP` is kill -9 by its own hand, at the first time that the step is reached;
`STEPS` and `IN_MEMORY` are those that there are. Arguments after `--` are the command's own.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from guestwake import application, journal
from guestwake.application import Application, Progress, no_progress
from guestwake.edges.cli import main
from guestwake.hypervisors.api import Vm
from guestwake.hypervisors.libvirt import Libvirt
from guestwake.paths import Paths
from guestwake.policy import close
from guestwake.policy.run import Step, WakeRun, Why
from guestwake.policy.words import Now, Verb
from guestwake.update_manager import Ended
from guestwake.workspaces import Workspace

# In the order in which the run of a saved VM comes by them.
STEPS = (
    "before record of waking",
    "before start",  # the record is written
    "during start",
    "after start",
    "after mark",
    "while holds",
    "before record of restoring",
    "before save",
    "during save",
    "after save",
    "before end",  # it is back, and the journal does not say so yet
)
# And those of a paused one besides.
IN_MEMORY = ("before mark", "before resume", "after resume", "before pause", "after pause")
INTO_IT = 0.3  # seconds; both verbs take longer


@dataclass(frozen=True)
class Fate:
    dies: str | None

    def reach(self, step: str) -> None:
        if step == self.dies:
            os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def within(self, what: str) -> Iterator[None]:
        self.reach(f"before {what}")
        if self.dies == f"during {what}":
            threading.Timer(INTO_IT, self.reach, [self.dies]).start()
        yield
        self.reach(f"after {what}")


def mortal(fate: Fate) -> type[Libvirt]:
    class Mortal(Libvirt):
        def apply(self, vm: Vm, verb: Verb) -> None:
            with fate.within(verb):
                super().apply(vm, verb)

        def mark(self, vm: Vm, text: str) -> None:
            with fate.within("mark"):
                super().mark(vm, text)

    return Mortal


def mortal_journal(fate: Fate) -> type[journal.Journal]:
    class MortalJournal(journal.Journal):
        def save(self, workspace: str, run: WakeRun, *, memory: int) -> None:
            fate.reach(f"before record of {run.phase}")
            super().save(workspace, run, memory=memory)

        def finish(self, workspace: str, run: WakeRun, why: Why, at: datetime) -> None:
            with fate.within("end"):
                super().finish(workspace, run, why, at)

    return MortalJournal


def mortal_application(fate: Fate) -> type[Application]:
    class MortalApplication(Application):
        def wake(
            self, name: str, duration: timedelta | None = None, progress: Progress = no_progress
        ) -> Ended | None:
            def watch(workspace: Workspace, step: Step, now: Now) -> None:
                progress(workspace, step, now)
                fate.reach(f"while {step.why}")

            return super().wake(name, duration, watch)

    return MortalApplication


def run() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--use-ended", type=float)
    parser.add_argument("--dies", choices=STEPS + IN_MEMORY)
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()
    if given.use_ended is not None:
        close.USE_ENDED_FOR = close.CLOSED_FOR = timedelta(seconds=given.use_ended)
    fate = Fate(given.dies)
    application.Journal = mortal_journal(fate)  # type: ignore[attr-defined]

    def build(paths: Paths) -> Application:
        return mortal_application(fate)(paths, open_hypervisor=mortal(fate))

    return main(given.command, build=build)


if __name__ == "__main__":
    sys.exit(run())
