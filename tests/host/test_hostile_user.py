"""A real host with a user in it who means no good, and one whose service was taken over."""

from __future__ import annotations

import ast
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from served import served, set_

from guestwake.edges.dbus_words import (
    MANAGER_OBJECT,
    MANAGER_PATH,
    SERVICE,
    WORKSPACE_OBJECT,
    Action,
)
from guestwake.edges.exit_codes import Exit
from guestwake.schedulers.systemd_text import timer_name
from lab.host import Host

HERE = Path(__file__).parent
ATTACK, ATTEMPTS = HERE / "attack_bus.py", HERE.parent / "hostile" / "attempts.py"
MEMORY_MAX_MIB = 200  # the unit has 512
STATE = ("/etc/guestwake", "/etc/systemd/system", "/var/lib/guestwake/workspaces")

# What is on record, but for when it was looked at.
JOURNAL = """
import sqlite3
kept = sqlite3.connect("file:/var/lib/guestwake/journal.db?mode=ro", uri=True)
print("\\n".join(kept.iterdump()))
"""


def web01(host: Host, owner: str) -> str:
    """The service over that one workspace; its UUID."""
    host.off_guest("web01", boots=False)
    served(host)
    host.run("guestwake", "workspace", "add", "web01", "--owner", owner)
    uuid = host.run("virsh", "domuuid", "web01").strip()
    asked = ("busctl", "get-property", SERVICE, MANAGER_PATH, SERVICE, "Workspaces")
    host.wait_until(lambda: uuid.replace("-", "_") in host.run(*asked, check=False))
    return uuid


def attack(host: Host, *words: str) -> Any:
    """By anna, who owns nothing."""
    return json.loads(host.run("python3", "-c", ATTACK.read_text(), *words, user="anna"))


def recorded(host: Host) -> str:
    find = f"find {' '.join(STATE)} -type f -o -type l | sort | xargs -d '\\n' sha256sum"
    return host.run("sh", "-c", find) + host.python(JOURNAL)


def life(host: Host) -> str:
    """Of the service: another after it has died."""
    return host.run("systemctl", "show", "-pMainPID", "-pNRestarts", "guestwake.service")


def log_lines(host: Host) -> list[str]:
    """Of the service, each as it would be shown. A text that steers a terminal is told as a list
    of bytes."""
    words = ("--output=json", "--output-fields=MESSAGE", "--unit=guestwake.service")
    lines = host.run("journalctl", "--boot", *words).splitlines()
    found = [json.loads(line)["MESSAGE"] for line in lines]
    assert all(isinstance(one, str) and one.isprintable() for one in found), found
    return found


# on the bus


def test_on_the_bus_a_user_without_rights_only_reads(lab_host: Host) -> None:
    uuid = web01(lab_host, owner="bert")
    before, alive = recorded(lab_host), life(lab_host)

    came = attack(lab_host, "call", "web01", uuid)
    table = {
        f"{interface.name}.{method.name}": method.action
        for interface in (*MANAGER_OBJECT, *WORKSPACE_OBJECT)
        for method in interface.methods
    }
    assert set(came) == set(table)
    done = {name for name, outcomes in came.items() if "returned" in outcomes}
    assert {name for name in done if table[name] not in (Action.READ, None)} == set()
    assert "org.guestwake.Manager1.Status" in done
    assert {name for name, outcomes in came.items() if _is_unforeseen(outcomes)} == set()

    squats = attack(lab_host, "names")
    denied = ["org.freedesktop.DBus.Error.AccessDenied"]
    assert squats.pop("overheard") == []
    assert list(squats.values()) == [denied] * 3

    for words in (("huge",), ("vanish", uuid)):
        lab_host.run("python3", "-c", ATTACK.read_text(), *words, user="anna")
    flood = lab_host.begin("python3", "-c", ATTACK.read_text(), "flood", user="anna")
    assert flood.stdout is not None
    assert flood.stdout.readline() == "begun\n"
    asked = ["busctl", "call", SERVICE, MANAGER_PATH, SERVICE, "Status"]
    for user in ("bert", "root", "bert"):
        assert "web01" in lab_host.run(*asked, user=user)
    flood.kill()
    lab_host.finish("pkill", "-u", "anna")
    flood.communicate()

    assert life(lab_host) == alive
    assert memory_peak(lab_host) < MEMORY_MAX_MIB
    assert recorded(lab_host) == before
    lines = log_lines(lab_host)
    assert len(lines) < 50, lines
    assert not any("forged" in line or "Traceback" in line for line in lines), lines
    assert not lab_host.exists("/tmp/pwned")


