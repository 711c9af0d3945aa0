"""The agent in a user's real session: the host's service asks through it, by the units as they are
installed, and the user answers."""

from __future__ import annotations

import json
from collections.abc import Sequence

from lab.host import Host, Session

SERVICE = "org.guestwake.Manager1"
WORKSPACE = "org.guestwake.Workspace1"
UNIT = "guestwake-agent.service"
TAKEN = "/run/user/{uid}/taken"

# As it is after a look at a VM in which somebody's work may be, at their logon.
ASK = """
from guestwake.application import Application
from guestwake.paths import Paths
from guestwake.policy import prompt
from guestwake.policy.restart import MarkedReason, RestartMark
application = Application(Paths.system())
(workspace,) = application.workspaces.all()
now = application.clock.now()
mark = RestartMark((MarkedReason("apt", "libc6"),), now.wall, "boot-1")
with application.journal() as journal:
    journal.mark_restart(workspace.uuid, mark)
    journal.keep_prompt(workspace.uuid, prompt.tried(None, mark, prompt.Answer.ASK, now))
"""

# A notification server that writes down what it takes. SIGUSR1: the user clicks on "Later".
SERVER = """
import asyncio, json, signal, sys
from dbus_fast import Variant
from dbus_fast.aio import MessageBus
from dbus_fast.service import ServiceInterface, method, signal as told

class Notifications(ServiceInterface):
    def __init__(self):
        super().__init__("org.freedesktop.Notifications")
        self.last = 0
    @method()
    def GetCapabilities(self) -> "as":
        return ["actions", "body", "body-markup"]
    @method()
    def Notify(self, app: "s", replaces: "u", icon: "s", summary: "s", body: "s",
               actions: "as", hints: "a{sv}", timeout: "i") -> "u":
        self.last = replaces or self.last + 1
        with open(sys.argv[1], "a") as file:
            print(json.dumps([summary, body, actions]), file=file)
        return self.last
    @method()
    def CloseNotification(self, number: "u"):
        pass
    @told()
    def ActionInvoked(self, number, action) -> "us":
        return [number, action]

async def main():
    bus = await MessageBus().connect()
    server = Notifications()
    bus.export("/org/freedesktop/Notifications", server)
    await bus.request_name("org.freedesktop.Notifications")
    asyncio.get_running_loop().add_signal_handler(
        signal.SIGUSR1, lambda: server.ActionInvoked(server.last, "later"))
    await bus.wait_for_disconnect()

asyncio.run(main())
"""


ICON = "<svg xmlns='http://www.w3.org/2000/svg'/>\n"


def test_a_user_is_asked_in_their_session_and_has_a_menu(lab_host: Host) -> None:
    host = lab_host
    host.off_guest("büro", boots=False)
    host.run("guestwake", "workspace", "add", "büro", "--uri", "qemu:///system", "--owner", "anna")
    anna = host.logon("anna", "graphical")
    host.python(ASK, user="guestwake")
    host.run("systemctl", "start", "guestwake.service")
    taken = _start_server(anna)
    # Nobody has started it: the first call to its name does.
    anna.run("busctl", "--user", "call", "org.guestwake.Agent1", "/", *PING)
    assert anna.run("systemctl", "--user", "is-active", UNIT).strip() == "active"
    host.wait_until(lambda: len(_shown(host, taken)) == 2)
    summary, body, actions = _shown(host, taken)[-1]
    assert summary == "Restart 'büro' for its updates?"
    assert "It says: apt: libc6" in body
    assert "It can be put off until" in body
    assert actions == ["restart", "Restart now", "later", "Later"]
    assert (_told(host, "RestartPrompt"), _told(host, "RestartAt") > 0) == ("ask", True)
    anna.run("systemctl", "--user", "kill", "-s", "USR1", "taken.service")
    host.wait_until(lambda: _told(host, "RestartPrompt") == "")
    assert len(_shown(host, taken)) == 2
    _menu_follows(anna)


