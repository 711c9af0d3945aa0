"""Real guests that report: a Debian whose own Guest Update Service tells what it needs.

The first story is the whole of it, with a real update by the guest's own update client; the
others signal a restart by a shell script, which is quicker and just as real. Three that mostly
wait happen in one night, at the same time, on one host.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from stories import Host, boot_id, diary_of, host_of, starts_and_stops, until, woken_by_hand

from guestwake.events import OF_WHY
from guestwake.policy.run import Why
from lab.guests import Guest, Lab
from lab.image import EXAMPLE

pytestmark = pytest.mark.qemu

FIFO = "/run/guestwake/restart-required"
SERVICE = "/usr/lib/guestwake/guestwake-guest.pyz"
UPDATES = (
    "echo 'deb [trusted=yes] file:/srv/guestwake-lab/restart ./'"
    " >/etc/apt/sources.list.d/guestwake-lab.list"
)
# A person at the text console, as login would have it: a session of logind's, with a terminal.
SIGNS_IN = (
    "useradd --create-home anna && systemd-run --unit=anna -p User=anna -p PAMName=login"
    " -p TTYPath=/dev/tty3 -p StandardInput=tty -p StandardOutput=tty sleep infinity"
)
LOCKS = (
    "import fcntl, time; file = open('/var/lib/dpkg/lock-frontend', 'w');"
    " fcntl.lockf(file, fcntl.LOCK_EX); time.sleep(600)"
)


def mark(host: Host, guest: Guest) -> dict[str, Any] | None:
    found: dict[str, Any] | None = host.status(guest)["restart_required"]
    return found


def word(host: Host, guest: Guest) -> dict[str, Any]:
    """What the guest said last, while that is fresh; else nothing."""
    said = host.status(guest)["guest"]
    return said if said and said["fresh"] else {}


def happened(host: Host, guest: Guest, why: Why) -> bool:
    return OF_WHY[why].id in host.events(guest)


def prepared(guest: Guest, command: str) -> Guest:
    """Hibernated again, with that done inside."""
    woken_by_hand(guest)
    done = guest.run(command)
    assert done.code == 0, done.stderr
    guest.hibernate()
    return guest


def an_update_asks_for_a_restart(lab: Lab, host: Host) -> None:
    guest = prepared(lab.hibernated_guest("updated"), UPDATES)
    host.looks_after(guest)
    with diary_of(guest) as diary:
        manager = host.begins(guest, window=1800)
        until(lambda: word(host, guest).get("boot_id"))
        before = word(host, guest)["boot_id"]
        until(lambda: happened(host, guest, Why.RESTARTS), seconds=600)
        reasons = mark(host, guest)
        assert reasons is not None
        assert [each["source"] for each in reasons["reasons"]] == ["reboot-required"]
        assert EXAMPLE in reasons["reasons"][0]["text"]
        until(lambda: happened(host, guest, Why.RESTARTED), seconds=600)
        assert mark(host, guest) is None
        assert word(host, guest)["boot_id"] not in ("", before)
        manager.process.terminate()  # the night has been long enough
        manager.ends(code=15)
        # One VM all the time: its restart is the guest's own.
        assert starts_and_stops(diary()) == ["Started Restored", "Stopped Saved"]
    assert guest.state() == "saved"
    (row,) = host.history(guest)
    assert (row["why"], row["restarts"]) == ("put-back", 1)
    assert [(each["name"], each["version"]) for each in row["installed"]] == [(EXAMPLE, "2.1")]
    woken_by_hand(guest)
    assert guest.run("test -e /run/reboot-required").code == 1


def the_service_is_upgraded_and_the_channel_lost(lab: Lab, host: Host) -> None:
    guest = lab.hibernated_guest("upgraded")
    host.looks_after(guest)
    manager = host.begins(guest, window=600)
    until(lambda: word(host, guest).get("boot_id"))
    guest.wait_until_agent_answers()

    pid = "systemctl show --value -p MainPID guestwake-guest"
    first = guest.run(pid).stdout.strip()
    # As a package manager replaces it: another file by the same name.
    guest.run(f"cp {SERVICE} {SERVICE}.new && mv {SERVICE}.new {SERVICE}")
    until(lambda: guest.run(pid).stdout.strip() not in ("0", first))
    heard = word(host, guest)["heard"]
    until(lambda: word(host, guest).get("heard", heard) > heard, seconds=300)

    host.guestwake("workspace", "channel", "remove", guest.name)
    host.guestwake("workspace", "channel", "add", guest.name)
    guest.run(f"echo after it came back >{FIFO}")
    # The service looks for its port now and then, and so does the host for its end.
    until(lambda: mark(host, guest), seconds=180)
    assert not happened(host, guest, Why.RESTARTS)  # its window has less than TaskTimeout left
    manager.process.terminate()
    manager.ends(code=15)
    assert guest.state() == "saved"


def in_use_it_is_not_restarted(lab: Lab, host: Host) -> None:
    """What keeps it here is a hold; an application that is open does the same (the policy's tests
    have it), and comes with `guestwake open`."""
    guest = lab.hibernated_guest("in-use")
    host.looks_after(guest)
    host.guestwake("hold", guest.name, "--for", "1h", "--reason", "a talk")
    manager = host.begins(guest, window=600)
    until(lambda: word(host, guest).get("boot_id"))
    before = word(host, guest)["boot_id"]
    guest.wait_until_agent_answers()
    assert guest.run(["guestwake-guest", "require-restart", "--reason", "Ansible"]).code == 0
    until(lambda: happened(host, guest, Why.RESTART_WAITS))
    assert boot_id(guest) == before
    host.guestwake("hold", guest.name, "--release")
    until(lambda: happened(host, guest, Why.RESTARTED), seconds=600)
    assert mark(host, guest) is None
    manager.process.terminate()
    manager.ends(code=15)
    assert guest.state() == "saved"


SETTINGS = """\
task_timeout = 120
[workspace.updated]
task_timeout = 600
nudge_update_clients = 1
[workspace.upgraded]
task_timeout = 1200
"""
STORIES = (
    an_update_asks_for_a_restart,
    the_service_is_upgraded_and_the_channel_lost,
    in_use_it_is_not_restarted,
)
Told = dict[Callable[[Lab, Host], None], Future[None]]


@pytest.fixture(scope="module")
def night(lab_of_session: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    lab = lab_of_session
    lab.sleeper()  # made once, before several want a copy of it
    with host_of(lab, tmp_path_factory.mktemp("night")) as host:
        host.set(SETTINGS)
        with ThreadPoolExecutor() as tellers:
            yield {story: tellers.submit(story, lab, host) for story in STORIES}
        lab.forget_all()


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_in_one_night(night: Told, story: Callable[[Lab, Host], None]) -> None:
    night[story].result()


def test_over_unsaved_work_there_is_no_restart_and_the_mark_outlives_everything(
    lab: Lab, host: Host
) -> None:
    guest = prepared(lab.hibernated_guest("signed-in"), SIGNS_IN)
    host.set("task_timeout = 5")
    host.looks_after(guest)
    manager = host.begins(guest, window=600)
    until(lambda: word(host, guest).get("sessions"))
    assert [each["user"] for each in word(host, guest)["sessions"]] == ["anna"]
    guest.wait_until_agent_answers()
    # As an ESD system would, from a shell script of some user's.
    guest.run(f"setpriv --reuid=anna --clear-groups sh -c 'echo antivirus 9.1 >{FIFO}'")
    until(lambda: happened(host, guest, Why.RESTART_WAITS))
    asked_for = mark(host, guest)
    assert asked_for is not None
    assert [each["source"] for each in asked_for["reasons"]] == ["esd-signal"]
    assert "antivirus 9.1" in asked_for["reasons"][0]["text"]
    before = boot_id(guest)

    manager.kill()  # and with it the reader process, and then the daemon under both
    lab.libvirtd.kill()
    lab.libvirtd.start()
    assert mark(host, guest) == asked_for
    manager = host.begins(guest)
    until(lambda: host.status(guest)["run"]["manager_lives"])
    manager.process.terminate()
    manager.ends(code=15)
    assert guest.state() == "saved"
    assert mark(host, guest) == asked_for

    host.wakes(guest, window=12)  # another night: it is still wanted, and still not done
    assert mark(host, guest) == asked_for
    assert [row["restarts"] for row in host.history(guest)] == [0, 0]
    woken_by_hand(guest)
    assert boot_id(guest) == before
    assert guest.run("systemctl is-active anna").stdout.strip() == "active"


def test_a_guest_busy_at_the_end_is_given_time(lab: Lab, host: Host) -> None:
    guest = lab.hibernated_guest("busy")
    host.set("max_extension = 5")
    host.looks_after(guest)
    manager = host.begins(guest, window=40)
    until(lambda: word(host, guest).get("boot_id"))
    guest.wait_until_agent_answers()
    command = {"path": "/usr/bin/python3", "arg": ["-c", LOCKS]}
    process = guest.agent("guest-exec", command)
    assert isinstance(process, dict)
    until(lambda: happened(host, guest, Why.BUSY_INSTALLING))
    assert guest.state() == "running"
    guest.run(f"kill -{signal.SIGTERM:d} {process['pid']}")
    manager.ends()
    assert guest.state() == "saved"
    assert host.outcomes(guest) == ["put-back"]


@pytest.mark.full
def test_a_guest_without_the_service_reports_through_its_agent(lab: Lab, host: Host) -> None:
    guest = lab.define_guest("agent-only", service=False)
    host.set("task_timeout = 60")
    host.looks_after(guest)
    manager = host.begins(guest, window=900)
    until(lambda: word(host, guest).get("by") == "agent", seconds=200)
    guest.run("touch /run/reboot-required")
    until(lambda: happened(host, guest, Why.RESTARTED), seconds=300)
    assert mark(host, guest) is None
    manager.process.terminate()
    manager.ends(code=15)
    assert host.history(guest)[0]["restarts"] == 1


def test_the_reader_has_no_rights_and_is_replaced_when_it_dies(lab: Lab, host: Host) -> None:
    guest = lab.hibernated_guest("read")
    host.looks_after(guest)
    manager = host.begins(guest, window=600)
    until(lambda: word(host, guest).get("boot_id"))
    guest.wait_until_agent_answers()
    (reader,) = children(manager.process.pid)
    status = Path(f"/proc/{reader}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t0000000000000000" in status
    os.kill(reader, signal.SIGKILL)
    guest.run(f"echo after it died >{FIFO}")
    until(lambda: mark(host, guest))
    assert children(manager.process.pid) != [reader]
    manager.process.terminate()
    manager.ends(code=15)
    assert guest.state() == "saved"


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(each) for each in found]