def _is_unforeseen(outcomes: list[str]) -> bool:
    return any("Unexpected" in one or "NoReply" in one for one in outcomes)


def memory_peak(host: Host) -> int:
    """MiB."""
    pid = host.run("systemctl", "show", "--value", "-pMainPID", "guestwake.service").strip()
    (line,) = [one for one in host.read(f"/proc/{pid}/status").splitlines() if "VmHWM" in one]
    return int(line.split()[1]) // 1024


# files


SECRETS = ("hunter2-of-bert", "hunter2-of-root", "hunter2-of-the-display", "hunter2-of-a-shell")
NAMES_OF_OTHERS = ("diary-of-bert",)
SETTINGS = "/home/anna/.config/guestwake"
SETUP = f"""
mkdir -p /home/bert/private /home/bert/.config/guestwake
echo 'password = "{SECRETS[0]}"' | tee /home/bert/private/diary-of-bert.toml \\
    >/home/bert/.config/guestwake/guestwake.toml
chown -R bert: /home/bert
chmod -R go= /home/bert
echo 'password = "{SECRETS[1]}"' >/etc/secret.toml
chmod 600 /etc/secret.toml
mkdir -p {SETTINGS}
chown -R anna: /home/anna
"""
CLEARED = f"rm -rf {SETTINGS}; mkdir -p {SETTINGS}/guestwake.toml.d; cd {SETTINGS}"
# By anna, in her own folder.
TRICKS = (
    r"""
    cd guestwake.toml.d
    ln -s /etc/secret.toml a-link-to-what-is-roots.toml
    ln -s /home/bert/private/diary-of-bert.toml a-link-to-what-is-anothers.toml
    ln -s /dev/zero a-device.toml
    ln -s /proc/self/mem its-own-memory.toml
    mkfifo a-pipe.toml
    mkdir a-folder.toml
    printf 'x = ' >"a$(printf '\nMESSAGE=forged\033[2J').toml"
    head -c 1000 /dev/urandom >no-text.toml
    printf 'x = ' >deep.toml; head -c 30000 /dev/zero | tr '\0' '[' >>deep.toml
    truncate -s 10G ../guestwake.toml
    """,
    r"""
    echo 'guest_update_time = "%h\n[Service]\nExecStart=/bin/touch /tmp/pwned"' >guestwake.toml
    printf '"\\u001b[2J\\nforged" = "$(touch /tmp/pwned)"\n' >>guestwake.toml
    rmdir guestwake.toml.d; ln -s /home/bert/private guestwake.toml.d
    """,
    "cd ..; rm -r guestwake; ln -s /home/bert/.config/guestwake guestwake",
)
# A file that may be read one moment and is a secret of root's the next.
SWAPS = f"""
{CLEARED}
echo 'splay = 1' >good
echo begun
while :; do
    ln -sf /etc/secret.toml x; mv -T x guestwake.toml
    cp good x; mv -T x guestwake.toml
done
"""


def test_files_of_a_user_show_and_change_nothing_of_others(lab_host: Host) -> None:
    web01(lab_host, owner="anna")
    set_(lab_host, f'guest_update_time = "{datetime.now(UTC) + timedelta(hours=5):%H:%M}"')
    timers = ("sh", "-c", "cat /etc/systemd/system/guestwake-wake@*.timer")
    lab_host.wait_until(lambda: "OnCalendar" in lab_host.run(*timers, check=False))
    lab_host.run("sh", "-ec", SETUP)
    alive, said = life(lab_host), []
    for trick in TRICKS:
        lab_host.run("sh", "-ec", f"{CLEARED}; {trick}", user="anna")
        told = lab_host.finish("guestwake", "settings", "check")
        assert told.returncode in (Exit.DONE, Exit.SETTINGS), told
        said.append(told.stdout + told.stderr)
    said.append(lab_host.run("guestwake", "status"))
    swapping = lab_host.begin("sh", "-ec", SWAPS, user="anna")
    assert swapping.stdout is not None
    assert swapping.stdout.readline() == "begun\n"
    for _ in range(3):
        said.append(lab_host.run("guestwake", "settings", "check", check=False))
    lab_host.run("systemctl", "reload", "guestwake.service")
    lab_host.finish("pkill", "-u", "anna")
    swapping.communicate()

    lines = [line for text in said for line in text.splitlines()] + log_lines(lab_host)
    assert [line for line in lines if not line.isprintable()] == []
    text = "\n".join(lines)
    assert [one for one in (*SECRETS, *NAMES_OF_OTHERS) if one in text] == []
    for sentence in ("symbolic link", "must be a plain file", "must belong to the user"):
        assert sentence in text  # they were looked at
    assert life(lab_host) == alive
    assert "ExecStart" not in lab_host.run(*timers)
    assert not lab_host.exists("/tmp/pwned")


