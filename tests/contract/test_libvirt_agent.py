"""The agent of a Debian guest, asked for what our own service would have reported."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from worlds import until

from guestwake.guest_agent import (
    BOOT_ID,
    REBOOT_REQUIRED,
    REBOOT_REQUIRED_BY,
    SIGNED_IN,
    AgentReporter,
)
from guestwake.hypervisors.libvirt import Libvirt
from guestwake_wire.messages import Report, SessionKind

if TYPE_CHECKING:
    from lab.guests import Guest

pytestmark = pytest.mark.qemu

# Somebody signs in at a text terminal.
SIGN_IN = "setsid --fork agetty --autologin root tty9 linux </dev/null >/dev/null 2>&1"


@pytest.fixture(scope="module")
def guest() -> Iterator[Guest]:
    from lab.guests import open_lab

    with open_lab() as lab:
        made = lab.hibernated_guest("told")
        made.start()
        made.wait_until_agent_answers()
        yield made


def test_a_guest_without_our_service_tells_through_its_agent(
    guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in guest.lab.environment.items():
        monkeypatch.setenv(name, value)
    driver = Libvirt(guest.lab.uri)
    vm = driver.find(guest.name)
    reporter = AgentReporter(driver, vm)

    def told() -> Report:
        report = reporter.ask(datetime.now(UTC))
        assert report is not None
        return report

    try:
        report = told()
        boot_id, kernel = guest.run(f"cat {BOOT_ID}; uname -r").stdout.split()
        assert (report.boot_id, report.kernel) == (boot_id, kernel)
        assert (report.agent[:17], report.os[:6]) == ("qemu-guest-agent ", "Debian")
        assert (report.restart, report.sessions) == ((), ())

        driver.set_guest_clock(vm, datetime.now(UTC))
        guest.run(f"echo linux-image >{REBOOT_REQUIRED_BY}; touch {REBOOT_REQUIRED}; {SIGN_IN}")
        report = told()
        assert abs(report.time - time.time()) < 5
        (reason,) = report.restart
        assert (reason.source, reason.text) == ("reboot-required", "asked for by linux-image")

        assert until(lambda: told().sessions != (), 30)
        (session,) = told().sessions
        assert (session.user, session.kind, session.input) == ("root", SessionKind.TEXT, None)
        assert session.since < 60
        assert told().boot_id == boot_id

        open_files = guest.run("ls -l /proc/$(pidof qemu-ga)/fd").stdout
        assert "vport" in open_files
        assert not any(path in open_files for path in (BOOT_ID, REBOOT_REQUIRED, SIGNED_IN))
    finally:
        driver.close()
