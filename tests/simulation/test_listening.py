"""Listening to a guest ends no run and fills no log, whatever the hypervisor or the guest says."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from day import Day

from guestwake.hypervisors.api import HypervisorError, NotAllowed, VmBusy
from guestwake.policy.run import Why
from guestwake.policy.words import Power, Verb
from guestwake_wire.messages import Reason, Report, Strength, encode

BOOT_ID = b"2f1c9b1e-6f0d-4a53-9a51-0c1d8a3c7f42\n"
NEEDED = (
    *("guest-get-osinfo", "guest-get-users", "guest-get-time"),
    *("guest-file-open", "guest-file-read", "guest-file-close"),
)
REFUSALS = [VmBusy("it is locked"), NotAllowed("access denied"), HypervisorError("internal error")]


class Agent:
    """Of a Linux guest that needs no restart. `asked`: when, by minute and second."""

    def __init__(self, day: Day) -> None:
        self._day = day
        self.asked: list[str] = []
        self.refusal: HypervisorError | None = None

    def answers(self) -> dict[str, Any]:
        return {
            "guest-info": {
                "version": "7.2",
                "supported_commands": [{"name": name, "enabled": True} for name in NEEDED],
            },
            "guest-get-osinfo": {"id": "debian", "pretty-name": "Debian"},
            "guest-get-users": self._users,
            "guest-get-time": 1_795_000_000 * 10**9,
            "guest-file-open": self._open,
            "guest-file-read": {"count": 37, "buf-b64": base64.b64encode(BOOT_ID).decode()},
            "guest-file-close": {},
        }

    def _open(self, asked: dict[str, Any]) -> int:
        if asked["path"].startswith("/run/reboot-required"):
            raise HypervisorError("no such file")
        return 1000

    def _users(self, asked: dict[str, Any]) -> list[object]:
        self.asked.append(f"{self._day.now().wall:%M:%S}")
        if self.refusal:  # of the look that comes after the agent's answers
            self._day.machine.fail("state", self.refusal, times=1)
        return []


@pytest.fixture
def agent(day: Day) -> Agent:
    made = Agent(day)
    day.workspace("web01")
    day.vm("web01").guest.answers = made.answers()
    return made


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda error: error.code)
def test_a_look_that_is_refused_beside_the_agents_answers(
    refusal: HypervisorError, day: Day, agent: Agent
) -> None:
    agent.refusal = refusal
    day.run_until("04:00")
    assert len(agent.asked) > 20
    assert day.power("web01") is Power.SAVED
    assert day.verbs("web01") == [Verb.START, Verb.SAVE]


def test_the_agent_is_asked_first_once_the_service_had_its_time_and_then_each_minute(
    day: Day, agent: Agent
) -> None:
    day.run_until("03:05")
    assert "00:20" <= agent.asked[0] <= "01:10"
    assert len(agent.asked) == 4


def test_a_guest_that_asks_for_a_restart_and_not_and_again_fills_no_log(day: Day) -> None:
    day.workspace("web01", reports=True, restart_in_window=0)
    day.run_until("03:02")
    reason = (Reason("made-up", Strength.STRONG, 0, ""),)
    for number in range(100):
        said = Report(1, 0, f"made up {number}", "", "", "", busy=False)
        said = said._replace(restart=reason if number % 2 else ())
        day.service("web01").says(encode(said))
        day.run_for(2)
    told = day.events("web01")
    assert told.count(Why.RESTART_WAITS) == told.count(Why.HOLDS) == 1
