"""What is said while a command runs: one live line on a terminal, log lines above it.

Without a terminal there is no live line; the log then says one line for each change.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import TextIO

from guestwake.edges.text import DOING, is_terminal, printable, span
from guestwake.policy.run import Phase, Step
from guestwake.policy.words import Now
from guestwake.workspaces import Workspace

_COUNTS_DOWN = (Phase.WAITING, Phase.WATCHING, Phase.WAKING, Phase.HOLDING, Phase.RESTARTING)


_SILENT_FOR = 2.0  # seconds that may pass without a word


class Live(logging.Handler):
    """The log on `stream`, and under it the live line where that is a terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__()
        self._stream = stream or sys.stderr
        self.moves = is_terminal(self._stream)
        self._line = ""
        self._began = time.monotonic()
        self._said = ""

    def wait_for(self, what: str) -> None:
        """While an answer is awaited, called again and again: whoever looks is told whose it is.
        Without a terminal that is one line for each."""
        if time.monotonic() - self._began < _SILENT_FOR:
            return
        if self.moves:
            self._line = printable(f"waiting for {what} ...")
            self._draw()
        elif what != self._said:
            self._said = what
            self._stream.write(f"guestwake: waiting for {printable(what)}\n")

    def show(self, workspace: Workspace, step: Step, now: Now) -> None:
        """At each pass of the loop."""
        self.tell(doing(workspace, step, now))

    def tell(self, text: str) -> None:
        """What goes on, where there is no run to show."""
        if self.moves:
            self._line = printable(text)
            self._draw()

    def end(self) -> None:
        """Take the live line away."""
        self._wipe()
        self._line = ""

    def emit(self, record: logging.LogRecord) -> None:
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        try:
            text = printable(record.getMessage())
            self._wipe()
            self._stream.write(f"guestwake: {level}{text}\n")
            self._draw()
        except (OSError, ValueError):  # nobody reads it any more; the run goes on
            self._line = ""

    def _draw(self) -> None:
        if self.moves and self._line:
            width = _width(self._stream)
            self._stream.write(f"\r{self._line[: width - 1]}\x1b[K")
        self._stream.flush()

    def _wipe(self) -> None:
        if self.moves and self._line:
            self._stream.write("\r\x1b[K")


def doing(workspace: Workspace, step: Step, now: Now) -> str:
    """Such as `'web01': awake for its updates (holds), 12 min left`."""
    text = f"'{workspace.name}': {DOING[step.run.phase]} ({step.why})"
    if step.run.phase not in _COUNTS_DOWN:
        return text
    return f"{text}, {span(step.run.ends.left(now))} left"


def _width(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
