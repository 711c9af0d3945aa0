"""Guests' agents for tests: a Debian's as it was recorded, and a Windows' as it is scripted from
what is written about `reg.exe`; and a reporter that asks them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from guestwake.guest_agent import AgentReporter
from guestwake.guest_agent_answers import READ_BYTES_MAX
from guestwake.guest_agent_windows import AUTO_UPDATE, BOOT, COMPUTER_NAME, SERVICING
from guestwake.hypervisors.api import HypervisorError, Vm
from guestwake.hypervisors.memory import Guest, MemoryHypervisor, MemoryMachine
from guestwake.policy.words import Now, Power
from guestwake_wire.messages import Report, decode, encode

WALL = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)
RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parent / "recorded" / "qemu-guest-agent-7.2.json").read_text()
)
UTMP = "/run/utmp"
BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id"
BOOT_ID = base64.b64decode(RECORDED["boot_id"]["buf-b64"]).decode().strip()


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def without(*names: str) -> dict[str, Any]:
    """guest-info of an agent that has these switched off."""
    info: dict[str, Any] = json.loads(json.dumps(RECORDED["guest-info"]))
    for command in info["supported_commands"]:
        command["enabled"] = command["enabled"] and command["name"] not in names
    return info


@dataclass
class FakeAgent:
    """A Linux guest's agent, by what was recorded; a test may change all of it."""

    info: Any = field(default_factory=without)
    osinfo: Any = field(default_factory=lambda: RECORDED["guest-get-osinfo"])
    users: Any = field(default_factory=list)
    time: Any = RECORDED["nobody signed in"]["guest-get-time"]
    files: dict[str, bytes] = field(
        default_factory=lambda: {BOOT_ID_FILE: f"{BOOT_ID}\n".encode(), UTMP: b"\2\0\0\0"}
    )
    calls: list[str] = field(default_factory=list)
    open: dict[int, str] = field(default_factory=dict)
    breaks: dict[str, HypervisorError] = field(default_factory=dict)
    read: Callable[[bytes], Any] = lambda found: {
        "count": len(found),
        "buf-b64": encoded(found),
        "eof": True,
    }
    handles: int = 1000
    each_takes: float = 0.0  # seconds
    elapsed: float = 0.0

    def answers(self) -> dict[str, Any]:
        found = {
            "guest-info": lambda _: self.info,
            "guest-get-osinfo": lambda _: self.osinfo,
            "guest-get-users": lambda _: self.users,
            "guest-get-time": lambda _: self.time,
            "guest-file-open": self.file_open,
            "guest-file-read": self.file_read,
            "guest-file-close": self.file_close,
            **self.more_answers(),
        }
        return {name: self.counted(name, answer) for name, answer in found.items()}

    def more_answers(self) -> dict[str, Callable[[dict[str, Any]], Any]]:
        return {}

    def counted(
        self, name: str, answer: Callable[[dict[str, Any]], Any]
    ) -> Callable[[dict[str, Any]], Any]:
        def counting(asked: dict[str, Any]) -> Any:
            self.calls.append(name)
            self.elapsed += self.each_takes
            if name in self.breaks:
                raise self.breaks[name]
            return answer(asked)

        return counting

    def file_open(self, asked: dict[str, Any]) -> int:
        if asked["path"] not in self.files:
            raise HypervisorError(RECORDED["refused"]["guest-file-open"])
        self.handles += 1
        self.open[self.handles] = asked["path"]
        return self.handles

    def file_read(self, asked: dict[str, Any]) -> Any:
        assert asked["count"] == READ_BYTES_MAX
        if asked["handle"] not in self.open:
            raise HypervisorError("handle has not been found")
        return self.read(self.files[self.open[asked["handle"]]][:READ_BYTES_MAX])

    def file_close(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self.open.pop(asked["handle"], None) is None:
            raise HypervisorError(RECORDED["refused"]["guest-file-close"])
        return {}


class Place:
    def __init__(self, agent: FakeAgent) -> None:
        self.agent = agent
        self.guest = Guest(answers=agent.answers())
        self.machine = MemoryMachine(lambda: Now(WALL, 0.0, "boot"))
        vm: Vm = self.machine.add("web01", Power.RUNNING, guest=self.guest)
        self.reporter = AgentReporter(MemoryHypervisor(self.machine), vm, lambda: agent.elapsed)

    def ask(self, wall: datetime = WALL) -> Report | None:
        """Whatever comes of it can be sent, and no file stays open."""
        self.agent.calls.clear()
        report = self.reporter.ask(wall)
        assert self.agent.open == {}
        if report is not None:
            assert decode(encode(report)[1:-1]) == report
        return report

    def told(self, wall: datetime = WALL) -> Report:
        report = self.ask(wall)
        assert report is not None
        return report

    def sources(self, wall: datetime = WALL) -> list[str]:
        return [reason.source for reason in self.told(wall).restart]


QUIET: dict[str, str] = {
    BOOT: f"\r\n{BOOT}\r\n    BootId    REG_DWORD    0x2a\r\n\r\n",
    AUTO_UPDATE: f"\r\n{AUTO_UPDATE}\r\n    IsOOBEInProgress    REG_DWORD    0x0\r\n"
    f"    LastOnline    REG_QWORD    0x1db3f0a\r\n\r\n{AUTO_UPDATE}\\Results\r\n",
    SERVICING: f"\r\n{SERVICING}\r\n    Version    REG_SZ    10.0.19041.1\r\n"
    f"    (Default)    REG_SZ    \r\n\r\n{SERVICING}\\Packages\r\n{SERVICING}\\Version\r\n",
    COMPUTER_NAME: f"\r\n{COMPUTER_NAME}\r\n\r\n"
    f"{COMPUTER_NAME}\\ActiveComputerName\r\n    ComputerName    REG_SZ    OFFICE-7\r\n\r\n"
    f"{COMPUTER_NAME}\\ComputerName\r\n    (Default)    REG_SZ    mnmsrvc\r\n"
    "    ComputerName    REG_SZ    OFFICE-7\r\n\r\n",
}
WINDOWS = {
    "id": "mswindows",
    "name": "Microsoft Windows",
    "pretty-name": "Windows 10 Pro",
    "version": "Microsoft Windows 10",
    "kernel-version": "10.0",
    "kernel-release": "19045",
    "machine": "x86_64",
}


@dataclass
class FakeWindows(FakeAgent):
    """`registry`: what reg.exe prints, by key; for others it fails. `slow`: keys whose question
    never ends."""

    osinfo: Any = field(default_factory=lambda: WINDOWS)
    files: dict[str, bytes] = field(default_factory=dict)
    registry: dict[str, str] = field(default_factory=lambda: dict(QUIET))
    slow: set[str] = field(default_factory=set)
    processes: dict[int, list[str]] = field(default_factory=dict)

    def more_answers(self) -> dict[str, Callable[[dict[str, Any]], Any]]:
        return {"guest-exec": self.execute, "guest-exec-status": self.status}

    def execute(self, asked: dict[str, Any]) -> Any:
        assert (asked["path"], asked["arg"][0], asked["arg"][-1]) == ("reg.exe", "query", "/reg:64")
        self.handles += 4
        self.processes[self.handles] = asked["arg"]
        return {"pid": self.handles}

    def status(self, asked: dict[str, Any]) -> Any:
        if asked["pid"] not in self.processes:
            raise HypervisorError(RECORDED["refused"]["guest-exec-status"])
        key = self.processes[asked["pid"]][1]
        if key in self.slow:
            return {"exited": False}
        del self.processes[asked["pid"]]
        if key not in self.registry:
            error = b"ERROR: The system was unable to find the specified registry key or value.\r\n"
            return {"exited": True, "exitcode": 1, "err-data": encoded(error)}
        output = self.registry[key].encode("cp850")
        return {"exited": True, "exitcode": 0, "out-data": encoded(output)}

    def restarts(self) -> None:
        self.processes.clear()


# What an enemy may answer to anything.
NESTED: Any = []
for _ in range(500):
    NESTED = [NESTED]
JUNK: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**70, 10**400, 1.5, float("nan"), float("inf"), float("-inf")),
    *("", "x" * (1 << 20), "\ud800\x1b[2J\n", [], [[]], [None], {}, {"": {}}, NESTED),
)
