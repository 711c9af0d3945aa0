"""A host that looks after guests of the lab: the words in which the stories here are told.

    host.looks_after(guest)
    manager = host.begins("wake", guest.name, window=3)
    manager.ends(code=0)
    assert host.outcomes(guest) == ["put-back"]

Guestwake is called as a person calls it: as a process, with a folder of its own, and what it did
is read from its reports, from virsh, and from inside the guest.
"""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.guests import Guest, Lab, LabError

GUESTWAKE = Path(sys.executable).with_name("guestwake")
MORTAL = Path(__file__).with_name("mortal.py")
DEADLINE = 120.0  # seconds, for whatever takes seconds on a quiet machine

# The guests here are offline, and where the tests run is nobody's business.
SETTINGS = """\
require_network = 0
require_ac_power = 0
nudge_update_clients = 0
"""


def until(true: Callable[[], Any], seconds: float = DEADLINE) -> None:
    """Asks again until it is so. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so after {seconds} s: {inspect.getsource(true)}")
        time.sleep(0.1)


@dataclass
class Manager:
    """A `guestwake` that runs."""

    process: subprocess.Popen[str]
    said: Path  # what it said, both streams

    def ends(self, code: int = 0, seconds: float = DEADLINE) -> str:
        """What it said, once it has ended with that exit code."""
        ended = self.process.wait(seconds)
        text = self.said.read_text()
        assert ended == code, f"ended with {ended}, not {code}:\n{text}"
        return text

    def dies(self, seconds: float = DEADLINE) -> None:
        self.ends(-signal.SIGKILL, seconds)

    def says(self, words: str) -> bool:
        return words in self.said.read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE)


@dataclass
class Host:
    lab: Lab
    root: Path
    managers: list[Manager] = field(default_factory=list)

    # what a person does

    def set(self, *lines: str) -> None:
        """The settings of this host; a section counts for the lines after it."""
        folder = self.root / "etc" / "guestwake"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "guestwake.toml").write_text(SETTINGS + "\n".join(lines) + "\n")

    def guestwake(self, *words: str, code: int = 0) -> str:
        """Its stdout; where another exit code than 0 is expected, its stderr."""
        done = self.calls(*words)
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stderr if code else done.stdout

    def calls(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Whatever comes of it."""
        return subprocess.run(
            [GUESTWAKE, "--root", str(self.root), *words],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    def looks_after(self, *guests: Guest) -> None:
        for guest in guests:
            self.guestwake("workspace", "add", guest.name, "--uri", self.lab.uri)

    def begins(
        self,
        guest: Guest,
        window: float | None = None,
        *,
        dies: str | None = None,
        use_ended: float | None = None,
    ) -> Manager:
        """`guestwake wake` for `window` seconds; `mortal.py` knows the other two."""
        options = {"--dies": dies, "--use-ended": use_ended}
        given = [f"{name}={value}" for name, value in options.items() if value is not None]
        command = [sys.executable, str(MORTAL), *given, "--"] if given else [str(GUESTWAKE)]
        command += ["--root", str(self.root), "wake", guest.name]
        if window is not None:
            command += ["--duration", f"{window / 60:.4f}"]
        return self._set_going(command, guest.name)

    def sets_going(self, *words: str) -> Manager:
        """Any other command, which runs on."""
        return self._set_going([str(GUESTWAKE), "--root", str(self.root), *words], words[0])

    def wakes(self, guest: Guest, window: float, *, code: int = 0) -> str:
        return self.begins(guest, window).ends(code)

    def goes_home(self) -> None:
        for manager in self.managers:
            if manager.process.poll() is None:
                manager.kill()

    # what can be seen

    def history(self, guest: Guest) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.guestwake("history", guest.name, "--json"))
        return rows

    def outcomes(self, guest: Guest) -> list[str]:
        return [row["why"] for row in self.history(guest)]

    def status(self, guest: Guest) -> dict[str, Any]:
        (status,) = json.loads(self.guestwake("status", guest.name, "--json"))
        assert isinstance(status, dict)
        return status

    def phase(self, guest: Guest) -> str | None:
        """None: no run is open."""
        run = self.status(guest)["run"]
        return str(run["phase"]) if run else None

    def events(self, guest: Guest) -> list[int]:
        rows = json.loads(self.guestwake("events", "--happened", guest.name, "--json"))
        return [row["event"] for row in rows]

    def _set_going(self, command: list[str], name: str) -> Manager:
        said = self.root / f"{name}-{len(self.managers)}.said"
        with said.open("w") as file:
            process = subprocess.Popen(
                command,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                text=True,
            )
        manager = Manager(process, said)
        self.managers.append(manager)
        return manager

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.lab.environment, "PYTHONDONTWRITEBYTECODE": "1"}


