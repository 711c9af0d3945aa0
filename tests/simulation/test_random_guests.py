"""Random nights of guests that report, each from a seed; see `test_random_days.py`."""

from __future__ import annotations

from pathlib import Path

import pytest
from guest_night import GuestNight
from test_random_days import seeds

NIGHTS_IN_CHECK = 4  # in `make check`
NIGHTS = 10  # in `make test`
NIGHTS_FULL = 2000


@pytest.mark.parametrize("seed", seeds(NIGHTS)[:NIGHTS_IN_CHECK])
def test_random_nights_of_guests_keep_the_promises(seed: int, folder: Path) -> None:
    GuestNight.play(seed, folder)


@pytest.mark.more
@pytest.mark.parametrize("seed", seeds(NIGHTS)[NIGHTS_IN_CHECK:])
def test_more_random_nights_of_guests_keep_the_promises(seed: int, folder: Path) -> None:
    GuestNight.play(seed, folder)


@pytest.mark.full
def test_many_random_nights_of_guests_keep_the_promises(folder: Path) -> None:
    for seed in seeds(NIGHTS_FULL):
        GuestNight.play(seed, folder)
