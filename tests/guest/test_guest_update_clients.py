"""What the update clients are doing, what they last did, and how they are asked to look."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from guest_scene import RECORDED, Guest

from guestwake_guest.busy import blocks_shutdown, is_busy
from guestwake_guest.look import wanted_units
from guestwake_guest.system import System
from guestwake_guest.times import unix_seconds
from guestwake_guest.update_clients import apt, dnf, locks, units, zypper
from guestwake_wire.messages import INSTALLED_MAX, Client, ClientState

FRONTEND = "/var/lib/dpkg/lock-frontend"
PERIODIC = "/var/lib/apt/periodic"
LOG = "/var/log/unattended-upgrades/unattended-upgrades.log"


# --- what they last installed ---


def test_apt_tells_what_it_installed(guest: Guest) -> None:
    guest.write("/var/log/apt/history.log", (RECORDED / "apt-history.log").read_text())
    told = [(one.name, one.version) for one in apt.client(guest.view()).installed]
    assert told == [
        ("libssh2-1", "1.10.0-3+b1"),
        ("lsb-release", "12.0-1"),
        ("libudev1", "252.38-1~deb12u1"),
        ("libsystemd0", "252.38-1~deb12u1"),
    ]  # the newest first; what is under way is not there yet


def test_dnf_tells_what_it_installed(guest: Guest) -> None:
    guest.write("/var/log/dnf.rpm.log", (RECORDED / "dnf.rpm.log").read_text())
    told = [tuple(one) for one in dnf.client(guest.view()).installed]
    assert told == [
        ("gimp", "2.10.38-1.fc40", 1791194400),
        ("openssl-libs", "1:3.2.2-6.el9", 1791100800),
    ]


def test_zypper_tells_what_it_installed(guest: Guest) -> None:
    guest.write("/var/log/zypp/history", (RECORDED / "zypp-history").read_text())
    told = [(one.name, one.version) for one in zypper.client(guest.view()).installed]
    assert told == [("amarok", "1.4.10-100.pm.1"), ("amarok-yauap", "1.4.10-25")]


def test_what_dnf_began_and_did_not_install_is_not_told(guest: Guest) -> None:
    """It logs a package when it opens it; then its %pre failed. A %post that fails is too late."""
    guest.write("/var/log/dnf.rpm.log", (RECORDED / "dnf.rpm.log-failed").read_text())
    told = [(one.name, one.version) for one in dnf.client(guest.view()).installed]
    assert told == [("beta", "3-2"), ("alpha", "3-1"), ("beta", "2-2")]


def test_what_zypper_did_not_install_is_not_told(guest: Guest) -> None:
    guest.write("/var/log/zypp/history", (RECORDED / "zypp-history-failed").read_text())
    told = [(one.name, one.version) for one in zypper.client(guest.view()).installed]
    assert told == [("alpha", "4-1")]


def test_a_long_log_is_cut_and_counted(guest: Guest) -> None:
    many = ", ".join(f"package{number}:amd64 (1, 2)" for number in range(100))
    guest.write("/var/log/apt/history.log", f"Upgrade: {many}\nEnd-Date: 2026-06-24  14:36:25\n")
    client = apt.client(guest.view())
    assert len(client.installed) == INSTALLED_MAX
    assert client.more == 100 - INSTALLED_MAX


def test_what_is_older_than_a_week_before_the_newest_is_left_out(guest: Guest) -> None:
    days = "".join(f"2026-10-{day:02} 12:00:00|install|of{day}|1|noarch|\n" for day in range(1, 21))
    guest.write("/var/log/zypp/history", days)
    assert len(zypper.client(guest.view()).installed) == 7


def test_nonsense_in_a_log_is_nothing(guest: Guest) -> None:
    guest.write("/var/log/apt/history.log", "\0\xff\n\nEnd-Date: 9999-99-99 99:99:99\nInstall: x (")
    assert apt.client(guest.view()).installed == ()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-10-04T10:00:00+0200", 1791100800),
        ("2026-10-04T08:00:00Z", 1791100800),
        ("2024-02-29T23:59:59-0030", 1709252999),
        ("1970-01-01T00:00:00Z", 0),
        ("tomorrow", None),
    ],
)
def test_times_of_logs(text: str, seconds: int | None) -> None:
    assert unix_seconds(text) == seconds


# --- locks: the real table of the kernel ---


@pytest.fixture
def real_locks(guest: Guest) -> Guest:
    for name in ("locks", "self"):
        file = guest.path(f"/proc/{name}")
        if file.exists():
            file.unlink()
        file.symlink_to(f"/proc/{name}")
    return guest


HOLDER = """
import fcntl, os, sys
file = open(sys.argv[1], "a")
{"lockf": fcntl.lockf, "flock": fcntl.flock}[sys.argv[2]](file, getattr(fcntl, sys.argv[3]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("call", "mode", "busy"),
    [("lockf", "LOCK_EX", True), ("flock", "LOCK_EX", True), ("flock", "LOCK_SH", False)],
)
def test_somebody_else_holds_a_lock(real_locks: Guest, call: str, mode: str, busy: bool) -> None:
    file = real_locks.write(FRONTEND)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(file), call, mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout
        assert holder.stdin
        holder.stdout.readline()
        assert locks.held(real_locks.system, [FRONTEND]) is busy
        holder.stdin.close()
    assert locks.held(real_locks.system, [FRONTEND]) is False


def test_looking_takes_no_lock(real_locks: Guest) -> None:
    """unattended-upgrades gives up when a probe holds its own."""
    file = real_locks.write(FRONTEND)
    with file.open("a") as mine:
        fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
        locks.held(real_locks.system, [FRONTEND])
        fcntl.flock(mine, fcntl.LOCK_UN)
        locks.held(real_locks.system, [FRONTEND])
        fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_file_system_that_gives_stat_another_device(guest: Guest) -> None:
    """btrfs and overlayfs: the kernel's table has the device of the mount."""
    file = guest.write(FRONTEND)
    guest.write(
        "/proc/self/mountinfo",
        f"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 0:41 /@ {guest.root} rw - btrfs /dev/sdb rw\n",
    )
    inode = os.stat(file).st_ino
    guest.write("/proc/locks", f"1: POSIX  ADVISORY  WRITE 812 00:29:{inode} 0 EOF\n")
    assert locks.held(guest.system, [FRONTEND]) is True
    guest.write("/proc/locks", f"1: -> POSIX  ADVISORY  WRITE 812 00:29:{inode} 0 EOF\n")
    assert locks.held(guest.system, [FRONTEND]) is False


def test_without_the_table_nobody_can_tell(guest: Guest) -> None:
    guest.remove("/proc/locks")
    assert locks.held(guest.system, [FRONTEND]) is None
    assert apt.client(guest.view()).state is ClientState.UNKNOWN
    assert is_busy(guest.view(), [apt.client(guest.view())]) is None


# --- units ---

SLICE = "/sys/fs/cgroup/system.slice/apt-daily-upgrade.service"


@pytest.mark.parametrize(
    ("file", "text", "runs"),
    [
        ("cgroup.events", "populated 1\nfrozen 0\n", True),
        ("cgroup.events", "populated 0\nfrozen 0\n", False),
        ("cgroup.procs", "812\n", True),
        ("cgroup.procs", "", False),
    ],
)
def test_a_unit_runs(guest: Guest, file: str, text: str, runs: bool) -> None:
    guest.write(f"{SLICE}/{file}", text)
    assert units.one_runs(guest.system, apt.UNITS) is runs
    assert (apt.client(guest.view()).state is ClientState.BUSY) is runs


# --- nothing left ---


def upgraded(guest: Guest, *, refreshed: float = 60, looked: float = 30, log: str = "") -> None:
    """`refreshed`, `looked`: seconds ago, when the lists were, and unattended-upgrades' end."""
    for folder in ("/var/lib/apt/lists/partial", PERIODIC):
        guest.path(folder).mkdir(parents=True, exist_ok=True)
    for name in ("/var/lib/apt/lists", "/var/lib/apt/lists/partial"):
        guest.touch(name, refreshed)
    guest.write(f"{PERIODIC}/update-stamp", age=refreshed)
    guest.write(f"{PERIODIC}/unattended-upgrades-stamp", age=looked)
    guest.write(LOG, line(guest, looked, log or "INFO All upgrades installed"))


def line(guest: Guest, age: float, text: str) -> str:
    import datetime

    at = datetime.datetime.fromtimestamp(guest.wall - age, datetime.UTC)
    return f"{at:%Y-%m-%d %H:%M:%S},123 {text}\n"


def state(guest: Guest, *, window: float | None = None) -> ClientState:
    """`window`: opened so many seconds ago."""
    return apt.client(guest.view(None if window is None else guest.wall - window)).state


def test_it_has_looked_since_the_lists_were_refreshed(guest: Guest) -> None:
    upgraded(guest)
    assert state(guest) is ClientState.NOTHING_LEFT
    assert state(guest, window=120) is ClientState.NOTHING_LEFT


def test_no_language_hides_it(guest: Guest) -> None:
    upgraded(guest, log="INFO Alle Upgrades installiert")
    assert state(guest) is ClientState.NOTHING_LEFT


def test_lists_of_before_the_window_say_nothing_about_today(guest: Guest) -> None:
    upgraded(guest)
    assert state(guest, window=45) is ClientState.IDLE


def test_lists_of_yesterday_say_nothing_about_today(guest: Guest) -> None:
    upgraded(guest, refreshed=90000, looked=80000)
    assert state(guest) is ClientState.IDLE


def test_the_lists_were_refreshed_after_it_looked(guest: Guest) -> None:
    upgraded(guest, refreshed=30, looked=60)
    assert state(guest) is ClientState.IDLE


def test_somebody_refreshed_the_lists_by_hand_after_it_looked(guest: Guest) -> None:
    upgraded(guest)
    guest.touch("/var/lib/apt/lists/partial", 10)
    assert state(guest) is ClientState.IDLE


@pytest.mark.parametrize(
    "trouble",
    [
        "ERROR Installing the upgrades failed!",
        "WARNING Package example has conffile prompt and needs to be upgraded manually",
        "WARNING SIGNAL received, stopping",
        "INFO Option --dry-run given, *not* performing real actions",
    ],
)
def test_a_run_that_did_not_go_well_leaves_something(guest: Guest, trouble: str) -> None:
    upgraded(guest, log=trouble)
    assert state(guest) is ClientState.IDLE


def test_trouble_of_before_is_over(guest: Guest) -> None:
    upgraded(guest)
    log = line(guest, 90000, "ERROR Installing the upgrades failed!") + guest.path(LOG).read_text()
    guest.write(LOG, log)
    assert state(guest) is ClientState.NOTHING_LEFT


@pytest.mark.parametrize(
    "missing", [LOG, f"{PERIODIC}/update-stamp", f"{PERIODIC}/unattended-upgrades-stamp"]
)
def test_without_a_proof_something_may_be_left(guest: Guest, missing: str) -> None:
    upgraded(guest)
    guest.remove(missing)
    assert state(guest) is ClientState.IDLE


def test_a_plain_guest_is_idle(guest: Guest) -> None:
    assert state(guest) is ClientState.IDLE


# --- busy ---

INHIBITORS = (RECORDED / "inhibitors.json").read_text()


def test_packagekit_blocks_the_shutdown() -> None:
    assert blocks_shutdown(INHIBITORS) is True


def test_who_only_delays_a_shutdown_does_not_count() -> None:
    assert blocks_shutdown(INHIBITORS.replace('"block"', '"delay"')) is False


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"data":[]}', '{"data":[[[1,2,3,4]]]}', '{"data":[[["shutdown"]]]}']
)
def test_an_answer_that_is_none_tells_nothing(text: str) -> None:
    assert blocks_shutdown(text) is None