@contextmanager
def host_of(lab: Lab, root: Path) -> Iterator[Host]:
    host = Host(lab, root)
    host.set()
    try:
        yield host
    finally:
        host.goes_home()


@contextmanager
def served(host: Host, bus: str | None = None) -> Iterator[Manager]:
    """By `guestwake serve`, which keeps the time itself. `bus`: the address of what is to be the
    system's; None: it uses none."""
    said = host.root / "serve.said"
    options = [] if bus else ["--no-bus"]
    with said.open("a") as file:
        process = subprocess.Popen(
            [GUESTWAKE, "--root", str(host.root), "serve", *options],
            env={
                **os.environ,
                **host.lab.environment,
                **({"DBUS_SYSTEM_BUS_ADDRESS": bus} if bus else {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            text=True,
        )
    service = Manager(process, said)
    host.managers.append(service)
    yield service
    process.send_signal(signal.SIGTERM)
    service.ends()


def manager_of(host: Host, guest: Guest) -> int | None:
    """Whose run it is."""
    lock = host.root / "run/guestwake/locks" / f"{guest.uuid}.lock"
    pid = int(lock.read_text() or 0) if lock.exists() else 0
    return pid if pid and os.path.exists(f"/proc/{pid}") else None


@contextmanager
def diary_of(guest: Guest) -> Iterator[Callable[[], list[str]]]:
    """What libvirt tells of its life meanwhile, such as `Started Restored`."""
    path = guest.lab.folder / f"{guest.name}.diary"
    words = ["virsh", "--quiet", "--connect", guest.lab.uri, "event", "--domain", guest.uuid]
    with path.open("w") as file:
        listener = subprocess.Popen(
            # Not a terminal, so its lines would come in blocks.
            ["stdbuf", "-oL", *words, "--event", "lifecycle", "--loop"],
            stdout=file,
            stderr=file,
        )

    def lines() -> list[str]:
        return [line.rpartition(": ")[2] for line in path.read_text().splitlines()]

    def listens() -> bool:
        guest.lab.virsh("define", str(guest.definition))  # the same again, which is told too
        return bool(lines())

    try:
        until(listens)
        yield lambda: [line for line in lines() if not line.startswith("Defined")]
    finally:
        listener.kill()
        listener.wait()
        path.unlink()


def starts_and_stops(lines: list[str]) -> list[str]:
    """Of a diary; libvirt also pauses a VM while it reads its memory or writes it down."""
    return [line for line in lines if line.startswith(("Started", "Stopped"))]


def awake(guest: Guest) -> bool:
    """It runs and its agent answers."""
    return guest.state() == "running" and guest.agent_answers()


def boot_id(guest: Guest) -> str:
    return guest.run("cat /proc/sys/kernel/random/boot_id").stdout.strip()


def clock_behind(guest: Guest) -> float:
    """Seconds that its clock is off this one, beyond what asking takes."""
    before = time.time()
    told = float(guest.run("date +%s.%N").stdout)
    return max(before - told, told - time.time(), 0.0)


def woken_by_hand(guest: Guest) -> Guest:
    """To look inside, or to change something there, before or after."""
    if guest.state() == "paused":
        guest.lab.virsh("resume", guest.uuid)
    else:
        with suppress(LabError):
            guest.start()
    guest.wait_until_agent_answers()
    return guest
