"""The program with one thing wrong, played in a process of its own: does anybody notice?

Whoever calls may have the right program imported, so each wrong one is played in a fresh process.
Nothing of the program is imported here at the top, or that process would have the right one too.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from io import StringIO
from multiprocessing import get_context
from pathlib import Path
from types import CodeType, FrameType
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import pytest

if TYPE_CHECKING:
    from kinds import Seed
    from random_day import Broken

P = ParamSpec("P")
R = TypeVar("R")

SIMULATION = Path(__file__).resolve().parent
PROGRAM = SIMULATION.parents[1] / "src" / "guestwake"
IN_MEMORY = Path("/dev/shm")  # each record is synced
NIGHTS = 1  # that follow on a random day: what those after it would notice, that does
DEADLINE = 300  # seconds, of one day or test, on a host with much else to do
# All those processes are forked from one that has this already: what takes long to import.
_PRELOADED = ["wrong", "greenlet", "sqlite3", "tomlkit", "zoneinfo", "unittest.mock"]


@dataclass(frozen=True, slots=True)
class Wrong:
    """`harm`: what would happen to whom. `file`: below the program's folder. `by`: who notices:
    a test of the simulation, or random days, looked for from KIND:NUMBER on."""

    name: str
    harm: str
    file: str
    old: str
    new: str
    by: str

    @property
    def by_days(self) -> bool:
        return "::" not in self.by

    def text(self) -> str:
        """The whole file, wrong. Raises ValueError where that is not possible any more."""
        right = (PROGRAM / self.file).read_text()
        if (times := right.count(self.old)) != 1:
            raise ValueError(
                f"'{self.name}' must be renewed: {self.file} has what it replaces {times} times"
            )
        return right.replace(self.old, self.new)


@dataclass(frozen=True, slots=True)
class Noticed:
    """`by`: the day or the test; `said`: the promise that was found broken, or pytest's words."""

    by: str
    said: str
    days: int = 0  # that were played before
    story: str = ""  # of the day, with all left out that it does not need; "": not asked for


def by_days(wrong: Wrong, first: str, most: int, *, tells: bool = False) -> Noticed | None:
    """The first random day, from KIND:NUMBER on, in which a promise is broken. None: none of
    `most`. Raises ValueError where it crashes or hangs: no promise is broken by that."""
    return _apart(_by_days, wrong, first, most, tells=tells)


def by_test(wrong: Wrong, name: str) -> Noticed | None:
    """None: it passes. Raises ValueError where pytest cannot play it."""
    return _apart(_by_test, wrong, name)


def _apart(play: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    context = get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(play, *args, **kwargs).result()


# in that process


class _Finder(MetaPathFinder):
    def __init__(self, wrong: Wrong) -> None:
        self._file, self._text = PROGRAM / wrong.file, wrong.text()
        self._module = ".".join(self._file.relative_to(PROGRAM.parent).with_suffix("").parts)

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        if name != self._module:
            return None
        loader = _Loader(name, str(self._file))
        loader.text = self._text
        return spec_from_file_location(name, self._file, loader=loader)


class _Loader(SourceFileLoader):
    """Without a cache, which would outlive this process."""

    text: str

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.text.encode(), self.path)


def _begin(wrong: Wrong) -> None:
    assert "guestwake" not in sys.modules, "the right program is imported already"
    os.environ["TZ"] = "UTC"
    time.tzset()
    logging.disable()
    signal.signal(signal.SIGALRM, _hangs)
    sys.meta_path.insert(0, _Finder(wrong))
    sys.path[:0] = [str(SIMULATION), str(SIMULATION.parent)]


def _hangs(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt  # no code of the program catches it, and pytest calls it no failure


def _by_days(wrong: Wrong, first: str, most: int, *, tells: bool) -> Noticed | None:
    _begin(wrong)
    from kinds import Seed

    seed = Seed.parse(first)
    seed.kind.nights = NIGHTS
    where = IN_MEMORY if IN_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="guestwake-", dir=where) as folder:

        def broken(number: int, kept: list[str] | None = None) -> Broken | None:
            return _broken(seed, number, kept, Path(folder))

        for days in range(most):
            if (found := broken(seed.number + days)) is None:
                continue
            if not isinstance(found.__cause__, AssertionError):
                raise ValueError(f"'{wrong.name}' crashes: {found.sentence}")
            story = _told(found, broken) if tells else ""
            return Noticed(f"{seed.kind.kind}:{found.day.seed}", found.sentence, days, story)
    return None


def _broken(seed: Seed, number: int, kept: list[str] | None, folder: Path) -> Broken | None:
    from random_day import Broken

    signal.alarm(DEADLINE)
    try:
        seed.kind.play(number, folder, kept)
    except Broken as err:
        return err
    except KeyboardInterrupt:
        raise ValueError(f"{seed.kind.kind}:{number} is not over after {DEADLINE} s") from None
    finally:
        signal.alarm(0)
    return None


def _told(found: Broken, again: Callable[[int, list[str]], Broken | None]) -> str:
    from random_day import shrunk

    def play(kept: list[str]) -> None:
        if (err := again(found.day.seed, kept)) is not None:
            raise err

    short = shrunk(found, play)
    return "\n".join([*short.day.log, short.sentence])


def _by_test(wrong: Wrong, name: str) -> Noticed | None:
    _begin(wrong)
    signal.alarm(DEADLINE)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # they take longer than most stories
    plain = ["-q", "--tb=line", "--assert=plain", "-o", "addopts=", "-p", "no:cacheprovider"]
    with redirect_stdout(StringIO()) as said, redirect_stderr(said):
        code = pytest.main([*plain, str(SIMULATION / name)])
    if code == pytest.ExitCode.OK:
        return None
    if code != pytest.ExitCode.TESTS_FAILED:
        raise ValueError(f"'{wrong.name}': {name} cannot be played: {said.getvalue()}")
    return Noticed(name, said.getvalue())
