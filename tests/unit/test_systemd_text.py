"""The timer unit, whole, as text; and that systemd reads it as it is meant."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from guestwake.policy.words import Timer
from guestwake.schedulers.systemd_text import (
    is_as_written,
    is_uuid,
    rendered,
    service_name,
    timer_name,
    workspace_of,
)

UUID = "6a1f3c52-9d1e-4a53-8a55-0c7f2a9b1d10"
TIMER = Timer(
    UUID,
    (datetime(2026, 11, 25, 23, tzinfo=UTC), datetime(2026, 11, 26, 23, 0, 1, tzinfo=UTC)),
    wakes_host=True,
)
TEXT = """\
# Guestwake sha256:HASH
# Guestwake has written this for a workspace, and writes it anew whenever it was changed, disabled,
# masked or deleted. When its window opens is a setting: guest_update_time and others, in
# /etc/guestwake/guestwake.toml or ~/.config/guestwake/guestwake.toml. 'guestwake skip' leaves one
# window out, 'guestwake pause' all of them.

[Unit]
Description=Openings of the window of a workspace of Guestwake
Documentation=man:guestwake(1)

[Timer]
OnCalendar=2026-11-25 23:00:00 UTC
OnCalendar=2026-11-26 23:00:01 UTC
AccuracySec=1s
Persistent=yes
WakeSystem=yes
Unit=guestwake-wake@6a1f3c52-9d1e-4a53-8a55-0c7f2a9b1d10.service

[Install]
WantedBy=timers.target
"""
HASH = "f01636d64d647936f20dc2cb619d43eeffaf00ec4315378aef42ebe18fb87f15"
SERVICE = "[Service]\nExecStart=/bin/true %i\n"


def test_a_timer_that_wakes_its_host() -> None:
    assert rendered(TIMER) == TEXT.replace("HASH", HASH)


def test_a_timer_that_wakes_no_host_differs_in_a_line() -> None:
    lines = rendered(replace(TIMER, wakes_host=False)).splitlines()[1:]
    assert lines == [line for line in TEXT.splitlines()[1:] if line != "WakeSystem=yes"]


def test_instants_are_written_in_utc_whatever_zone_they_come_in() -> None:
    ahead = timezone(timedelta(hours=2))
    shifted = tuple(instant.astimezone(ahead) for instant in TIMER.instants)
    assert rendered(replace(TIMER, instants=shifted)) == rendered(TIMER)


def test_what_we_wrote_is_known_whenever_it_was_written() -> None:
    assert is_as_written(rendered(TIMER))
    assert is_as_written(rendered(replace(TIMER, instants=TIMER.instants[:1])))


@pytest.mark.parametrize(
    "edited",
    [
        "",
        rendered(TIMER) + "\n",
        rendered(TIMER).replace("23:00:01", "23:00:02"),
        rendered(TIMER).partition("\n")[2],
        rendered(TIMER).replace("sha256:", "sha256: "),
        "[Timer]\nOnCalendar=daily\n",
        "\udcff",
    ],
)
def test_what_somebody_has_edited_is_not(edited: str) -> None:
    assert not is_as_written(edited)


def test_a_unit_has_its_workspaces_name() -> None:
    assert workspace_of(timer_name(UUID)) == UUID
    for name in (service_name(UUID), f"{timer_name(UUID)}.found", f".{timer_name(UUID)}.7", UUID):
        assert workspace_of(name) is None


@pytest.mark.parametrize(
    "bad",
    ["", "../../etc", UUID.upper(), f"{UUID}\n", f"{UUID}/", UUID[:-1], UUID.replace("-", "_")],
)
def test_nothing_but_a_uuid_becomes_a_name(bad: str) -> None:
    assert not is_uuid(bad)
    with pytest.raises(ValueError, match="not a UUID"):
        timer_name(bad)


@pytest.mark.parametrize("manager", ["--system", "--user"])
@pytest.mark.parametrize("wakes_host", [True, False])
def test_systemd_finds_nothing_wrong_with_it(
    tmp_path: Path, manager: str, *, wakes_host: bool
) -> None:
    analyze = systemd_analyze()
    for name, text in {
        timer_name(UUID): rendered(replace(TIMER, wakes_host=wakes_host)),
        "guestwake-wake@.service": SERVICE,
    }.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [analyze, manager, "--man=no", "verify", tmp_path / timer_name(UUID)],
        capture_output=True,
        text=True,
        timeout=60,
        env={"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path), "LC_ALL": "C"},
    )
    assert (done.stderr, done.returncode) == ("", 0)


def test_systemd_takes_each_line_for_the_instant_that_is_meant() -> None:
    lines = [line for line in rendered(TIMER).splitlines() if line.startswith("OnCalendar=")]
    for line, instant in zip(lines, TIMER.instants, strict=True):
        done = subprocess.run(
            [systemd_analyze(), "calendar", "--base-time=2026-11-01", line.partition("=")[2]],
            capture_output=True,
            text=True,
            timeout=60,
            env={"TZ": "Africa/Cairo", "LC_ALL": "C"},
            check=True,
        )
        assert f"{instant:%a %Y-%m-%d %H:%M:%S} UTC" in done.stdout


def systemd_analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("no systemd-analyze here (Debian's package systemd)")
    return found
