"""The service installed in a real host: its units, its rights, its helper that is root."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from itertools import cycle

import pytest

from guestwake.schedulers.systemd_text import service_name, timer_name
from lab.host import Host, Session

UUID = "6a1f3c52-9d1e-4a53-8a55-0c7f2a9b1d10"
TIMER, SERVICE = timer_name(UUID), service_name(UUID)
UNITS = "/etc/systemd/system"
HELPER = "/run/guestwake-timers.sock"

# With the scheduler of whoever runs it; the words after it are what is to be done.
SCHEDULER = """
import os, sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from guestwake.policy.words import Timer
from guestwake.schedulers.systemd import scheduler

what, uuid, user, *rest = sys.argv[1:]
found = scheduler(SimpleNamespace(user=user or None))
now = datetime.now(UTC).replace(microsecond=0)
in_seconds = float(rest[0]) if rest else 86400 - now.timestamp() % 86400 + 86400
timer = Timer(uuid, (now + timedelta(seconds=in_seconds),), wakes_host="wakes" in rest)
match what:
    case "available":
        print(found is not None)
    case "look":
        seen = found.look(uuid, timer)
        print(seen and [seen.as_wanted, seen.as_written, *seen.drifts])
    case "write":
        found.write(timer)
    case "remove":
        found.remove(uuid)
    case "list":
        print(sorted(found.workspaces()))
"""
FINE = "[True, True]"


def scheduler(host: Host, what: str, *rest: str, user: str = "guestwake") -> str:
    of = user if user not in ("root", "guestwake") else ""
    return host.python(SCHEDULER, what, UUID, of, *rest, user=user).strip()


def installed(host: Host) -> None:
    """The units, without the service itself: it would undo what a test does."""
    host.run("guestwake", "service", "install")
    host.run("systemctl", "mask", "--now", "--runtime", "guestwake.service")


def test_each_drift_is_found_and_repaired(lab_host: Host) -> None:
    """By root itself, and by the service's user through the helper, in turn."""
    installed(lab_host)
    writers = cycle(("guestwake", "root"))
    drifts = {
        f"systemctl stop {TIMER}": "stopped",
        f"systemctl disable --now {TIMER}": "disabled",
        f"rm {UNITS}/{TIMER}": "deleted",
        f"rm {UNITS}/{TIMER} {UNITS}/timers.target.wants/{TIMER}": "None",
        f"echo OnCalendar=daily >>{UNITS}/{TIMER}": "[False, False]",
        f"systemctl mask --runtime {TIMER}": "masked",
        f"ln -sf /dev/null {UNITS}/{TIMER}; systemctl daemon-reload": "masked",
        f"systemctl mask {SERVICE}": "masked",
        f"systemctl set-property --runtime {TIMER} Description=mine; mkdir {UNITS}/{TIMER}.d; "
        f"printf '[Timer]\\nOnCalendar=\\n' >{UNITS}/{TIMER}.d/mine.conf": "overridden",
        f"mkdir -p /run/systemd/system/{SERVICE}.d": "overridden",
    }
    for (what, expected), writer in zip(drifts.items(), writers, strict=False):
        scheduler(lab_host, "write")
        assert scheduler(lab_host, "look") == FINE
        lab_host.finish("sh", "-c", what)
        assert expected in scheduler(lab_host, "look"), what
        scheduler(lab_host, "write", user=writer)
        assert scheduler(lab_host, "look") == FINE, what
        assert "waiting" in lab_host.run("systemctl", "show", "--property=SubState", TIMER), what
    assert scheduler(lab_host, "list") == f"['{UUID}']"
    assert "OnCalendar=" in lab_host.read(f"{UNITS}/{TIMER}.d.found/mine.conf")
    scheduler(lab_host, "remove", user="guestwake")
    assert scheduler(lab_host, "look") == "None"
    scheduler(lab_host, "remove", user="root")  # one that is gone is fine
    assert "not-found" in lab_host.run("systemctl", "show", "--property=LoadState", TIMER)
    assert not lab_host.exists(f"/var/lib/systemd/timers/stamp-{TIMER}")


