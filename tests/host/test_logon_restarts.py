"""A restart that updates need, at its owner's logon (contract, section 6)."""

from __future__ import annotations

import json

import pytest
from served import history, looked_after, outcomes, phase, served, set_, wakes

from lab.guests import Guest
from lab.host import Host, HostError

BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
# The restart is left to the logon, and nobody waits for a day.
SETTINGS = (
    "guest_update_duration = 0",
    "restart_in_window = 0",
    "reboot_absolute_delay_timeout = 1",
)


def signalled(host: Host) -> Guest:
    """A VM of anna's at rest, whose guest has asked for a restart while it had its run."""
    guest = host.hibernated_guest("web01")
    served(host)
    set_(host, *SETTINGS)
    looked_after(host, guest, owner="anna")
    wakes(host, guest, 30)
    host.wait_until(lambda: phase(host, guest) == "holding")
    guest.wait_until_agent_answers()
    guest.run("guestwake-guest require-restart --reason libc6")
    host.wait_until(lambda: outcomes(host, guest) == ["put-back"], seconds=120)
    assert required(host, guest)
    assert guest.state() == "saved"
    return guest


def required(host: Host, guest: Guest) -> bool:
    (found,) = json.loads(host.run("guestwake", "status", guest.name, "--json"))
    return found["restart_required"] is not None


def test_a_vm_at_rest_is_restarted_unseen_and_one_that_is_used_when_its_user_agrees(
    lab_host: Host,
) -> None:
    guest = signalled(lab_host)
    session = lab_host.logon("anna", "graphical")
    lab_host.wait_until(lambda: len(outcomes(lab_host, guest)) == 2, seconds=400)
    assert history(lab_host, guest)[-1]["restarts"] == 1
    assert outcomes(lab_host, guest)[-1] == "put-back"
    assert guest.state() == "saved"
    assert not required(lab_host, guest)
    session.logoff()


def test_one_that_is_used_is_not_restarted_before_its_user_agrees(lab_host: Host) -> None:
    guest = signalled(lab_host)
    guest.start()
    guest.wait_until_agent_answers()
    boot = guest.run(BOOT_ID).stdout
    session = lab_host.logon("anna", "graphical")
    lab_host.wait_until(lambda: "waits for an answer" in lab_host.journal("guestwake.service"))
    assert guest.run(BOOT_ID).stdout == boot
    said = session.run("guestwake", "postpone", "web01")
    assert "postponed" in said
    with pytest.raises(HostError, match="ended with 17"):  # refused, by polkit
        lab_host.run("guestwake", "postpone", "web01", user="bert")
    session.run("guestwake", "restart", "web01")
    lab_host.wait_until(lambda: len(outcomes(lab_host, guest)) == 2, seconds=400)
    assert outcomes(lab_host, guest)[-1] == "restarted-in-use"
    guest.wait_until_agent_answers()
    assert guest.run(BOOT_ID).stdout != boot
    assert guest.state() == "running"
