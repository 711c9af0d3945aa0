"""The Guest Update Service as a Windows service under Wine, speaking over TCP to the host's program
on Linux: an ESD signal there is a mark here."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab.image import PROJECT
from lab.wine import Wine, windows_path

PROGRAM = windows_path(Path(__file__).with_name("guest_program.py"))
SERVICE = "GuestwakeGuest"


def until(true: Callable[[], object], seconds: float = 120.0) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def guest(
    wine: Wine, *words: str, check: bool = True, text: str | None = None
) -> subprocess.CompletedProcess[str]:
    return wine.python(PROGRAM, *words, check=check, text=text)


def is_running(wine: Wine) -> bool:
    return "RUNNING" in wine.run("sc", "query", SERVICE, check=False).stdout


def programs() -> set[str]:
    """Of the service, by their processes here."""
    found = subprocess.run(
        ["pgrep", "-f", r"guest_program\.py\"? service$"], stdout=subprocess.PIPE, text=True
    )
    return set(found.stdout.split())


@pytest.fixture
def service(wine: Wine) -> Iterator[Wine]:
    """Installed and started, in a boot in which nobody has signalled yet."""
    of_boot = r"HKLM\SOFTWARE\Guestwake\Guest of this boot"
    wine.reg("delete", of_boot, "/f", "/reg:64", check=False)
    done = guest(wine, "install")
    assert f"started the service {SERVICE}" in done.stdout
    assert until(lambda: is_running(wine))
    yield wine
    guest(wine, "uninstall", check=False)


def signal(wine: Wine) -> int:
    return guest(wine, "require-restart", check=False).returncode


def report(wine: Wine) -> dict[str, object]:
    found: dict[str, object] = json.loads(guest(wine, "status", "--json", check=False).stdout)
    return found


def test_it_is_installed_signalled_stopped_and_removed(wine: Wine, tmp_path: Path) -> None:
    assert signal(wine) == 3  # nobody hears it
    assert "installed" in guest(wine, "install").stdout
    assert until(lambda: is_running(wine))
    before = programs()
    assert "was there" in guest(wine, "install").stdout  # another version, perhaps
    assert until(lambda: is_running(wine))
    assert until(lambda: programs().isdisjoint(before))
    assert len(before) == len(programs()) == 1
    # A program of C's, as an ESD system has it.
    program = tmp_path / "restart-required.exe"
    source = PROJECT / "examples" / "esd" / "restart-required.c"
    subprocess.run(("x86_64-w64-mingw32-gcc", "-o", program, source), check=True)
    assert wine.run(windows_path(program), check=False).returncode == 0

    def sources() -> list[str]:
        return [one["source"] for one in report(wine)["restart"]]  # type: ignore[attr-defined]

    assert until(lambda: "esd-signal" in sources())
    assert "removed" in guest(wine, "uninstall").stdout
    assert not is_running(wine)
    assert until(lambda: wine.run(windows_path(program), check=False).returncode == 2)  # no event
    assert "not installed" in guest(wine, "uninstall").stdout
    assert "esd-signal" in sources()  # it stands until the next boot


def test_wrong_calls_are_told(wine: Wine) -> None:
    for words in ((), ("dance",), ("status", "--xml"), ("pair", "guestwake1:x")):
        done = guest(wine, *words, check=False)
        assert done.returncode == 2
        assert "--help" in done.stderr
    assert "require-restart" in guest(wine, "--help").stdout
    assert guest(wine, "service", check=False).returncode == 2


class Host:
    """The host's own program, on Linux, with a VM that runs for as long as somebody asks for it
    (libvirt's test driver): its guest is the Windows under Wine."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.place = f"127.0.0.1:{listener.getsockname()[1]}"
        self.guestwake("workspace", "add", "test", "--uri", "test:///default")

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "guestwake.edges.cli", "--root", str(self.root), *words]

    def guestwake(self, *words: str) -> str:
        done = subprocess.run(self.command(*words), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self) -> dict[str, Any]:
        (found,) = json.loads(self.guestwake("status", "--json"))
        return dict(found)

    @contextmanager
    def run(self) -> Iterator[None]:
        """A window of it. What it said is shown where the test fails."""
        with subprocess.Popen(self.command("wake", "test", "--duration", "60")) as process:
            try:
                yield
            finally:
                process.terminate()
                process.wait(60)


def test_a_signal_there_is_a_mark_here(service: Wine, tmp_path: Path) -> None:
    host = Host(tmp_path)
    token = host.guestwake("workspace", "channel", "add", "test", "--tcp", host.place)
    assert "paired" in guest(service, "pair", text=token).stdout
    with host.run():
        assert until(lambda: host.status()["guest"])
        assert host.status()["restart_required"] is None
        assert signal(service) == 0
        assert until(lambda: host.status()["restart_required"])
    mark = host.status()["restart_required"]
    assert "esd-signal" in json.dumps(mark)
    assert "not paired" in guest(service, "unpair").stdout
