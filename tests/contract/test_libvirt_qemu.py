"""What only QEMU below a libvirtd, or below libvirt inside this process, can show."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from worlds import World, qemu_world, until, virsh

from guestwake.hypervisors.api import (
    HypervisorError,
    ImageUnusable,
    Unreachable,
)
from guestwake.policy.words import Power, StoppedBy, Verb

if TYPE_CHECKING:
    from lab.libvirtd import Libvirtd

pytestmark = pytest.mark.qemu


@pytest.fixture
def world(libvirtd: Libvirtd, tmp_path: Path, as_its_user: None) -> Iterator[World]:
    with qemu_world(libvirtd, tmp_path) as made:
        yield made


@pytest.fixture
def own_libvirtd() -> Iterator[Libvirtd]:
    """One that a test may kill."""
    from lab.libvirtd import private_libvirtd

    with private_libvirtd() as daemon:
        yield daemon


# -- what another sees


def test_while_somebody_saves_it_the_vm_is_changing(world: World) -> None:
    world.do(Verb.START)
    saving = threading.Thread(target=world.another().apply, args=(world.vm, Verb.SAVE))
    seen = [world.power()]
    saving.start()
    while seen[-1] is not Power.SAVED and saving.is_alive():
        seen.append(world.power())
    saving.join()
    assert set(seen) | {world.power()} == {Power.RUNNING, Power.CHANGING, Power.SAVED}


def test_a_vm_with_a_block_job_is_changing(libvirtd: Libvirtd, world: World) -> None:
    disk, copy = (libvirtd.folder / f"{world.name}-{n}.raw" for n in ("disk", "copy"))
    disk.write_bytes(bytes(1 << 20))
    virsh(
        libvirtd, "attach-disk", world.name, str(disk), "vda", "--targetbus", "virtio", "--config"
    )
    world.do(Verb.START)
    # Copied in no time, and then a mirror until somebody ends it.
    virsh(libvirtd, "blockcopy", world.name, "vda", str(copy), "--transient-job")
    assert world.power() is Power.CHANGING
    assert world.hypervisor.verbs(world.vm) == frozenset()
    assert until(lambda: mirrors(libvirtd, world.name))
    assert world.power() is Power.CHANGING
    virsh(libvirtd, "blockjob", world.name, "vda", "--abort")
    assert world.power() is Power.RUNNING


def mirrors(libvirtd: Libvirtd, name: str) -> bool:
    return "<mirror" in virsh(libvirtd, "dumpxml", name)


def test_a_vm_deleted_by_somebody_is_gone(libvirtd: Libvirtd, world: World) -> None:
    virsh(libvirtd, "undefine", world.name)
    assert world.power() is Power.GONE


def test_a_renamed_vm_is_the_same_vm(libvirtd: Libvirtd, world: World) -> None:
    virsh(libvirtd, "domrename", world.name, f"{world.name}-new")
    assert world.power() is Power.OFF
    assert world.hypervisor.find(f"{world.name}-new").uuid == world.vm.uuid
    virsh(libvirtd, "domrename", f"{world.name}-new", world.name)


def test_viewers_over_tcp_are_seen_too(
    libvirtd: Libvirtd, tmp_path: Path, as_its_user: None
) -> None:
    with qemu_world(libvirtd, tmp_path, tcp=True) as world:
        world.do(Verb.START)
        assert world.hypervisor.viewers(world.vm) == frozenset()
        leave = world.view()
        (viewer,) = world.hypervisor.viewers(world.vm)
        assert viewer.startswith("tcp:0100007F:")
        leave()
        assert until(lambda: world.hypervisor.viewers(world.vm) == frozenset())


# -- saving


def test_the_image_lies_in_the_folder_that_traits_name(world: World) -> None:
    world.bring_to(Power.SAVED)
    folder = world.hypervisor.traits(world.vm).image_folder
    assert (Path(folder) / f"{world.name}.save").stat().st_size > 100_000


def test_a_vm_that_cannot_be_saved_says_so_and_runs_on(world: World, libvirtd: Libvirtd) -> None:
    world.do(Verb.START)
    folder = libvirtd.save_folder
    folder.mkdir(parents=True, exist_ok=True)
    in_the_way = folder / f"{world.name}.save"
    in_the_way.mkdir()
    try:
        with pytest.raises(HypervisorError) as caught:
            world.hypervisor.apply(world.vm, Verb.SAVE)
        assert caught.type is HypervisorError  # refused, not busy
        assert world.power() is Power.RUNNING
    finally:
        in_the_way.rmdir()


def test_a_transient_vm_is_refused_and_traits_say_why(world: World, libvirtd: Libvirtd) -> None:
    world.do(Verb.START)
    virsh(libvirtd, "undefine", world.name)
    traits = world.hypervisor.traits(world.vm)
    assert not traits.can_be_saved
    assert "transient" in (traits.why_not or "")
    with pytest.raises(HypervisorError, match="transient") as caught:
        world.hypervisor.apply(world.vm, Verb.SAVE)
    assert caught.type is HypervisorError
    assert world.power() is Power.RUNNING


def test_an_image_cut_in_the_middle_is_found_out_at_the_start_and_kept(
    world: World, libvirtd: Libvirtd
) -> None:
    world.bring_to(Power.SAVED)
    image = libvirtd.save_folder / f"{world.name}.save"
    os.truncate(image, image.stat().st_size // 2)
    assert world.hypervisor.saved_image_ok(world.vm) is True  # only its head can be read
    with pytest.raises(ImageUnusable):
        world.hypervisor.apply(world.vm, Verb.START)
    assert world.power() is Power.SAVED
    assert image.exists()


# -- a connection that is lost


def test_a_daemon_that_dies_is_unreachable_and_found_again(
    own_libvirtd: Libvirtd, tmp_path: Path
) -> None:
    with qemu_world(own_libvirtd, tmp_path) as world:
        world.do(Verb.START)
        before = world.hypervisor.state(world.vm)
        told = threading.Event()
        listening = world.another()
        listening.on_change(told.set)
        assert listening.state(world.vm) == before
        own_libvirtd.kill()
        assert told.wait(10)
        for driver in (world.hypervisor, listening):
            with pytest.raises(Unreachable):
                driver.state(world.vm)
        with pytest.raises(Unreachable):
            world.hypervisor.state(world.vm)
        own_libvirtd.start()
        assert until(lambda: world.hypervisor.state(world.vm) == before)
        told.clear()
        assert listening.state(world.vm) == before
        world.do(Verb.PAUSE)
        assert told.wait(10)


def test_a_vm_that_ended_while_no_daemon_looked_is_off(
    own_libvirtd: Libvirtd, tmp_path: Path
) -> None:
    with qemu_world(own_libvirtd, tmp_path) as world:
        world.do(Verb.START)
        own_libvirtd.kill()
        world.crash()
        own_libvirtd.start()
        assert until(lambda: state_or_none(world) is Power.OFF)
        assert world.hypervisor.state(world.vm).stopped_by in (StoppedBy.CRASH, None)


@pytest.mark.full
def test_a_daemon_that_hangs_is_unreachable_within_half_a_minute(
    own_libvirtd: Libvirtd, tmp_path: Path
) -> None:
    with qemu_world(own_libvirtd, tmp_path) as world:
        listening = world.another()
        listening.on_change(lambda: None)
        assert listening.state(world.vm).power is Power.OFF
        daemon = int((own_libvirtd.folder / "libvirtd.pid").read_text())
        os.kill(daemon, signal.SIGSTOP)
        try:
            with pytest.raises(Unreachable):
                listening.state(world.vm)
        finally:
            os.kill(daemon, signal.SIGCONT)
        assert listening.state(world.vm).power is Power.OFF


def test_closing_leaves_no_connection_behind(world: World) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = open_files()
    for _ in range(5):
        other = world.another()
        other.on_change(lambda: None)
        assert other.state(world.vm).power is Power.OFF
        other.close()
    assert until(lambda: open_files() <= before + 1)


def state_or_none(world: World) -> Power | None:
    try:
        return world.power()
    except Unreachable:
        return None


@pytest.mark.parametrize(
    "uri",
    [
        "qemu+unix:///session?socket=/nonexistent/libvirt-sock",
        "qemu:///embed?root=/proc/nonexistent",
        "nonsense",
        "nonsense:///system",
    ],
)
def test_a_uri_that_leads_nowhere_is_unreachable(uri: str) -> None:
    code = "import sys; from guestwake.hypervisors import api, libvirt\n"
    code += "try: print(list(libvirt.Libvirt(sys.argv[1]).vms()))\n"
    code += "except api.Unreachable as err: print(err, file=sys.stderr); sys.exit(7)"
    # Libvirt inside this process could not be opened again after a failure.
    run = subprocess.run(
        [sys.executable, "-c", code, uri], capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.returncode, run.stdout) == (7, "")
    assert len(run.stderr.splitlines()) == 1  # our sentence, and nothing of libvirt's own


# -- embedded


EMBEDDED = """
import sys
from guestwake.hypervisors.api import InUseByAnotherProcess
from guestwake.hypervisors.libvirt import Libvirt
from guestwake.policy.words import Verb
driver = Libvirt(sys.argv[1])
for line in sys.stdin:
    try:
        vm = driver.find("embedded")
        for verb in line.split():
            driver.apply(vm, Verb(verb))
        print(driver.state(vm), driver.viewers(vm), flush=True)
    except InUseByAnotherProcess as err:
        print("in use:", err, flush=True)
driver.close()
"""


class Embedded:
    """A process that has an embedded libvirt open."""

    def __init__(self, uri: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", EMBEDDED, uri],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def do(self, verbs: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{verbs}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def end(self) -> str:
        """What it said on stderr."""
        return self.process.communicate(timeout=30)[1]


@pytest.mark.skipif(os.geteuid() != 0, reason="libvirt embeds for root here")
def test_embedded_libvirt_serves_one_process_at_a_time_and_its_vms_outlive_it(
    embedded_root: Path,
) -> None:
    uri = f"qemu:///embed?root={embedded_root}"
    first = Embedded(uri)
    started = first.do("start")
    assert "RUNNING" in started

    second = Embedded(uri)
    assert "in use: another process" in second.do("")
    assert first.end() == ""  # nothing of libvirt's on stderr
    assert second.do("") == started  # the same start, and it could be opened after all
    saved = second.do("save-paused")
    assert "SAVED" in saved
    assert (embedded_root / "lib/qemu/save/embedded.save").exists()
    assert second.end() == ""

    third = Embedded(uri)
    assert "PAUSED" in third.do("start")
    assert "OFF" in third.do("power-off")
    assert third.end() == ""
