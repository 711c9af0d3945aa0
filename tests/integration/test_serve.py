"""`guestwake serve` where no systemd runs: it keeps the time itself, and finishes what is left."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime

from stories import Host, diary_of, manager_of, served, starts_and_stops, until

from lab.guests import Lab


def opens_now(host: Host) -> None:
    """A window of one minute is open, or opens within seconds."""
    now = datetime.now(UTC)
    minute = now.minute + (now.second > 20)
    hour = (now.hour + minute // 60) % 24
    host.set(
        'time_zone = "UTC"',
        f'guest_update_time = "{hour:02}:{minute % 60:02}"',
        "guest_update_duration = 1",
    )


def test_a_window_that_the_settings_have_just_opened_and_a_manager_that_dies_in_it(
    lab: Lab, host: Host
) -> None:
    guest = lab.hibernated_guest("web01")
    host.set("guest_update_duration = 0")
    with served(host), diary_of(guest) as diary:
        host.looks_after(guest)
        opens_now(host)
        until(lambda: host.phase(guest) == "holding")
        first = manager_of(host, guest)
        assert first is not None
        os.kill(first, signal.SIGKILL)
        until(lambda: manager_of(host, guest) not in (None, first))
        until(lambda: host.outcomes(guest) == ["put-back"])
        assert starts_and_stops(diary()) == ["Started Restored", "Stopped Saved"]
    assert guest.state() == "saved"


def test_a_service_that_ends_leaves_its_managers_to_their_work(lab: Lab, host: Host) -> None:
    guest = lab.hibernated_guest("web01")
    host.looks_after(guest)
    opens_now(host)
    with served(host):
        until(lambda: host.phase(guest) == "holding")
        manager = manager_of(host, guest)
    assert guest.state() == "running"
    assert manager_of(host, guest) == manager
    with served(host) as again:  # who finds it at work
        until(lambda: host.outcomes(guest) == ["put-back"])
        assert again.said.read_text().count("its run is started") == 1
    assert guest.state() == "saved"


def test_what_a_guest_has_come_to_need_while_nobody_listened_is_heard(lab: Lab, host: Host) -> None:
    guest = lab.hibernated_guest("web01")
    host.set("guest_update_duration = 0")
    host.looks_after(guest)
    guest.start()
    guest.wait_until_agent_answers()
    guest.run("guestwake-guest require-restart --reason libc6")

    def is_heard() -> bool:  # each look gives the guest ten seconds
        host.guestwake("wake", "--scheduled", "web01")
        return "libc6" in str(host.status(guest)["restart_required"])

    until(is_heard)
    assert guest.state() == "running"
    assert host.history(guest) == []
