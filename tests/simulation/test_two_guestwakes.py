"""A user's own Guestwake and the host's look after the same VM, each with a journal of its own and
without a word between them: the VM's mark says whose it is, and one has it at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from day import Day
from world import URI, Hypervisor

from guestwake.application import Application
from guestwake.channels.parser import InProcess
from guestwake.journal import HistoryRow, Journal
from guestwake.paths import Paths
from guestwake.policy.run import WakeRun, Why
from guestwake.policy.words import Power
from guestwake.record import dump_run

NAME = "web01"
OTHERS = "the neighbour's web01"
_RESTS = [Power.SAVED, Power.OFF, Power.PAUSED, Power.SUSPENDED]
_PAUSES_AT_MOST = 12  # points of a manager: by then it holds the VM


class Neighbour:
    """The other Guestwake; its window is longer by two minutes."""

    def __init__(self, day: Day) -> None:
        self._day = day
        self.paths = Paths.under(day.folder / "neighbour", 0)
        self.paths.config.mkdir(parents=True)
        settings = 'guest_update_time = "00:05"\nguest_update_duration = 3\n'
        (self.paths.config / "guestwake.toml").write_text(settings)
        day.host.on_ac_power = True
        self.office = self._application(day.office)
        self.uuid = self.office.add(NAME, URI, None).workspace.uuid

    def _application(self, like: Application) -> Application:
        return Application(
            self.paths,
            clock=like.clock,
            host=self._day.host,
            open_hypervisor=lambda uri: Hypervisor(self._day),
            parser=InProcess(lambda: self._day.real),
        )

    def timer_fires(self) -> None:
        self._day.start(OTHERS, lambda app: self._application(app).wake_scheduled(NAME))

    def journal(self) -> Journal:
        return Journal(self.office.journal_path, readonly=True)

    def record(self) -> WakeRun | None:
        return self.journal().run(self.uuid)

    def history(self) -> list[HistoryRow]:
        return self.journal().history(self.uuid)


@contextmanager
def a_night(folder: Path, power: Power) -> Iterator[tuple[Day, Neighbour]]:
    own = folder / str(len(list(folder.iterdir())))
    own.mkdir()
    with Day(own) as day:
        day.workspace(NAME, power, guest_update_time="00:05", guest_update_duration=1)
        yield day, Neighbour(day)


def pauses_at(day: Day, number: int, seconds: float) -> None:
    """The first manager that comes by its point of that number is not scheduled for so long."""
    points = 0

    def at_point(what: str) -> None:
        nonlocal points
        points += 1
        process = day._running
        if points == number and process is not None:
            process.due = day.awake + seconds
            day.give_way()

    day.on_point = at_point


@pytest.mark.parametrize("power", _RESTS)
@pytest.mark.parametrize("first", ["ours", pytest.param("the neighbour's", marks=pytest.mark.more)])
def test_two_that_find_it_at_rest_at_the_same_moment(
    folder: Path, power: Power, first: str
) -> None:
    for number in range(1, _PAUSES_AT_MOST):
        with a_night(folder, power) as (day, neighbour):
            day.at("00:05").does(neighbour.timer_fires)
            if first == "the neighbour's":
                day._alarms[NAME] = day.moment("00:05:01")
            pauses_at(day, number, 3.0)
            day.run_until("00:05:50")
            assert day.power(NAME) is Power.RUNNING
            mark = day.vm(NAME).mark
            told = f"paused at {number}; {day.verbs(NAME)}; {mark}"
            assert mark is not None, told
            is_ours = json.loads(mark)["by"] == day.office._signature
            day.run_until("00:06:10" if is_ours else "00:07:50")
            at_rest = day.power(NAME) is not Power.RUNNING
            assert at_rest is is_ours, told
            day.run_until("00:20")
            assert day.power(NAME) is power, told
            assert day.vm(NAME).mark is None or power is Power.SAVED, told
            assert (day.record(NAME), neighbour.record()) == (None, None), told
            back = [row.why for row in (*day.history(NAME), *neighbour.history())]
            assert back.count(Why.PUT_BACK) == 1, f"{told}; {back}"


def test_what_the_neighbour_woke_is_not_adopted(folder: Path) -> None:
    """Its manager is dead, and ours knows nothing of the VM."""
    with a_night(folder, Power.SAVED) as (day, neighbour):
        day.restarts_after = None
        day.at("00:04").does(neighbour.timer_fires)
        day._alarms[NAME] = day.moment("00:30")
        day.at("00:05:30").does(neighbour.timer_fires)
        day.at("00:05:40").manager_is_killed(OTHERS)
        day.at("00:05:45").timer_fires(NAME)
        day.run_until("00:20")
        assert day.why(NAME) is Why.WATCHED
        assert day.power(NAME) is Power.RUNNING
        neighbour.timer_fires()
        day.run_until("00:25")
        assert day.power(NAME) is Power.SAVED
        assert [row.why for row in neighbour.history()] == [Why.PUT_BACK]


def _marks(day: Day, ours: str) -> dict[str, str]:
    """Of a run that we know nothing of any more; the VM runs by somebody's hand."""
    run, start = ours, day.vm(NAME).start
    assert start is not None
    by, now = day.office._signature, start.id
    earlier = now.rsplit("/", 1)[0] + "/1"
    return {
        "another Guestwake's": json.dumps({"by": "0123456789abcdef", "start": now, "run": run}),
        "of another start": json.dumps({"by": by, "start": earlier, "run": run}),
        "nobody's": json.dumps({"start": now, "run": run}),
        "no run": json.dumps({"by": by, "start": now, "run": "{}"}),
        "no text": json.dumps({"by": by, "start": now, "run": 7}),
        "no object": json.dumps([by, now, run]),
        "deep": "[" * 100_000,
        "not JSON": "\x00\ufffd mark",
    }


@pytest.mark.parametrize("kind", range(8))
def test_a_mark_that_is_not_ours_gives_us_nothing(day: Day, kind: int) -> None:
    day.workspace(NAME, guest_update_time="00:05", guest_update_duration=1)
    day.run_until("00:05:30")
    run = day.record(NAME)
    assert run is not None
    day.restarts_after = None
    day.kill(NAME)
    day.at("00:05:40").journal_is_damaged()
    day.at("00:05:41").somebody_saves(NAME)
    day.at("00:05:42").somebody_starts(NAME)
    day.run_until("00:05:45")
    marks = _marks(day, dump_run(run))
    assert len(marks) == 8
    day.vm(NAME).mark = [*marks.values()][kind]
    day.timer(NAME)
    day.run_until("00:30")
    assert day.power(NAME) is Power.RUNNING
    assert day.verbs(NAME) == ["start"]
