"""A VM is woken and put back as it was, whatever it was (contract, sections 4.0 and 4.4)."""

from __future__ import annotations

from stories import (
    Host,
    awake,
    boot_id,
    clock_behind,
    diary_of,
    starts_and_stops,
    until,
    woken_by_hand,
)

from lab.guests import Guest, Lab

WINDOW = 2.0  # seconds


def one_that_runs(lab: Lab) -> tuple[Guest, str]:
    """A guest and its present session, to be known again by."""
    guest = woken_by_hand(lab.hibernated_guest("web01"))
    return guest, boot_id(guest)


def test_saved_woken_saved(lab: Lab, host: Host) -> None:
    guest, session = one_that_runs(lab)
    guest.run("date --set '2020-02-29 12:00'")
    guest.hibernate()
    host.looks_after(guest)
    with diary_of(guest) as diary:
        manager = host.begins(guest, window=25)
        until(lambda: awake(guest))
        until(lambda: clock_behind(guest) < 2)
        assert boot_id(guest) == session
        assert host.phase(guest) == "holding"
        manager.ends()
        assert starts_and_stops(diary()) == ["Started Restored", "Stopped Saved"]
    assert guest.state() == "saved"
    assert host.outcomes(guest) == ["put-back"]
    assert host.history(guest)[0]["prior"] == "saved"
    assert boot_id(woken_by_hand(guest)) == session


def test_paused_woken_paused(lab: Lab, host: Host) -> None:
    guest, session = one_that_runs(lab)
    lab.virsh("suspend", guest.uuid)
    host.looks_after(guest)
    with diary_of(guest) as diary:
        host.wakes(guest, WINDOW)
        assert diary() == ["Resumed Unpaused", "Suspended Paused"]
    assert guest.state() == "paused"
    assert host.history(guest)[0]["prior"] == "paused"
    assert boot_id(woken_by_hand(guest)) == session


def test_saved_while_paused_woken_and_saved_as_paused(lab: Lab, host: Host) -> None:
    guest, session = one_that_runs(lab)
    guest.hibernate(paused=True)
    host.looks_after(guest)
    with diary_of(guest) as diary:
        host.wakes(guest, WINDOW)
        told = diary()
    assert "Resumed Unpaused" in told
    assert told[-1] == "Stopped Saved"
    assert guest.state() == "saved"
    assert host.history(guest)[0]["prior"] == "saved-paused"
    guest.start()
    assert guest.state() == "paused"
    assert boot_id(woken_by_hand(guest)) == session


def test_suspended_woken_suspended(lab: Lab, host: Host) -> None:
    guest, session = one_that_runs(lab)
    lab.virsh("dompmsuspend", guest.uuid, "mem")
    until(lambda: guest.state() == "pmsuspended")
    host.looks_after(guest)
    with diary_of(guest) as diary:
        host.wakes(guest, window=4)
        assert diary() == ["Started Event wakeup", "PMSuspended Memory"]
    assert guest.state() == "pmsuspended"
    assert host.outcomes(guest) == ["put-back"]
    assert host.history(guest)[0]["prior"] == "suspended"
    lab.virsh("dompmwakeup", guest.uuid)
    guest.wait_until_agent_answers()
    assert boot_id(guest) == session
