"""The task that keeps a workspace's time on Windows: its text, and what somebody does to it.

Task Scheduler itself is a double here, a folder of texts; `tests/windows` asks Wine's.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from lxml import etree

from guestwake.policy.schedule import AHEAD, Do, timer, upkeep
from guestwake.policy.window import Schedule
from guestwake.policy.words import Drift, Timer
from guestwake.schedulers.api import SchedulerError
from guestwake.schedulers.task_text import SYSTEM, TRIGGERS_MAX, Runner, read, rendered
from guestwake.schedulers.windows_tasks import WindowsTasks

UUID = "6f1c8c5e-1f0b-4c43-9d2f-8a6c7d9f0e11"
INSTANT = datetime(2026, 12, 1, 2, 0, tzinfo=UTC)
TIMER = Timer(UUID, (INSTANT, INSTANT + timedelta(days=1)))
AS_SYSTEM = Runner(SYSTEM, r"C:\Program Files\Guestwake\guestwake.exe")
AS_USER = Runner("S-1-5-21-1-2-3-1001", r"C:\Users\Anna & Bert\guestwake.exe")
SCHEMA_FILE = etree.parse(Path(__file__).with_name("task_scheduler.xsd"))
SCHEMA = etree.XMLSchema(SCHEMA_FILE)


def parsed(text: str) -> etree._ElementTree:
    return etree.ElementTree(etree.fromstring(text.encode("utf-16")))


class Folder:
    """A double of Task Scheduler's folder: keeps what it is given as it is."""

    def __init__(self) -> None:
        self.tasks: dict[str, str] = {}
        self.as_system: dict[str, bool] = {}
        self.ran: list[str] = []

    def names(self) -> tuple[str, ...]:
        return (*self.tasks, "somebody else's")

    def text(self, name: str) -> str | None:
        return self.tasks.get(name)

    def write(self, name: str, text: str, *, as_system: bool) -> None:
        self.tasks[name], self.as_system[name] = text, as_system

    def remove(self, name: str) -> None:
        self.tasks.pop(name, None)

    def run(self, name: str) -> None:
        if name not in self.tasks:
            raise SchedulerError(f"cannot start the task '{name}': there is none")
        self.ran.append(name)


# -- the text


@pytest.mark.parametrize("runner", [AS_SYSTEM, AS_USER])
@pytest.mark.parametrize("wakes", [True, False])
def test_it_keeps_to_the_schema(runner: Runner, *, wakes: bool) -> None:
    SCHEMA.assertValid(parsed(rendered(Timer(UUID, TIMER.instants, wakes), runner)))


WRONG = [
    ("<Interval>PT1M", "<Interval>PT1S"),
    ("<WakeToRun>false", "<WakeToRun>perhaps"),
    ("<StartBoundary>2026-12-01T02:00:00Z", "<StartBoundary>tomorrow"),
    ("<MultipleInstancesPolicy>IgnoreNew", "<MultipleInstancesPolicy>Ignore"),
]


@pytest.mark.parametrize(("right", "wrong"), WRONG)
def test_the_schema_would_refuse_another(right: str, wrong: str) -> None:
    text = rendered(TIMER, AS_SYSTEM)
    assert right in text
    assert not SCHEMA.validate(parsed(text.replace(right, wrong)))


def test_a_month_of_openings_fits() -> None:
    schedule = Schedule(time(2), timedelta(hours=4), frozenset(range(7)), ZoneInfo("Europe/Berlin"))
    wanted = timer(UUID, schedule, INSTANT, wakes_host=True)
    assert wanted is not None
    assert AHEAD.days <= len(wanted.instants) < TRIGGERS_MAX
    text = rendered(wanted, AS_SYSTEM)
    SCHEMA.assertValid(parsed(text))
    assert "<WakeToRun>true" in text


def test_it_opens_at_instants_whatever_the_hosts_zone_is() -> None:
    found = parsed(rendered(TIMER, AS_SYSTEM)).findall(".//{*}StartBoundary")
    assert [each.text for each in found] == ["2026-12-01T02:00:00Z", "2026-12-02T02:00:00Z"]


def test_windows_adds_to_it_and_reorders_and_it_is_the_same() -> None:
    ours = rendered(TIMER, AS_SYSTEM)
    task = etree.fromstring(ours.encode("utf-16"))
    for group in task:
        group[:] = reversed(group)
    task[:] = reversed(task)
    namespace = task.nsmap[None]
    etree.SubElement(task.find("{*}RegistrationInfo"), f"{{{namespace}}}URI").text = "\\G\\x"
    etree.SubElement(task.find("{*}Settings"), f"{{{namespace}}}Hidden").text = "false"
    back = read(etree.tostring(task, encoding="unicode"))
    assert back == read(ours)
    assert back is not None
    assert back.is_as_written


