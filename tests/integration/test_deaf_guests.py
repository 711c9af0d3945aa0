"""Guests that hear nothing: no shutdown request, no question of the agent's, no word of the host's
(contract, sections 4.4, 5 and 10, I9)."""

from __future__ import annotations

from functools import partial

import pytest
from stories import Host, boot_id, diary_of, starts_and_stops, until, woken_by_hand

from lab.bare import hibernated_bare_guest
from lab.guests import Guest, Lab

LATE = 600.0  # seconds
AGENT, SERVICE = "qemu-guest-agent.service", "guestwake-guest.service"
# By a timer of the guest's own: nobody could tell it to.
HEARS_AGAIN = f"systemd-run --on-active=180 systemctl restart {AGENT}"
IGNORES_THE_BUTTON = (
    "mkdir -p /run/systemd/logind.conf.d"
    " && printf '[Login]\\nHandlePowerKey=ignore\\n' >/run/systemd/logind.conf.d/deaf.conf"
    " && systemctl restart systemd-logind"
)
full = partial(pytest.param, marks=pytest.mark.full)


def goes_deaf(guest: Guest, signal: str, *units: str) -> None:
    """A second later, as the agent has to say that it was told."""
    kills = "; ".join(f"systemctl kill --kill-whom=main -s {signal} {unit}" for unit in units)
    done = guest.run(f"systemd-run --on-active=1 sh -c '{kills}'")
    assert done.code == 0, done.stderr
    if AGENT in units and signal == "STOP":
        until(lambda: not guest.agent_answers())


@pytest.mark.parametrize(
    ("signal", "units"),
    [
        ("STOP", (SERVICE, AGENT)),
        full("STOP", (SERVICE,)),
        full("STOP", (AGENT,)),
        full("KILL", (SERVICE,)),
        full("KILL", (AGENT,)),
        full("KILL", (SERVICE, AGENT)),
    ],
)
def test_a_guest_in_which_nobody_answers_any_more_is_put_back_and_delays_nobody(
    lab: Lab, host: Host, signal: str, units: tuple[str, ...]
) -> None:
    guest, other = lab.hibernated_guest("web01"), hibernated_bare_guest(lab, "web02")
    host.looks_after(guest, other)
    with diary_of(guest) as diary:
        manager = host.begins(guest, window=3600)
        until(lambda: (host.status(guest)["guest"] or {}).get("fresh"), LATE)
        guest.wait_until_agent_answers()
        goes_deaf(guest, signal, *units)
        host.wakes(other, window=2)
        assert host.phase(guest) == "holding"
        manager.process.terminate()
        manager.ends(code=15)
        assert starts_and_stops(diary()) == ["Started Restored", "Stopped Saved"]
    assert guest.state() == "saved"
    assert host.outcomes(guest) == host.outcomes(other) == ["put-back"]


@pytest.mark.full
def test_one_that_will_not_go_down_is_saved_and_the_next_night_settles_it(
    lab: Lab, host: Host
) -> None:
    guest = woken_by_hand(lab.hibernated_guest("web01"))
    session = boot_id(guest)
    done = guest.run(IGNORES_THE_BUTTON)
    assert done.code == 0, done.stderr
    guest.run(f"{HEARS_AGAIN} && systemd-run --on-active=1 systemctl stop {AGENT}")
    until(lambda: not guest.agent_answers())
    guest.hibernate()
    host.set('return_state = "shutdown"', "task_timeout = 30")
    host.looks_after(guest)
    with diary_of(guest) as diary:
        host.begins(guest, window=20).ends(seconds=LATE)
        assert starts_and_stops(diary()) == ["Started Restored", "Stopped Saved"]
    assert guest.state() == "saved"
    assert host.outcomes(guest) == ["put-back-owed-off"]
    assert host.status(guest)["standing"] is None

    host.set('return_state = "shutdown"', "task_timeout = 600")
    with diary_of(guest) as diary:
        manager = host.begins(guest, window=3600)
        until(lambda: guest.state() == "running")
        guest.wait_until_agent_answers(LATE)
        assert boot_id(guest) == session
        manager.kill()
        host.guestwake("workspace", "remove", guest.name)
        assert "Stopped Destroyed" not in diary()
    assert guest.state() == "shut off"
