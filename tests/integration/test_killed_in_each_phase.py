"""kill -9 of the manager, of libvirt's daemon and of QEMU, in each phase of a run, on a real guest.

The manager at each of its own steps is in `test_kill_nine.py`, all parts of a whole host at once in
`tests/host/test_whatever_dies.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

import pytest
from faults import daemon_dies, qemu_dies, sees
from stories import Host, Manager, boot_id, diary_of, starts_and_stops, until, woken_by_hand

from guestwake.events import OF_WHY
from guestwake.journal import Glance
from guestwake.policy.run import Why
from lab.bare import hibernated_bare_guest
from lab.guests import Guest, Lab
from lab.libvirtd import private_libvirtd

LATE = 600.0  # seconds, for what takes half a minute on a quiet machine
NEVER = 3600.0  # seconds: a window that is longer than any test
RESTARTS = "guestwake-guest require-restart --reason libc6"
INSTALLS = (
    "import fcntl, time; file = open('/var/lib/dpkg/lock-frontend', 'w');"
    " fcntl.lockf(file, fcntl.LOCK_EX); time.sleep(36000)"
)


@dataclass
class Run:
    """One that has reached its phase. `session`: the boot of the guest that was hibernated."""

    host: Host
    guest: Guest
    phase: str
    manager: Manager
    session: str

    def begins_again(self) -> None:
        """By another manager, after that one died."""
        self.manager = self.host.begins(self.guest, use_ended=USE_ENDED.get(self.phase))

    def ends_well(self) -> None:
        """However often it was struck: put back with what it had in memory."""
        host, guest = self.host, self.guest
        TO_ITS_END.get(self.phase, goes_on)(self)
        assert guest.state() == "saved"
        assert host.outcomes(guest) == ["closed" if self.phase == "lent" else "put-back"]
        assert host.phase(guest) is None
        assert host.status(guest)["standing"] is None
        (row,) = host.history(guest)
        assert row["restarts"] == (1 if self.phase == "restarting" else 0)
        guest.start()
        guest.wait_until_agent_answers(LATE)
        assert (boot_id(guest) == self.session) is (self.phase != "restarting")


def goes_on(run: Run) -> None:
    run.manager.ends(seconds=LATE)


def has_restarted(run: Run) -> None:
    """Its guest has said so, from another boot."""
    until(lambda: run.host.status(run.guest)["restart_required"] is None, seconds=LATE)
    run.manager.process.terminate()
    run.manager.ends(code=15)


def has_installed(run: Run) -> None:
    host, guest = run.host, run.guest
    until(lambda: host.status(guest)["run"]["manager_lives"])
    until(lambda: host.status(guest)["run"]["why"] == "busy-installing")
    assert guest.state() == "running"
    assert guest.run("systemctl stop installs").code == 0
    run.manager.ends(seconds=LATE)


def is_used_no_more(run: Run) -> None:
    assert run.guest.state() == "running"
    run.host.guestwake("hold", run.guest.name, "--release")
    run.manager.ends(seconds=LATE)


@dataclass(frozen=True)
class Way:
    """To a phase: what is done in the guest before it is hibernated, and how long its window is."""

    window: float
    there: Callable[[Glance], bool]
    inside: str | None = None


WAYS = {
    "waking": Way(5, lambda run: run.phase == "waking"),
    "holding": Way(5, lambda run: run.phase == "holding"),
    "restarting": Way(NEVER, lambda run: run.phase == "restarting", RESTARTS),
    "extending": Way(
        60,
        lambda run: run.why == "busy-installing",
        f'systemd-run --unit=installs python3 -c "{INSTALLS}"',
    ),
    "lent": Way(2, lambda run: run.phase == "lent"),
    "restoring": Way(2, lambda run: run.phase == "restoring"),
}
USE_ENDED = {"lent": 1.0}
TO_ITS_END: dict[str, Callable[[Run], None]] = {
    "restarting": has_restarted,
    "extending": has_installed,
    "lent": is_used_no_more,
}


@cache
def hibernated_session(lab: Lab) -> str:
    """The boot that every hibernated guest of the lab is a copy of."""
    guest = woken_by_hand(lab.hibernated_guest("first"))
    session = boot_id(guest)
    guest.forget()
    return session


def reached(lab: Lab, host: Host, phase: str) -> Run:
    way = WAYS[phase]
    guest, session = lab.hibernated_guest("web01"), hibernated_session(lab)
    if way.inside is not None:
        done = woken_by_hand(guest).run(way.inside)
        assert done.code == 0, done.stderr
        guest.hibernate()
    host.set("task_timeout = 300")
    host.looks_after(guest)
    if phase == "lent":
        host.guestwake("hold", guest.name, "--for", "1h")
    manager = host.begins(guest, way.window, use_ended=USE_ENDED.get(phase))
    sees(host, guest, way.there, LATE)
    if phase == "restarting":
        # Before the guest has heard of it that would cost TaskTimeout: nobody could tell.
        until(lambda: "reboot: Restarting" in guest.console.read_text(errors="replace"))
    return Run(host, guest, phase, manager, session)


def full(*values: object) -> object:
    return pytest.param(*values, marks=pytest.mark.full)


@pytest.mark.parametrize("phase", ["lent", full("restarting"), full("extending")])
def test_the_manager(lab: Lab, host: Host, phase: str) -> None:
    run = reached(lab, host, phase)
    run.manager.kill()
    run.begins_again()
    run.ends_well()


@pytest.mark.parametrize(
    "phase",
    [
        full("waking"),
        full("holding"),
        full("restarting"),
        full("extending"),
        full("lent"),
        "restoring",
    ],
)
def test_the_daemon(lab: Lab, host: Host, phase: str) -> None:
    run = reached(lab, host, phase)
    daemon_dies(lab.libvirtd)
    run.ends_well()


@pytest.mark.full
@pytest.mark.parametrize("phase", ["holding", "restarting", "extending", "lent", "restoring"])
def test_the_manager_and_the_daemon(lab: Lab, host: Host, phase: str) -> None:
    run = reached(lab, host, phase)
    run.manager.kill()
    daemon_dies(lab.libvirtd)
    run.begins_again()
    run.ends_well()


def test_qemu_as_it_is_woken(lab: Lab, host: Host) -> None:
    """libvirt removes a saved image once it is restored, and no sooner."""
    guest = lab.hibernated_guest("web01")
    host.looks_after(guest)
    image = guest.saved_image.read_bytes()
    manager = host.begins(guest, window=5)
    sees(host, guest, WAYS["waking"].there)
    qemu_dies(guest)
    manager.ends(code=11, seconds=LATE)
    assert guest.state() == "saved"
    assert guest.saved_image.read_bytes() == image
    assert host.outcomes(guest) == ["wake-refused"]
    host.wakes(guest, window=2)
    assert host.outcomes(guest) == ["wake-refused", "put-back"]


@pytest.mark.full
def test_qemu_as_its_guest_restarts(lab: Lab, host: Host) -> None:
    run = reached(lab, host, "restarting")
    qemu_dies(run.guest)
    run.ends_well()
    assert OF_WHY[Why.CRASHED_WOKEN_AGAIN].id in host.events(run.guest)
    assert host.history(run.guest)[0]["crashes"] == 1


@pytest.mark.parametrize("phase", [full("extending"), full("lent"), "restoring"])
def test_qemu_past_the_end(lab: Lab, host: Host, phase: str) -> None:
    """It is woken no more: whose session that was is told."""
    run = reached(lab, host, phase)
    qemu_dies(run.guest)
    run.manager.ends(code=9)
    assert run.guest.state() == "shut off"
    assert host.outcomes(run.guest) == ["crashed"]
    assert host.status(run.guest)["standing"]["why"] == "crashed"
    assert host.phase(run.guest) is None


@pytest.mark.full
@pytest.mark.parametrize("phase", ["restarting", "extending", "lent", "restoring"])
def test_the_manager_and_somebody_starts_it_anew(lab: Lab, host: Host, phase: str) -> None:
    run = reached(lab, host, phase)
    run.manager.kill()
    until(lambda: run.guest.state() in ("running", "saved"))  # libvirt finishes what it was asked
    if run.guest.state() == "running":
        run.guest.power_off()
    run.guest.start()
    with diary_of(run.guest) as diary:
        host.wakes(run.guest, window=2, code=7)
        assert starts_and_stops(diary()) == []
    assert run.guest.state() == "running"
    assert host.outcomes(run.guest) == ["started-by-somebody"]


@pytest.mark.full
@pytest.mark.parametrize("phase", ["holding", "extending", "lent"])
def test_the_manager_and_somebody_migrates_it_away(lab: Lab, host: Host, phase: str) -> None:
    run = reached(lab, host, phase)
    run.manager.kill()
    with diary_of(run.guest) as diary, private_libvirtd() as elsewhere:
        over = f"unix://{elsewhere.folder}/migration"
        words = ["migrate", "--live", "--unsafe", "--migrateuri", over]
        lab.virsh(*words, run.guest.uuid, elsewhere.uri)
        host.wakes(run.guest, window=2, code=7)
        assert starts_and_stops(diary()) == ["Stopped Migrated"]
    assert run.guest.state() == "shut off"
    assert host.outcomes(run.guest) == ["migrated-away"]


def another_service(host: Host, guest: Guest, service: Manager, at: str) -> Manager:
    sees(host, guest, WAYS[at].there, LATE)
    service.kill()
    return host.sets_going("serve", "--no-bus")


def test_the_service(lab: Lab, host: Host) -> None:
    """The manager that it began goes on, and is found by the next one."""
    guest = hibernated_bare_guest(lab, "web01")
    host.set("guest_update_duration = 0")
    first = host.sets_going("serve", "--no-bus")
    with diary_of(guest) as diary:
        host.looks_after(guest)
        opens = datetime.now(UTC).strftime("%H:%M")
        settings = ('time_zone = "UTC"', f'guest_update_time = "{opens}"')
        host.set(*settings, "guest_update_duration = 1440")
        second = another_service(host, guest, first, "waking")
        third = another_service(host, guest, second, "holding")
        host.set(*settings, "guest_update_duration = 0")
        fourth = another_service(host, guest, third, "restoring")
        until(lambda: host.outcomes(guest) == ["put-back"])
        assert starts_and_stops(diary()) == ["Started Restored", "Stopped Saved"]
    assert guest.state() == "saved"
    assert fourth.process.poll() is None