# the parts that are root


# The first words of each answer.
ASK = """
import json, socket, sys
for line in json.load(sys.stdin):
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect(sys.argv[1])
        asked.sendall(line.encode("latin-1"))
        asked.shutdown(socket.SHUT_WR)
        print(asked.makefile(errors="replace").readline()[:9])
"""
ABROAD = "../../../../etc/cron.d/x"
UUID = "6a1f3c52-9d1e-4a53-8a55-0c7f2a9b1d10"
AT = 2_000_000_000
# A few of those in tests/unit, at the real ones.
TO_TIMERS = [
    {"write": ABROAD, "instants": [AT], "wakes_host": False},
    {"write": UUID, "instants": ["*:0\n[Service]\nExecStart=/bin/sh"], "wakes_host": False},
    {"start": f"{UUID}.service ssh.service"},
]
TO_SETTINGS = [
    {"set": "splay", "value": '5\n[x]\ny = "z"', "workspace": None},
    {"set": "splay", "value": "5", "workspace": ABROAD},
    {"set": "desktop_command", "value": "/bin/sh", "workspace": None},
]
RAW = [b"\xff\xfe\n", b"x" * 100_000]
# Where the two may write at all, and where a link of an attacker's might lead them.
WATCHED = (
    "find /etc /run/systemd/system /var/lib/guestwake /root /tmp -xdev -printf '%p %U %m %s %l\n'"
)


def test_the_parts_that_are_root_do_nothing_for_others_and_nothing_else(lab_host: Host) -> None:
    """The second asker is one who has taken over the service."""
    lab_host.run("guestwake", "service", "install")
    lab_host.run("systemctl", "mask", "--now", "--runtime", "guestwake.service")
    asked = {
        "/run/guestwake-timers.sock": TO_TIMERS,
        "/run/guestwake-settings.sock": TO_SETTINGS,
    }
    lab_host.run("mkdir", "-p", "/etc/guestwake")
    before = lab_host.run("sh", "-c", f"{WATCHED} | sort")
    for socket, requests in asked.items():
        lines = [json.dumps(each) + "\n" for each in requests]
        lines += [raw.decode("latin-1") for raw in RAW]
        command = ("python3", "-c", ASK, socket)
        said = lab_host.run(*command, user="guestwake", given=json.dumps(lines))
        assert said.splitlines() == ['{"refused'] * len(lines), said
        done = lab_host.finish(*command, user="anna", given=json.dumps(lines))
        assert "PermissionError" in done.stderr
    lab_host.wait_until(lambda: lab_host.run("sh", "-c", f"{WATCHED} | sort") == before)

    # Who can write to none of these folders plants no link there; by hand the parts are nobody.
    folders = ("/etc/systemd/system", "/etc/guestwake", "/run/systemd/system", "/run")
    plants = "; ".join(f"ln -s /etc/shadow {each}/{timer_name(UUID)}" for each in folders)
    for user in ("guestwake", "anna"):
        planted = lab_host.finish("sh", "-c", plants, user=user)
        assert planted.stderr.count("Permission denied") == len(folders), planted
    setuid = "find /usr /etc /var /run -xdev -perm /6000 -name '*guestwake*'"
    assert lab_host.run("sh", "-c", setuid) == ""
    for program in ("guestwake-timers", "guestwake-settings"):
        environ = ("env", "GUESTWAKE_ROOT=/tmp/x", "PYTHONPATH=/tmp/x", program)
        lab_host.finish(*environ, user="anna")
    lab_host.wait_until(lambda: lab_host.run("sh", "-c", f"{WATCHED} | sort") == before)


# the sandboxes, as systemd makes them

