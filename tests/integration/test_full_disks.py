"""A disk is full: the saved image's, the guest's own, the journal's (contract, 4.6 and 4.7)."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from stories import DEADLINE, Host, boot_id, diary_of, starts_and_stops, until, woken_by_hand

from lab.bare import WRITES, bare_guest, hibernated_bare_guest
from lab.guests import Lab

pytestmark = pytest.mark.usefixtures("private_mounts")

BLOCK = 4096


@dataclass(frozen=True)
class SmallDisk:
    folder: Path

    def fill(self) -> None:
        with (self.folder / "filler").open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"x" * BLOCK)

    def make_room(self) -> None:
        (self.folder / "filler").unlink()


@contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[SmallDisk]:
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=755", "small", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.full
def test_told_to_stop_while_its_image_has_no_room_the_next_one_goes_on(
    lab: Lab, host: Host
) -> None:
    guest = woken_by_hand(lab.hibernated_guest("web01"))
    session = boot_id(guest)
    guest.hibernate()
    host.looks_after(guest)
    manager = host.begins(guest, window=600)
    until(lambda: host.phase(guest) == "holding")
    with lab.libvirtd.small_save_folder(64):
        manager.process.terminate()
        manager.ends(code=8)
        assert guest.state() == "running"
        assert host.status(guest)["standing"]["why"] == "not-put-back-refused"
        assert host.phase(guest) == "restoring"
        again = host.begins(guest)
        until(lambda: host.status(guest)["run"]["manager_lives"])
        again.kill()  # perhaps in the middle of a try, which libvirt takes back
        until(lambda: guest.state() == "running")
        assert boot_id(guest) == session
    host.begins(guest).ends()
    assert guest.state() == "saved"
    assert host.outcomes(guest) == ["put-back"]
    assert host.status(guest)["standing"] is None
    assert boot_id(woken_by_hand(guest)) == session


def test_a_guest_whose_own_disk_has_no_room_stands_still_and_is_put_back_later(
    lab: Lab, host: Host
) -> None:
    """libvirt pauses it for an I/O error, and nobody but its administrator lets it run on."""
    guest = bare_guest(lab, "web01", boots=WRITES)
    with small_disk(lab.folder / "small", kib=64) as disk:
        moved = disk.folder / "disk"
        subprocess.run(["cp", "--sparse=always", str(guest.disk), str(moved)], check=True)
        guest.disk.unlink()
        guest.disk.symlink_to(moved)
        disk.fill()
        host.set("task_timeout = 2")
        host.looks_after(guest)
        with diary_of(guest) as diary:
            manager = host.begins(guest, window=8)
            until(lambda: host.status(guest)["standing"])
            assert host.status(guest)["standing"]["why"] == "not-put-back-refused"
            assert guest.state() == "paused"
            disk.make_room()
            lab.virsh("resume", guest.uuid)
            manager.ends()
            assert starts_and_stops(diary()) == ["Started Booted", "Stopped Saved"]
        assert guest.state() == "saved"
        assert host.outcomes(guest) == ["put-back-owed-off"]
        assert host.status(guest)["standing"] is None
        guest.forget()


def test_without_room_for_the_journal_nothing_is_woken(lab: Lab, host: Host) -> None:
    guest = hibernated_bare_guest(lab, "web01")
    image = guest.saved_image.read_bytes()
    with small_disk(host.root / "var/lib/guestwake", kib=1024) as disk:
        host.looks_after(guest)
        host.guestwake("hold", guest.name, "--for", "1m")  # so that there is a journal
        host.guestwake("hold", guest.name, "--release")
        disk.fill()
        host.wakes(guest, window=2, code=12)
        assert guest.state() == "saved"
        assert guest.saved_image.read_bytes() == image
        disk.make_room()
        host.wakes(guest, window=2)
        assert host.outcomes(guest)[-1] == "put-back"


def test_without_room_for_the_journal_what_was_woken_is_put_back(lab: Lab, host: Host) -> None:
    guest = hibernated_bare_guest(lab, "web01")
    with small_disk(host.root / "var/lib/guestwake", kib=1024) as disk:
        host.looks_after(guest)
        manager = host.begins(guest, window=9)
        until(lambda: host.phase(guest) == "holding")
        disk.fill()
        manager.process.wait(DEADLINE)
        assert manager.says("cannot be recorded")
        assert guest.state() == "saved"
        disk.make_room()
        # The next one reads of a VM that is awake, and of nobody who has put it back.
        with diary_of(guest) as diary:
            host.wakes(guest, window=2, code=7)
            assert starts_and_stops(diary()) == []
        assert guest.state() == "saved"
        assert host.outcomes(guest) == ["stopped-by-somebody"]
        host.wakes(guest, window=2)
        assert host.outcomes(guest)[-1] == "put-back"
