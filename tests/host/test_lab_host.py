"""The lab's host itself: what the other tests here build on."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from lab.host import Host, HostError

SETTINGS = """\
require_ac_power = 0
nudge_update_clients = 0
"""


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


def test_polkit_tells_who_sits_at_the_host(lab_host: Host) -> None:
    # Allowed to whoever is active at the host; others are asked for a password.
    asks = 'pkcheck --action-id org.freedesktop.login1.reboot --process "$$"'
    here, there = lab_host.logon("anna", "graphical"), lab_host.logon("bert", "ssh")
    here.run("sh", "-c", asks)
    with pytest.raises(HostError):
        there.run("sh", "-c", asks)


def test_a_user_has_a_manager_and_a_bus(lab_host: Host) -> None:
    lab_host.logon("anna", "graphical")
    assert lab_host.run("systemctl", "--user", "is-system-running", "--wait", user="anna")
    assert "systemd" in lab_host.run("busctl", "--user", "list", user="anna")


def test_sleep_is_announced_and_so_is_its_end(lab_host: Host) -> None:
    rule = "type='signal',interface='org.freedesktop.login1.Manager'"
    monitor = ["busctl", "monitor", "--json=short", f"--match={rule}"]
    lab_host.run("systemd-run", "-q", "-p", "StandardOutput=file:/run/heard", *monitor)
    lab_host.wait_until(lambda: "became a monitor" in lab_host.journal("dbus.service"))
    began = time.monotonic()
    lab_host.sleep_and_resume(seconds=1)
    assert time.monotonic() - began >= 1

    def heard() -> list[bool]:
        messages = [json.loads(line) for line in lab_host.read("/run/heard").splitlines()]
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


def test_the_disk_outlives_a_restart_and_a_power_cut(lab_host: Host) -> None:
    guest = lab_host.hibernated_guest("web01")
    lab_host.put("/var/lib/kept", "all of it\n")
    lab_host.put("/run/lost", "gone\n")

    def power_cut() -> None:
        lab_host.crash()
        lab_host.start()

    for goes_down in (lab_host.reboot, power_cut):
        goes_down()
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


def test_the_network_goes_and_comes(lab_host: Host) -> None:
    lab_host.lose_network()
    assert "default" not in lab_host.run("ip", "route")
    lab_host.find_network()
    assert "default" in lab_host.run("ip", "route")


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


def test_a_vm_is_looked_into(lab_host: Host) -> None:
    guest = lab_host.hibernated_guest("web01")
    guest.start()
    guest.wait_until_agent_answers()
    assert "1.0" in guest.run("dpkg -l guestwake-example").stdout
