"""A pretend Windows for the parts of the guest's service that know none: a registry in a
dictionary, sessions in a list, a Windows Update that answers what it is told to. Doubles, all of
them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from guestwake_guest.report import Identity
from guestwake_guest.windows.sessions import Told
from guestwake_guest.windows.update_client import Answer, UpdateClient
from guestwake_guest.windows.windows_guest import WindowsGuest

IDENTITY = Identity("boot-7", "Windows 11", "10.0.26100")


class FakeRegistry:
    """`values`: by key, then by name. `trouble`: what each question raises."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, Any]] = {}
        self.trouble: OSError | None = None

    def has_key(self, key: str) -> bool:
        self._may()
        return any(there == key or there.startswith(f"{key}\\") for there in self.values)

    def value(self, key: str, name: str) -> Any:
        self._may()
        return self.values.get(key, {}).get(name)

    def _may(self) -> None:
        if self.trouble is not None:
            raise self.trouble


class FakeAgent:
    """A Windows Update. `may_answer` is cleared where it is to take its time."""

    def __init__(self) -> None:
        self.answer: Answer | Exception = Answer(False, 3)
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.nudge_fails: OSError | None = None
        self.asked = self.nudged = 0

    def ask(self) -> Answer:
        self.asked += 1
        assert self.may_answer.wait(20)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def nudge(self) -> None:
        if self.nudge_fails is not None:
            raise self.nudge_fails
        self.nudged += 1


class KeptHere:
    def __init__(self) -> None:
        self.given: float | None = None
        self.trouble: OSError | None = None

    def read(self) -> float | None:
        if self.trouble:
            raise self.trouble
        return self.given

    def write(self, at: float) -> None:
        if self.trouble:
            raise self.trouble
        self.given = at


class Scene:
    def __init__(self, hurry: Callable[[], None] = lambda: None) -> None:
        self.now = 1000.0
        self.registry, self.agent, self.kept = FakeRegistry(), FakeAgent(), KeptHere()
        self.sessions: list[Told] | OSError = []
        self.updates = UpdateClient(lambda: self.agent, self.elapsed, hurry)
        self.guest = WindowsGuest(
            IDENTITY,
            self.registry,
            self._told,
            self.kept.read,
            self.updates,
            elapsed=self.elapsed,
            wall=lambda: 1_800_000_000 + self.now,
        )

    def elapsed(self) -> float:
        return self.now

    def _told(self) -> list[Told]:
        if isinstance(self.sessions, OSError):
            raise self.sessions
        return self.sessions


def until(true: Callable[[], object]) -> bool:
    deadline = time.monotonic() + 20
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
