"""The linters of this house, each as a test: what they say is what the failure shows."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _python_scripts() -> list[str]:
    """Python without the name's ending, which ruff does not find by itself."""
    files = (file for file in sorted((ROOT / "tools").iterdir()) if file.is_file())
    return [str(file) for file in files if not file.suffix and _speaks_python(file)]


def _speaks_python(file: Path) -> bool:
    with file.open("rb") as text:
        first = text.readline()
    return first.startswith(b"#!") and b"python" in first


def _of_windows() -> list[str]:
    """What mypy does not look at where it takes itself for another system's."""
    files = (ROOT / "src").rglob("*.py")
    words = 'assert sys.platform == "win32"'
    return sorted(str(file) for file in files if words in file.read_text(encoding="utf-8"))


WINDOWS = ["--platform", "win32", "--follow-imports", "silent", "--cache-dir", ".mypy_cache/win32"]


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["ruff", "check", ".", *_python_scripts()], id="ruff check"),
        pytest.param(["ruff", "format", "--check", ".", *_python_scripts()], id="ruff format"),
        pytest.param(["mypy", "--strict"], id="mypy"),
        pytest.param(["mypy", "--strict", *WINDOWS, *_of_windows()], id="mypy for Windows"),
    ],
)
def test_the_linters_have_nothing_to_say(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_two_test_files_have_one_name() -> None:
    """pytest imports each by its name alone, and refuses the second only in a whole run."""
    names = [file.name for file in (ROOT / "tests").rglob("test_*.py")]
    assert [name for name, count in Counter(names).items() if count > 1] == []
