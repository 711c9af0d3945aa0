"""Real file systems that fail under the journal: read-only, full, without room for another file,
not ours to write. What cannot be recorded is not woken; what was woken is put back all the same
(contract, section 4.6)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from command_world import CommandWorld

from guestwake.edges.exit_codes import Exit
from guestwake.policy.run import Why
from guestwake.policy.words import Power
from lab.fixtures import private_mounts

__all__ = ["private_mounts"]

pytestmark = [pytest.mark.more, pytest.mark.usefixtures("private_mounts")]


class DiesError(BaseException):
    """kill -9: nothing of the program may catch it."""


class Disk:
    """A real file system of a megabyte, in memory, that is the state folder's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def mount(self) -> None:
        self.folder.mkdir(parents=True)
        _run("mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=64,mode=755", "journal", self.folder)

    def unmount(self) -> None:
        _run("umount", "--lazy", self.folder)

    def read_only(self) -> None:
        _run("mount", "-o", "remount,ro", self.folder)

    def full(self) -> None:
        """Not a byte is left."""
        with suppress(OSError), (self.folder / "filler").open("ab", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        assert os.statvfs(self.folder).f_bfree == 0

    def without_inodes(self) -> None:
        """As a quota on files has it."""
        with suppress(OSError):
            for number in count():
                (self.folder / f"filler-{number}").touch()
        assert os.statvfs(self.folder).f_ffree == 0

    def good(self) -> None:
        _run("mount", "-o", "remount,rw", self.folder)
        for filler in self.folder.glob("filler*"):
            filler.unlink()


def _run(*words: str | Path) -> None:
    subprocess.run(words, check=True, timeout=60)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    its = Disk(tmp_path / "var/lib/guestwake")
    its.mount()
    yield its
    its.unmount()


@pytest.fixture
def world(tmp_path: Path, disk: Disk, capsys: pytest.CaptureFixture[str]) -> CommandWorld:
    return CommandWorld(tmp_path, capsys)


def _fail(disk: Disk, how: str) -> None:
    {"read-only": disk.read_only, "full": disk.full, "no inodes": disk.without_inodes}[how]()


FAULTS = ["read-only", "full", "no inodes"]


def _dies_awake(world: CommandWorld, name: str = "web01") -> None:
    def dies() -> None:
        if world.power(name) is Power.RUNNING:
            raise DiesError

    world.clock.at_wait = dies
    with pytest.raises(DiesError):
        world.run("wake", name, "--duration", "5")
    world.clock.at_wait = lambda: None
    world.capsys.readouterr()
    assert world.power(name) is Power.RUNNING


def _once_awake(world: CommandWorld, act: Callable[[], None]) -> None:
    """In the middle of a window."""

    def at_wait() -> None:
        if world.power("web01") is Power.RUNNING:
            world.clock.at_wait = lambda: None
            act()

    world.clock.at_wait = at_wait


def _is_over(world: CommandWorld) -> bool:
    return world.application_runs() == []


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_woken_where_no_journal_can_be_begun(
    world: CommandWorld, disk: Disk, fault: str
) -> None:
    world.vm("web01")
    _fail(disk, fault)
    assert world.run("wake", "web01", "--duration", "5") == Exit.JOURNAL
    assert "journal.db" in world.err
    assert world.power("web01") is Power.SAVED
    assert "Traceback" not in world.err
    disk.good()
    assert world.run("wake", "web01", "--duration", "5") == Exit.DONE
    assert world.power("web01") is Power.SAVED


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_woken_where_the_journal_that_is_there_cannot_be_written(
    world: CommandWorld, disk: Disk, fault: str
) -> None:
    world.vm("web01")
    assert world.run("wake", "web01", "--duration", "5") == Exit.DONE
    woken = world.machine.get(world.application.workspaces.find("web01").vm).starts
    _fail(disk, fault)
    assert world.run("wake", "web01", "--duration", "5") == Exit.JOURNAL
    assert world.machine.get(world.application.workspaces.find("web01").vm).starts == woken
    assert world.power("web01") is Power.SAVED


@pytest.mark.parametrize("fault", FAULTS)
def test_what_was_woken_is_put_back_where_the_journal_cannot_be_written_any_more(
    world: CommandWorld, disk: Disk, fault: str
) -> None:
    world.vm("web01")
    _dies_awake(world)
    _fail(disk, fault)
    assert world.run("wake", "--scheduled", "web01") == Exit.JOURNAL
    assert "Traceback" not in world.err
    assert world.power("web01") is Power.SAVED
    disk.good()
    # That it was put back could not be recorded: it looks as if somebody had.
    assert world.run("wake", "--scheduled", "web01") in (Exit.DONE, Exit.HANDED_OVER)
    assert _is_over(world)


def test_a_disk_that_fills_while_it_is_awake(world: CommandWorld, disk: Disk) -> None:
    world.vm("web01")
    _once_awake(world, disk.full)
    world.run("wake", "web01", "--duration", "5")
    assert world.power("web01") is Power.SAVED
    disk.good()
    world.run("wake", "--scheduled", "web01")
    assert _is_over(world)
    assert world.power("web01") is Power.SAVED


@pytest.mark.parametrize("fault", FAULTS)
def test_reports_are_there_all_the_same(world: CommandWorld, disk: Disk, fault: str) -> None:
    """Nobody has the journal open, so SQLite cannot share its index in that folder."""
    world.vm("web01")
    world.run("wake", "web01", "--duration", "5")
    _fail(disk, fault)
    (row,) = world.json("history")
    assert row["why"] == Why.PUT_BACK
    _dies_and_is_reported(world, disk, fault)


def _dies_and_is_reported(world: CommandWorld, disk: Disk, fault: str) -> None:
    disk.good()
    _dies_awake(world)
    _fail(disk, fault)
    (status,) = world.json("status")
    assert status["run"]["phase"] == "holding"


def test_a_journal_that_is_deleted_while_the_vm_is_awake(world: CommandWorld) -> None:
    """Its manager goes on in a new one, and nothing of this run is forgotten."""

    def delete() -> None:
        for part in world.application.journal_path.parent.glob("journal.db*"):
            part.unlink()

    world.vm("web01")
    _once_awake(world, delete)
    assert world.run("wake", "web01", "--duration", "5") == Exit.DONE
    assert world.power("web01") is Power.SAVED
    (row,) = world.json("history")
    assert (row["why"], row["prior"]) == (Why.PUT_BACK, "saved")


def test_a_journal_in_whose_place_an_older_copy_is_put_while_the_vm_is_awake(
    world: CommandWorld, tmp_path: Path
) -> None:
    world.vm("web01")
    assert world.run("hold", "web01", "--for", "1m", "--reason", "a talk") == Exit.DONE, world.err
    path = world.application.journal_path
    copy = shutil.copy(path, tmp_path / "copy")
    world.run("wake", "web01", "--duration", "5")

    def replace() -> None:
        for part in path.parent.glob("journal.db*"):
            part.unlink()
        shutil.copy(copy, path)

    _once_awake(world, replace)
    assert world.run("wake", "web01", "--duration", "5") == Exit.DONE
    assert world.power("web01") is Power.SAVED
    assert len(world.json("history")) == 1


@pytest.mark.parametrize("mode", [0o000, 0o400])
def test_a_journal_that_is_not_ours_to_write(tmp_path: Path, mode: int) -> None:
    """Root may do anything, so the commands run without that right of root's."""
    root = tmp_path / "root"
    machine = tmp_path / "machine.xml"
    machine.write_text(_MACHINE)

    def guestwake(*words: str) -> subprocess.CompletedProcess[str]:
        command = [Path(sys.executable).with_name("guestwake"), "--root", root, *words]
        less = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
        return subprocess.run(
            [*(less if os.geteuid() == 0 else []), *command],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    added = guestwake("workspace", "add", "web01", "--uri", f"test://{machine}", "--system")
    assert added.returncode == 0, added.stderr
    assert guestwake("hold", "web01", "--for", "1m").returncode == 0
    journal = root / "var/lib/guestwake/journal.db"
    journal.chmod(mode)
    done = guestwake("wake", "web01", "--duration", "1")
    assert done.returncode == Exit.JOURNAL, done.stderr
    assert "Traceback" not in done.stderr
    assert "by this user" in done.stderr
    status = guestwake("status")
    assert status.returncode == (0 if mode else Exit.JOURNAL), status.stderr
    assert "Traceback" not in status.stderr
    assert not list(journal.parent.glob("*damaged*"))


_MACHINE = """\
<node xmlns:test="http://libvirt.org/schemas/domain/test/1.0">
  <domain type="test">
    <name>web01</name>
    <uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>
    <memory>65536</memory>
    <os><type>hvm</type></os>
    <test:runstate>5</test:runstate>
  </domain>
</node>
"""
