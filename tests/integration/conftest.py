"""Real guests: `lab` is a private libvirtd with nothing in it (docs/lab.md)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from stories import Host, host_of

from lab.fixtures import lab, lab_of_session, private_mounts, pytest_collection_modifyitems
from lab.guests import Lab

__all__ = ["host", "lab", "lab_of_session", "private_mounts", "pytest_collection_modifyitems"]


@pytest.fixture
def host(lab: Lab, tmp_path: Path) -> Iterator[Host]:
    with host_of(lab, tmp_path) as host:
        yield host