def test_it_goes_with_the_graphical_session(lab_host: Host) -> None:
    anna = lab_host.logon("anna", "graphical")
    # What a desktop brings for its own.
    unit = "/etc/systemd/user/lab-desktop.target"
    lab_host.put(unit, "[Unit]\nBindsTo=graphical-session.target\n")
    lab_host.run("systemctl", "--global", "enable", UNIT)
    anna.run("systemctl", "--user", "daemon-reload")
    anna.run("systemctl", "--user", "start", "lab-desktop.target")
    lab_host.wait_until(lambda: _state(anna) == "active")
    anna.run("systemctl", "--user", "stop", "lab-desktop.target")
    lab_host.wait_until(lambda: _state(anna) == "inactive")


def _menu_follows(anna: Session) -> None:
    """What is published of her workspace is in her menu, with its icon, until it is not."""
    host, data = anna.host, f"/home/{anna.user}/.local/share"
    menu = f"{data}/applications"
    uuid = str(_told(host, "Uuid"))
    host.put("/run/writer.svg", ICON)
    title = ("--name", "Schreiber", "--guest", "linux", "--icon", "/run/writer.svg")
    anna.run("guestwake", "publish", "büro", "writer", *title)
    entry = f"{menu}/guestwake-{uuid}-writer.desktop"
    host.wait_until(lambda: host.exists(entry))
    said = host.read(entry)
    shown = next(line for line in said.splitlines() if line.startswith("Icon="))
    icon = shown.removeprefix("Icon=")
    assert said == (
        "[Desktop Entry]\n"
        "Type=Application\n"
        "Version=1.0\n"
        "Name=Schreiber (büro)\n"
        "Comment=In the virtual machine 'büro'\n"
        f"Exec=/usr/bin/guestwake open {uuid} writer\n"
        "TryExec=/usr/bin/guestwake\n"
        f"Icon={icon}\n"
        "Terminal=false\n"
        "Categories=System;Emulator;\n"
        f"X-Guestwake-Workspace={uuid}\n"
        "X-Guestwake-Service=system\n"
    )
    assert icon.startswith(f"{data}/guestwake/icons/guestwake-{uuid}-writer-")
    assert icon.endswith(".svg")
    assert host.read(icon) == ICON
    assert host.run("stat", "-c", "%U %a", entry, icon) == "anna 644\nanna 644\n"
    host.put(f"{menu}/guestwake-{uuid}-mine.desktop", "[Desktop Entry]\n", owner="anna")
    host.run("systemctl", "stop", "guestwake.service")
    anna.run("systemctl", "--user", "restart", UNIT)
    assert host.read(entry) == said
    host.run("systemctl", "start", "guestwake.service")
    anna.run("guestwake", "unpublish", "büro", "writer")
    host.wait_until(lambda: not host.exists(entry) and not host.exists(icon))
    assert host.run("ls", menu) == f"guestwake-{uuid}-mine.desktop\n"


PING = ("org.freedesktop.DBus.Peer", "Ping")


def _start_server(session: Session) -> str:
    uid = session.run("id", "-u").strip()
    taken = TAKEN.format(uid=uid)
    session.host.put("/run/guestwake-lab-notifications.py", SERVER)
    session.run(
        *("systemd-run", "--user", "-q", "--unit=taken.service"),
        *("python3", "/run/guestwake-lab-notifications.py", taken),
    )
    listed = ("busctl", "--user", "list", "--acquired")
    session.host.wait_until(lambda: "org.freedesktop.Notifications" in session.run(*listed))
    return taken


def _shown(host: Host, taken: str) -> Sequence[tuple[str, str, list[str]]]:
    if not host.exists(taken):
        return []
    return [tuple(json.loads(line)) for line in host.read(taken).splitlines()]


def _told(host: Host, name: str) -> str | int:
    words = ["busctl", "--json=short", "get-property", SERVICE]
    path = json.loads(host.run(*words, "/org/guestwake/Manager1", SERVICE, "Workspaces"))["data"][0]
    said: str | int = json.loads(host.run(*words, path, WORKSPACE, name))["data"]
    return said


def _state(session: Session) -> str:
    return session.run("systemctl", "--user", "is-active", UNIT, check=False).strip()
