"""A host for tests of the command line: a real application on a machine that exists in memory.

Time moves when somebody waits, and `at_wait` lets a test act in the middle of a run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from guestwake.application import Application
from guestwake.edges.cli import main
from guestwake.hosts.memory import MemoryHost
from guestwake.hypervisors.memory import Guest, MemoryHypervisor, MemoryMachine
from guestwake.paths import Paths
from guestwake.policy.run import WakeRun
from guestwake.policy.words import Now, Power


class MovedClock:
    """Waiting takes no time; it moves the clock."""

    def __init__(self, wall: datetime) -> None:
        self.wall = wall
        self.elapsed = 100_000.0
        self.at_wait: Callable[[], None] = lambda: None

    def now(self) -> Now:
        return Now(self.wall, self.elapsed, "boot-1")

    def wait(self, seconds: float) -> None:
        self.move(timedelta(seconds=max(seconds, 0.001)))
        self.at_wait()

    def hurry(self) -> None:
        pass

    def move(self, span: timedelta) -> None:
        self.wall += span
        self.elapsed += span.total_seconds()


@dataclass
class CommandWorld:
    root: Path
    capsys: pytest.CaptureFixture[str]
    # What only reports has the machine's own clock, so this one begins where that is.
    clock: MovedClock = field(default_factory=lambda: MovedClock(datetime.now(UTC)))
    host: MemoryHost = field(default_factory=MemoryHost)
    out: str = ""
    err: str = ""

    def __post_init__(self) -> None:
        self.machine = MemoryMachine(self.clock.now)

    def build(self, paths: Paths) -> Application:
        return Application(
            paths,
            clock=self.clock,
            host=self.host,
            open_hypervisor=lambda uri: MemoryHypervisor(self.machine),
        )

    def run(self, *words: str) -> int:
        """The command; its output is in `out` and `err`."""
        code = main(["--root", str(self.root), *words], build=self.build)
        self.out, self.err = self.capsys.readouterr()
        return code

    def json(self, *words: str) -> Any:
        assert self.run(*words, "--json") == 0, self.err
        return json.loads(self.out)

    def vm(self, name: str, power: Power = Power.SAVED) -> None:
        """A VM, taken on as a workspace."""
        self.machine.add(name, power, guest=Guest(answers={"guest-exec": {"pid": 1}}))
        assert self.run("workspace", "add", "--system", "--", name) == 0, self.err

    def power(self, name: str) -> Power:
        (it,) = (it for it in self.machine.all() if it.name == name)
        return it.power

    @property
    def application(self) -> Application:
        return self.build(Paths.under(self.root, 0))

    def application_runs(self) -> list[WakeRun]:
        """The runs that are open now."""
        with self.application.journal(readonly=True) as journal:
            return [each.run for each in journal.open_runs()]
