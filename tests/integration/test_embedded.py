"""libvirt without a daemon, qemu:///embed: one process at a time has it (contract, section 4)."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from stories import Host, until

from lab.guests import Guest, Lab
from lab.libvirtd import CONFIGURATION

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="libvirt embeds for root here")


@pytest.fixture
def root(lab: Lab) -> Iterator[Path]:
    """The folder of an embedded libvirt that has nothing yet; short, as sockets lie in it."""
    folder = lab.folder / "e"
    (folder / "etc/qemu").mkdir(parents=True)
    (folder / "lib/qemu/save").mkdir(parents=True)
    settings = f'{CONFIGURATION}user = "root"\ngroup = "root"\nremember_owner = 0\n'
    (folder / "etc/qemu.conf").write_text(settings)
    yield folder
    for pid in folder.glob("run/qemu/*.pid"):
        with suppress(ProcessLookupError, ValueError):  # of one that has ended
            os.kill(int(pid.read_text()), 9)
    shutil.rmtree(folder)


def moved_to(root: Path, guest: Guest) -> Path:
    """A saved guest, with its memory; the saved image is returned."""
    definition = guest.lab.virsh("dumpxml", guest.uuid, "--inactive")
    (root / "etc/qemu" / f"{guest.name}.xml").write_text(definition)
    image = root / "lib/qemu/save" / guest.saved_image.name
    shutil.copyfile(guest.saved_image, image)
    return image


def test_woken_and_put_back_without_a_daemon(lab: Lab, host: Host, root: Path) -> None:
    guest, uri = lab.hibernated_guest("web01"), f"qemu:///embed?root={root}"
    image = moved_to(root, guest)
    host.guestwake("workspace", "add", guest.name, "--uri", uri)

    first = host.begins(guest, window=600)
    until(lambda: host.phase(guest) == "holding")
    assert not image.exists()  # libvirt takes it away once it has been restored
    said = host.guestwake("workspace", "add", "other", "--uri", uri, code=11)
    assert f"another process has {uri} open" in said
    assert len(said.splitlines()) == 1

    # The VM outlives the process in which libvirt ran, and is known again by the next one.
    first.kill()
    again = host.begins(guest)
    until(lambda: host.status(guest)["run"]["manager_lives"])
    again.process.terminate()
    said = again.ends(code=15)
    assert image.exists()
    assert host.outcomes(guest) == ["put-back"]
    assert "libvirt:" not in said


def test_doctor_finds_who_else_starts_it_and_starts_nothing(
    lab: Lab, host: Host, root: Path
) -> None:
    guest, uri = lab.hibernated_guest("web01"), f"qemu:///embed?root={root}"
    image = moved_to(root, guest)
    host.guestwake("workspace", "add", guest.name, "--uri", uri)
    assert _found(host, "autostart")["level"] == "ok"

    # As 'virsh autostart' does it.
    (root / "etc/qemu/autostart").mkdir()
    (root / "etc/qemu/autostart" / f"{guest.name}.xml").symlink_to(
        root / "etc/qemu" / f"{guest.name}.xml"
    )
    found = _found(host, "autostart", code=14)
    assert found["level"] == "warning"
    assert found["remedy"] == f"virsh --connect '{uri}' autostart --disable {guest.name}"
    assert "(saved)" in _found(host, "vm", code=14)["sentence"]
    assert image.exists()


def _found(host: Host, check: str, *, code: int = 0) -> dict[str, str]:
    """What `doctor` found of the one workspace."""
    done = host.calls("doctor", "--json")
    assert done.returncode == code, done.stdout + done.stderr
    (found,) = (each for each in json.loads(done.stdout) if each["check"] == check)
    return dict(found)