PROBE = "guestwake-probe.service"
# What one can do who has taken over the manager, and not only its reader.
OF_THE_UNIT = """
import ctypes, mmap, os, socket, time
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *words):
    if getattr(libc, name)(*words) < 0:
        raise OSError(ctypes.get_errno(), name)
def read(path):  # systemd hides a file by an empty one
    if not open(path).read(1):
        raise OSError("empty")
def connects(path):
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect(path)
tries = {
    "read /etc/shadow": lambda: read("/etc/shadow"),
    "read the journal": lambda: os.listdir("/var/lib/guestwake"),
    "read a closed home": lambda: os.listdir("/home/bert"),
    "read root's home": lambda: read("/root/x"),
    "write a closed home": lambda: open("/home/bert/x", "w"),
    "write a unit": lambda: open("/etc/systemd/system/x.service", "w"),
    "write the settings": lambda: open("/etc/guestwake/guestwake.toml", "a"),
    "write a program": lambda: open("/usr/bin/guestwake", "a"),
    "talk to libvirt": lambda: connects("/run/libvirt/libvirt-sock"),
    "talk to systemd": lambda: connects("/run/systemd/private"),
    "have a packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "make a user namespace": lambda: call("unshare", 0x10000000),
    "mount": lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None),
    "be root": lambda: os.setuid(0),
    "ptrace systemd": lambda: call("ptrace", 16, 1, None, None),
    "kill systemd": lambda: os.kill(1, 18),
    "use io_uring": lambda: call("syscall", 425, 1, ctypes.create_string_buffer(128)),
    "load a module": lambda: call("syscall", 175, None, 0, b""),
    "set the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
    "give a program root's rights": lambda: os.chmod(open("/tmp/x", "w").fileno(), 0o4755),
    "make memory a program": lambda: mmap.mmap(-1, 4096, prot=7),
}
done = []
for name, do in tries.items():
    try:
        do()
    except OSError:
        continue
    done.append(name)
print(sorted(done))
"""
OF_THE_MANAGER = ["read a closed home", "read the journal", "talk to libvirt"]
MAY = {
    "guestwake.service": OF_THE_MANAGER,
    "guestwake-wake@.service": OF_THE_MANAGER,
    "guestwake-timers@.service": ["kill systemd", "talk to systemd", "write a unit"],
    "guestwake-settings@.service": ["kill systemd", "write the settings"],
}


def probed(host: Host, unit: str, *command: str) -> str:
    """The last line that it says, run as that unit would be."""
    lines = host.read(f"/usr/lib/systemd/system/{unit}").splitlines()
    others = ("ExecStart=", "Type=", "Restart=", "WatchdogSec=", "NotifyAccess=", "StandardInput=")
    kept = [line for line in lines if not line.startswith((*others, "StandardOutput="))]
    at = kept.index("[Service]") + 1
    kept[at:at] = [
        "Type=oneshot",
        f"ExecStart={' '.join(command)}",
    ]
    host.put(f"/etc/systemd/system/{PROBE}", "\n".join(kept))
    host.run("systemctl", "daemon-reload")
    host.finish("systemctl", "start", PROBE)
    host.run("journalctl", "--sync")
    words = ("--output=cat", "_TRANSPORT=stdout", f"--unit={PROBE}")
    said = host.run("journalctl", *words).splitlines()
    assert said, host.journal(PROBE)
    return said[-1]


def test_what_was_taken_over_in_the_real_units_reaches_little(lab_host: Host) -> None:
    """What docs/security.md says; and the manager's reader nothing."""
    lab_host.run("sh", "-ec", "chmod 700 /home/bert; echo x >/root/x")
    lab_host.put("/usr/local/lib/of_the_unit.py", OF_THE_UNIT)
    lab_host.put("/usr/local/lib/attempts.py", ATTEMPTS.read_text())
    for unit, may in MAY.items():
        said = probed(lab_host, unit, "/usr/bin/python3", "/usr/local/lib/of_the_unit.py")
        assert ast.literal_eval(said) == may, unit
    uid = lab_host.run("id", "-u", "guestwake").strip()
    words = ("/usr/local/lib/attempts.py", "all", uid, "1", "/var/lib/guestwake")
    came = json.loads(probed(lab_host, "guestwake-wake@.service", "/usr/bin/python3", *words))
    assert {name for name, outcome in came.items() if outcome == "done"} == set()
    assert len(came) > 30
