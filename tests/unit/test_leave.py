"""What is put back before a package goes, whoever has the run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from guestwake.application import Application
from guestwake.clock import SystemClock
from guestwake.edges.exit_codes import Exit
from guestwake.edges.leave import leave
from guestwake.hypervisors.api import HypervisorError
from guestwake.locks import AlreadyRunning
from guestwake.paths import Paths
from guestwake.update_manager import Ended
from guestwake.workspaces import Workspace


class HurriedClock(SystemClock):
    """Remembers how long it waits, and does not. As the real one does, it waits once not at all
    where it was hurried before."""

    def __init__(self) -> None:
        super().__init__()
        self.is_hurried = False
        self.waited = 0.0

    def hurry(self) -> None:
        self.is_hurried = True

    def wait(self, seconds: float) -> None:
        self.waited += 0.0 if self.is_hurried else seconds
        self.is_hurried = False


class FakeApplication(Application):
    """Each workspace is put back as its answers say, one for each call."""

    def __init__(self, root: Path, answers: dict[str, list[Exception | None]]) -> None:
        self.waits = HurriedClock()
        super().__init__(Paths.under(root, os.geteuid()), clock=self.waits)
        self.answers = answers
        for uuid, name in enumerate(answers):
            self.workspaces.write(_workspace(name, uuid))

    def put_back(self, workspace: Workspace) -> Ended | None:
        self.stop()
        answer = self.answers[workspace.name].pop(0)
        if answer is not None:
            raise answer
        return None


def _workspace(name: str, number: int) -> Workspace:
    return Workspace(
        name=name,
        uuid=f"00000000-0000-4000-8000-{number:012}",
        uri="test:///default",
        owner=None,
        added=datetime(2026, 1, 1, tzinfo=UTC),
        memory=64,
        image_folder=None,
    )


@pytest.fixture
def somebodys() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def test_a_run_of_another_process_is_told_and_waited_for(
    tmp_path: Path, somebodys: subprocess.Popen[bytes]
) -> None:
    running = AlreadyRunning(tmp_path, somebodys.pid)
    application = FakeApplication(tmp_path, {"web01": [running, running, None]})
    assert leave(application) is Exit.DONE
    assert somebodys.wait(30) < 0
    assert application.waits.waited == 2.0  # a second after each look, and not 900 looks at once


def test_one_that_has_ended_by_then_is_no_trouble(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    running = AlreadyRunning(tmp_path, gone.pid)
    application = FakeApplication(tmp_path, {"web01": [running, None], "web02": [None]})
    assert leave(application) is Exit.DONE
    assert application.answers == {"web01": [], "web02": []}


def test_what_cannot_be_put_back_is_said_and_the_others_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    application = FakeApplication(
        tmp_path, {"web01": [HypervisorError("no libvirt")], "web02": [None]}
    )
    workspaces = tmp_path / "var/lib/guestwake/workspaces"
    (workspaces / "00000000-0000-4000-8000-00000000000f.json").write_text("{")
    assert leave(application) is Exit.NOT_PUT_BACK
    assert application.answers["web02"] == []
    assert "'web01' cannot be put back: no libvirt" in capsys.readouterr().err


def test_where_the_program_stays_somebodys_own_run_goes_on(
    tmp_path: Path, somebodys: subprocess.Popen[bytes]
) -> None:
    running = AlreadyRunning(tmp_path, somebodys.pid)
    application = FakeApplication(tmp_path, {"web01": [running], "web02": [None]})
    assert leave(application, stops_others=False) is Exit.DONE
    assert somebodys.poll() is None
    assert application.answers == {"web01": [], "web02": []}
