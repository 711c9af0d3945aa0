"""Long commands that say what they do while they do it. Python >= 3.9, standard library."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

TELL_EVERY = 5  # seconds


class StepFailed(Exception):
    """The title of the step, the end of what its command said, and where the rest is."""


class Steps:
    """What commands print goes to `log`; one line of progress each few seconds to stdout."""

    def __init__(self, speaker: str, log: Path) -> None:
        self.speaker = speaker
        self.log = log

    def say(self, text: str) -> None:
        print(f"{self.speaker}: {text}", flush=True)

    def run(self, title: str, command: Sequence[str], *, folder: Path | None = None) -> None:
        """Raises StepFailed."""
        self.say(f"{title} ...")
        began = time.monotonic()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            log.write(f"\n$ {shlex.join(command)}\n".encode())
            log.flush()
            start = log.tell()
            with subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            ) as process:
                for seconds in self._ticks(process):
                    self.say(f"  {seconds:3.0f} s: {self._said_since(start)[-1][:80]}")
        if process.returncode:
            end = "\n".join(self._said_since(start)[-20:])
            raise StepFailed(f"{title} failed:\n{end}\nthe whole log is {self.log}")
        self.say(f"  done in {time.monotonic() - began:.0f} s")

    def _ticks(self, process: subprocess.Popen[bytes]) -> Iterator[float]:
        began = time.monotonic()
        while True:
            try:
                process.wait(TELL_EVERY)
            except subprocess.TimeoutExpired:
                yield time.monotonic() - began
            else:
                return

    def _said_since(self, start: int) -> list[str]:
        with self.log.open("rb") as log:
            log.seek(start)
            text = log.read().decode(errors="replace")
        # A progress bar rewrites its line: its last state counts.
        lines = [line.rsplit("\r", 1)[-1].strip() for line in text.splitlines()]
        return [line for line in lines if line] or ["still working"]
