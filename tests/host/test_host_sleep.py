"""The host is let sleep, is asked to wait, and says what is to be known, by a real logind; the
sleep itself is the lab's double. And what is signalled of all that."""

from __future__ import annotations

from lab.host import Host

SUSPEND = """
from guestwake.hosts.api import HostError
from guestwake.hosts.linux import LinuxHost
try:
    LinuxHost(patience=30.0).suspend()
except HostError as err:
    print(err)
"""
WOKEN_BY_ALARM = """
from guestwake.hosts.linux import LinuxHost
print(LinuxHost().woken_by_alarm())
"""
INHIBIT = """
import subprocess, time
from guestwake.hosts.api import Inhibited
from guestwake.hosts.linux import LinuxHost

def listed():
    told = subprocess.run(["systemd-inhibit", "--list"], capture_output=True, text=True).stdout
    return [line.split() for line in told.splitlines() if "Guestwake" in line]

with LinuxHost(patience=30.0).inhibit(Inhibited("sleep:shutdown", "Guestwake", "test")):
    ((_, _, _, _, _, what, _, mode),) = listed()
    print(what, mode)
while listed():  # logind hears of it a little later
    time.sleep(0.05)
print("no more")
"""
EVENTS = """
import asyncio, sys
from guestwake.hosts.linux_events import HOST, LinuxEvents

async def main():
    heard = asyncio.Event()
    events = LinuxEvents("unix:path=/run/dbus/system_bus_socket", heard.set, HOST)
    events.watch_units(["guestwake-lab-test.timer"])
    running = asyncio.ensure_future(events.run())
    while True:
        await heard.wait()
        heard.clear()
        print("changed", flush=True)

asyncio.run(main())
"""


def test_the_host_sleeps_and_tells_whether_its_clock_woke_it(lab_host: Host) -> None:
    for by_alarm, said in ((True, "True\n"), (False, "None\n")):
        assert lab_host.python(SUSPEND) == ""
        lab_host.wait_until(lab_host.is_asleep)
        lab_host.resume(by_alarm=by_alarm)
        assert lab_host.python(WOKEN_BY_ALARM) == said


def test_a_block_of_somebodys_is_heeded(lab_host: Host) -> None:
    blocks = ["systemd-inhibit", "--what=sleep", "--mode=block", "sleep", "infinity"]
    lab_host.run("systemd-run", "-q", *blocks)
    lab_host.wait_until(lambda: "block" in lab_host.run("systemd-inhibit", "--list"))
    assert "cannot let the host sleep" in lab_host.python(SUSPEND)
    assert not lab_host.is_asleep()


def test_it_is_asked_to_wait_and_no_longer(lab_host: Host) -> None:
    assert lab_host.python(INHIBIT).splitlines() == ["shutdown:sleep delay", "no more"]


def test_what_happens_is_heard(lab_host: Host) -> None:
    timer = "/etc/systemd/system/guestwake-lab-test.timer"
    lab_host.put(timer, "[Timer]\nOnCalendar=2099-01-01\nUnit=dbus.service\n")
    lab_host.run("systemctl", "daemon-reload")
    lab_host.run("systemctl", "start", "guestwake-lab-test.timer")
    lab_host.put("/root/events.py", EVENTS)
    environment = [
        "-p",
        "StandardOutput=file:/run/heard",
        "-p",
        "Environment=PYTHONPATH=/usr/lib/guestwake",
    ]
    lab_host.run("systemd-run", "-q", *environment, "python3", "/root/events.py")

    def heard() -> int:
        return lab_host.read("/run/heard").count("changed") if lab_host.exists("/run/heard") else 0

    lab_host.wait_until(lambda: heard() >= 1)
    for what in (
        lambda: lab_host.logon("anna", "graphical"),
        lambda: lab_host.sleep_and_resume(seconds=0.1),
        lambda: lab_host.run("systemctl", "stop", "guestwake-lab-test.timer"),
        lambda: lab_host.run("systemctl", "daemon-reload"),
        lambda: lab_host.run("systemctl", "daemon-reexec"),
        lambda: lab_host.run("systemctl", "start", "guestwake-lab-test.timer"),
        lambda: lab_host.run("systemctl", "mask", "--runtime", "guestwake-lab-test.timer"),
    ):
        before = heard()
        what()
        lab_host.wait_until(lambda before=before: heard() > before)
