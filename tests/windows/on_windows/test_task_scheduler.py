"""Task Scheduler as far as Wine has one: it registers tasks, finds and deletes them. It drops
triggers, principal and action, lists nothing and never runs a task: what it gives back is not
compared, and not told here."""

from __future__ import annotations

from datetime import UTC, datetime

from guestwake.policy.words import Timer
from guestwake.schedulers.task_text import SYSTEM, Runner
from guestwake.schedulers.windows_tasks import ComTasks, WindowsTasks

UUID = "6f1c8c5e-1f0b-4c43-9d2f-8a6c7d9f0e11"
TIMER = Timer(UUID, (datetime(2040, 12, 1, 2, 0, tzinfo=UTC),), wakes_host=True)


def test_a_task_is_registered_found_and_deleted() -> None:
    scheduler = WindowsTasks(Runner(SYSTEM, r"C:\guestwake.exe"))
    assert scheduler.look(UUID, TIMER) is None
    scheduler.write(TIMER)
    scheduler.write(TIMER)
    text = ComTasks().text(UUID)
    assert text is not None
    assert "<WakeToRun>true" in text
    scheduler.remove(UUID)
    scheduler.remove(UUID)
    assert scheduler.look(UUID, TIMER) is None
