"""The task of one workspace for Windows' Task Scheduler, as XML: rendered, and read back.

Pure. The openings stand in it as instants in UTC, each a trigger of its own, so that neither the
host's zone nor a change of its clocks moves them. Task Scheduler gives a task back with values
added, in another order, and without those that the schema has for what is left out: what is
compared is what we write, value by value, beyond the schema's own. A hash of those
values stands among them, by which a task of ours, be it an older one, is told from one that
somebody has edited.

https://learn.microsoft.com/windows/win32/taskschd/task-scheduler-schema
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from guestwake.policy.words import Timer

NAMESPACE: Final = "http://schemas.microsoft.com/windows/2004/02/mit/task"
TEXT_CHARACTERS_MAX: Final = 256 * 1024  # longer than any that we write
TRIGGERS_MAX: Final = 48  # Task Scheduler takes no more in one task
SYSTEM: Final = "S-1-5-18"

_HASH = "Guestwake sha256:"
_DESCRIPTION = (
    "Opens the window of a workspace of Guestwake, which has written this and writes it anew "
    "whenever it was changed, disabled or deleted. When a window opens is a setting: "
    "GuestUpdateTime and others. 'guestwake skip' leaves one window out, 'guestwake pause' all."
)
# What it does beside its triggers. Network and power are for the wake run itself to see to: it
# says why it does not wake, and does when they are back.
_SETTINGS = (
    ("MultipleInstancesPolicy", "IgnoreNew"),
    ("DisallowStartIfOnBatteries", "false"),
    ("StopIfGoingOnBatteries", "false"),
    ("AllowHardTerminate", "false"),
    ("StartWhenAvailable", "true"),
    ("RunOnlyIfNetworkAvailable", "false"),
    ("Enabled", "true"),
    ("RunOnlyIfIdle", "false"),
    ("ExecutionTimeLimit", "PT0S"),  # none
)
_RESTART = (("Interval", "PT1M"), ("Count", "255"))
# What the schema has for an element that is left out. A task that Task Scheduler gives back may
# have it or not.
_LEFT_OUT = frozenset(
    {
        ("/Principals/Principal/RunLevel", "LeastPrivilege"),
        ("/Settings/AllowHardTerminate", "true"),
        ("/Settings/DisallowStartIfOnBatteries", "true"),
        ("/Settings/MultipleInstancesPolicy", "IgnoreNew"),
        ("/Settings/RunOnlyIfIdle", "false"),
        ("/Settings/RunOnlyIfNetworkAvailable", "false"),
        ("/Settings/StartWhenAvailable", "false"),
        ("/Settings/StopIfGoingOnBatteries", "true"),
        ("/Settings/WakeToRun", "false"),
        ("/Triggers/TimeTrigger/Enabled", "true"),
    }
)


@dataclass(frozen=True, slots=True)
class Runner:
    """Who runs what. `user`: a SID, of `SYSTEM` or of somebody whose task runs while that person is
    logged on. `program`: of guestwake.exe, a full path."""

    user: str
    program: str


@dataclass(frozen=True, slots=True)
class Read:
    """A task that was found. `values`: of all that we write in one, that it is enabled aside; equal
    for equal tasks."""

    values: frozenset[tuple[str, str]]
    is_as_written: bool
    is_enabled: bool


def rendered(timer: Timer, runner: Runner) -> str:
    """The whole of it. Only its last openings are left out where there are too many."""
    task = _task(timer, runner)
    description = task.find("RegistrationInfo/Description")
    assert description is not None
    description.text = f"{_DESCRIPTION}\n{_HASH}{_hash(_values(task))}"
    task.set("xmlns", NAMESPACE)
    ElementTree.indent(task)
    return '<?xml version="1.0" encoding="UTF-16"?>\n' + ElementTree.tostring(task, "unicode")


def read(text: str) -> Read | None:
    """None: that is no task at all, or too long for one of ours."""
    if len(text) > TEXT_CHARACTERS_MAX:
        return None
    try:
        task = ElementTree.fromstring(_without_declaration(text))
    except (ElementTree.ParseError, ValueError):
        return None
    for each in task.iter():
        each.tag = each.tag.removeprefix(f"{{{NAMESPACE}}}")
    values = _values(task)
    written = (task.findtext("RegistrationInfo/Description") or "").rpartition(_HASH)[2]
    return Read(
        frozenset(values),
        is_as_written=written.strip() == _hash(values),
        is_enabled=task.findtext("Settings/Enabled", "true").strip() == "true",
    )


def _task(timer: Timer, runner: Runner) -> Element:
    task = Element("Task", version="1.2")
    _all(SubElement(task, "RegistrationInfo"), (("Author", "Guestwake"), ("Description", "")))
    triggers = SubElement(task, "Triggers")
    for instant in timer.instants[:TRIGGERS_MAX]:
        trigger = SubElement(triggers, "TimeTrigger")
        _all(trigger, (("Enabled", "true"), ("StartBoundary", _utc(instant))))
    principal = SubElement(SubElement(task, "Principals"), "Principal", id="Author")
    _all(principal, (("UserId", runner.user),))
    if runner.user != SYSTEM:
        _all(principal, (("LogonType", "InteractiveToken"),))
    _all(principal, (("RunLevel", "HighestAvailable"),))
    settings = SubElement(task, "Settings")
    _all(settings, (*_SETTINGS, ("WakeToRun", "true" if timer.wakes_host else "false")))
    _all(SubElement(settings, "RestartOnFailure"), _RESTART)
    action = SubElement(SubElement(task, "Actions", Context="Author"), "Exec")
    arguments = f"wake --scheduled {timer.workspace}"
    _all(action, (("Command", runner.program), ("Arguments", arguments)))
    return task


def _all(parent: Element, values: tuple[tuple[str, str], ...]) -> None:
    for name, text in values:
        SubElement(parent, name).text = text


def _values(task: Element) -> list[tuple[str, str]]:
    """What stands in the elements that we write, the description and what the schema has of its own
    aside, and each action and trigger that we would not. Values that Task Scheduler adds are none
    of ours."""
    wanted = {"UserId", "LogonType", "RunLevel", "Command", "Arguments", "StartBoundary"}
    wanted |= {"WakeToRun", *(name for name, _ in (*_SETTINGS, *_RESTART))}
    found = [(path, text) for path, name, text in _leaves(task, "") if name in wanted]
    found = [it for it in found if it not in _LEFT_OUT and it[0] != "/Settings/Enabled"]
    found += [("Triggers", each.tag) for each in task.findall("Triggers/*")]
    found += [("Actions", each.tag) for each in task.findall("Actions/*")]
    return sorted(found)


def _leaves(element: Element, path: str) -> Iterator[tuple[str, str, str]]:
    for child in element:
        below = f"{path}/{child.tag}"
        if len(child):
            yield from _leaves(child, below)
        else:
            yield below, child.tag, (child.text or "").strip()


def _hash(values: list[tuple[str, str]]) -> str:
    return sha256(repr(values).encode()).hexdigest()


def _without_declaration(text: str) -> str:
    """It says UTF-16, and the text is text already."""
    return text.split("?>", 1)[1] if text.lstrip("\ufeff").startswith("<?xml") else text


def _utc(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
