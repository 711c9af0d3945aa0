"""What `make simulate` is built on: a random day is the same each time, also with acts left out of
it, and a failure is told with what it needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from faulty_day import FaultyDay
from guest_night import GuestNight
from peopled_day import PeopledDay
from random_day import Broken, RandomDay, shrunk

SIMULATE = Path(__file__).resolve().parents[2] / "tools" / "simulate"


class NobodyHolds(FaultyDay):
    """Whose promise is broken by one kind of act alone."""

    nights = 1

    def check_quiet(self) -> None:
        assert not self.happened["person holds"], f"nobody holds: but after {len(self.log)} lines"


@pytest.mark.parametrize("kind", [FaultyDay, GuestNight, PeopledDay])
def test_what_was_done_of_a_plan_makes_the_same_day(kind: type[RandomDay], folder: Path) -> None:
    whole = kind.play(5, folder)
    assert kind.play(5, folder, whole.done).log == whole.log


def test_an_act_that_is_left_out_changes_no_chance_of_the_others(folder: Path) -> None:
    whole = FaultyDay.play(5, folder)
    alone = FaultyDay.play(5, folder, ["0"])
    assert alone.done == ["0"]
    assert [line for line in alone.log if line not in whole.log] == []


def test_a_failure_is_told_with_what_it_needs(folder: Path) -> None:
    broken = next(err for err in (_broken(seed, folder) for seed in range(99)) if err)
    short = shrunk(broken, lambda kept: NobodyHolds.play(broken.day.seed, folder, kept))
    assert len(broken.day.done) > 1
    assert len(short.day.done) == 1
    assert short.promise == broken.promise == "nobody holds"
    assert [line for line in short.day.log if "person holds" in line]


def _broken(seed: int, folder: Path) -> Broken | None:
    try:
        NobodyHolds.play(seed, folder)
    except Broken as err:
        return err if len(err.day.done) > 4 else None
    return None


@pytest.mark.parametrize("arguments", [["--days", "1", "--first", "0"], ["--seed", "faults:5"]])
def test_the_script_plays_days(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, SIMULATE, *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kept" in done.stdout
