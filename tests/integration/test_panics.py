"""A guest panics in its window, and its definition says what becomes of it (contract, 4.3)."""

from __future__ import annotations

import pytest
from stories import Host, diary_of, starts_and_stops, until

from guestwake.events import OF_WHY
from guestwake.policy.run import Why
from lab.bare import PANICS, bare_guest
from lab.guests import Guest, Lab

LATE = 300.0  # seconds, for a guest that boots beside other work
LOOP = 2  # panics, one after the other


@pytest.mark.parametrize(
    "on_crash", ["destroy", pytest.param("coredump-destroy", marks=pytest.mark.full)]
)
def test_what_libvirt_ends_is_woken_again_twice(lab: Lab, host: Host, on_crash: str) -> None:
    guest = bare_guest(lab, "web01", boots=PANICS, on_crash=on_crash)
    host.looks_after(guest)
    with diary_of(guest) as diary:
        host.wakes(guest, window=600, code=9)
        assert starts_and_stops(diary()) == ["Started Booted", "Stopped Crashed"] * 3
    assert guest.state() == "shut off"
    assert host.outcomes(guest) == ["crashed-too-often"]
    assert host.history(guest)[0]["crashes"] == 2
    assert host.status(guest)["standing"]["why"] == "crashed-too-often"


def test_what_is_kept_for_a_look_at_it_is_not_touched(lab: Lab, host: Host) -> None:
    guest = bare_guest(lab, "web01", boots=PANICS, on_crash="preserve")
    host.looks_after(guest)
    with diary_of(guest) as diary:
        host.wakes(guest, window=600, code=9)
        host.wakes(guest, window=600, code=9)  # nor another night
        assert starts_and_stops(diary()) == ["Started Booted"]
    assert guest.state() == "crashed"
    assert host.outcomes(guest) == ["crashed", "crashed"]
    assert host.status(guest)["standing"]["why"] == "crashed"


def test_what_libvirt_restarts_for_ever_is_held_and_saved(lab: Lab, host: Host) -> None:
    guest = bare_guest(lab, "web01", boots=PANICS, on_crash="restart")
    host.looks_after(guest)
    with diary_of(guest) as diary:
        manager = host.begins(guest, window=600)
        until(lambda: diary().count("Crashed Panicked") >= LOOP)
        assert host.phase(guest) == "holding"
        manager.process.terminate()
        manager.ends(code=15)
        assert starts_and_stops(diary()) == ["Started Booted", "Stopped Saved"]
    assert guest.state() == "saved"
    assert host.outcomes(guest) == ["put-back-owed-off"]


# A Debian whose kernel panics by its own: with the panic device it tells the hypervisor.


def panics(guest: Guest) -> None:
    trigger = "echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger"
    guest.agent("guest-exec", {"path": "/bin/sh", "arg": ["-c", trigger]})
    until(lambda: "Kernel panic" in guest.console.read_text(errors="replace"))


def hibernated_with_panic_device(lab: Lab, on_crash: str) -> Guest:
    """Booted with it: its firmware is what tells the kernel of it."""
    guest = lab.define_guest("web01")
    text = guest.definition.read_text()
    text = text.replace("<features>", f"<on_crash>{on_crash}</on_crash><features>")
    text = text.replace("</devices>", "<panic model='isa'/></devices>")
    guest.definition.write_text(text)
    lab.virsh("define", str(guest.definition))
    guest.start()
    guest.wait_until_agent_answers(LATE)
    guest.run("modprobe pvpanic; modprobe pvpanic-mmio")
    guest.hibernate()
    return guest


@pytest.mark.full
def test_without_a_panic_device_nobody_is_told_and_it_is_saved(lab: Lab, host: Host) -> None:
    guest = lab.hibernated_guest("web01")
    host.looks_after(guest)
    with diary_of(guest) as diary:
        manager = host.begins(guest, window=600)
        until(lambda: host.phase(guest) == "holding")
        guest.wait_until_agent_answers()
        panics(guest)
        assert guest.state() == "running"
        manager.process.terminate()
        manager.ends(code=15)
        assert starts_and_stops(diary()) == ["Started Restored", "Stopped Saved"]
    assert guest.state() == "saved"
    assert host.outcomes(guest) == ["put-back"]


@pytest.mark.full
@pytest.mark.parametrize(
    ("on_crash", "life", "state", "why", "code"),
    [
        (
            "destroy",
            ["Stopped Crashed", "Started Booted", "Stopped Saved"],
            "saved",
            "put-back",
            15,
        ),
        ("restart", ["Stopped Saved"], "saved", "put-back", 15),
        ("preserve", [], "crashed", "crashed", 9),
    ],
)
def test_a_real_kernel_panics(
    lab: Lab, host: Host, on_crash: str, life: list[str], state: str, why: str, code: int
) -> None:
    guest = hibernated_with_panic_device(lab, on_crash)
    host.looks_after(guest)
    with diary_of(guest) as diary:
        manager = host.begins(guest, window=900)
        until(lambda: host.phase(guest) == "holding")
        guest.wait_until_agent_answers()
        panics(guest)
        until(lambda: "Crashed Panicked" in diary())
        if code == 15:
            guest.wait_until_agent_answers(LATE)  # it has booted anew
            manager.process.terminate()
        manager.ends(code)
        assert starts_and_stops(diary()) == ["Started Restored", *life]
    assert guest.state() == state
    assert host.outcomes(guest) == [why]
    lost = OF_WHY[Why.CRASHED_SESSION_LOST].id in host.events(guest)
    assert lost is (on_crash == "destroy")
