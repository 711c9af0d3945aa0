"""A host that Guestwake looks after, as its units do it: the words of the stories here."""

from __future__ import annotations

import json
from typing import Any

from lab.guests import Guest
from lab.host import Host

PATIENCE = 400  # seconds: a guest boots in twenty on a quiet machine
NO_WINDOWS = ("guest_update_duration = 0",)


# In a container a boot has an id of its own by a mount over the kernel's; the first two take it
# away. And nobody waits for the half minute before a manager that died is started anew.
OF_THE_LAB = """\
[Service]
ProtectKernelTunables=no
ProtectControlGroups=no
RestartSec=1
"""


def served(host: Host) -> None:
    """The service is installed and runs; there are no windows yet."""
    set_(host, *NO_WINDOWS)
    for unit in ("guestwake.service", "guestwake-wake@.service"):
        host.put(f"/etc/systemd/system/{unit}.d/lab.conf", OF_THE_LAB)
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "enable", "--now", "guestwake-timers.socket", "guestwake.service")


def set_(host: Host, *lines: str) -> None:
    text = "\n".join(("nudge_update_clients = 0", *lines))
    host.put("/etc/guestwake/guestwake.toml", text + "\n")


def looked_after(host: Host, guest: Guest, *, owner: str | None = None) -> None:
    of = ["--system"] if owner is None else ["--owner", owner]
    host.run("guestwake", "workspace", "add", guest.name, "--uri", "qemu:///system", *of)


# Windows are whole minutes; as whoever asks for a run by the API is heard, in seconds.
ASKS = """
import sys
from datetime import timedelta
from guestwake.application import Application
from guestwake.paths import Paths
from guestwake.wishes import Wishes
application = Application(Paths.system())
workspace = application.workspaces.find(sys.argv[1])
Wishes(application).ask_wake(workspace, timedelta(seconds=float(sys.argv[2])))
"""


def wakes(host: Host, guest: Guest, seconds: float) -> None:
    """Somebody's own run, of that length."""
    host.run("python3", "-c", ASKS, guest.uuid, str(seconds), user="guestwake")
    host.run("systemctl", "start", "--no-block", run_unit(guest))


# A restart that is required is left to the logon.
NOT_IN_WINDOWS = (*NO_WINDOWS, "restart_in_window = 0")


def signalled(host: Host, *settings: str) -> Guest:
    """A VM of anna's at rest, whose guest has asked for a restart while it had a run."""
    guest = host.hibernated_guest("web01")
    served(host)
    set_(host, *NOT_IN_WINDOWS, *settings)
    looked_after(host, guest, owner="anna")
    wakes(host, guest, 300)
    host.wait_until(lambda: phase(host, guest) == "holding")
    guest.wait_until_agent_answers()
    requires_restart(guest)
    host.wait_until(lambda: is_restart_required(host, guest))
    host.run("systemctl", "stop", run_unit(guest))
    assert outcomes(host, guest) == ["put-back"]
    assert guest.state() == "saved"
    return guest


def requires_restart(guest: Guest) -> None:
    done = guest.run("guestwake-guest require-restart --reason libc6")
    assert done.code == 0, done


def restarts_seen(guest: Guest) -> int:
    """How often its kernel has said that it restarts."""
    return guest.console.read_text(errors="replace").count("reboot: Restarting")


def is_restart_required(host: Host, guest: Guest) -> bool:
    return status(host, guest)["restart_required"] is not None


def run_unit(guest: Guest) -> str:
    return f"guestwake-wake@{guest.uuid}.service"


def timer_unit(guest: Guest) -> str:
    return f"guestwake-wake@{guest.uuid}.timer"


def status(host: Host, guest: Guest) -> dict[str, Any]:
    (found,) = json.loads(host.run("guestwake", "status", guest.name, "--json"))
    assert isinstance(found, dict)
    return found


def phase(host: Host, guest: Guest) -> str | None:
    """None: no run is open."""
    run = status(host, guest)["run"]
    return str(run["phase"]) if run else None


def outcomes(host: Host, guest: Guest) -> list[str]:
    return [row["why"] for row in history(host, guest)]


def dates(host: Host, guest: Guest) -> list[str]:
    """Local dates that had their window."""
    return [date for row in history(host, guest) for date in row["dates"]]


def history(host: Host, guest: Guest) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(host.run("guestwake", "history", guest.name, "--json"))
    return rows
