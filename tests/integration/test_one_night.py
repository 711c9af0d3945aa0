"""Six VMs in one night, all at once because each of them takes a minute: one host, one journal.

The first story acts at a certain time of the night, so it comes first; the others only wait for
their own run to end.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest
from stories import (
    Host,
    Manager,
    awake,
    boot_id,
    diary_of,
    host_of,
    starts_and_stops,
    until,
    woken_by_hand,
)

from guestwake.events import OF_WHY
from guestwake.policy.in_use import VIEWER_COUNTS_AFTER
from guestwake.policy.run import Why
from lab.guests import Guest, Lab
from lab.image import EXAMPLE
from lab.viewer import Viewer

pytestmark = pytest.mark.qemu

SETTINGS = """\
[workspace.updated]
nudge_update_clients = 1
[workspace.dead]
task_timeout = 5
"""


@dataclass
class Sleeper:
    """One of the six."""

    guest: Guest
    manager: Manager
    diary: Callable[[], list[str]]


@dataclass
class Night:
    host: Host
    stack: ExitStack
    sleepers: dict[str, Sleeper] = field(default_factory=dict)

    def begins(self, guest: Guest, window: float, use_ended: float | None = None) -> None:
        diary = self.stack.enter_context(diary_of(guest))
        self.host.looks_after(guest)
        manager = self.host.begins(guest, window, use_ended=use_ended)
        self.sleepers[guest.name] = Sleeper(guest, manager, diary)


@pytest.fixture(scope="module")
def night(lab_of_session: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    lab = lab_of_session
    with ExitStack() as stack:
        host = stack.enter_context(host_of(lab, tmp_path_factory.mktemp("night")))
        stack.callback(lab.forget_all)
        host.set(SETTINGS)
        night = Night(host, stack)
        night.begins(lab.hibernated_guest("updated"), window=900)
        night.begins(lab.define_guest("off"), window=40)
        night.begins(lab.define_guest("dead", boots=False), window=25)
        night.begins(woken_by_hand(lab.hibernated_guest("running")), window=2)
        # In place of the ten minutes for which nobody may use it: a test cannot wait for those.
        night.begins(lab.hibernated_guest("viewed"), window=110, use_ended=1)
        night.begins(lab.hibernated_guest("glanced"), window=80)
        yield night


def test_a_viewer_who_comes_later_keeps_it_until_he_leaves(night: Night) -> None:
    host, viewed, glanced = night.host, night.sleepers["viewed"], night.sleepers["glanced"]
    until(lambda: host.phase(viewed.guest) == host.phase(glanced.guest) == "holding")
    # Somebody's viewer that was there from the start does not count: see the next story.
    night.stack.enter_context(Viewer(glanced.guest))
    time.sleep(VIEWER_COUNTS_AFTER.total_seconds() + 1)
    with Viewer(viewed.guest):
        until(lambda: host.phase(viewed.guest) == "lent")
        assert viewed.guest.state() == "running"
        assert host.status(viewed.guest)["run"]["used"] is True
    viewed.manager.ends()
    assert viewed.guest.state() == "saved"
    assert host.outcomes(viewed.guest) == ["closed"]
    assert OF_WHY[Why.LENT].id in host.events(viewed.guest)
    assert starts_and_stops(viewed.diary()) == ["Started Restored", "Stopped Saved"]


def test_a_viewer_who_was_there_early_does_not_count(night: Night) -> None:
    glanced = night.sleepers["glanced"]
    glanced.manager.ends()
    assert glanced.guest.state() == "saved"
    assert night.host.outcomes(glanced.guest) == ["put-back"]
    assert night.host.history(glanced.guest)[0]["used"] is False


def test_running_is_only_watched(night: Night) -> None:
    running = night.sleepers["running"]
    running.manager.ends()
    until(lambda: awake(running.guest))  # its agent has one second for each answer
    assert starts_and_stops(running.diary()) == []
    assert night.host.outcomes(running.guest) == ["watched"]


def test_a_guest_that_never_boots_is_held_told_of_and_saved(night: Night) -> None:
    host, dead = night.host, night.sleepers["dead"]
    dead.manager.ends()
    assert dead.guest.state() == "saved"
    told = (
        *(Why.WAKES, Why.HOLDS, Why.HOLDS_WITHOUT_WORD),
        *(Why.PUTS_BACK, Why.SAVES_INSTEAD, Why.PUTS_BACK, Why.PUT_BACK_OWED_OFF),
    )
    assert host.events(dead.guest) == [OF_WHY[why].id for why in told]
    assert host.outcomes(dead.guest) == ["put-back-owed-off"]
    assert starts_and_stops(dead.diary()) == ["Started Booted", "Stopped Saved"]


def test_off_woken_off(night: Night) -> None:
    host, off = night.host, night.sleepers["off"]
    off.manager.ends(seconds=300)
    assert off.guest.state() == "shut off"
    assert host.outcomes(off.guest) == ["put-back"]
    assert host.history(off.guest)[0]["prior"] == "off"
    # Its own shutdown, and nobody's pulling the cord.
    assert "Shutdown Finished after guest request" in off.diary()
    assert "Stopped Destroyed" not in off.diary()
    assert "reboot: Power down" in off.guest.console.read_text(errors="replace")


def test_a_pending_update_is_installed_by_the_guests_own_update_client(night: Night) -> None:
    host, updated = night.host, night.sleepers["updated"]
    guest = updated.guest
    session = boot_id(guest)
    until(lambda: version(guest) == "install ok installed 2.0", seconds=300)
    updated.manager.process.terminate()  # the night has been long enough: it is saved at once
    updated.manager.ends(code=15)
    assert guest.state() == "saved"
    assert host.outcomes(guest) == ["put-back"]
    assert starts_and_stops(updated.diary()) == ["Started Restored", "Stopped Saved"]

    woken_by_hand(guest)
    assert boot_id(guest) == session
    assert version(guest) == "install ok installed 2.0"
    history = guest.run("cat /var/log/apt/history.log").stdout
    assert "Commandline: /usr/bin/unattended-upgrade" in history
    assert re.search(rf"Upgrade: {EXAMPLE}:\w+ \(1.0, 2.0\)", history)


def version(guest: Guest) -> str:
    return guest.run(f"dpkg-query -W -f '${{Status}} ${{Version}}' {EXAMPLE}").stdout
