"""One Windows PowerShell that answers questions, one JSON line each way.

Nothing that is asked becomes part of a script: `hyperv.ps1` is a file of the package and reads
values. The process starts with the first question and again after it died.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from importlib.resources import as_file, files
from itertools import count
from typing import Any, Final

from guestwake.hypervisors.api import Unreachable

ANSWER_CHARACTERS_MAX: Final = 1 << 20
_SCRIPT = "hyperv.ps1"
_OPTIONS = ("-NoLogo", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass")
_SAID_CHARACTERS = 300  # of what it says beside its answers
_ENDS_WITHIN = 5.0  # seconds, once it is told


class Refused(Exception):
    """`error`: PowerShell's FullyQualifiedErrorId. The text is Windows', in its own language."""

    def __init__(self, error: str, text: str) -> None:
        super().__init__(" ".join(text.split()))
        self.error = error


class PowerShell:
    """Not for two threads at once. `command`: what is run in place of powershell.exe, in tests."""

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self._command = tuple(command or (_powershell(),))
        self._running: _Running | None = None
        self._numbers = count(1)

    def ask(self, question: str, seconds: float, **values: str) -> Any:
        """Raises Refused; Unreachable where no answer comes in time, or none that is one. Whoever
        did not answer is ended: what it had begun in Hyper-V goes on there."""
        number = next(self._numbers)
        running = self._started()
        try:
            running.say(json.dumps({"number": number, "question": question, **values}))
            answer = _read(running.hear(seconds), number)
        except BaseException:
            self.close()
            raise
        if "error" in answer:
            raise Refused(str(answer["error"]), str(answer.get("text", "")))
        return answer.get("value")

    def close(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.end()

    def _started(self) -> _Running:
        if self._running is None:
            self._running = _Running(self._command)
        return self._running


class _Running:
    def __init__(self, command: tuple[str, ...]) -> None:
        with contextlib.ExitStack() as resources:
            self._beside = resources.enter_context(tempfile.TemporaryFile())
            script = resources.enter_context(as_file(files("guestwake.hypervisors") / _SCRIPT))
            try:
                self._process = subprocess.Popen(
                    (*command, *_OPTIONS, "-File", str(script)),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._beside,
                    encoding="utf-8",
                    errors="replace",
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                    env=_environment(),
                )
            except OSError as err:
                raise Unreachable(f"cannot start {command[0]}: {err}") from err
            self._resources = resources.pop_all()
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._pump, daemon=True).start()

    def _pump(self) -> None:
        """The last line that it puts is an empty one: there is no more."""
        assert self._process.stdout is not None
        line = "\n"
        while line:
            line = self._process.stdout.readline(ANSWER_CHARACTERS_MAX)
            self._lines.put(line)

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except OSError as err:
            raise Unreachable(f"PowerShell has ended{self._said()}") from err

    def hear(self, seconds: float) -> str:
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise Unreachable(f"Hyper-V did not answer within {seconds:g} seconds") from None
        if not line:
            raise Unreachable(f"PowerShell ended without an answer{self._said()}")
        return line

    def end(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDS_WITHIN)
        self._resources.close()

    def _said(self) -> str:
        self._beside.seek(0)
        said = " ".join(self._beside.read(_SAID_CHARACTERS).decode(errors="replace").split())
        return f": {said}" if said else ""


def _read(line: str, number: int) -> dict[str, Any]:
    """Raises Unreachable where it is not the answer to this question."""
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict) or answer.get("number") != number:
        raise Unreachable(f"PowerShell said something else: {line.strip()[:_SAID_CHARACTERS]!r}")
    return answer


def _environment() -> dict[str, str]:
    """Ours, without where modules lie: below a PowerShell 7 its own come first there, which this
    one cannot load (https://github.com/PowerShell/PowerShell/issues/18108)."""
    return {name: text for name, text in os.environ.items() if name.upper() != "PSMODULEPATH"}


def _powershell() -> str:
    """By its full path: what else has that name on somebody's PATH is not asked."""
    root = os.environ.get("SystemRoot", r"C:\Windows")  # noqa: SIM112  its real name
    return rf"{root}\System32\WindowsPowerShell\v1.0\powershell.exe"
