"""The one file: what is in it, what runs it, what it costs, how it gets into a guest."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from guestwake_guest.cli import WrongCall, parsed
from guestwake_guest.exit_codes import MEANINGS, Exit
from guestwake_wire import __version__

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path
    for name in ("guestwake_guest", "guestwake_wire")
    for path in (ROOT / "src" / name).rglob("*.py")
)
BYTES_MAX = 200_000
SYSTEM_PYTHON = "/usr/bin/python3"
PYTHON = SYSTEM_PYTHON if os.access(SYSTEM_PYTHON, os.X_OK) else sys.executable

PROGRAM = "usr/lib/guestwake/guestwake-guest.pyz"
COMMAND = "usr/bin/guestwake-guest"
UNITS = "usr/lib/systemd/system"
WANTS = "etc/systemd/system"


@pytest.fixture(scope="session")
def zipapp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("dist") / "guestwake-guest.pyz")


def build(file: Path) -> Path:
    subprocess.run([sys.executable, ROOT / "tools/guest", file], check=True, capture_output=True)
    return file


def run(zipapp: Path, *words: str, python: str = PYTHON) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-IS", zipapp, *words], capture_output=True, text=True, timeout=60
    )


# --- the file ---


def test_it_is_small(zipapp: Path) -> None:
    assert zipapp.stat().st_size <= BYTES_MAX


def test_the_same_sources_make_the_same_bytes(zipapp: Path, tmp_path: Path) -> None:
    assert build(tmp_path / "again.pyz").read_bytes() == zipapp.read_bytes()


def test_it_starts_isolated(zipapp: Path) -> None:
    assert zipapp.read_bytes().startswith(b"#!/usr/bin/python3 -IS\n")
    assert os.access(zipapp, os.X_OK)


def test_it_holds_the_service_and_the_protocol_and_nothing_else(zipapp: Path) -> None:
    names = zipfile.ZipFile(zipapp).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"__main__.py", "guestwake_guest", "guestwake_wire"}
    assert not [name for name in names if name.endswith(".pyc")]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_it_is_python_3_9(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Match)]


def oldest() -> list[str]:
    """Every other Python of this machine that a guest might have."""
    found = (shutil.which(f"python3.{minor}") for minor in (9, 10, 12, 13, 14))
    works = (python for python in found if python)
    check = [SYSTEM_PYTHON, *works]
    return [
        python
        for python in check
        if subprocess.run([python, "-c", ""], capture_output=True).returncode == 0
    ]


@pytest.mark.parametrize("python", oldest())
def test_the_pythons_that_are_here_run_it(zipapp: Path, python: str) -> None:
    done = run(zipapp, "--version", python=python)
    assert (done.stdout, done.stderr) == (f"guestwake-guest {__version__}\n", "")


# --- the service in it ---

LOOKS = """
import json, os, socket, sys
sys.path.insert(0, sys.argv[1])
from guestwake_guest import cli  # the service's start imports this
from guestwake_guest.linux_guest import LinuxGuest
from guestwake_guest.linux_waits import LinuxWaits
from guestwake_guest.service import Service
from guestwake_guest.system import System
from guestwake_guest.transports.connection import Connection
from guestwake_guest.esd_signal import fifo
from guestwake_wire.messages import Hello, Nudge, Window, encode


class OneStream:
    def __init__(self, stream):
        self.stream = stream

    def look(self):
        given, self.stream = self.stream, None
        return Connection(given) if given else None

    def waits_on(self):
        return None

    def lost(self):
        pass


host, guest = socket.socketpair()
os.mkdir(sys.argv[2] + "/run")
os.mkdir(sys.argv[2] + "/run/guestwake")
os.mkfifo(sys.argv[2] + fifo.PATH)
now = [1000.0]
system = System(sys.argv[2], elapsed=lambda: now[0])
end = os.open(sys.argv[2] + fifo.PATH, os.O_RDWR | os.O_NONBLOCK)
service = Service(LinuxGuest(system), LinuxWaits(), (OneStream(guest),), fifo.Fifo(system, end))
before = set(sys.modules)
os.write(end, "ein Grund: \\u00e4\\n".encode())
host.sendall(encode(Hello((1,), "x")) + encode(Window(60, 0)))
host.sendall(encode(Nudge()) + b"\\x1e{nonsense\\n")
for _ in range(20):
    service.turn()
    service.wait(0.01)
    now[0] += 5
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps([sorted(set(sys.modules) - before), status["VmHWM"].strip()]))
"""


def test_after_its_start_it_imports_nothing(
    zipapp: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python, its library and the file itself may be replaced under it."""
    for name, script in (
        ("apt-get", ""),
        ("dnf", "exit 1"),
        ("systemd-run", ""),
        ("systemctl", ""),
    ):
        program = tmp_path / "usr/bin" / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    log = tmp_path / "var/log/apt/history.log"
    log.parent.mkdir(parents=True)
    log.write_text((Path(__file__).parent / "recorded/apt-history.log").read_text())
    done = subprocess.run(
        [PYTHON, "-ISc", LOOKS, zipapp, tmp_path], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    imported, peak = json.loads(done.stdout)
    assert imported == []
    with capsys.disabled():
        print(f"\nthe service's peak memory under {PYTHON}: {peak}")


# --- the command line ---


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "which command?"),
        (["stauts"], "there is no command 'stauts'"),
        (["status", "--jsn"], "'status' takes no '--jsn'"),
        (["status", "--json=yes"], "'--json' takes no value"),
        (["require-restart", "--reason"], "'--reason' wants a value"),
        (["run", "now"], "'run' takes no 'now'"),
    ],
)
def test_a_wrong_call_names_the_mistake(words: list[str], sentence: str) -> None:
    with pytest.raises(WrongCall) as raised:
        parsed(words)
    assert str(raised.value) == sentence


