"""What /proc tells, of real processes, connections and locks."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from guestwake.hypervisors.libvirt_local import (
    Process,
    QemuProcesses,
    is_locked,
    tcp_peers,
    unix_peers,
)
from guestwake.hypervisors.libvirt_xml import Display

SLEEPER = [sys.executable, "-c", "print(flush=True); input()", "-name", "x (y) z"]


class Sleepers:
    """Processes that look like QEMU to whoever reads their command lines."""

    def __init__(self) -> None:
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, uuid: str) -> subprocess.Popen[bytes]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        one = subprocess.Popen([*SLEEPER, "-uuid", uuid, "-S"], **pipes)
        assert one.stdout is not None
        one.stdout.readline()  # it is itself now, no longer a copy of us
        self.running.append(one)
        return one

    def end(self, one: subprocess.Popen[bytes]) -> None:
        one.kill()
        one.communicate()
        self.running.remove(one)


@pytest.fixture
def sleepers() -> Iterator[Sleepers]:
    made = Sleepers()
    yield made
    for one in list(made.running):
        made.end(one)


def test_a_start_is_dated_and_stays_the_same_until_another(sleepers: Sleepers) -> None:
    uuid, processes = str(uuid4()), QemuProcesses()
    assert processes.start(uuid) is None
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    first = sleepers.start(uuid)
    start = processes.start(uuid)
    assert start is not None
    assert start.at is not None
    assert before - 0.011 <= start.at <= time.clock_gettime(time.CLOCK_BOOTTIME)
    assert processes.start(uuid) == QemuProcesses().start(uuid) == start
    sleepers.end(first)
    assert processes.start(uuid) is None
    sleepers.start(uuid)
    assert processes.start(uuid) not in (start, None)


def test_a_dead_process_that_nobody_has_buried_is_none(sleepers: Sleepers) -> None:
    uuid, processes = str(uuid4()), QemuProcesses()
    one = sleepers.start(uuid)
    assert processes.find(uuid) is not None
    os.kill(one.pid, 9)
    os.waitid(os.P_PID, one.pid, os.WEXITED | os.WNOWAIT)
    assert processes.find(uuid) is None


def test_two_processes_of_one_vm_are_as_good_as_none(sleepers: Sleepers) -> None:
    uuid = str(uuid4())
    sleepers.start(uuid)
    sleepers.start(uuid)
    assert QemuProcesses().find(uuid) is None


def test_a_process_number_used_again_is_not_the_old_process(tmp_path: Path) -> None:
    uuid = str(uuid4())
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("boot\n")
    (tmp_path / "7").mkdir()

    def is_now(command: str, ticks: int) -> None:
        (tmp_path / "7/cmdline").write_bytes(command.encode())
        (tmp_path / "7/stat").write_text(f"7 (a) b) S {'0 ' * 18}{ticks} 0\n")

    processes = QemuProcesses(tmp_path)
    is_now(f"qemu\0-uuid\0{uuid}\0", 100)
    assert processes.find(uuid) == Process(7, 100)
    is_now("something-else\0", 200)
    assert processes.find(uuid) is None
    is_now(f"grep\0-uuid {uuid}\0", 300)
    assert processes.find(uuid) is None


def test_a_display_that_gives_out_descriptors_cannot_be_told(sleepers: Sleepers) -> None:
    uuid, processes = str(uuid4()), QemuProcesses()
    assert processes.viewers(uuid, [Display((5900,), None)]) is None
    sleepers.start(uuid)
    assert processes.viewers(uuid, [Display((), None)]) is None
    assert processes.viewers(uuid, []) == frozenset()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_peers_over_tcp(family: socket.AddressFamily) -> None:
    table = Path("/proc/net/tcp" if family is socket.AF_INET else "/proc/net/tcp6")
    with socket.create_server(("", 0), family=family) as server:
        port = server.getsockname()[1]
        assert tcp_peers(table.read_text(), (port,)) == set()
        with (
            socket.create_connection(("localhost", port))
            if family is socket.AF_INET
            else (socket.create_connection(("::1", port))) as client
        ):
            (peer,) = tcp_peers(table.read_text(), (port,))
            assert peer.endswith(f":{client.getsockname()[1]:04X}")
            assert tcp_peers(table.read_text(), (client.getsockname()[1],)) != {peer}
        assert tcp_peers(table.read_text(), (port,)) == set()


def test_peers_of_a_socket_with_a_space_in_its_name(tmp_path: Path) -> None:
    path, table = tmp_path / "a display", Path("/proc/net/unix")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(path))
        server.listen()
        assert unix_peers(table.read_text(), str(path)) == set()
        client.connect(str(path))
        with server.accept()[0] as accepted:
            inode = os.fstat(accepted.fileno()).st_ino
            assert unix_peers(table.read_text(), str(path)) == {f"unix:{inode}"}


def test_a_lock_of_another_process_is_seen_and_ours_is_not_one(tmp_path: Path) -> None:
    path = tmp_path / "driver.pid"
    assert not is_locked(path)
    with path.open("w") as ours:
        fcntl.lockf(ours, fcntl.LOCK_EX)
        status = path.stat()
        device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
        if f"{device}:{status.st_ino}" not in Path("/proc/locks").read_text():
            pytest.skip("this filesystem's locks go by another device number")
        assert not is_locked(path)
    assert not is_locked(path)
    code = f"import fcntl; f = open({str(path)!r}, 'w'); fcntl.lockf(f, fcntl.LOCK_EX); "
    code += "print(flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert is_locked(path)
        other.communicate(b"\n")
    assert not is_locked(path)
