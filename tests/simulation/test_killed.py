"""The manager is killed between any two steps, and the same command is run again.

Before and after each record, each verb and each mark, and in each wait: the VM is put back as if
nothing had been, with the very verbs of an undisturbed run. And where somebody else has started
the VM meanwhile, it is left to them. Between a start and its mark nobody can tell which it is: it
is left as it is, and that is told.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from day import Day
from random_day import is_untold
from world import Killed

from guestwake.policy.run import Why
from guestwake.policy.words import Power, Verb


@dataclass(frozen=True)
class Rest:
    """How a VM rests before its window."""

    power: Power
    saved_paused: bool = False


RESTS = {
    "saved": Rest(Power.SAVED),
    "off": Rest(Power.OFF),
    "paused": Rest(Power.PAUSED),
    "saved-paused": Rest(Power.SAVED, saved_paused=True),
    "suspended": Rest(Power.SUSPENDED),
}
_UNDISTURBED = {
    "saved": ["start", "save"],
    "off": ["start", "shut-down"],
    "paused": ["resume", "pause"],
    "saved-paused": ["start", "resume", "save-paused"],
    "suspended": ["wake-up", "suspend"],
}
# The start of the VM is the one on record, and it was paused or suspended when the manager died:
# nobody can tell who resumed it, the manager with its last breath or a person. It is taken for
# ours and put back; "saved-paused" into a plain image, if it died before it saw that one paused.
_NOBODY_CAN_TELL = ("paused", "suspended", "saved-paused")


@contextmanager
def a_night(folder: Path, rest: str) -> Iterator[Day]:
    """A window of one minute, at 00:05."""
    with tempfile.TemporaryDirectory(dir=folder) as own, Day(Path(own)) as day:
        stand = RESTS[rest]
        day.workspace(
            "web01",
            stand.power,
            saved_paused=stand.saved_paused,
            guest_update_time="00:05",
            guest_update_duration=1,
        )
        yield day


class Killer:
    """Kills at the points with these numbers, of all that the processes come by; and remembers
    them all."""

    def __init__(self, *numbers: int, then: Callable[[], None] | None = None) -> None:
        self.points: list[str] = []
        self.killed_at: list[str] = []
        self._numbers, self._then = numbers, then

    def __call__(self, what: str) -> None:
        self.points.append(what)
        if len(self.points) in self._numbers:
            self.killed_at.append(f"{len(self.points)}: {what}")
            if self._then:
                self._then()
            raise Killed(what)


def points_of(folder: Path, rest: str) -> list[str]:
    with a_night(folder, rest) as day:
        day.on_point = killer = Killer()
        day.run_until("00:12")
        assert day.verbs("web01") == _UNDISTURBED[rest]
        return killer.points


def is_back(day: Day, rest: str) -> bool:
    paused = day.saved_as_paused("web01")
    return day.power("web01") is RESTS[rest].power and paused is RESTS[rest].saved_paused


def _without_button(verbs: list[str]) -> list[str]:
    """Where the record says that the agent was asked to shut down, the button is next."""
    return ["shut-down" if verb == "press-power-button" else verb for verb in verbs]


def _is_untold(day: Day, rest: str) -> bool:
    """Started, and nothing says by whom."""
    return _UNDISTURBED[rest][0] == Verb.START and is_untold(day.vm("web01"))


def check_killed(folder: Path, rest: str, numbers: tuple[int, ...], pause: float) -> None:
    untold: list[bool] = []
    with a_night(folder, rest) as day:
        day.restarts_after = pause
        day.on_point = killer = Killer(*numbers, then=lambda: untold.append(_is_untold(day, rest)))
        day.run_until("00:12")
        told = f"{rest}, killed at {killer.killed_at}, called again after {pause} s"
        if any(untold):
            assert day.verbs("web01") == [Verb.START], told
            assert [row.why for row in day.history("web01")] == [Why.WHO_STARTED_IT_UNKNOWN], told
            return
        assert _without_button(day.verbs("web01")) == _UNDISTURBED[rest], told
        assert is_back(day, rest), told
        assert day.put_back("web01"), told
        assert [row.why for row in day.history("web01")] == [Why.PUT_BACK], told


@pytest.mark.parametrize("rest", RESTS)
def test_killed_between_any_two_steps_it_is_put_back_once(folder: Path, rest: str) -> None:
    for number in range(1, len(points_of(folder, rest)) + 1):
        check_killed(folder, rest, (number,), pause=0.5)


@pytest.mark.more
@pytest.mark.parametrize("rest", RESTS)
def test_killed_again_soon_after_it_was_called_again(folder: Path, rest: str) -> None:
    """The steps that follow are the same, so a second point some way on meets each of them."""
    count = len(points_of(folder, rest))
    for first in range(1, count + 1, 3):
        check_killed(folder, rest, (first, first + 5 + first % 11), pause=20.0)


@pytest.mark.full
@pytest.mark.parametrize("rest", RESTS)
@pytest.mark.parametrize("pause", [0.5, 20.0])
def test_killed_at_any_two_points(folder: Path, rest: str, pause: float) -> None:
    count = len(points_of(folder, rest))
    for first in range(1, count + 1):
        for second in range(first + 1, count + 1):
            check_killed(folder, rest, (first, second), pause)


@pytest.mark.parametrize("rest", RESTS)
def test_killed_and_then_taken_by_somebody_it_is_left_alone(folder: Path, rest: str) -> None:
    points = points_of(folder, rest)
    for number, point in enumerate(points, start=1):
        if point in ("before turn", "before commit"):  # all that lasts is as at the point before
            continue
        with a_night(folder, rest) as day:
            day.restarts_after = 5.0
            taken = _Taken(day)
            day.on_point = Killer(number, then=partial(day.later, 1, taken))
            day.run_until("00:20")
            told = f"{rest}, killed at {number}: {point}; {taken.how}, then {day.verbs('web01')}"
            if taken.how == "resumed" and day.power("web01") is not Power.RUNNING:
                assert rest in _NOBODY_CAN_TELL, told
                assert day.power("web01") is RESTS[rest].power, told
            else:
                assert day.power("web01") is Power.RUNNING, told
                assert day.verbs("web01") == taken.verbs_before, told
                ended_before = day.verbs("web01") == _UNDISTURBED[rest]
                left = {Why.STARTED_BY_SOMEBODY, Why.WHO_STARTED_IT_UNKNOWN, Why.WATCHED}
                assert day.why("web01") in left | {Why.PUT_BACK} if ended_before else left, told
            assert day.record("web01") is None, told


class _Taken:
    """Somebody starts or resumes the VM; one that runs is saved and started anew."""

    def __init__(self, day: Day) -> None:
        self._day = day
        self.how = ""
        self.verbs_before: list[str] = []

    def __call__(self) -> None:
        self.verbs_before = self._day.verbs("web01")
        it, machine = self._day.vm("web01"), self._day.machine
        match it.power:
            case Power.RUNNING:
                self.how = "saved and started"
                machine.saves(it.vm)
                machine.starts(it.vm)
            case Power.PAUSED:
                self.how = "resumed"
                machine.resumes(it.vm)
            case Power.SUSPENDED:
                self.how = "resumed"
                machine.perform(it.vm, Verb.WAKE_UP)
                machine.deeds.pop()
            case _:
                self.how = "started"
                machine.starts(it.vm)
                if self._day.power("web01") is Power.PAUSED:  # it had been saved while paused
                    machine.resumes(it.vm)
