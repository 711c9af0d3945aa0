"""A real host with a user in it who means no good, and one whose service was taken over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from served import served

from guestwake.edges.dbus_words import (
    MANAGER_OBJECT,
    MANAGER_PATH,
    SERVICE,
    WORKSPACE_OBJECT,
    Action,
)
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

    lab_host.run("python3", "-c", ATTACK.read_text(), "huge", user="anna")
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
