"""Real guests: `lab` is a private libvirtd with nothing in it (docs/lab.md)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lab.fixtures import lab, lab_of_session, private_mounts, pytest_collection_modifyitems

__all__ = ["lab", "lab_of_session", "private_mounts", "pytest_collection_modifyitems"]