DEFAULTS = {
    element.get("name"): element.get("default")
    for element in SCHEMA_FILE.iterfind(".//{*}element[@default]")
}


@pytest.mark.parametrize("wakes", [True, False])
def test_windows_leaves_out_what_the_schema_has_of_its_own_and_it_is_the_same(
    *, wakes: bool
) -> None:
    ours = rendered(Timer(UUID, TIMER.instants, wakes), AS_SYSTEM)
    task = etree.fromstring(ours.encode("utf-16"))
    left_out = [
        each
        for each in task.iterfind(".//{*}*")
        if DEFAULTS.get(etree.QName(each).localname) == each.text
    ]
    assert len(left_out) >= 6
    for each in left_out:
        each.getparent().remove(each)
    back = read(etree.tostring(task, encoding="unicode"))
    assert back == read(ours)
    assert back is not None
    assert back.is_as_written


@pytest.mark.parametrize("text", ["", "<Task", "nonsense", "<a/>", "<Task>" * 90000, "<?xml ?>"])
def test_what_is_no_task_is_none_or_not_ours(text: str) -> None:
    found = read(text)
    assert found is None or not found.is_as_written


# -- what is there


@pytest.fixture
def folder() -> Folder:
    return Folder()


@pytest.fixture
def scheduler(folder: Folder) -> WindowsTasks:
    made = WindowsTasks(AS_SYSTEM, folder)
    made.write(TIMER)
    return made


def drifts(scheduler: WindowsTasks) -> tuple[Drift, ...]:
    done = upkeep(TIMER, scheduler.look(UUID, TIMER), expected=True)
    assert done.do is (Do.WRITE if done.drifts else Do.NOTHING)
    return done.drifts


def test_what_was_written_is_found(scheduler: WindowsTasks, folder: Folder) -> None:
    assert scheduler.workspaces() == {UUID}
    assert drifts(scheduler) == ()
    assert folder.as_system == {UUID: True}


EDITS = [
    ("02:00:00Z", "03:00:00Z"),
    ("<StopIfGoingOnBatteries>false", "<StopIfGoingOnBatteries>true"),
    ("guestwake.exe", "other.exe"),
    (UUID, UUID.replace("6", "7")),
    ("S-1-5-18", "S-1-5-19"),
    ("</Triggers>", "<LogonTrigger/></Triggers>"),
    ("</Exec>", "</Exec><Exec><Command>calc.exe</Command></Exec>"),
    ("<Enabled>true</Enabled><StartBoundary>", "<Enabled>false</Enabled><StartBoundary>"),
    ("<StartWhenAvailable>true</StartWhenAvailable>", ""),
]


@pytest.mark.parametrize(("old", "new"), EDITS)
def test_one_that_was_edited_by_hand_is_written_anew(
    scheduler: WindowsTasks, folder: Folder, old: str, new: str
) -> None:
    text = "".join(line.strip() for line in folder.tasks[UUID].splitlines())
    assert old in text
    folder.tasks[UUID] = text.replace(old, new)
    assert drifts(scheduler) == (Drift.EDITED,)
    scheduler.write(TIMER)
    assert drifts(scheduler) == ()


def test_one_that_was_switched_off_is_written_anew(scheduler: WindowsTasks, folder: Folder) -> None:
    head, tail = folder.tasks[UUID].split("<Settings>")
    tail = tail.replace("<Enabled>true", "<Enabled>false")
    folder.tasks[UUID] = f"{head}<Settings>{tail}"
    assert drifts(scheduler) == (Drift.DISABLED,)
    folder.tasks[UUID] = folder.tasks[UUID].replace("guestwake.exe", "other.exe")
    assert set(drifts(scheduler)) == {Drift.DISABLED, Drift.EDITED}


def test_one_that_was_deleted_is_written_anew(scheduler: WindowsTasks, folder: Folder) -> None:
    folder.tasks.clear()
    assert drifts(scheduler) == (Drift.DELETED,)


def test_an_older_one_of_ours_is_renewed_without_a_word(scheduler: WindowsTasks) -> None:
    later = Timer(UUID, (INSTANT + timedelta(days=2),))
    done = upkeep(later, scheduler.look(UUID, later), expected=True)
    assert (done.do, done.drifts) == (Do.WRITE, ())


def test_nothing_but_a_uuid_becomes_a_name(scheduler: WindowsTasks) -> None:
    for name in ("..\\x", "a b", UUID.upper(), ""):
        with pytest.raises(ValueError, match="UUID"):
            scheduler.remove(name)


def test_a_run_is_started_by_its_task(scheduler: WindowsTasks, folder: Folder) -> None:
    scheduler.start_run(UUID)
    assert folder.ran == [UUID]
    scheduler.remove(UUID)
    scheduler.remove(UUID)
    with pytest.raises(SchedulerError, match="there is none"):
        scheduler.start_run(UUID)
