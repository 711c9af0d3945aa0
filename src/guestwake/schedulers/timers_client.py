"""Asks `guestwake-timers`, which is root, for the three things that it does."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from guestwake.policy.words import Timer
from guestwake.schedulers.api import SchedulerError

SOCKET = Path("/run/guestwake-timers.sock")
_PATIENCE = 120.0  # seconds: longer than all that it may wait for
_ANSWER_BYTES_MAX = 16 * 1024


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
            with socket.socket(socket.AF_UNIX) as helper:
                helper.settimeout(_PATIENCE)
                helper.connect(str(self._path))
                helper.sendall(json.dumps(what).encode() + b"\n")
                with helper.makefile("rb") as answers:
                    said = json.loads(answers.readline(_ANSWER_BYTES_MAX))
        except (OSError, ValueError) as err:
            raise SchedulerError(f"'{self._path}' does not answer: {err}") from err
        if said != {"done": "yes"}:
            raise SchedulerError(f"'{self._path}': {' '.join(map(str, said.values()))}")
