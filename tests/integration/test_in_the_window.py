"""What may happen to a VM while we hold it awake, one line of the contract's table each (4.3)."""

from __future__ import annotations

import os
import signal

import pytest
from stories import Host, Manager, diary_of, starts_and_stops, until

from guestwake.events import OF_WHY
from guestwake.policy.run import Why
from lab.guests import Guest, Lab
from lab.libvirtd import private_libvirtd


def held(lab: Lab, host: Host, window: float = 600) -> tuple[Guest, Manager]:
    guest = lab.hibernated_guest("web01")
    host.looks_after(guest)
    manager = host.begins(guest, window)
    until(lambda: host.phase(guest) == "holding")
    return guest, manager


def test_a_crash_is_mended_and_its_lost_session_told(lab: Lab, host: Host) -> None:
    guest, manager = held(lab, host)
    with diary_of(guest) as diary:
        (pid_file,) = guest.lab.folder.glob(f"run/libvirt/qemu/run/{guest.name}.pid")
        os.kill(int(pid_file.read_text()), signal.SIGKILL)
        until(lambda: "Started Booted" in diary() and host.phase(guest) == "holding")
        manager.process.terminate()
        manager.ends(code=15)
        assert starts_and_stops(diary()) == ["Stopped Failed", "Started Booted", "Stopped Saved"]
    assert OF_WHY[Why.CRASHED_SESSION_LOST].id in host.events(guest)
    assert host.outcomes(guest) == ["put-back"]
    assert host.history(guest)[0]["crashes"] == 1


def test_a_guest_that_shuts_itself_down_is_not_woken_again(lab: Lab, host: Host) -> None:
    guest, manager = held(lab, host)
    guest.wait_until_agent_answers()
    guest.agent("guest-exec", {"path": "systemctl", "arg": ["poweroff"]})
    manager.ends(code=7)
    assert guest.state() == "shut off"
    assert host.outcomes(guest) == ["guest-stopped-itself"]


@pytest.mark.parametrize(
    ("command", "state"),
    [
        ("managedsave", "saved"),
        pytest.param("destroy", "shut off", marks=pytest.mark.full),
        pytest.param("suspend", "paused", marks=pytest.mark.full),
    ],
)
def test_what_somebody_puts_to_rest_is_left_so(
    lab: Lab, host: Host, command: str, state: str
) -> None:
    guest, manager = held(lab, host)
    lab.virsh(command, guest.uuid)
    manager.ends(code=7)
    assert guest.state() == state
    assert host.outcomes(guest) == ["stopped-by-somebody"]


def test_what_is_migrated_away_is_never_started_here(lab: Lab, host: Host) -> None:
    guest, manager = held(lab, host)
    with diary_of(guest) as diary, private_libvirtd() as elsewhere:
        over = f"unix://{elsewhere.folder}/migration"
        # Unsafe, says libvirt, as both hosts cache the same disk: they are one.
        lab.virsh("migrate", "--live", "--unsafe", "--migrateuri", over, guest.uuid, elsewhere.uri)
        manager.ends(code=7)
        host.wakes(guest, window=2, code=7)
        assert starts_and_stops(diary()) == ["Stopped Migrated"]
    assert host.outcomes(guest) == ["migrated-away", "migrated-away"]


@pytest.mark.full
def test_a_guest_that_restarts_itself_is_held_on(lab: Lab, host: Host) -> None:
    guest, manager = held(lab, host)
    with diary_of(guest) as diary:
        guest.wait_until_agent_answers()
        before = guest.run("cat /proc/sys/kernel/random/boot_id").stdout
        guest.agent("guest-exec", {"path": "systemctl", "arg": ["reboot"]})
        until(lambda: not guest.agent_answers())
        guest.wait_until_agent_answers()
        assert guest.run("cat /proc/sys/kernel/random/boot_id").stdout != before
        manager.ends()
        assert starts_and_stops(diary()) == ["Stopped Saved"]
    assert host.outcomes(guest) == ["put-back"]
    assert host.history(guest)[0]["restarts"] == 0


def test_a_workspace_that_is_removed_is_put_back_first(lab: Lab, host: Host) -> None:
    guest, manager = held(lab, host)
    said = host.guestwake("workspace", "remove", guest.name)
    assert "no workspace any more" in said
    assert guest.state() == "saved"
    manager.ends()
    assert guest.name in host.guestwake("status", guest.name, code=3)


def test_a_daemon_that_comes_late_is_waited_for(lab: Lab, host: Host) -> None:
    guest = lab.hibernated_guest("web01")
    host.looks_after(guest)
    lab.libvirtd.kill()
    try:
        host.wakes(guest, window=1, code=11)
        manager = host.begins(guest, window=15)
        until(lambda: host.phase(guest) == "waiting")
    finally:
        lab.libvirtd.start()
    manager.ends()
    assert guest.state() == "saved"
    assert host.outcomes(guest) == ["hypervisor-unreachable", "put-back"]
