"""Asks `guestwake-timers`, which is root, for the three things that it does."""

from __future__ import annotations

from pathlib import Path

from guestwake.errand import ErrandError, ask
from guestwake.policy.words import Timer
from guestwake.schedulers.api import SchedulerError

SOCKET = Path("/run/guestwake-timers.sock")


class AskedDeeds:
    """Raises SchedulerError."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, timer: Timer) -> None:
        instants = [int(instant.timestamp()) for instant in timer.instants]
        what = {"write": timer.workspace, "instants": instants, "wakes_host": timer.wakes_host}
        self._ask(what)

    def remove(self, workspace: str) -> None:
        self._ask({"remove": workspace})

    def start(self, workspace: str) -> None:
        self._ask({"start": workspace})

    def _ask(self, what: object) -> None:
        try:
            ask(self._path, what)
        except ErrandError as err:
            raise SchedulerError(str(err)) from err
