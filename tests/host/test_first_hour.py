"""The first hour of a new user on a real host: setup, then doctor, as root and as oneself."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from lab.host import Host, Session

VM = """\
<domain type='qemu'>
  <name>box one</name><memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
  <devices><memballoon model='none'/></devices>
</domain>
"""
CHOICE = ("--time", "03:00", "--duration", "30")

Found = dict[str, dict[str, str]]


def doctor(where: Host | Session) -> Found:
    """By check; of the host's two helpers the last one."""
    found = json.loads(where.run("guestwake", "doctor", "--json", check=False))
    return {each["check"]: each for each in found}


def test_root_sets_the_host_up_and_doctor_mends_what_breaks(lab_host: Host) -> None:
    lab_host.off_guest("web01", boots=False)
    before = lab_host.finish("guestwake", "setup", "--vm", "web01", *CHOICE)
    assert before.returncode == 21, before.stdout + before.stderr
    assert "systemd runs guestwake.service" in before.stdout
    assert not lab_host.exists("/etc/guestwake/guestwake.toml")
    assert lab_host.run("systemctl", "is-active", "guestwake.service", check=False) == "inactive\n"

    said = lab_host.run("guestwake", "setup", "--vm", "web01", *CHOICE, "--yes")
    assert "'web01' is looked after now" in said
    folder = Path("/var/lib/guestwake/workspaces")
    assert "guestwake" in lab_host.run("sh", "-c", f"stat --format=%U {folder}/*.json")
    lab_host.wait_until(lambda: doctor(lab_host).get("timer", {}).get("level") == "ok")
    found = doctor(lab_host)
    well = ("service", "helpers", "bus", "timer", "hypervisor", "state-folder", "journal", "vm")
    assert {check: found[check]["level"] for check in well} == dict.fromkeys(well, "ok")

    for breaks, check in (
        ("systemctl mask --now guestwake.service", "service"),
        ("systemctl disable --now guestwake-settings.socket", "helpers"),
        ("virsh autostart web01", "autostart"),
    ):
        lab_host.run("sh", "-c", breaks)
        wrong = doctor(lab_host)[check]
        assert wrong["level"] in ("problem", "warning"), wrong
        lab_host.run("sh", "-c", wrong["remedy"])
        lab_host.wait_until(lambda check=check: doctor(lab_host)[check]["level"] == "ok")


def test_an_ordinary_user_sets_up_their_own(lab_host: Host) -> None:
    lab_host.put("/tmp/vm.xml", VM)
    anna = lab_host.logon("anna")
    anna.run("virsh", "--connect", "qemu:///session", "define", "/tmp/vm.xml")
    said = anna.run("guestwake", "setup", "--vm", "box one", *CHOICE, "--yes")
    assert "'box one' is looked after now" in said
    anna.run("guestwake", "workspace", "channel", "add", "box one")
    lab_host.wait_until(lambda: doctor(anna).get("timer", {}).get("level") == "ok")
    found = doctor(anna)
    well = ("service", "bus", "timer", "hypervisor", "state-folder", "journal", "vm", "channel")
    assert {check: found[check]["level"] for check in well} == dict.fromkeys(well, "ok")
    assert found["lingering"]["remedy"] == "guestwake service install --linger"
    anna.run(*shlex.split(found["lingering"]["remedy"]))
    assert doctor(anna)["lingering"]["level"] == "ok"
    again = anna.run("guestwake", "setup", "--vm", "box one", *CHOICE, "--yes")
    assert "All of that is so already" in again
