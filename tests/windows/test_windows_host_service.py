"""The host's resident service as a Windows service under Wine, from its installation to its end.

There is no Hyper-V under Wine, so the managers that it starts wait for that; that they are started,
and which settings they follow, is what is seen here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab.wine import Wine

SERVICE = "Guestwake"
UUID = "4be6ad72-1e0c-4b0d-8a55-1f7a3c2d9e10"
# As `guestwake workspace add` writes it where Hyper-V answers.
ADDED = f"""
import sys
from datetime import UTC, datetime
from guestwake.application import Application
from guestwake.paths import Paths, own_id
from guestwake.workspaces import Workspace
import os
application = Application(Paths.here(None, os.environ, own_id()))
application.workspaces.write(
    Workspace("web 01", "{UUID}", "hyperv:///", None, datetime(2026, 1, 1, tzinfo=UTC), 16, None)
)
"""


def guestwake(wine: Wine, *words: str, check: bool = True) -> str:
    done = wine.python("-P", "-m", "guestwake.edges.cli", *words, check=check)
    return done.stdout + done.stderr


def until(true: Callable[[], object], seconds: float = 120.0) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def state(wine: Wine) -> str:
    return wine.run("sc", "query", SERVICE, check=False).stdout


def now(wine: Wine) -> dict[str, Any]:
    (found,) = json.loads(guestwake(wine, "status", "--json"))
    return dict(found)


@pytest.fixture
def service(wine: Wine) -> Iterator[Wine]:
    wine.python("-c", ADDED)
    for one in ("GuestUpdateDuration=0", "RequireNetwork=0", "RequireACPower=0"):
        guestwake(wine, "settings", "set", one, "--machine")
    said = guestwake(wine, "service", "install")
    assert f"started the service {SERVICE}" in said
    assert until(lambda: "RUNNING" in state(wine)), state(wine)
    yield wine
    guestwake(wine, "service", "remove", check=False)


def test_it_is_installed_starts_managers_follows_settings_and_is_removed(service: Wine) -> None:
    wine = service
    assert "there is one service at a time" in guestwake(wine, "serve", check=False)
    assert now(wine)["run"] is None
    # A window that is open now, and for the rest of the day.
    for one in ("GuestUpdateTime=00:00", "GuestUpdateDuration=1440"):
        guestwake(wine, "settings", "set", one, "--machine")
    assert until(lambda: now(wine)["run"] is not None), now(wine)
    assert "hypervisor" in now(wine)["run"]["why"]
    wine.run("sc", "stop", SERVICE)
    assert until(lambda: "STOPPED" in state(wine)), state(wine)
    said = guestwake(wine, "service", "remove")
    assert f"removed the service {SERVICE}" in said
    assert "RUNNING" not in state(wine)
    key = r"HKLM\SYSTEM\CurrentControlSet\Services\EventLog\Application\Guestwake"
    assert wine.reg("query", key, check=False).returncode != 0
