"""What this machine's kernel tells about a QEMU that runs on it: its process, its display's peers.

libvirt has no question for either. Reads /proc only, needs no rights, and answers None where
the process is not to be found (another machine, another process namespace).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from guestwake.hypervisors.libvirt_xml import Display
from guestwake.policy.words import Start

_ESTABLISHED = "01"  # of /proc/net/tcp
_CONNECTED = "03"  # of /proc/net/unix


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    ticks: int  # its start, in clock ticks of the host's elapsed time


class QemuProcesses:
    """QEMU processes by the UUID of their VM. Remembered, and verified at each question."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._boot_id = _text(proc / "sys/kernel/random/boot_id").strip()
        self._known: dict[str, Process] = {}

    def find(self, uuid: str) -> Process | None:
        """None: there is none, or more than one."""
        known = self._known.get(uuid)
        if known is None or self._process(known.pid) != known:
            known = self._scan(uuid)
        if known is None:
            self._known.pop(uuid, None)
        else:
            self._known[uuid] = known
        return known

    def start(self, uuid: str) -> Start | None:
        """The same for as long as this QEMU lives: the guest's own restarts stay inside it."""
        process = self.find(uuid)
        if process is None:
            return None
        began = process.ticks / os.sysconf("SC_CLK_TCK")
        return Start(f"{self._boot_id}/{process.pid}/{process.ticks}", began)

    def viewers(self, uuid: str, displays: Iterable[Display]) -> frozenset[str] | None:
        """Peers of the displays, one name for each connection."""
        process = self.find(uuid)
        if process is None:
            return None
        net = self._proc / str(process.pid) / "net"  # QEMU's own network namespace
        found: set[str] = set()
        for display in displays:
            if display.socket:
                found |= unix_peers(_text(net / "unix"), display.socket)
            elif display.ports:
                # The kernel walks a large table for each of these two: 1.5 ms.
                table = _text(net / "tcp") + ("" if display.ipv4_only else _text(net / "tcp6"))
                found |= tcp_peers(table, display.ports)
            else:
                return None  # its clients were handed to QEMU as descriptors
        return frozenset(found)

    def _scan(self, uuid: str) -> Process | None:
        needle = b"\0-uuid\0" + uuid.encode() + b"\0"
        found = [p for pid in self._pids() if (p := self._matching(pid, needle)) is not None]
        return found[0] if len(found) == 1 else None

    def _pids(self) -> Iterator[int]:
        names = os.listdir(self._proc) if self._boot_id else []  # else it is not Linux
        return (int(name) for name in names if name.isdecimal())

    def _matching(self, pid: int, needle: bytes) -> Process | None:
        try:
            command = (self._proc / str(pid) / "cmdline").read_bytes()
        except OSError:  # it has ended meanwhile
            return None
        return self._process(pid) if needle in command else None

    def _process(self, pid: int) -> Process | None:
        """None: no such process, or dead and not yet buried."""
        # The name in brackets may hold spaces and brackets itself: count from the last one.
        fields = _text(self._proc / str(pid) / "stat").rpartition(")")[2].split()
        if not fields or fields[0] in "ZX":
            return None
        return Process(pid, int(fields[19]))


def tcp_peers(table: str, ports: tuple[int, ...]) -> set[str]:
    """Remote ends of connections made to `ports`, from the text of /proc/net/tcp and tcp6."""
    rows = (line.split() for line in table.splitlines())
    return {
        f"tcp:{row[2]}"
        for row in rows
        if row[3:4] == [_ESTABLISHED] and int(row[1].rpartition(":")[2], 16) in ports
    }


def unix_peers(table: str, path: str) -> set[str]:
    """Inodes of the connections accepted at socket `path`, from the text of /proc/net/unix."""
    rows = (line.split(maxsplit=7) for line in table.splitlines())
    return {f"unix:{row[6]}" for row in rows if row[5:6] == [_CONNECTED] and row[7:] == [path]}


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # the process has ended, or IPv6 is off
        return ""


def is_locked(path: Path, locks: Path = Path("/proc/locks")) -> bool:
    """Another process holds a lock on that file. Read from the kernel's list: opening and closing
    the file to find out would drop a lock of our own."""
    try:
        status = path.stat()
    except OSError:
        return False
    where = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    rows = (line.split() for line in _text(locks).splitlines())
    return any(where in row and str(os.getpid()) not in row[4:5] for row in rows)
