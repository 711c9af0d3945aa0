"""The lab's host itself: what the other tests here build on. `full`: what those show as well."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lab import cgroups
from lab.host import Host, HostError, booted_host
from lab.libvirtd import PARENT

SETTINGS = "nudge_update_clients = 0\n"  # its repository is elsewhere
ANOTHER_RUN = """
from lab.host import booted_host
with booted_host() as host:
    print(host.folder.name, host.run("readlink", "/proc/self/ns/pid"), flush=True)
    input()
"""
BOOT_ID = "/proc/sys/kernel/random/boot_id"


def test_it_is_up_and_all_of_it_runs(lab_host: Host) -> None:
    assert lab_host.state() == "running"
    assert lab_host.run("systemctl", "is-active", "systemd-logind", "dbus", "libvirtd.socket")
    assert "default" in lab_host.run("ip", "route")
    assert "3.11" in lab_host.run("python3", "--version")


def test_a_command_that_fails_says_so(lab_host: Host) -> None:
    with pytest.raises(HostError, match=r"ended with 3: to stdout.*to stderr"):
        lab_host.run("sh", "-c", "printf 'to stdout '; echo to stderr >&2; exit 3")
    assert lab_host.run("sh", "-c", "echo said; exit 3", check=False) == "said\n"
    assert lab_host.run("id", "-un", user="anna") == "anna\n"


@pytest.mark.full
def test_a_timer_fires_at_its_second(lab_host: Host) -> None:
    at = (datetime.now(UTC) + timedelta(seconds=3)).replace(microsecond=0)
    instant = f"{at:%Y-%m-%d %H:%M:%S} UTC"
    accuracy = "--timer-property=AccuracySec=1ms"
    write = "date +%s >/run/fired.new; mv /run/fired.new /run/fired"
    words = ["systemd-run", f"--on-calendar={instant}", accuracy, "sh", "-c", write]
    lab_host.run(*words)
    lab_host.wait_until(lambda: lab_host.exists("/run/fired"))
    assert 0 <= int(lab_host.read("/run/fired")) - at.timestamp() <= 2


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("graphical", {"Type": "x11", "Seat": "seat0", "Remote": "no", "State": "active"}),
        ("text", {"Type": "tty", "Seat": "seat0", "Remote": "no", "State": "active"}),
        ("ssh", {"Type": "tty", "Seat": "", "Remote": "yes", "State": "active"}),
    ],
)
def test_a_session_comes_and_goes(lab_host: Host, kind: str, told: dict[str, str]) -> None:
    session = lab_host.logon("anna", kind)
    assert lab_host.sessions() == [session.id]
    wanted = {"Name": "anna", "Class": "user", **told}
    names = [f"--property={name}" for name in wanted]
    shown = lab_host.run("loginctl", "show-session", session.id, *names, "--all")
    assert dict(line.split("=", 1) for line in shown.splitlines()) == wanted
    lab_host.run("systemctl", "is-active", "user@1000.service")
    session.logoff()
    assert lab_host.sessions() == []


@pytest.mark.full
def test_polkit_tells_who_sits_at_the_host(lab_host: Host) -> None:
    # Allowed to whoever is active at the host; others are asked for a password.
    asks = 'pkcheck --action-id org.freedesktop.login1.reboot --process "$$"'
    here, there = lab_host.logon("anna", "graphical"), lab_host.logon("bert", "ssh")
    here.run("sh", "-c", asks)
    with pytest.raises(HostError):
        there.run("sh", "-c", asks)


@pytest.mark.full
def test_a_user_has_a_manager_and_a_bus(lab_host: Host) -> None:
    lab_host.logon("anna", "graphical")
    assert lab_host.run("systemctl", "--user", "is-system-running", "--wait", user="anna")
    assert "systemd" in lab_host.run("busctl", "--user", "list", user="anna")


def test_sleep_is_announced_and_so_is_its_end(lab_host: Host) -> None:
    rule = "type='signal',interface='org.freedesktop.login1.Manager'"
    monitor = ["busctl", "monitor", "--json=short", f"--match={rule}"]
    lab_host.run("systemd-run", "-q", "-p", "StandardOutput=file:/run/heard", *monitor)
    lab_host.wait_until(
        lambda: lab_host.exists("/run/heard") and "Monitoring" in lab_host.read("/run/heard")
    )
    began = time.monotonic()
    lab_host.sleep_and_resume(seconds=1)
    assert time.monotonic() - began >= 1

    def heard() -> list[bool]:
        _, *lines = lab_host.read("/run/heard").splitlines()
        messages = [json.loads(line) for line in lines]
        told = [one for one in messages if one.get("member") == "PrepareForSleep"]
        return [one["payload"]["data"][0] for one in told]

    lab_host.wait_until(lambda: len(heard()) == 2)
    assert heard() == [True, False]


def test_nothing_in_it_runs_while_it_sleeps(lab_host: Host) -> None:
    count = "while sleep 0.05; do echo >>/run/count; done"
    lab_host.run("systemd-run", "-q", "sh", "-c", count)
    lab_host.wait_until(lambda: lab_host.exists("/run/count"))
    lab_host.suspend()
    before = len(lab_host.read("/run/count"))
    lab_host.resume(after=2)
    assert len(lab_host.read("/run/count")) - before < 20
    lab_host.wait_until(lambda: len(lab_host.read("/run/count")) - before >= 20)


@pytest.mark.full
def test_the_disk_outlives_a_restart_and_a_power_cut(lab_host: Host) -> None:
    guest = lab_host.hibernated_guest("web01")
    lab_host.put("/var/lib/kept", "all of it\n")
    lab_host.put("/run/lost", "gone\n")

    def power_cut() -> None:
        lab_host.crash()
        lab_host.start()

    for goes_down in (lab_host.reboot, power_cut):
        boot_id = lab_host.read(BOOT_ID)
        goes_down()
        assert lab_host.read(BOOT_ID) != boot_id
        assert lab_host.state() == "running"
        assert lab_host.read("/var/lib/kept") == "all of it\n"
        assert not lab_host.exists("/run/lost")
        assert guest.state() == "saved"


def test_a_new_host_knows_nothing_of_the_old_one(lab_host: Host) -> None:
    lab_host.off_guest("web01")
    lab_host.put("/var/lib/kept", "all of it\n")
    lab_host.renew()
    assert not lab_host.exists("/var/lib/kept")
    assert lab_host.guests.virsh("list", "--all", "--name") == ""


@pytest.mark.full
def test_the_network_goes_and_comes(lab_host: Host) -> None:
    lab_host.lose_network()
    assert "default" not in lab_host.run("ip", "route")
    lab_host.find_network()
    assert "default" in lab_host.run("ip", "route")


@pytest.mark.full
def test_the_power_goes_and_comes(lab_host: Host) -> None:
    if not lab_host.exists("/sys/class/power_supply"):
        pytest.skip("a kernel without power supplies")
    read = ["cat", "/sys/class/power_supply/AC/online"]
    # As a service that is kept from changing the kernel's settings sees it.
    service = ["systemd-run", "-q", "--pipe", "--wait", "-p", "ProtectKernelTunables=yes"]
    assert lab_host.run(*read) == "1\n"
    lab_host.unplug()
    assert lab_host.run(*read) == lab_host.run(*service, *read) == "0\n"
    lab_host.plug_in()
    assert lab_host.run(*read) == "1\n"


def test_an_alarm_wakes_it(lab_host: Host) -> None:
    lab_host.sleep_and_resume(seconds=0, by_alarm=True)
    number = lab_host.read("/sys/power/pm_wakeup_irq").strip()
    assert f" {number}:" in lab_host.read("/proc/interrupts")
    lab_host.sleep_and_resume(seconds=0)
    assert not lab_host.exists("/sys/power/pm_wakeup_irq")


def test_what_a_package_brings_is_installed(lab_host: Host, tmp_path: Path) -> None:
    brings = {
        "usr/lib/sysusers.d/example.conf": "u example-of-lab - 'An example'\n",
        "usr/lib/tmpfiles.d/example.conf": "d /run/example 0750 example-of-lab -\n",
        "usr/lib/systemd/system/example.service": "[Service]\nUser=example-of-lab\nExecStart=id\n",
    }
    for path, text in brings.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    lab_host.install_product(tmp_path)
    lab_host.run("systemctl", "start", "example.service")
    lab_host.wait_until(lambda: "example-of-lab" in lab_host.journal("example.service"))
    found = lab_host.run("stat", "-c", "%U %a", "/run/example", *(f"/{path}" for path in brings))
    assert found.splitlines() == ["example-of-lab 750", *["root 644"] * 3]


@pytest.mark.usefixtures("lab_host")
def test_a_killed_run_leaves_nothing() -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", ANOTHER_RUN],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout is not None
    name, namespace = run.stdout.readline().split()
    assert processes_in(namespace)
    run.kill()
    run.wait()
    deadline = time.monotonic() + 10
    while processes_in(namespace) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not processes_in(namespace)
    with booted_host():
        assert not (PARENT / name).exists()
        assert not [one for one in cgroups.parents() if (one / name).exists()]


def processes_in(namespace: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*/ns/pid"):
        try:
            if os.readlink(process) == namespace:
                found.append(process.parts[2])
        except OSError:
            continue
    return found


@pytest.mark.full
def test_a_vm_is_woken_and_put_back_by_the_product(lab_host: Host) -> None:
    lab_host.put("/etc/guestwake/guestwake.toml", SETTINGS)
    guest = lab_host.hibernated_guest("web01")
    assert guest.state() == "saved"
    lab_host.run("guestwake", "workspace", "add", "web01", "--system")
    (status,) = json.loads(lab_host.run("guestwake", "status", "--json"))
    assert status["run"] is None
    lab_host.run("guestwake", "wake", "web01", "--duration", "0.05")
    assert guest.state() == "saved"
    (row,) = json.loads(lab_host.run("guestwake", "history", "web01", "--json"))
    assert row["why"] == "put-back"


@pytest.mark.full
def test_a_vm_is_looked_into(lab_host: Host) -> None:
    guest = lab_host.hibernated_guest("web01")
    guest.start()
    guest.wait_until_agent_answers()
    assert "1.0" in guest.run("dpkg -l guestwake-example").stdout
