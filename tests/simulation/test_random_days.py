"""Random days of every kind, each from a seed. A failure names its seed, and
`make simulate SEED=…` tells that day. A found seed becomes a named test, of a story where a few
words tell it (`test_stories.py` and others), else in `test_once_failed.py`."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from day import Day
from kinds import KINDS
from random_day import RandomDay

from guestwake.policy.words import Power

ROOT = Path(__file__).resolve().parents[2]
SIMULATE = ROOT / "tools" / "simulate"
SEEDS_IN_CHECK = 3  # of each kind, in `make check`
VM_DAYS = 5_000  # in `make test`; on two cores that do nothing else in less than a minute
VM_DAYS_FULL = 50_000


@pytest.mark.parametrize("seed", range(SEEDS_IN_CHECK))
@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_random_days_keep_the_promises(kind: type[RandomDay], seed: int, folder: Path) -> None:
    kind.play(seed, folder)


@pytest.mark.more
def test_new_random_days_keep_the_promises() -> None:
    _simulate(VM_DAYS)


@pytest.mark.full
def test_many_new_random_days_keep_the_promises() -> None:
    _simulate(VM_DAYS_FULL)


def _simulate(vm_days: int) -> None:
    """With seeds that come from the sources: each change of them plays days that nobody has had
    yet, and the same sources the same days, so that what failed once fails again. What it prints
    tells with which, and a failure with how little of its day and with the command that tells it
    again."""
    done = subprocess.run(
        [sys.executable, SIMULATE, "--days", str(vm_days), "--first", str(_of_sources())],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def _of_sources() -> int:
    files = (*(ROOT / "src").rglob("*.py"), *Path(__file__).parent.glob("*.py"))
    texts = b"".join(file.read_bytes() for file in sorted(files))
    return int.from_bytes(sha256(texts).digest()[:4])


def test_a_deadline_a_rounding_away_is_waited_for(day: Day) -> None:
    """A window that ended in half a microsecond was looked at without end."""
    for name, power in (("alpha", Power.PAUSED), ("beta", Power.OFF)):
        day.workspace(name, power, guest_update_time="00:05", guest_update_duration=3)
    day.restarts_after = 30.0
    minute = timedelta(minutes=1)
    day.later(241.27662472895318, lambda: day.start("alpha", lambda app: app.wake("alpha", minute)))
    day.later(449.1368634626267, lambda: day.kill("alpha"))
    day.run_until("00:20")
    assert day.put_back("alpha")
    assert day.put_back("beta")


def test_a_window_that_was_had_joins_no_other_run(day: Day) -> None:
    """Found with people (seed 30131): the clock was set back into a window that had ended."""
    day.workspace("web01", guest_update_time="00:05", guest_update_duration=3)
    day.at("00:06").clock_steps(-4)
    day.at("00:08:10").person_wakes("web01", minutes=1)
    day.run_until("00:30")
    assert day.dates("web01") == ["03-10"]
