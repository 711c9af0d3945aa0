"""The sources of what is built: what git knows or would add, which version, and from when.

Standard library only, Python >= 3.9.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Failed(Exception):
    """One line that says what is wrong and what to do."""


def version() -> str:
    text = (ROOT / "src" / "guestwake_wire" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    assert found, "pyproject.toml reads it there too"
    return found[1]


def listed(parts: Iterable[str]) -> list[str]:
    """What git knows or would add of these, without what it ignores. Raises Failed."""
    words = ("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *parts)
    names = {name for name in _git(*words).split("\0") if name}
    return sorted(name for name in names if os.path.lexists(ROOT / name))


def changed(parts: Iterable[str]) -> int:
    """When these were last committed, in seconds since 1970. Raises Failed."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given.isdigit():
        return int(given)
    told = _git("log", "-1", "--format=%ct", "--", *parts).strip()
    if not told:
        raise Failed("nothing is committed here: set SOURCE_DATE_EPOCH to the time of the sources")
    return int(told)


def copy(names: Sequence[str], tree: Path, when: int) -> None:
    """Into the folder `tree`, all as if written then."""
    for name in names:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name, follow_symlinks=False)
        os.utime(tree / name, (when, when), follow_symlinks=False)


def _git(*words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), *words],
            capture_output=True,
            text=True,
            check=True,
        )
    except FileNotFoundError:
        raise Failed("no git here: install it (apt-get install git)") from None
    except subprocess.CalledProcessError as err:
        raise Failed(f"git says: {err.stderr.strip()}; build from a git checkout") from err
    return done.stdout