def test_a_value_may_stand_behind_an_equals_sign() -> None:
    assert parsed(["require-restart", "--reason=a = b"])[1] == {"--reason": "a = b"}
    assert parsed(["require-restart", "--reason", "--x"])[1] == {"--reason": "--x"}


def test_a_wrong_call_is_one_line_and_exit_code_2(zipapp: Path) -> None:
    done = run(zipapp, "reboot")
    assert done.returncode == Exit.USAGE
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_help_says_every_exit_code(zipapp: Path) -> None:
    text = run(zipapp, "--help").stdout
    assert set(MEANINGS) == set(Exit)
    page = (ROOT / "docs/guest.md").read_text(encoding="utf-8")
    for code, meaning in MEANINGS.items():
        assert f"{int(code):2}  {meaning}\n" in text
        assert f"| {int(code)} | {meaning} |" in page


def test_status_says_what_it_would_report(zipapp: Path) -> None:
    done = run(zipapp, "status", "--json")
    assert done.returncode in (Exit.DONE, Exit.RESTART_REQUIRED)
    told = json.loads(done.stdout)
    assert (told["type"], told["agent"]) == ("report", f"guestwake-guest {__version__}")
    assert run(zipapp, "status").stdout.splitlines()[0].startswith(told["os"])


# --- installing ---


def test_it_installs_into_a_system_that_is_being_built(zipapp: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    done = run(zipapp, "install", "--root", str(root))
    assert (done.returncode, done.stderr) == (Exit.DONE, "")
    assert "wrote /usr/lib/guestwake/guestwake-guest.pyz\n" in done.stdout
    assert (root / PROGRAM).read_bytes() == zipapp.read_bytes()
    assert (root / COMMAND).resolve() == (root / PROGRAM).resolve()
    for unit, target in (("service", "multi-user"), ("socket", "sockets")):
        name = f"guestwake-guest.{unit}"
        packaged = (ROOT / "packaging/guest" / name).read_text()
        assert (root / UNITS / name).read_text() == packaged
        assert os.readlink(root / WANTS / f"{target}.target.wants" / name) == f"/{UNITS}/{name}"


def written(path: Path) -> tuple[int, int]:
    """The very file, and when it was written; whoever reads it moves its other times."""
    return path.stat().st_ino, path.stat().st_mtime_ns


def test_installing_twice_does_it_once(zipapp: Path, tmp_path: Path) -> None:
    run(zipapp, "install", "--root", str(tmp_path))
    before = written(tmp_path / PROGRAM)
    done = run(zipapp, "install", "--root", str(tmp_path))
    assert done.stdout == "nothing to do: it is installed as it is here\n"
    assert written(tmp_path / PROGRAM) == before


def test_it_may_be_called_by_its_link(zipapp: Path, tmp_path: Path) -> None:
    run(zipapp, "install", "--root", str(tmp_path))
    done = run(tmp_path / COMMAND, "install", "--root", str(tmp_path))
    assert done.stdout == "nothing to do: it is installed as it is here\n"


def test_an_older_one_is_replaced_as_a_whole(zipapp: Path, tmp_path: Path) -> None:
    run(zipapp, "install", "--root", str(tmp_path))
    old = tmp_path / PROGRAM
    old.write_bytes(b"old")
    inode = old.stat().st_ino
    done = run(zipapp, "install", "--root", str(tmp_path))
    assert done.stdout == "wrote /usr/lib/guestwake/guestwake-guest.pyz\n"
    assert old.stat().st_ino != inode


def test_uninstalling_leaves_nothing_of_it(zipapp: Path, tmp_path: Path) -> None:
    kept = tmp_path / UNITS / "other.service"
    kept.parent.mkdir(parents=True)
    kept.touch()
    run(zipapp, "install", "--root", str(tmp_path))
    assert run(zipapp, "uninstall", "--root", str(tmp_path)).returncode == Exit.DONE
    left = [path for path in tmp_path.rglob("*") if not path.is_dir() or path.is_symlink()]
    assert left == [kept]
    again = run(zipapp, "uninstall", "--root", str(tmp_path))
    assert again.stdout == "nothing to do: it is not installed\n"


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_what_a_package_has_brought_is_left_to_it(
    zipapp: Path, tmp_path: Path, command: str
) -> None:
    run(zipapp, "install", "--root", str(tmp_path))
    listed = tmp_path / "var/lib/dpkg/info/guestwake-guest.list"
    listed.parent.mkdir(parents=True)
    listed.touch()
    done = run(zipapp, command, "--root", str(tmp_path))
    assert done.returncode == Exit.NOT_INSTALLED
    assert "the package guestwake-guest" in done.stderr
    assert (tmp_path / PROGRAM).exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_whoever_may_not_install_is_told(zipapp: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    done = run(zipapp, "install", "--root", str(tmp_path))
    assert done.returncode == Exit.NOT_INSTALLED
    assert "Permission denied" in done.stderr


def test_a_folder_in_the_way_is_told(zipapp: Path, tmp_path: Path) -> None:
    (tmp_path / PROGRAM).mkdir(parents=True)
    done = run(zipapp, "install", "--root", str(tmp_path))
    assert done.returncode == Exit.NOT_INSTALLED
    assert done.stderr.startswith("guestwake-guest: cannot be installed: ")


# --- units ---


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_finds_the_service_well_confined(zipapp: Path, tmp_path: Path) -> None:
    run(zipapp, "install", "--root", str(tmp_path))
    unit = tmp_path / UNITS / "guestwake-guest.service"
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=20", unit],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
