"""Real processes of Guestwake that meet: on a run, on the journal, on the list of workspaces."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from guestwake.application import Application
from guestwake.edges.exit_codes import Exit
from guestwake.events import JOURNAL_SET_ASIDE
from guestwake.journal import Journal
from guestwake.journal_file import were_set_aside
from guestwake.paths import Paths

GUESTWAKE = Path(sys.executable).with_name("guestwake")
PATIENCE = 120.0  # seconds, for what takes one on a quiet machine
SETTINGS = """\
guest_update_duration = 0
require_network = 0
require_ac_power = 0
"""
_DOMAIN = """\
  <domain type="test">
    <name>{name}</name>
    <uuid>6695eb01-f6a4-8304-79aa-97f2502e19{number:02x}</uuid>
    <memory>65536</memory>
    <os><type>hvm</type></os>
    <test:runstate>5</test:runstate>
  </domain>
"""
_NODE = '<node xmlns:test="http://libvirt.org/schemas/domain/test/1.0">\n{domains}</node>\n'


@dataclass
class Host:
    """libvirt's own test driver: VMs that are off. Each process has a machine of its own."""

    folder: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root = self.folder / "root"
        machine = self.folder / "machine.xml"
        domains = (_DOMAIN.format(name=f"web{at:02}", number=at) for at in range(1, 9))
        machine.write_text(_NODE.format(domains="".join(domains)))
        self.uri = f"test://{machine}"
        settings = self.root / "etc/guestwake/guestwake.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text(SETTINGS)

    def begins(self, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [GUESTWAKE, "--root", self.root, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.processes.append(process)
        return process

    def guestwake(self, *words: str, code: int = Exit.DONE) -> str:
        return ends(self.begins(*words), code)

    def status(self, name: str = "web01") -> dict[str, Any]:
        (found,) = json.loads(self.guestwake("status", "--json", name))
        assert isinstance(found, dict)
        return found

    def is_holding(self) -> bool:
        run = self.status()["run"]
        return bool(run and run["phase"] == "holding")

    def history(self) -> list[str]:
        return [row["why"] for row in json.loads(self.guestwake("history", "--json"))]


def ends(process: subprocess.Popen[str], code: int = Exit.DONE) -> str:
    """What it said."""
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, f"{process.args}: {process.returncode}\n{said}"
    assert "Traceback" not in said
    return said


def _has_children(process: subprocess.Popen[str]) -> bool:
    words = ["pgrep", "--parent", str(process.pid)]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    its = Host(tmp_path)
    yield its
    for process in its.processes:
        if process.poll() is None:
            process.kill()
            process.communicate()


def _add(host: Host, name: str = "web01") -> subprocess.Popen[str]:
    return host.begins("workspace", "add", name, "--uri", host.uri, "--system")


@pytest.mark.more
def test_a_second_manager_says_that_there_is_one(host: Host) -> None:
    ends(_add(host))
    first = host.begins("wake", "web01", "--duration", "10")
    until(host.is_holding)
    said = host.guestwake("wake", "web01", code=Exit.ALREADY_RUNNING)
    assert f"process {first.pid} is already running it" in said
    host.guestwake("wake", "--scheduled", "web01")  # a timer that comes twice does no harm
    assert host.is_holding()
    first.send_signal(signal.SIGTERM)
    ends(first, Exit.STOPPED)
    assert host.history() == ["put-back-owed-off"]  # saved, as signals have it


@pytest.mark.more
def test_who_wishes_something_while_a_manager_and_the_service_are_at_work(host: Host) -> None:
    ends(_add(host))
    manager = host.begins("wake", "web01", "--duration", "30")
    until(host.is_holding)
    service = host.begins("serve", "--no-bus")
    wishes = [
        *(["hold", "web01", "--for", f"{hours}h"] for hours in (1, 2, 3)),
        *(["pause", "web01", "--until", "tomorrow"], ["status"], ["history"]),
    ]
    for process in [host.begins(*words) for words in wishes]:
        ends(process)
    assert len(host.status()["holds"]) == 3
    assert host.status()["paused"]
    ends(host.begins("hold", "web01", "--release"))
    removing = host.begins("workspace", "remove", "web01")
    ends(removing)
    ends(manager)
    service.send_signal(signal.SIGTERM)
    assert "its run is started" not in ends(service)
    assert json.loads(host.guestwake("status", "--json")) == []
    # Whether its manager has looked between the hold and its end is for chance.
    assert host.history() in (["closed"], ["put-back"])


@pytest.mark.more
def test_there_is_one_service(host: Host) -> None:
    first = host.begins("serve", "--no-bus")
    until((host.root / "run/guestwake/serve.lock").exists)
    until(lambda: (host.root / "run/guestwake/serve.lock").read_text() != "")
    host.guestwake("serve", "--no-bus", code=Exit.ALREADY_RUNNING)
    first.send_signal(signal.SIGTERM)
    ends(first)


@pytest.mark.more
def test_a_service_whose_journal_is_overwritten_goes_on_in_a_new_one(host: Host) -> None:
    """By whoever finds it first."""
    ends(_add(host))
    service = host.begins("serve", "--no-bus")
    journal = host.root / "var/lib/guestwake/journal.db"
    until(journal.exists)
    # The manager that the service has look at a workspace it knows nothing of would find it too.
    until(lambda: any((host.root / "run/guestwake/locks").glob("*.lock")))
    until(lambda: not _has_children(service))
    service.send_signal(signal.SIGSTOP)  # so that nobody sets it aside before status has looked
    for part in journal.parent.glob("journal.db-*"):
        part.unlink()
    with journal.open("r+b") as file:  # the very file that the service has open
        file.write(b"no journal at all " * 1000)
    status = host.begins("status")
    assert "It is damaged" in ends(status, Exit.JOURNAL)
    service.send_signal(signal.SIGCONT)
    for attempt in range(2):  # it may be found by the first
        host.begins("hold", "web01", "--for", f"{attempt + 1}h").communicate(timeout=PATIENCE)
    host.guestwake("hold", "web01", "--for", "9h", "--reason", "a talk")
    (aside,) = were_set_aside(journal)
    assert any(str(aside) in sentence for sentence in host.status()["attention"])
    assert str(JOURNAL_SET_ASIDE.id) in host.guestwake("events", "--happened")
    (host.root / "run/guestwake/poke").touch()
    until(lambda: "a talk" in {hold["reason"] for hold in host.status()["holds"]})
    service.send_signal(signal.SIGTERM)
    ends(service)


@pytest.mark.more
def test_of_many_that_add_the_same_vm_one_does(host: Host) -> None:
    adding = [_add(host, "web01") for _ in range(4)] + [_add(host, "web02"), _add(host, "web03")]
    codes = []
    for process in adding:
        said, _ = process.communicate(timeout=PATIENCE)
        assert "Traceback" not in said
        codes.append(process.returncode)
    assert sorted(codes[:4]) == [Exit.DONE, *[Exit.NO_WORKSPACE] * 3]
    assert codes[4:] == [Exit.DONE, Exit.DONE]
    known = json.loads(host.guestwake("status", "--json"))
    assert [each["workspace"] for each in known] == ["web01", "web02", "web03"]
    assert not list((host.root / "var/lib/guestwake/workspaces").glob("*.new"))


def _at_once(count: int, act: Callable[[], object]) -> None:
    """In so many processes, forked, that begin together."""
    here, there = os.pipe()
    pids = []
    for _ in range(count):
        if pid := os.fork():
            pids.append(pid)
            continue
        code = 1
        try:
            os.close(there)
            os.read(here, 1)  # nothing comes: until the other end is closed
            act()
            code = 0
        finally:
            os._exit(code)
    os.close(there)
    os.close(here)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * count


def test_of_many_that_find_the_journal_damaged_one_sets_it_aside(tmp_path: Path) -> None:
    """Not the new one of whoever was quicker."""
    for number in range(10):
        application = Application(Paths.under(tmp_path / str(number), 0))
        path = application.journal_path
        path.parent.mkdir(parents=True)
        path.write_bytes(b"no journal at all " * 1000)

        def holds(application: Application = application) -> None:
            with application.journal() as journal:
                journal.hold("vm", application.clock.now().wall, str(os.getpid()))

        _at_once(6, holds)
        (aside,) = were_set_aside(path)
        assert aside.read_bytes() == b"no journal at all " * 1000
        journal = Journal(path, readonly=True)
        assert [event for _, event, _ in journal.notes()] == [JOURNAL_SET_ASIDE.id]
        assert journal._one("SELECT count(*) FROM hold") == (6,)
        journal.close()


def test_who_comes_second_takes_what_the_first_has_begun(tmp_path: Path) -> None:
    first, second = (Application(Paths.under(tmp_path, 0)) for _ in range(2))
    path = first.journal_path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no journal at all " * 1000)
    with closing(first.opened_journal()) as begun:
        begun.hold("vm", first.clock.now().wall, "a talk")
        with closing(second._begun_anew(None)) as taken:  # it had found it damaged before
            assert taken._one("SELECT reason FROM hold") == ("a talk",)
    assert len(were_set_aside(path)) == 1


def test_who_opens_it_while_it_is_set_aside_takes_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    application = Application(Paths.under(tmp_path, 0))
    path = application.journal_path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no journal at all " * 1000)
    opens = sqlite3.connect

    def connect(*words: Any, **options: Any) -> sqlite3.Connection:
        monkeypatch.setattr(sqlite3, "connect", opens)
        Application(application.paths).opened_journal().close()  # another, in that moment
        raise no_disk

    no_disk = sqlite3.OperationalError("disk I/O error")
    no_disk.sqlite_errorcode = sqlite3.SQLITE_IOERR
    monkeypatch.setattr(sqlite3, "connect", connect)
    with application.journal() as journal:
        assert [event for _, event, _ in journal.notes()] == [JOURNAL_SET_ASIDE.id]
    assert len(were_set_aside(path)) == 1


def test_two_that_are_damaged_within_a_second_are_both_kept(tmp_path: Path) -> None:
    application = Application(Paths.under(tmp_path, 0))
    path = application.journal_path
    path.parent.mkdir(parents=True)
    for number in range(3):
        for part in path.parent.glob("journal.db*"):
            if "damaged" not in part.name:
                part.unlink()
        path.write_bytes(f"no journal {number} ".encode() * 1000)
        application.opened_journal().close()
    found = {aside.read_bytes()[:12] for aside in were_set_aside(path)}
    assert found == {b"no journal 0", b"no journal 1", b"no journal 2"}
