"""A `Day` for each test, in a folder of its own; the host's zone is UTC unless the test sets TZ."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from day import Day

_IN_MEMORY = Path("/dev/shm")


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is such a place: each record is synced."""
    where = _IN_MEMORY if _IN_MEMORY.is_dir() else None
    made = Path(tempfile.mkdtemp(prefix="guestwake-", dir=where))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def day(folder: Path) -> Iterator[Day]:
    with Day(folder) as a_day:
        yield a_day
