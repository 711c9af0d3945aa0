"""Random days with people, each from a seed; see `test_random_days.py`."""

from __future__ import annotations

from pathlib import Path

import pytest
from peopled_day import PeopledDay
from test_random_days import seeds

DAYS_IN_CHECK = 15  # in `make check`
DAYS = 60  # in `make test`
DAYS_FULL = 2000


@pytest.mark.parametrize("seed", seeds(DAYS)[:DAYS_IN_CHECK])
def test_days_with_people_keep_the_promises(seed: int, folder: Path) -> None:
    PeopledDay.play(seed, folder)


@pytest.mark.more
@pytest.mark.parametrize("seed", seeds(DAYS)[DAYS_IN_CHECK:])
def test_more_days_with_people_keep_the_promises(seed: int, folder: Path) -> None:
    PeopledDay.play(seed, folder)


@pytest.mark.full
def test_many_days_with_people_keep_the_promises(folder: Path) -> None:
    for seed in seeds(DAYS_FULL):
        PeopledDay.play(seed, folder)
