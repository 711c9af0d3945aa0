"""Guests that `attacker.py` has taken over, and what a host has of them: memory, text, bytes.

mallory = taken_over(lab.hibernated_guest("mallory"), [("storm", 5)], then="busy")
...
played(mallory, "storm")
assert clean(host, guests) == []
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stories import Host, until, woken_by_hand

from guestwake.edges.dbus_words import MANAGER_PATH, SERVICE, WORKSPACE, path_of
from lab.guests import Guest

ATTACKER = Path(__file__).with_name("attacker.py")
INSIDE = "/usr/local/lib/attacker.py"
UNIT = """\
[Unit]
Conflicts={conflicts}
[Service]
ExecStart=/usr/bin/python3 -IS {inside} '{plan}'
Restart=always
RestartSec=1
[Install]
WantedBy=multi-user.target
"""
REPLACED = "guestwake-guest.service guestwake-guest.socket"
AGENT = "qemu-guest-agent.service"
_TICKS = os.sysconf("SC_CLK_TCK")


def taken_over(
    guest: Guest,
    attacks: Sequence[tuple[str, float]] = (),
    *,
    then: str = "nothing",
    agent: str | None = None,
) -> Guest:
    """It is hibernated again, with the attacker in it, who begins when a host comes; also after a
    restart. The words are `attacker.py`'s. Its power button does nothing."""
    woken_by_hand(guest)
    plan = json.dumps({"port": list(attacks), "then": then, "agent": agent})
    replaced = f"{REPLACED} {AGENT}" if agent else REPLACED
    unit = UNIT.format(conflicts=replaced, inside=INSIDE, plan=plan)
    _write(guest, INSIDE, ATTACKER.read_bytes())
    _write(guest, "/etc/systemd/system/attacker.service", unit.encode())
    # Masked, so that they do not come back with a restart; what runs ends by the conflict.
    links = " ".join(f"/etc/systemd/system/{name}" for name in replaced.split())
    guest.run(f"for each in {links}; do ln -sf /dev/null $each; done")
    _write(guest, "/etc/systemd/logind.conf", b"[Login]\nHandlePowerKey=ignore\n")
    guest.run(
        "systemctl daemon-reload; systemctl enable attacker; systemctl restart systemd-logind"
    )
    guest.run(f"systemctl stop {REPLACED}")
    start = ["systemctl", "start", "--no-block", "attacker.service"]
    guest.agent("guest-exec", {"path": start[0], "arg": start[1:]})  # it may end the agent itself
    until(lambda: _said(guest).count("here"))
    guest.hibernate()
    return guest


def _write(guest: Guest, path: str, data: bytes) -> None:
    text = base64.b64encode(data).decode()
    for at in range(0, len(text), 32768):
        sign = ">" if at == 0 else ">>"
        done = guest.run(f"echo {text[at : at + 32768]} {sign} /tmp/written")
        assert done.code == 0, done.stderr
    assert guest.run(f"base64 --decode /tmp/written >{path}").code == 0


def played(guest: Guest, what: str) -> int | None:
    """How many bytes the port took of that attack; None: it has not ended."""
    said = next((line for line in _said(guest) if line.startswith(f"played {what}, ")), None)
    return int(said.split()[-2]) if said else None


def is_at(guest: Guest, words: str) -> bool:
    return words in _said(guest)


def _said(guest: Guest) -> list[str]:
    lines = guest.console.read_text(errors="replace").splitlines()
    return [line.removeprefix("attacker: ") for line in lines if line.startswith("attacker: ")]


# --- memory ---


@dataclass(frozen=True)
class Footprint:
    """Of one process so far. `peak`, `now`: KiB of memory; `seconds` of a processor, `share`: of
    one processor since it began."""

    peak: int
    now: int
    seconds: float
    share: float


def footprint(pid: int) -> Footprint:
    status = Path(f"/proc/{pid}/status").read_text()
    known = dict(re.findall(r"^(VmHWM|VmRSS):\s+(\d+) kB$", status, re.MULTILINE))
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    used, began = (int(fields[11]) + int(fields[12])) / _TICKS, int(fields[19]) / _TICKS
    lived = time.clock_gettime(time.CLOCK_BOOTTIME) - began
    return Footprint(int(known["VmHWM"]), int(known["VmRSS"]), used, used / max(lived, 0.01))


def reader_of(manager: int) -> int | None:
    """The process that parses for that one; None: nothing has come to be parsed."""
    for pid in Path(f"/proc/{manager}/task/{manager}/children").read_text().split():
        if b"guestwake.channels.reader" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return int(pid)
    return None


# --- text ---


def shown(host: Host, guest: Guest) -> dict[str, str]:
    """Everything that is told of it, as people and machines read it."""
    words = (
        ["status", guest.name],
        ["status", guest.name, "--json"],
        ["status"],
        ["history", guest.name],
        ["history", guest.name, "--json"],
        ["events", "--happened", guest.name],
        ["events", "--happened", guest.name, "--json"],
        ["plan", guest.name],
    )
    texts = {" ".join(each): host.calls(*each) for each in words}
    said = {f"said of '{each.said.name}'": each.said.read_text() for each in host.managers}
    return {
        **{name: done.stdout for name, done in texts.items()},
        **{f"{name} (stderr)": done.stderr for name, done in texts.items()},
        **said,
    }


def forged(texts: dict[str, str]) -> Iterator[str]:
    """What in them a guest has written where it must not: a character that steers a terminal or
    hides something, a line of its own, a text that was not cut."""
    for name, text in texts.items():
        for line in text.split("\n"):
            bad = not line.isprintable() or line.lstrip().startswith("FORGED")
            # In JSON a line holds one value; elsewhere one of status may hold sixteen reasons.
            if bad or len(line) > 16 * 300:
                yield f"{name}: {ascii(line)[:300]}"


def of_the_bus(address: str, *words: str) -> str:
    """What a method of the D-Bus API answers, as its JSON."""
    (answer,) = _called(address, MANAGER_PATH, SERVICE, *words)
    return str(answer)


def properties_of(address: str, guest: Guest) -> str:
    """Those of its workspace on the bus, each text in them a line."""
    path = path_of(guest.uuid)
    words = ("org.freedesktop.DBus.Properties", "GetAll", "s", WORKSPACE.name)
    return "\n".join(_texts(_called(address, path, *words)))


def _called(address: str, path: str, *words: str) -> Any:
    command = ["busctl", f"--address={address}", "--json=short", "call", SERVICE, path, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)["data"]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)
