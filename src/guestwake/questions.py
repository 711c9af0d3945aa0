"""Questions to what may hang: asked at the same time, each with a deadline.

A call that never comes back keeps its thread, which is a daemon: the process ends without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Thread
from typing import Generic, TypeVar

PATIENCE = 10.0  # seconds for each question
_STEP = 0.25  # seconds between two words to who waits

# What is being waited for; called again and again.
Progress = Callable[[str], None]
_Answer = TypeVar("_Answer")


def no_progress(question: str) -> None:
    """For callers who do not look."""


class Questions:
    """Asked at once, each on a thread of its own; `late`: those without an answer in time."""

    def __init__(self, patience: float = PATIENCE, progress: Progress = no_progress) -> None:
        self._patience = patience
        self._progress = progress
        self.late: list[str] = []

    def ask(self, what: str, call: Callable[[], _Answer]) -> Asked[_Answer]:
        return Asked(what, call, time.monotonic() + self._patience)

    def answer(self, asked: Asked[_Answer], otherwise: _Answer) -> _Answer:
        """Raises what the call has raised. `otherwise`: there was no answer in time."""
        while asked.thread.is_alive() and time.monotonic() < asked.until:
            asked.thread.join(min(_STEP, max(0.0, asked.until - time.monotonic())))
            self._progress(asked.what)
        if asked.thread.is_alive():
            self.late.append(asked.what)
            return otherwise
        if asked.trouble is not None:
            raise asked.trouble
        return asked.found[0]


class Asked(Generic[_Answer]):
    """One question. Its thread is a daemon: the process can end without it."""

    def __init__(self, what: str, call: Callable[[], _Answer], until: float) -> None:
        self.what, self.until = what, until
        self.found: list[_Answer] = []
        self.trouble: Exception | None = None
        self._call = call
        self.thread = Thread(target=self._run, name=f"doctor: {what}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.found.append(self._call())
        except Exception as err:  # whoever waits for the answer gets it
            self.trouble = err
