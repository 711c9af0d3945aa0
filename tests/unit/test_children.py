"""Managers as children of the service, where no systemd runs: real processes of a shell."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from guestwake.schedulers import children
from guestwake.schedulers.children import Children

PATIENCE = 20.0  # seconds


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(children, "AGAIN_AFTER", 0.05)
    return tmp_path


def managers(folder: Path, ends: str) -> Children:
    """Each writes which workspace it is for, and then `ends`."""
    script = f'cd {folder}; echo "$1" >> ran; {ends}'
    return Children(["sh", "-c", script, "manager"], lambda code: code == 7)


def ran(folder: Path) -> list[str]:
    file = folder / "ran"
    return file.read_text().split() if file.exists() else []


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_one_that_runs_is_left_alone_and_followed_by_another_that_looks_again(folder: Path) -> None:
    """It may have been past its last look when the second was asked for."""
    its = managers(folder, "until test -e go; do sleep 0.01; done")
    for _ in range(3):
        its.start_run("web")
    wait_until(lambda: ran(folder) == ["web"])
    its.start_run("db")
    wait_until(lambda: ran(folder) == ["web", "db"])
    (folder / "go").touch()
    wait_until(lambda: ran(folder) == ["web", "db", "web"])
    wait_until(lambda: not its._running)
    its.start_run("web")
    wait_until(lambda: ran(folder) == ["web", "db", "web", "web"])
    wait_until(lambda: not its._running)
    assert ran(folder) == ["web", "db", "web", "web"]


def test_one_that_fails_is_started_anew_until_it_does_not(folder: Path) -> None:
    its = managers(folder, "test $(wc -l < ran) = 3 || exit 7")
    its.start_run("web")
    wait_until(lambda: not its._running)
    assert ran(folder) == ["web"] * 3
