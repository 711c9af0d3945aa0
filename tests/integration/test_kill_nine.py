"""kill -9 between any two steps, and the same command again (contract, sections 4.6 and 10)."""

from __future__ import annotations

import pytest
from mortal import IN_MEMORY, STEPS
from stories import Host, diary_of, starts_and_stops, until

from lab.guests import Lab

# One real pass each; all between them are told in the simulation.
ALWAYS = ("after mark", "while holds", "during save")
# It runs, and nothing tells who has started it.
UNTOLD = ("during start", "after start")


@pytest.mark.parametrize(
    "step",
    [
        step if step in ALWAYS else pytest.param(step, marks=pytest.mark.full)
        for step in STEPS
        if step not in UNTOLD
    ],
)
def test_killed_and_called_again_it_is_put_back_once(lab: Lab, host: Host, step: str) -> None:
    guest = lab.hibernated_guest("web01")
    host.looks_after(guest)
    with diary_of(guest) as diary:
        host.begins(guest, window=2, dies=step).dies()
        host.wakes(guest, window=2)
        assert starts_and_stops(diary()) == ["Started Restored", "Stopped Saved"]
    assert guest.state() == "saved"
    assert host.outcomes(guest) == ["put-back"]
    assert host.phase(guest) is None


@pytest.mark.parametrize("step", UNTOLD)
def test_killed_before_it_could_mark_what_it_started_that_is_told(
    lab: Lab, host: Host, step: str
) -> None:
    guest = lab.hibernated_guest("web01")
    host.looks_after(guest)
    with diary_of(guest) as diary:
        host.begins(guest, window=2, dies=step).dies()
        until(lambda: guest.state() == "running")
        host.wakes(guest, window=2, code=7)
        assert starts_and_stops(diary()) == ["Started Restored"]
    assert guest.state() == "running"
    assert host.outcomes(guest) == ["who-started-it-unknown"]
    assert host.phase(guest) is None


@pytest.mark.full
@pytest.mark.parametrize("step", IN_MEMORY)
def test_one_in_memory_is_put_back_as_well(lab: Lab, host: Host, step: str) -> None:
    guest = lab.hibernated_guest("web01", paused=True)
    guest.start()
    host.looks_after(guest)
    with diary_of(guest) as diary:
        host.begins(guest, window=2, dies=step).dies()
        host.wakes(guest, window=2)
        assert diary() == ["Resumed Unpaused", "Suspended Paused"]
    assert guest.state() == "paused"
    assert host.outcomes(guest) == ["put-back"]


def test_killed_and_then_started_by_somebody_it_is_left_alone(lab: Lab, host: Host) -> None:
    guest = lab.hibernated_guest("web01")
    host.looks_after(guest)
    host.begins(guest, window=30, dies="while holds").dies()
    guest.power_off()
    guest.start()
    with diary_of(guest) as diary:
        said = host.wakes(guest, window=2, code=7)
        assert starts_and_stops(diary()) == []
    assert guest.state() == "running"
    assert "somebody started 'web01' anew" in said.lower()
    assert host.outcomes(guest) == ["started-by-somebody"]


def test_killed_and_then_saved_and_started_by_somebody_it_is_left_alone(
    lab: Lab, host: Host
) -> None:
    """The saved image brings our own mark back with it, which must not be taken for ours."""
    guest = lab.hibernated_guest("web01")
    host.looks_after(guest)
    host.begins(guest, window=30, dies="while holds").dies()
    guest.hibernate()
    guest.start()
    with diary_of(guest) as diary:
        host.wakes(guest, window=2, code=7)
        assert starts_and_stops(diary()) == []
    assert guest.state() == "running"
    assert host.outcomes(guest) == ["started-by-somebody"]


def test_a_second_run_is_refused_and_a_killed_one_leaves_no_lock(lab: Lab, host: Host) -> None:
    guest = lab.hibernated_guest("web01")
    host.looks_after(guest)
    first = host.begins(guest, window=600)
    until(lambda: guest.state() == "running")
    said = host.begins(guest, window=2).ends(code=4)
    assert f"process {first.process.pid} is already running it" in said
    first.kill()
    assert host.status(guest)["run"]["manager_lives"] is False
    again = host.begins(guest)
    until(lambda: host.status(guest)["run"]["manager_lives"])
    # Told to stop, it puts it back by saving, and says so with its code.
    again.process.terminate()
    again.ends(code=15)
    assert guest.state() == "saved"
    assert host.outcomes(guest) == ["put-back"]
