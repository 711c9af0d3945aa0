"""A user's own installation, as docs/install.md tells it: pipx and the distribution's libvirt.

The host has nothing of ours, and of Python's libraries the binding of libvirt alone. pip finds the
others in a folder, as the lab's hosts have no network; all else is as the user calls it.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guestwake_wire import __version__
from lab.host import SOURCES, Host, Session
from lab.wheels import built_wheel, fetched_wheels

pytestmark = pytest.mark.host

WHEELS = "/srv/wheels"
PIP = ("env", "PIP_NO_INDEX=1", f"PIP_FIND_LINKS={WHEELS}")
OURS = f"{WHEELS}/guestwake-{__version__}-py3-none-any.whl"
# Those that Debian has too, of which the program gets pip's here.
LIBRARIES = ("jeepney", "dbus-fast", "tabulate", "tomlkit", "watchdog")
HOME = "/home/carol"
PROGRAM = f"{HOME}/.local/bin/guestwake"
PYTHON = f"{HOME}/.local/pipx/venvs/guestwake/bin/python"
LEFT = (f"{HOME}/.config/guestwake/guestwake.toml", f"{HOME}/.local/state/guestwake/journal.db")

SESSION = ("virsh", "--quiet", "--connect", "qemu:///session")
VM = """\
<domain type='qemu'>
  <name>box</name><uuid>6d1f0f3e-25c0-4c1f-9f0d-2b1c5c1b7a10</uuid><memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
  <devices><memballoon model='none'/></devices>
</domain>
"""
CHOICE = ("--vm", "box", "--time", "03:00", "--duration", "30")


@pytest.fixture(scope="module")
def host(lab_host_of_session: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """With a new account in it, carol's, who has called pipx."""
    host = lab_host_of_session
    if not host.is_on:
        host.renew()
    host.run("umount", str(SOURCES))
    host.run("dpkg", "--purge", *(f"python3-{each}" for each in LIBRARIES))
    for folder in (fetched_wheels(), built_wheel(tmp_path_factory.mktemp("wheel")).parent):
        carry(host, folder)
    host.put("/srv/vm.xml", VM)
    host.run("useradd", "--create-home", "--shell", "/bin/bash", "carol")
    said = host.run(*PIP, "pipx", "install", "--system-site-packages", OURS, user="carol")
    assert f"installed package guestwake {__version__}" in said
    host.run("pipx", "ensurepath", user="carol")
    yield host
    host.crash()


def carry(host: Host, folder: Path) -> None:
    host.run("mkdir", "-p", WHEELS)
    pack = ["tar", "--create", "--mode=a+rX", "-C", str(folder), "."]
    with subprocess.Popen(pack, stdout=subprocess.PIPE) as packer:
        unpack = host.entering("tar", "--extract", "--no-same-owner", "-C", WHEELS)
        subprocess.run(unpack, stdin=packer.stdout, check=True)


def in_terminal(*words: str) -> tuple[str, ...]:
    """As a shell that somebody opens finds the command."""
    return ("bash", "-ic", '"$@"', "terminal", *words)


def doctor(carol: Session) -> dict[str, dict[str, Any]]:
    found = json.loads(carol.run(PROGRAM, "doctor", "--json", check=False))
    return {each["check"]: each for each in found}


READER = """
import libvirt
from guestwake.channels.reading import ReaderProcess
from guestwake_wire.messages import Hello, encode
reader = ReaderProcess()
print(libvirt.__file__, reader.parse(1, encode(Hello((1,), "carol's"))).hello)
"""


def test_it_runs_with_the_libvirt_of_the_distribution(host: Host) -> None:
    said = host.run(*in_terminal("guestwake", "--version"), user="carol")
    assert said == f"guestwake {__version__}\n"
    said = host.run(PYTHON, "-c", READER, user="carol")
    assert said.startswith("/usr/lib/python3/dist-packages/libvirt.py ")
    assert "carol's" in said  # read in the process without rights, which is isolated
    assert "complete" in host.run(PROGRAM, "completion", "bash", user="carol")


def test_who_has_not_logged_on_is_told_to(host: Host) -> None:
    defined(host)
    told = host.finish(PROGRAM, "setup", *CHOICE, user="carol")
    assert told.returncode == 21, told
    assert "no service yet" in told.stdout
    found = json.loads(host.run(PROGRAM, "doctor", "--json", user="carol", check=False))
    (service,) = [each for each in found if each["check"] == "service"]
    assert "log on" in service["sentence"]


def test_their_saved_vm_is_woken_and_put_back_by_their_own_service(host: Host) -> None:
    carol = host.logon("carol", "text")
    uuid = defined(host)
    carol.run(*SESSION, "start", "box")
    by_cron = host.finish("env", "-u", "XDG_RUNTIME_DIR", PROGRAM, "setup", user="carol").stdout
    assert "box  (running; new)" in by_cron  # the same libvirtd, not another one
    carol.run(*SESSION, "managedsave", "box")

    said = carol.run(*in_terminal("guestwake", "setup", *CHOICE, "--yes"))
    assert "'box' is looked after now" in said
    for unit in ("guestwake", "guestwake-wake@", "guestwake-agent"):
        text = host.read(f"{HOME}/.config/systemd/user/{unit}.service")
        assert f"\nExecStart={PROGRAM} " in text
    host.wait_until(lambda: doctor(carol).get("timer", {}).get("level") == "ok")
    found = doctor(carol)
    well = ("service", "bus", "timer", "hypervisor", "state-folder", "journal", "vm")
    assert {check: found[check]["level"] for check in well} == dict.fromkeys(well, "ok")
    assert "03:00 UTC, 30 min" in carol.run(PROGRAM, "status")

    carol.run(PROGRAM, "wake", "box", "--duration", "0.2")
    assert state(carol) == "shut off"
    carol.run(PYTHON, "-c", ASKS, uuid)
    carol.run("systemctl", "--user", "start", "--no-block", f"guestwake-wake@{uuid}.service")
    host.wait_until(lambda: state(carol) == "running")
    host.wait_until(lambda: len(history(carol)) == 2)
    assert [row["why"] for row in history(carol)] == ["put-back", "put-back"]
    assert state(carol) == "shut off"
    assert host.exists(f"{HOME}/.config/libvirt/qemu/save/box.save")

    carol.run(PROGRAM, "service", "remove")
    carol.run("pipx", "uninstall", "guestwake")
    assert not host.exists(PROGRAM)
    units = host.run("sh", "-c", f"find {HOME}/.config/systemd -name '*guestwake*.*'")
    assert units == ""
    assert all(host.exists(path) for path in LEFT)
    host.run(*PIP, "pipx", "install", "--system-site-packages", OURS, user="carol")
    assert len(history(carol)) == 2


# As one minute is the least that people can ask for.
ASKS = """
import os, sys
from datetime import timedelta
from guestwake.application import Application
from guestwake.paths import Paths
from guestwake.wishes import Wishes
application = Application(Paths.here(None, os.environ, os.geteuid()))
workspace = application.workspaces.find(sys.argv[1])
Wishes(application).ask_wake(workspace, timedelta(seconds=10))
"""


def defined(host: Host) -> str:
    """Its UUID."""
    host.run(*SESSION, "define", "/srv/vm.xml", user="carol")
    return host.run(*SESSION, "domuuid", "box", user="carol").strip()


def state(carol: Session) -> str:
    return carol.run(*SESSION, "domstate", "box").strip()


def history(carol: Session) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(carol.run(PROGRAM, "history", "box", "--json"))
    return rows