def test_logind_is_asked_when_the_inhibitors_are_others(guest: Guest) -> None:
    guest.says("/usr/bin/busctl", "inhibitors.json")
    assert is_busy(guest.view(), []) is False
    assert guest.calls("/usr/bin/busctl") == []
    guest.write("/run/systemd/inhibit/1")
    assert is_busy(guest.view(), []) is None
    guest.hears_answers()
    for _ in range(3):
        guest.passes(60)
        assert is_busy(guest.view(), []) is True
    assert len(guest.calls("/usr/bin/busctl")) == 1


def test_a_busy_client_is_enough(guest: Guest) -> None:
    assert is_busy(guest.view(), [Client("apt", ClientState.BUSY)]) is True


# --- nudge ---

UNITS = "/usr/lib/systemd/system"


def test_apt_is_let_look_by_its_own_units(guest: Guest) -> None:
    guest.program("/usr/bin/apt-get", "")
    for unit in apt.UNITS:
        guest.write(f"{UNITS}/{unit}", "[Service]\n")
    assert wanted_units(guest.view()) == ["apt-daily.service", "apt-daily-upgrade.service"]


def test_what_an_administrator_has_masked_stays_so(guest: Guest) -> None:
    guest.program("/usr/bin/apt-get", "")
    guest.write(f"{UNITS}/apt-daily.service", "[Service]\n")
    mask = guest.path("/etc/systemd/system/apt-daily.service")
    mask.parent.mkdir(parents=True)
    mask.symlink_to("/dev/null")
    assert wanted_units(guest.view()) == []


def test_of_dnfs_units_the_one_that_was_enabled(guest: Guest) -> None:
    guest.program("/usr/bin/dnf", "")
    for name in ("dnf-automatic", "dnf-automatic-notifyonly"):
        guest.write(f"{UNITS}/{name}.service", "[Service]\n")
    guest.write("/etc/systemd/system/timers.target.wants/dnf-automatic-notifyonly.timer")
    assert wanted_units(guest.view()) == ["dnf-automatic-notifyonly.service"]


def test_the_real_table_can_be_read() -> None:
    assert locks.held(System(), [str(Path(__file__))]) is False
