"""What goes wrong around a VM, and what is kept (contract, sections 4.2, 4.6 and 4.7)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from stories import (
    Host,
    boot_id,
    diary_of,
    starts_and_stops,
    until,
    woken_by_hand,
)

from guestwake.events import OF_WHY
from guestwake.policy.run import Why
from lab.guests import Guest, Lab, LabError


def cut_below_its_header(image: Path) -> None:
    with image.open("r+b") as file:
        file.truncate(10)


def as_if_never_finished(image: Path) -> None:
    """libvirt begins an image with this word, and puts another over it at the end."""
    with image.open("r+b") as file:
        file.write(b"LibvirtQemudPart")


def cut_inside_the_memory(image: Path) -> None:
    with image.open("r+b") as file:
        file.truncate(image.stat().st_size // 2)


def overwrite_header(image: Path) -> None:
    with image.open("r+b") as file:
        file.write(b"not an image of libvirt's")


@pytest.mark.parametrize(
    "damage", [cut_below_its_header, as_if_never_finished, cut_inside_the_memory, overwrite_header]
)
def test_a_saved_image_that_cannot_be_restored_is_kept(
    lab: Lab, host: Host, damage: Callable[[Path], None]
) -> None:
    guest = lab.hibernated_guest("web01")
    host.looks_after(guest)
    damage(guest.saved_image)
    found = guest.saved_image.read_bytes()
    with diary_of(guest) as diary:
        host.wakes(guest, window=3, code=10)
        assert "Started Booted" not in diary()
    assert guest.state() == "saved"
    assert guest.saved_image.read_bytes() == found
    assert host.outcomes(guest) == ["image-unusable"]
    assert host.status(guest)["standing"]["why"] == "image-unusable"


def goes_on(guest: Guest, session: str) -> bool:
    """False also while its save is tried again: it stands still then."""
    try:
        return guest.state() == "running" and boot_id(guest) == session
    except LabError:
        return False


@pytest.mark.usefixtures("private_mounts")
def test_a_full_disk_at_the_end_keeps_it_up_until_there_is_room(lab: Lab, host: Host) -> None:
    guest = woken_by_hand(lab.hibernated_guest("web01"))
    session = boot_id(guest)
    guest.hibernate()
    host.looks_after(guest)
    manager = host.begins(guest, window=9)
    until(lambda: host.phase(guest) == "holding")
    with lab.libvirtd.small_save_folder(64):
        until(lambda: host.status(guest)["standing"])
        standing = host.status(guest)["standing"]
        assert standing["why"] == "not-put-back-refused"
        assert "No space left on device" in standing["detail"]
        until(lambda: goes_on(guest, session))
    manager.ends()
    assert guest.state() == "saved"
    assert host.outcomes(guest) == ["put-back"]
    assert host.status(guest)["standing"] is None
    assert host.events(guest).count(OF_WHY[Why.NOT_PUT_BACK_REFUSED].id) == 1
    assert boot_id(woken_by_hand(guest)) == session


def test_a_daemon_that_is_killed_in_the_window_and_comes_back(lab: Lab, host: Host) -> None:
    guest = lab.hibernated_guest("web01")
    host.looks_after(guest)
    manager = host.begins(guest, window=10)
    until(lambda: host.phase(guest) == "holding")
    lab.libvirtd.kill()
    until(lambda: host.status(guest)["run"]["why"] == "waits-for-hypervisor")
    lab.libvirtd.start()
    assert guest.state() == "running"
    with diary_of(guest) as diary:
        manager.ends()
        assert starts_and_stops(diary()) == ["Stopped Saved"]
    assert guest.state() == "saved"
    assert host.outcomes(guest) == ["put-back"]


def test_a_vm_whose_definition_is_deleted_in_its_window(lab: Lab, host: Host) -> None:
    """libvirt lets it run on, and will not save what has no definition to come back to."""
    guest = lab.hibernated_guest("web01")
    host.looks_after(guest)
    manager = host.begins(guest, window=9)
    until(lambda: host.phase(guest) == "holding")
    lab.virsh("undefine", guest.uuid)
    until(lambda: host.status(guest)["standing"])
    assert host.status(guest)["standing"]["why"] == "not-put-back-refused"
    assert guest.state() == "running"
    guest.power_off()  # and with that it is gone
    manager.ends(code=9)
    assert host.outcomes(guest) == ["vm-gone"]
    # Nor is there anything to do the next time.
    host.wakes(guest, window=2, code=9)


def test_a_vm_that_is_renamed_is_still_the_same(lab: Lab, host: Host) -> None:
    guest = lab.define_guest("web01")
    host.looks_after(guest)
    lab.virsh("domrename", "web01", "web02")
    # Its agent never answers in so short a time, so it is saved and owed off.
    host.set("task_timeout = 3")
    host.wakes(guest, window=1)
    assert guest.state() == "saved"
    assert host.outcomes(guest) == ["put-back-owed-off"]
    assert (lab.libvirtd.save_folder / "web02.save").exists()


def test_unknown_vms_and_uris_are_named(lab: Lab, host: Host) -> None:
    said = host.guestwake("workspace", "add", "nobody", "--uri", lab.uri, code=11)
    assert "nobody" in said
    nowhere = f"qemu+unix:///session?socket={host.root}/no.sock"
    said = host.guestwake("workspace", "add", "web01", "--uri", nowhere, code=11)
    assert f"cannot reach {nowhere}" in said
    said = host.guestwake("workspace", "add", "web01", "--uri", "gopher://web01", code=11)
    assert "gopher" in said
    assert json.loads(host.guestwake("workspace", "list", "--json")) == []
    assert "web01" in host.guestwake("wake", "web01", code=3)
