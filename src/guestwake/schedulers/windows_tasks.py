"""Timers kept by Windows' Task Scheduler: one task for each workspace, in a folder of ours.

Task Scheduler is asked through its COM interface (comtypes), which tells a task that is not there
from one that may not be seen. A task that is not enabled keeps no time.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from guestwake.policy.words import Drift, Found, Timer
from guestwake.schedulers.api import SchedulerError
from guestwake.schedulers.systemd_text import is_uuid
from guestwake.schedulers.task_text import SYSTEM, Runner, read, rendered

FOLDER: Final = r"\Guestwake"


class Tasks(Protocol):
    """The tasks of our folder, by name. Each raises SchedulerError."""

    def names(self) -> Iterable[str]: ...
    def text(self, name: str) -> str | None:
        """Its XML. None: there is none."""
        ...

    def write(self, name: str, text: str, *, as_system: bool) -> None: ...
    def remove(self, name: str) -> None:
        """One that is gone is fine."""
        ...

    def run(self, name: str) -> None: ...


class WindowsTasks:
    """A Scheduler. `tasks`: given by tests alone."""

    def __init__(self, runner: Runner, tasks: Tasks | None = None) -> None:
        self._runner = runner
        self._tasks = tasks or ComTasks()

    def workspaces(self) -> frozenset[str]:
        return frozenset(name for name in self._tasks.names() if is_uuid(name))

    def look(self, workspace: str, wanted: Timer | None) -> Found | None:
        text = self._tasks.text(_name(workspace))
        if text is None:
            return None
        there = read(text)
        if there is None:
            return Found(as_wanted=False, as_written=False)
        want = None if wanted is None else read(rendered(wanted, self._runner))
        is_wanted = want is not None and there.is_enabled and there.values == want.values
        drifts = () if there.is_enabled else (Drift.DISABLED,)
        return Found(is_wanted, as_written=there.is_as_written, drifts=drifts)

    def write(self, timer: Timer) -> None:
        text = rendered(timer, self._runner)
        self._tasks.write(_name(timer.workspace), text, as_system=self._runner.user == SYSTEM)

    def remove(self, workspace: str) -> None:
        self._tasks.remove(_name(workspace))

    def folders(self) -> tuple[Path, ...]:
        """None to be listened to: Task Scheduler's own files are nobody else's to read."""
        return ()

    def unit(self, workspace: str) -> None:
        return None

    def start_run(self, workspace: str) -> None:
        """A task that runs is left alone: its own settings say so."""
        self._tasks.run(_name(workspace))


class ComTasks:
    """Task Scheduler itself. Opened at the first question."""

    _CREATE_OR_UPDATE = 6
    _INTERACTIVE_TOKEN, _SERVICE_ACCOUNT = 3, 5
    _HIDDEN_TOO = 1
    _NOT_FOUND = frozenset({-2147024894, -2147024893})  # no such file, no such path

    def __init__(self) -> None:
        self._service: Any = None
        self._nothing: Any = None  # an empty VARIANT, for what is left out

    def names(self) -> tuple[str, ...]:
        folder = self._folder()
        if folder is None:
            return ()
        with _told("list the tasks"):
            return tuple(str(task.Name) for task in folder.GetTasks(self._HIDDEN_TOO))

    def text(self, name: str) -> str | None:
        task = self._task(name)
        with _told(f"look at the task '{name}'"):
            return None if task is None else str(task.Xml)

    def write(self, name: str, text: str, *, as_system: bool) -> None:
        kind = self._SERVICE_ACCOUNT if as_system else self._INTERACTIVE_TOKEN
        with _told(f"write the task '{name}'"):
            folder = self._folder() or self._root().CreateFolder(FOLDER, self._nothing)
            nobody, no_password, plain = (self._nothing,) * 3
            folder.RegisterTask(
                name, text, self._CREATE_OR_UPDATE, nobody, no_password, kind, plain
            )

    def remove(self, name: str) -> None:
        folder = self._folder()
        if folder is not None:
            with _told(f"remove the task '{name}'", or_none=self._NOT_FOUND):
                folder.DeleteTask(name, 0)

    def run(self, name: str) -> None:
        task = self._task(name)
        if task is None:
            raise SchedulerError(f"cannot start the task '{name}': there is none")
        with _told(f"start the task '{name}'"):
            task.Run(self._nothing)

    def _task(self, name: str) -> Any:
        folder = self._folder()
        with _told(f"look at the task '{name}'", or_none=self._NOT_FOUND):
            return folder and folder.GetTask(name)
        return None

    def _folder(self) -> Any:
        """None: there is none yet."""
        with _told(f"open the folder '{FOLDER}'", or_none=self._NOT_FOUND):
            return self._connected().GetFolder(FOLDER)
        return None

    def _root(self) -> Any:
        return self._connected().GetFolder("\\")

    def _connected(self) -> Any:
        if self._service is None:
            from comtypes.automation import VARIANT
            from comtypes.client import CreateObject, GetModule

            with _told("reach Task Scheduler"):
                interface = GetModule("taskschd.dll").ITaskService
                service = CreateObject("Schedule.Service", interface=interface)
                here, whoever, domain, password = (VARIANT(),) * 4
                service.Connect(here, whoever, domain, password)
            self._service, self._nothing = service, VARIANT()
        return self._service


@contextmanager
def _told(what: str, *, or_none: frozenset[int] = frozenset()) -> Iterator[None]:
    """An error as ours; one of `or_none` ends the block, and that is all."""
    from comtypes import COMError

    try:
        yield
    except COMError as err:
        if err.hresult not in or_none:
            raise SchedulerError(f"cannot {what}: {err.text}") from err


def tasks_of(user: str | None) -> WindowsTasks | None:
    """Of a user, by SID; None: of the system. None where there is no program for a task to
    start."""
    program = _program()
    return WindowsTasks(Runner(user or SYSTEM, program)) if program else None


def _program() -> str | None:
    """guestwake.exe: this program where it is frozen, else the one that pip has made."""
    if getattr(sys, "frozen", False):
        return sys.executable
    beside = Path(sys.executable).with_name("Scripts") / "guestwake.exe"
    return str(beside) if beside.exists() else shutil.which("guestwake.exe")


def _name(workspace: str) -> str:
    if not is_uuid(workspace):
        raise ValueError(f"{workspace!a} is not a UUID")
    return workspace
