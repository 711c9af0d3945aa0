"""The frozen programs under Wine: without any Python of Windows beside them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.image import PROJECT
from lab.wine import Wine, freezer, windows_path

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def dist(wine: Wine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, PROJECT / "tools/windows_messages", made / "guestwake-events.dll"],
        check=True,
    )
    before = wine.sources
    wine.sources = [*before, freezer()]
    try:
        tool = windows_path(PROJECT / "tools" / "windows_exe")
        print(wine.python(tool, windows_path(made), patience=600).stdout)
    finally:
        wine.sources = before
    (made / "guestwake-events.dll").rename(made / "guestwake" / "guestwake-events.dll")
    wine.sources = []  # what is missing in them is missed
    yield made
    wine.sources = before


def is_running(wine: Wine, service: str) -> bool:
    for _ in range(300):
        if "RUNNING" in wine.run("sc", "query", service, check=False).stdout:
            return True
        time.sleep(0.2)
    return False


def test_the_guests_is_one_file_and_a_service(wine: Wine, dist: Path) -> None:
    program = windows_path(dist / "guestwake-guest.exe")
    assert "GuestwakeGuest" in wine.run(program, "install").stdout
    try:
        assert is_running(wine, "GuestwakeGuest")
        wine.run(program, "require-restart")
        said = wine.run(program, "status", check=False)
        assert (said.returncode, "esd-signal" in said.stdout) == (10, True)
    finally:
        wine.run(program, "uninstall")


def test_the_hosts_is_a_service_and_starts_its_own_parts(wine: Wine, dist: Path) -> None:
    program = windows_path(dist / "guestwake" / "guestwake.exe")
    assert "guestwake" in wine.run(program, "--version").stdout
    assert "GuestUpdateTime" in wine.run(program, "settings", "show").stdout
    # As `reading.py` starts it: nothing comes, and it ends.
    reader = wine.run(program, "-I", "-B", "-m", "guestwake.channels.reader", text="")
    assert reader.stdout == ""
    refused = wine.run(program, "-I", "-m", "timeit", check=False)
    assert refused.returncode == 2
    try:
        said = wine.run(program, "service", "install").stdout
        assert "guestwake-events.dll" in said
        assert is_running(wine, "Guestwake")
    finally:
        wine.run(program, "service", "remove")
