"""A guest whose service, and whose agent, are an attacker's, on the real channels: what it costs
the host, an honest guest beside it, and whoever reads what it says (contract, section 11).

With `-s` each prints its figures, which are those of docs/security.md.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hostile_guests import (
    Footprint,
    footprint,
    forged,
    is_at,
    of_the_bus,
    played,
    properties_of,
    reader_of,
    shown,
    taken_over,
)
from stories import Host, Manager, boot_id, manager_of, served, until, woken_by_hand

from guestwake.channels.reader import MEMORY_MAX
from guestwake.journal import INSTALLED_MAX
from guestwake.policy.in_use import GUEST_INPUT_COUNTS_AFTER
from guestwake.update_manager import AGENT_WAITS
from lab.guests import Guest, Lab

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

from dbus_world import system_bus

# KiB that a manager may need more for a hostile guest than for an honest one, whatever is sent:
# what lies unread in a channel (256 KiB), what libvirt has on its way, an answer of the agent's.
COSTS_MAX = 16 << 10
MANAGER_MAX = 64 << 10  # KiB, all of it; two thirds are Python, libvirt and our own code
# Seconds of each in the short round. Floods last: the host hangs up on them for five seconds.
ATTACKS = {
    "deep": 1.0,
    "half-frames": 2.0,
    "nonsense": 2.0,
    "boots": 3.0,
    "others": 2.0,
    "forgery": 11.0,
    "deaf": 2.0,
    "storm": 3.0,
    "flood-of-empty-frames": 1.0,
    "flood-of-reports": 1.0,
    "endless-line": 1.0,
}
LONG = ("endless-noise", "flood-of-hellos", "flood-of-beginnings")
TASK_TIMEOUT = 60


def test_an_honest_guest_beside_one_that_attacks(lab: Lab, host: Host) -> None:
    beside_an_attacker(lab, host, list(ATTACKS.items()))


@pytest.mark.full
def test_an_honest_guest_beside_one_that_attacks_for_minutes(lab: Lab, host: Host) -> None:
    # More is told to one who reads nothing than the way to it holds.
    seconds = {**dict.fromkeys((*ATTACKS, *LONG), 20.0), "deaf": 60.0}
    beside_an_attacker(lab, host, list(seconds.items()))


def beside_an_attacker(lab: Lab, host: Host, attacks: list[tuple[str, float]]) -> None:
    mallory = taken_over(lab.hibernated_guest("mallory"), attacks, then="all", agent="endless")
    honest = woken_by_hand(lab.hibernated_guest("honest"))
    boot = boot_id(honest)
    honest.hibernate()
    host.set("guest_update_duration = 0")
    host.looks_after(mallory, honest)
    with system_bus(host.root) as bus, served(host, bus) as service:
        until(lambda: service.says("answers on the system bus"))
        opens = datetime.now(UTC).replace(second=0, microsecond=0)
        window(host, opens, 60)
        texts = told_meanwhile(host, bus, mallory, 120 + 3 * sum(each for _, each in attacks))
        until(lambda: host.status(mallory)["guest"]["sessions"])  # of the lie told after them
        until(lambda: host.status(honest)["guest"])
        now = costs(host, mallory, honest)
        now["the service"] = footprint(service.process.pid)
        now["libvirtd"] = footprint(lab.libvirtd.pid)
        # What everybody is told while it goes on.
        lies, truth = host.status(mallory), host.status(honest)
        answers = {name: of_the_bus(bus, *words) for name, words in ASKED.items()}
        texts |= {**shown(host, mallory), **{f"bus, {name}": answers[name] for name in answers}}
        window(host, opens, 1)
        ended = max(opens + timedelta(minutes=1), datetime.now(UTC))
        until(lambda: host.outcomes(mallory) and host.outcomes(honest))
    texts |= shown(host, mallory)
    assert list(forged(texts)) == []

    assert truth["guest"]["boot_id"] == boot
    assert (truth["guest"]["by"], truth["guest"]["refused_messages"]) == ("service", 0)
    assert truth["restart_required"] is None
    assert (truth["run"]["why"], truth["guest"]["sessions"]) == ("holds", [])
    (row,) = host.history(honest)
    assert (row["why"], row["restarts"], row["used"]) == ("put-back", 0, False)
    assert row["installed"] == []
    assert honest.state() == "saved"
    late = instant(row["ended"]) - ended
    assert late < timedelta(seconds=TASK_TIMEOUT)  # of the contract's section 10, I2

    assert lies["guest"]["refused_messages"] > 0
    assert lies["guest"]["busy"] is True
    assert lies["restart_required"]["reasons"]
    assert lies["guest"]["sessions"]
    (row,) = host.history(mallory)
    assert (row["why"], row["restarts"]) == ("put-back", 0)
    assert 0 < len(row["installed"]) <= INSTALLED_MAX
    assert mallory.state() == "saved"
    bounded(now)
    bytes_of = {name: played(mallory, name) for name, _ in attacks}
    assert all(bytes_of.values())
    tell(now)
    print(f"bytes that the port took: {bytes_of}")
    print(f"honest guest back after its window's end: {late.total_seconds():.0f} s")


AGENTS = (
    *("silent", "silent_after_sync", "deaf", "storm", "another_sync", "malformed", "endless"),
    *("endless_from_the_first", "large", "another_question", "twice", "errors", "slow", "lies"),
)


@pytest.mark.full
@pytest.mark.parametrize("agent", AGENTS)
def test_an_agent_that_is(agent: str, lab: Lab, host: Host) -> None:
    """Where no Guest Update Service answers it is asked for what that would tell."""
    mallory = taken_over(lab.hibernated_guest("mallory"), agent=agent)
    host.looks_after(mallory)
    manager = host.begins(mallory, window=AGENT_WAITS + 15)
    cost = last_cost(manager)
    manager.ends()
    assert list(forged(shown(host, mallory))) == []
    assert host.outcomes(mallory) == ["put-back"]
    assert mallory.state() == "saved"
    assert cost.peak < MANAGER_MAX
    word = host.status(mallory)["guest"]
    assert (word is not None) == (agent == "lies")
    tell({f"manager beside an agent that is '{agent}'": cost})


@pytest.mark.full
def test_what_each_lie_comes_to_at_the_worst(lab: Lab, host: Host) -> None:
    busy, used, asks = (
        taken_over(lab.hibernated_guest(name), then=name) for name in ("busy", "used", "restart")
    )
    host.set("max_extension = 1", "guest_use_limit = 1", f"task_timeout = {TASK_TIMEOUT}")
    host.looks_after(busy, used, asks)
    length = GUEST_INPUT_COUNTS_AFTER + timedelta(seconds=30)
    managers = [
        host.begins(guest, length.total_seconds(), use_ended=5) for guest in (busy, used, asks)
    ]
    until(lambda: host.phase(used) == "lent", 300)
    assert "in use: guest: eve" in host.guestwake("status", used.name)
    assert host.status(used)["run"]["in_use_by"] == ["guest: eve"]
    until(lambda: host.status(busy)["run"]["why"] == "busy-installing")
    for manager in managers:
        manager.ends()
    limit = timedelta(minutes=1)  # both of them
    for guest in (busy, used, asks):
        assert host.outcomes(guest) == ["closed" if guest is used else "put-back"]
        assert guest.state() == "saved"
        (row,) = host.history(guest)
        over = instant(row["ended"]) - instant(row["woke"]) - length
        assert over < limit + timedelta(seconds=TASK_TIMEOUT)
        assert row["restarts"] == (1 if guest is asks else 0)  # the second one an hour later
        print(f"the lie '{guest.name}': put back {over.total_seconds():.0f} s after the end")
    assert host.status(asks)["restart_required"] is not None


@pytest.mark.full
def test_one_that_does_not_go_down_is_saved(lab: Lab, host: Host) -> None:
    """It says that it is idle and nobody is there, and neither its agent nor its button works."""
    mallory = taken_over(lab.hibernated_guest("mallory"), then="idle", agent="silent_after_sync")
    host.set('return_state = "shutdown"', "task_timeout = 40")
    host.looks_after(mallory)
    host.wakes(mallory, window=10)
    assert host.outcomes(mallory) == ["put-back-owed-off"]
    assert mallory.state() == "saved"


ASKED = {
    "status": ("Status",),
    "history": ("History", "su", "mallory", "0"),
    "events": ("Events", "s", "mallory"),
}


def told_meanwhile(host: Host, bus: str, mallory: Guest, seconds: float) -> dict[str, str]:
    """What is said of it again and again, until all attacks are played."""
    texts: dict[str, str] = {}

    def has_played() -> bool:
        texts[f"bus, {len(texts)}"] = told = properties_of(bus, mallory)
        assert mallory.name in told
        texts[f"status, {len(texts)}"] = host.guestwake("status", mallory.name)
        return is_at(mallory, "all played")

    until(has_played, seconds)
    return texts


def window(host: Host, opens: datetime, minutes: int) -> None:
    host.set(
        'time_zone = "UTC"',
        f'guest_update_time = "{opens:%H:%M}"',
        f"guest_update_duration = {minutes}",
        "max_extension = 0",
        "restart_in_window = 0",
        f"task_timeout = {TASK_TIMEOUT}",
    )


def costs(host: Host, *guests: Guest) -> dict[str, Footprint]:
    found = {}
    for guest in guests:
        manager = manager_of(host, guest)
        assert manager is not None
        found[f"manager of '{guest.name}'"] = footprint(manager)
        if reader := reader_of(manager):
            found[f"reader of '{guest.name}'"] = footprint(reader)
    return found


def bounded(now: dict[str, Footprint]) -> None:
    hostile, honest = (now[f"manager of '{name}'"].peak for name in ("mallory", "honest"))
    assert hostile - honest < COSTS_MAX
    assert now["reader of 'mallory'"].peak < MEMORY_MAX >> 10


def last_cost(manager: Manager) -> Footprint:
    """Of its whole life, but for the last tenth of a second."""
    cost = footprint(manager.process.pid)
    while manager.process.poll() is None:
        with suppress(KeyError, OSError):  # it is ending
            cost = footprint(manager.process.pid)
        time.sleep(0.1)
    return cost


def tell(now: dict[str, Footprint]) -> None:
    for who, each in now.items():
        memory = f"peak {each.peak / 1024:.1f} MB, {each.now / 1024:.1f} MB now"
        print(f"{who}: {memory}; {each.seconds:.2f} s, {each.share:.1%} of a processor")


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
