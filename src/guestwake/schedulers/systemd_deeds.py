"""What changes units: their files, then systemd told. For one who has the rights to both."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

from guestwake.policy.words import Timer
from guestwake.schedulers.api import SchedulerError
from guestwake.schedulers.systemd_text import service_name, timer_name
from guestwake.schedulers.systemd_units import UnitFolders, put, take_away

# Of systemctl: the words after it, and what it printed. Raises SchedulerError.
Systemctl = Callable[..., str]
_PATIENCE = 30.0  # seconds; reading all units anew takes a second on a large host


class Deeds:
    """Raises SchedulerError."""

    def __init__(self, folders: UnitFolders, systemctl: Systemctl) -> None:
        self._folders = folders
        self._systemctl = systemctl

    def write(self, timer: Timer) -> None:
        try:
            put(self._folders, timer)
        except OSError as err:
            raise _failed("written", timer.workspace, err) from err
        self._systemctl("daemon-reload")
        self._systemctl("restart", timer_name(timer.workspace))

    def remove(self, workspace: str) -> None:
        name = timer_name(workspace)
        # Also where there is no file any more: systemd may still know it.
        self._systemctl("stop", name, fails=False)
        self._systemctl("clean", "--what=state", name, fails=False)
        try:
            take_away(self._folders, workspace)
        except OSError as err:
            raise _failed("removed", workspace, err) from err
        self._systemctl("daemon-reload")

    def start(self, workspace: str) -> None:
        self._systemctl("start", "--no-block", service_name(workspace))


def systemctl(*manager: str, patience: float = _PATIENCE) -> Systemctl:
    """`manager`: options that say which systemd is meant. `patience`: seconds for one call."""

    def call(*words: str, fails: bool = True) -> str:
        """`fails`: whether it matters that it did."""
        command = ["systemctl", *manager, "--no-ask-password", "--no-pager", *words]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=patience,
                env={**os.environ, "LC_ALL": "C"},
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as err:
            raise SchedulerError(f"{' '.join(command)}: {err}") from err
        if done.returncode and fails:
            said = " ".join(done.stderr.split()) or f"it ended with {done.returncode}"
            raise SchedulerError(f"{' '.join(command)}: {said}")
        return done.stdout

    return call


def _failed(what: str, workspace: str, err: OSError) -> SchedulerError:
    return SchedulerError(f"the timer '{timer_name(workspace)}' cannot be {what}: {err}")
