"""What tests of more than one file stand on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_bus import Bus, private_bus


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    with private_bus(tmp_path) as made:
        yield made
