from __future__ import annotations

from pathlib import Path

import pytest
from guest_scene import Guest


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Guest:
    """Its service is root, whoever runs the tests."""
    monkeypatch.setattr("guestwake_guest.questions.os.geteuid", lambda: 0)
    monkeypatch.setenv("TZ", "UTC")
    return Guest(tmp_path)