def test_a_timer_fires_at_its_second_and_starts_the_manager(lab_host: Host) -> None:
    installed(lab_host)
    lab_host.off_guest("web01", boots=False)
    hour = f"{datetime.now(UTC) + timedelta(hours=5):%H:%M}"
    lab_host.put("/etc/guestwake/guestwake.toml", f'guest_update_time = "{hour}"\n')
    lab_host.run("guestwake", "workspace", "add", "web01", "--system")
    uuid = lab_host.run("virsh", "domuuid", "web01").strip()
    lab_host.python(SCHEDULER, "write", uuid, "", "10", "wakes", user="guestwake")
    written = lab_host.read(f"{UNITS}/{timer_name(uuid)}")
    said = written.partition("OnCalendar=")[2].splitlines()[0]
    at = datetime.strptime(said, "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    wakes = "WakeSystem=yes" in written
    assert wakes is has_alarm()  # systemd refuses it where the machine has none
    unit = service_name(uuid)
    lab_host.wait_until(lambda: "Deactivated successfully" in lab_host.journal(unit))
    (started,) = [
        line
        for line in lab_host.run("journalctl", "--output=short-unix", f"--unit={unit}").splitlines()
        if "Started" in line
    ]
    assert 0 <= float(started.split()[0]) - at.timestamp() < 3
    # A timer that fires at any time does no harm, and the run has renewed it.
    assert json.loads(lab_host.run("guestwake", "history", "--json")) == []
    assert f" {hour}:00 UTC\n" in lab_host.read(f"{UNITS}/{timer_name(uuid)}")


def has_alarm() -> bool:
    clock_boottime_alarm = 9
    try:
        time.clock_gettime(clock_boottime_alarm)
    except OSError:
        return False
    return True


def shown(host: Host, unit: str, name: str) -> str:
    return host.run("systemctl", "show", "--value", f"--property={name}", unit).strip()


# rights


def test_the_units_expose_little(lab_host: Host) -> None:
    lab_host.run("guestwake", "service", "install")
    helpers = ("guestwake-timers@1.service", "guestwake-settings@1.service")
    for unit in ("guestwake.service", SERVICE, *helpers):
        lab_host.run("systemd-analyze", "security", "--no-pager", "--threshold=30", unit)


ASK = """
import socket, sys
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect("/run/guestwake-timers.sock")
    asked.sendall(sys.argv[1].encode() + b"\\n")
    print(asked.makefile().readline(), end="")
"""


def test_the_helper_does_three_things_for_two_users(lab_host: Host) -> None:
    installed(lab_host)
    before = lab_host.run("find", "/etc", "/run/systemd/system")
    refused = lab_host.finish("python3", "-c", ASK, json.dumps({"remove": UUID}), user="anna")
    assert "PermissionError" in refused.stderr
    lab_host.run("chmod", "0666", HELPER)  # even so
    said = lab_host.python(ASK, json.dumps({"remove": UUID}), user="anna")
    assert "may not ask" in said
    for asked in (
        {"write": "../../../etc/cron.d/x", "instants": [2_000_000_000], "wakes_host": False},
        {"write": UUID, "instants": [2_000_000_000] * 65, "wakes_host": False},
        {"write": UUID, "instants": ["*:0"], "wakes_host": False},
        {"start": "../../ssh"},
        {"start": "x.service"},
        {"run": "sh"},
    ):
        assert "refused" in lab_host.python(ASK, json.dumps(asked), user="guestwake")
    assert "refused" in lab_host.python(ASK, "x" * 5000, user="guestwake")
    assert lab_host.run("find", "/etc", "/run/systemd/system") == before
    asked = {"write": UUID, "instants": [2_000_000_000], "wakes_host": False}
    assert json.loads(lab_host.python(ASK, json.dumps(asked), user="guestwake")) == {"done": "yes"}
    assert "OnCalendar=2033-05-18 03:33:20 UTC" in lab_host.read(f"{UNITS}/{TIMER}")


def test_the_services_user_is_nobody_elsewhere(lab_host: Host) -> None:
    installed(lab_host)
    for command in (
        ("systemctl", "--no-ask-password", "daemon-reload"),
        ("systemctl", "--no-ask-password", "stop", "libvirtd.service"),
        ("touch", f"{UNITS}/x.service"),
        ("cat", "/etc/shadow"),
    ):
        assert lab_host.finish(*command, user="guestwake").returncode != 0


def test_it_may_let_the_host_sleep_and_keep_it_from_that(lab_host: Host) -> None:
    """polkit's rule; somebody else without a session may not."""
    installed(lab_host)
    login = ("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager")
    asks = ("busctl", "call", *login, "CanSuspend")
    blocks = ("systemd-inhibit", "--what=sleep", "--mode=block", "true")
    assert lab_host.run(*asks, user="guestwake") == 's "yes"\n'
    assert lab_host.run(*asks, user="bert") != 's "yes"\n'
    assert lab_host.finish(*blocks, user="guestwake").returncode == 0
    assert lab_host.finish(*blocks, user="bert").returncode != 0


def test_what_root_does_the_service_can_go_on_with(lab_host: Host) -> None:
    lab_host.run("rm", "-r", "/var/lib/guestwake", "/run/guestwake-host")  # root was here before it
    lab_host.off_guest("web01", boots=False)
    lab_host.run("guestwake", "workspace", "add", "web01", "--system")
    assert shown_owner(lab_host, "/var/lib/guestwake/workspaces") == "root"
    lab_host.run("guestwake", "service", "install")
    lab_host.off_guest("web02", boots=False)
    lab_host.run("guestwake", "workspace", "add", "web02", "--system")
    lab_host.run("guestwake", "pause", "web01")
    lab_host.finish("guestwake", "wake", "web01", "--duration", "nonsense")
    lab_host.run("guestwake", "status")
    folders = ["/var/lib/guestwake", "/run/guestwake-host"]
    assert lab_host.run("find", *folders, "!", "-user", "guestwake") == ""
    rows = json.loads(lab_host.run("guestwake", "status", "--json"))
    assert sorted(row["workspace"] for row in rows) == ["web01", "web02"]


def shown_owner(host: Host, path: str) -> str:
    return host.run("stat", "--format=%U", path).strip()


def test_an_owners_settings_count_though_their_home_is_closed(lab_host: Host) -> None:
    lab_host.run("chmod", "0700", "/home/anna")
    lab_host.run("guestwake", "service", "install")
    lab_host.off_guest("web01", boots=False)
    uuid = lab_host.run("virsh", "domuuid", "web01").strip()
    lab_host.run("guestwake", "workspace", "add", "web01", "--owner", "anna")
    settings = "/home/anna/.config/guestwake/guestwake.toml"
    lab_host.put(settings, 'guest_update_time = "03:07"\n')
    lab_host.run("chown", "-R", "anna:", "/home/anna")
    lab_host.run("systemctl", "restart", "guestwake.service")
    unit = f"{UNITS}/{timer_name(uuid)}"
    lab_host.wait_until(lambda: "03:07:00 UTC" in lab_host.read(unit))
    assert "03:07" in lab_host.run("guestwake", "settings", "show", "web01")
    refused = lab_host.finish("cat", settings, user="guestwake")
    assert refused.returncode != 0  # the user alone may not: its units may


# and out again


def test_removing_it_leaves_settings_and_state(lab_host: Host) -> None:
    lab_host.run("guestwake", "service", "install")
    lab_host.off_guest("web01", boots=False)
    lab_host.run("guestwake", "workspace", "add", "web01", "--system")
    uuid = lab_host.run("virsh", "domuuid", "web01").strip()
    lab_host.wait_until(lambda: lab_host.exists(f"{UNITS}/{timer_name(uuid)}"))
    told = json.loads(lab_host.run("guestwake", "service", "remove", "--json"))
    assert f"removed the timer of {uuid}" in told["done"]
    left = lab_host.run("sh", "-c", f"find {UNITS} -name '*guestwake-[tw]*'")
    assert left == ""
    assert shown(lab_host, "guestwake.service", "ActiveState") == "inactive"
    assert "web01" in lab_host.run("guestwake", "workspace", "list")


# a user's own systemd


@pytest.fixture
def anna(lab_host: Host) -> Session:
    return lab_host.logon("anna", "text")


def test_a_user_has_it_in_their_own_systemd(lab_host: Host, anna: Session) -> None:
    told = anna.run("guestwake", "service", "install")
    assert "only while you are logged on" in told
    assert "WakeHost has no effect" in told  # Debian 12 has systemd 252
    assert users(anna, "is-active", "guestwake.service") == "active"
    users(anna, "stop", "guestwake.service")  # it would undo what follows
    scheduler(lab_host, "write", "10", "wakes", user="anna")
    lab_host.wait_until(lambda: "exit" in users(anna, "show", "-pResult", SERVICE))
    assert users(anna, "show", "--value", "-pExecMainStatus", SERVICE) == "3"  # no such workspace
    assert "WakeSystem" not in lab_host.read(f"/home/anna/.config/systemd/user/{TIMER}")
    for what, expected in {
        f"systemctl --user mask --runtime {TIMER}": "masked",
        f"systemctl --user disable {TIMER}": "disabled",
        f"systemctl --user stop {TIMER}": "stopped",
    }.items():
        scheduler(lab_host, "write", user="anna")
        assert scheduler(lab_host, "look", user="anna") == FINE
        anna.run("sh", "-c", what, check=False)
        assert expected in scheduler(lab_host, "look", user="anna")
    anna.run("guestwake", "service", "remove")
    left = lab_host.run("sh", "-c", "find /home/anna/.config/systemd -name '*guestwake*'")
    assert "guestwake.service" not in left
    assert ".timer" not in left.replace(".found", "")


VM = """
<domain type='qemu'><name>mine</name><memory unit='MiB'>64</memory><os><type>hvm</type></os>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices></domain>
"""


def test_a_users_run_may_be_killed_and_the_vm_lives(lab_host: Host, anna: Session) -> None:
    lab_host.put("/tmp/vm.xml", VM)
    anna.run("virsh", "--connect", "qemu:///session", "define", "/tmp/vm.xml")
    uuid = anna.run("virsh", "--connect", "qemu:///session", "domuuid", "mine").strip()
    anna.run("guestwake", "service", "install")
    anna.run("guestwake", "workspace", "add", "mine")
    lab_host.run("pkill", "-u", "anna", "libvirtd")  # none runs when the timer fires
    opens = f"{datetime.now(UTC):%H:%M}"
    settings = "/home/anna/.config/guestwake/guestwake.toml"
    lab_host.put(settings, f'guest_update_time = "{opens}"\n', owner="anna")
    lab_host.run("chown", "-R", "anna:", "/home/anna/.config")
    users(anna, "restart", "guestwake.service")

    def is_awake() -> bool:
        return "awake for its updates" in anna.run("guestwake", "status")

    lab_host.wait_until(is_awake)
    users(anna, "stop", "guestwake.service")
    qemu = lab_host.run("pgrep", "-u", "anna", "qemu").split()
    users(anna, "kill", "--signal=KILL", service_name(uuid))
    lab_host.wait_until(lambda: users(anna, "is-active", service_name(uuid)) == "activating")
    assert lab_host.run("pgrep", "-u", "anna", "qemu").split() == qemu
    users(anna, "stop", service_name(uuid))  # or the start would wait for half a minute
    users(anna, "start", service_name(uuid))
    lab_host.wait_until(is_awake)
    users(anna, "stop", service_name(uuid))
    assert lab_host.finish("pgrep", "-u", "anna", "qemu").returncode == 1
    assert (
        anna.run("virsh", "--connect", "qemu:///session", "list", "--state-running").count("\n") < 4
    )


def users(session: Session, *words: str) -> str:
    return session.run("systemctl", "--user", *words, check=False).strip()


def test_lingering_is_a_users_own_wish(lab_host: Host, anna: Session) -> None:
    lingers = "/var/lib/systemd/linger/anna"
    anna.run("guestwake", "service", "install")
    assert not lab_host.exists(lingers)
    anna.run("guestwake", "service", "install", "--linger")
    assert lab_host.exists(lingers)
    anna.run("guestwake", "service", "remove")
    assert not lab_host.exists(lingers)
