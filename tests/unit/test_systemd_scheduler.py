"""Timers in a folder, under a systemctl that is none: each kind of drift is seen and undone."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fake_systemctl import FakeSystemctl

from guestwake.policy.words import Drift, Found, Timer
from guestwake.schedulers.api import SchedulerError
from guestwake.schedulers.systemd import Manager, SystemdScheduler
from guestwake.schedulers.systemd_deeds import Deeds
from guestwake.schedulers.systemd_text import rendered, service_name, timer_name

UUID = "6a1f3c52-9d1e-4a53-8a55-0c7f2a9b1d10"
OTHER = "0e3b5f0a-62d2-4d0b-9d3b-5b8f6f4d2c11"
TIMER = Timer(
    UUID, (datetime(2026, 11, 25, 23, tzinfo=UTC), datetime(2026, 11, 26, 23, tzinfo=UTC))
)
NAME, SERVICE = timer_name(UUID), service_name(UUID)
AS_WANTED = Found(as_wanted=True, as_written=True)


@dataclass
class Scene:
    root: Path
    systemctl: FakeSystemctl
    scheduler: SystemdScheduler
    now: float = 0.0
    has_alarm: bool = True

    @property
    def home(self) -> Path:
        return self.root / "etc/systemd/system"

    @property
    def runtime(self) -> Path:
        return self.root / "run/systemd/system"

    @property
    def file(self) -> Path:
        return self.home / NAME

    @property
    def link(self) -> Path:
        return self.home / "timers.target.wants" / NAME

    def look(self, wanted: Timer | None = TIMER) -> Found | None:
        return self.scheduler.look(UUID, wanted)

    def drifts(self) -> tuple[Drift, ...]:
        found = self.look()
        assert found is not None
        return found.drifts


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return a_scene(tmp_path, Manager.of_system(tmp_path), FakeSystemctl())


def a_scene(root: Path, manager: Manager, systemctl: FakeSystemctl) -> Scene:
    (root / "run/systemd/system").mkdir(parents=True)
    deeds = Deeds(manager.folders, systemctl)
    scene = Scene(root, systemctl, None)  # type: ignore[arg-type]  # it needs the scene's time
    scene.scheduler = SystemdScheduler(
        manager,
        deeds=deeds,
        call=systemctl,
        has_alarm=lambda: scene.has_alarm,
        monotonic=lambda: scene.now,
    )
    return scene


def test_nothing_is_nothing(scene: Scene) -> None:
    assert scene.look() is None
    assert scene.scheduler.workspaces() == frozenset()
    assert scene.systemctl.calls == []


def test_what_was_written_is_found_as_wanted(scene: Scene) -> None:
    scene.scheduler.write(TIMER)
    assert scene.file.read_text() == rendered(TIMER)
    assert scene.link.resolve() == scene.file
    assert scene.systemctl.calls == [("daemon-reload",), ("restart", NAME)]
    assert scene.look() == AS_WANTED
    assert scene.scheduler.workspaces() == {UUID}


def test_an_older_one_of_ours_is_no_drift(scene: Scene) -> None:
    scene.scheduler.write(replace(TIMER, instants=TIMER.instants[:1]))
    assert scene.look() == Found(as_wanted=False, as_written=True)
    scene.scheduler.write(TIMER)
    assert [path.name for path in scene.home.iterdir() if path.is_file()] == [NAME]


def test_who_may_not_write_may_look_whatever_the_mask_of_the_writer(scene: Scene) -> None:
    before = os.umask(0o077)
    try:
        scene.scheduler.write(TIMER)
    finally:
        os.umask(before)
    for path, mode in ((scene.file, 0o644), (scene.link.parent, 0o755), (scene.home, 0o755)):
        assert path.stat().st_mode & 0o777 == mode


# what somebody does, and what is then found


def _override(scene: Scene, name: str) -> None:
    (scene.home / f"{name}.d").mkdir()
    (scene.home / f"{name}.d/override.conf").write_text("[Timer]\nOnCalendar=hourly\n")


def _link(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/null")


DRIFTS: dict[str, tuple[Callable[[Scene], object], tuple[Drift, ...]]] = {
    "edited": (lambda scene: scene.file.open("a").write("OnCalendar=hourly\n"), ()),
    "replaced by a link": (lambda scene: _other_file(scene), ()),
    "no text": (lambda scene: scene.file.write_bytes(b"\xff\xfe"), ()),
    "endless": (lambda scene: scene.file.write_bytes(b"#" * 100_000), ()),
    "override of the timer": (lambda scene: _override(scene, NAME), (Drift.OVERRIDDEN,)),
    "override of the service": (lambda scene: _override(scene, SERVICE), (Drift.OVERRIDDEN,)),
    "another service": (
        lambda scene: (scene.home / SERVICE).write_text("[Service]\nExecStart=/bin/true\n"),
        (Drift.OVERRIDDEN,),
    ),
    "override until the next boot": (
        lambda scene: (scene.runtime / f"{NAME}.d").mkdir(),
        (Drift.OVERRIDDEN,),
    ),
    "mask": (lambda scene: _link(scene.file), (Drift.MASKED,)),
    "mask, an empty file": (lambda scene: scene.file.write_text(""), (Drift.MASKED,)),
    "mask until the next boot": (lambda scene: _link(scene.runtime / NAME), (Drift.MASKED,)),
    "mask of the service": (lambda scene: _link(scene.home / SERVICE), (Drift.MASKED,)),
    "disabled": (lambda scene: scene.link.unlink(), (Drift.DISABLED,)),
    "stopped": (lambda scene: scene.systemctl.stop(UUID), (Drift.STOPPED,)),
    "deleted, still enabled": (lambda scene: scene.file.unlink(), (Drift.DELETED,)),
}
EDITED = ("edited", "replaced by a link", "no text", "endless")


def _other_file(scene: Scene) -> None:
    (scene.root / "elsewhere").write_text(rendered(TIMER))
    scene.file.unlink()
    scene.file.symlink_to(scene.root / "elsewhere")


@pytest.mark.parametrize("what", DRIFTS)
def test_each_drift_is_seen_and_undone(scene: Scene, what: str) -> None:
    act, drifts = DRIFTS[what]
    scene.scheduler.write(TIMER)
    act(scene)
    found = scene.look()
    assert found is not None
    assert found.drifts == drifts
    assert found.as_written is (what not in EDITED)
    scene.scheduler.write(TIMER)
    assert scene.look() == AS_WANTED
    assert scene.file.is_file()
    assert not scene.file.is_symlink()


@pytest.mark.parametrize("what", DRIFTS)
def test_each_drift_is_taken_away_with_its_timer(scene: Scene, what: str) -> None:
    scene.scheduler.write(TIMER)
    DRIFTS[what][0](scene)
    scene.scheduler.remove(UUID)
    assert scene.look() is None
    assert scene.scheduler.workspaces() == frozenset()
    assert scene.systemctl.active == set()


def test_many_drifts_are_all_told(scene: Scene) -> None:
    scene.scheduler.write(TIMER)
    _override(scene, NAME)
    _link(scene.runtime / NAME)
    scene.link.unlink()
    assert scene.drifts() == (Drift.MASKED, Drift.OVERRIDDEN, Drift.DISABLED)


def test_deleted_with_its_link_is_nothing_at_all(scene: Scene) -> None:
    scene.scheduler.write(TIMER)
    scene.file.unlink()
    scene.link.unlink()
    assert scene.look() is None


def test_what_somebody_has_written_is_not_lost(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.scheduler.write(TIMER)
    scene.file.write_text("[Timer]\nOnCalendar=hourly\x1b[31m\n")
    _override(scene, NAME)
    with caplog.at_level(logging.WARNING):
        scene.scheduler.write(TIMER)
    assert (scene.home / f"{NAME}.found").read_text() == "[Timer]\nOnCalendar=hourly\x1b[31m\n"
    assert (scene.home / f"{NAME}.d.found/override.conf").exists()
    assert f"'{scene.file}': OnCalendar=hourly\\x1b[31m" in caplog.text
    assert f"'{scene.home}/{NAME}.d/override.conf': OnCalendar=hourly" in caplog.text
    _override(scene, NAME)  # the second time too
    scene.scheduler.write(TIMER)
    assert scene.look() == AS_WANTED


def test_no_link_is_followed(scene: Scene) -> None:
    outside = scene.root / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    scene.scheduler.write(TIMER)
    (scene.home / f"{NAME}.d").symlink_to(outside)
    (scene.home / f"{NAME}.d.found").symlink_to(outside)
    scene.scheduler.write(TIMER)
    assert (outside / "precious").read_text() == "precious"
    assert scene.look() == AS_WANTED


def test_what_a_dead_writer_left_is_swept(scene: Scene) -> None:
    scene.scheduler.write(TIMER)
    (scene.home / f".{NAME}.4711").write_text("half of a ti")
    scene.scheduler.write(TIMER)
    assert sorted(path.name for path in scene.home.iterdir()) == [NAME, "timers.target.wants"]


def test_removing_one_leaves_the_others(scene: Scene) -> None:
    scene.scheduler.write(TIMER)
    scene.scheduler.write(replace(TIMER, workspace=OTHER))
    scene.scheduler.remove(UUID)
    assert scene.scheduler.workspaces() == {OTHER}
    scene.scheduler.remove(UUID)  # one that is gone is fine


# systemd


def test_files_that_systemd_has_not_read_are_not_as_wanted(scene: Scene) -> None:
    scene.scheduler.write(TIMER)
    scene.systemctl.outdated.add(NAME)
    assert scene.look() == Found(as_wanted=False, as_written=True)


def test_one_question_serves_a_pass_over_all(scene: Scene) -> None:
    uuids = [f"{number:08x}{UUID[8:]}" for number in range(50)]
    for uuid in uuids:
        scene.scheduler.write(replace(TIMER, workspace=uuid))
    scene.systemctl.calls.clear()
    for passes in (1, 2):
        for uuid in uuids:
            assert scene.scheduler.look(uuid, replace(TIMER, workspace=uuid)) == AS_WANTED
        assert len(scene.systemctl.calls) == passes


def test_what_was_told_in_the_middle_of_somebodys_writing_is_no_drift(scene: Scene) -> None:
    for uuid in (UUID, OTHER):
        scene.scheduler.write(replace(TIMER, workspace=uuid))
    scene.systemctl.stop(UUID)
    scene.scheduler.look(OTHER, replace(TIMER, workspace=OTHER))
    scene.scheduler.write(TIMER)  # as another process does
    assert scene.look() == AS_WANTED


def test_an_old_answer_is_not_used(scene: Scene) -> None:
    scene.scheduler.write(TIMER)
    scene.scheduler.write(replace(TIMER, workspace=OTHER))
    scene.scheduler.look(OTHER, replace(TIMER, workspace=OTHER))
    scene.systemctl.stop(UUID)
    scene.now += 10
    assert scene.drifts() == (Drift.STOPPED,)


def test_a_systemd_that_hangs_is_waited_for_once_a_pass(scene: Scene) -> None:
    for uuid in (UUID, OTHER):
        scene.scheduler.write(replace(TIMER, workspace=uuid))
    scene.systemctl.calls.clear()
    scene.systemctl.trouble = "it hangs"
    for uuid in (UUID, OTHER):
        with pytest.raises(SchedulerError, match="it hangs"):
            scene.scheduler.look(uuid, replace(TIMER, workspace=uuid))
    assert len(scene.systemctl.calls) == 1


def test_a_write_that_fails_says_where(scene: Scene) -> None:
    scene.systemctl.trouble = "no rights"
    with pytest.raises(SchedulerError, match="no rights"):
        scene.scheduler.write(TIMER)
    scene.home.joinpath("timers.target.wants", NAME).unlink()
    scene.home.joinpath("timers.target.wants").rmdir()
    scene.home.joinpath("timers.target.wants").write_text("in the way")
    with pytest.raises(SchedulerError, match=NAME):
        scene.scheduler.write(TIMER)


def test_a_run_is_started_without_waiting_for_it(scene: Scene) -> None:
    scene.scheduler.start_run(UUID)
    assert scene.systemctl.calls == [("start", "--no-block", SERVICE)]


# a user's own systemd


def of_user(root: Path, version: int) -> Scene:
    environ = {"XDG_CONFIG_HOME": str(root / "config"), "XDG_RUNTIME_DIR": str(root / "runtime")}
    manager = Manager.of_user(environ, root, root)
    return a_scene(root, manager, FakeSystemctl(version=f"systemd {version} (x)"))


def test_a_users_timers_lie_with_the_users_units(tmp_path: Path) -> None:
    scene = of_user(tmp_path, 252)
    scene.scheduler.write(TIMER)
    assert (tmp_path / "config/systemd/user" / NAME).read_text() == rendered(TIMER)
    assert (tmp_path / "config/systemd/user/timers.target.wants" / NAME).is_symlink()


def test_an_old_systemd_of_a_user_is_not_asked_to_wake_the_host(tmp_path: Path) -> None:
    scene = of_user(tmp_path, 253)
    wanted = replace(TIMER, wakes_host=True)
    scene.scheduler.write(wanted)
    assert "WakeSystem" not in (tmp_path / "config/systemd/user" / NAME).read_text()
    assert scene.look(wanted) == AS_WANTED
    assert scene.scheduler.why_no_wake() == (
        "timers of a user's own systemd wake a host only from systemd 254 on"
    )


def test_a_host_without_an_alarm_clock_is_not_asked_to_wake(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.has_alarm = False
    wanted = replace(TIMER, wakes_host=True)
    for _ in (1, 2):
        scene.scheduler.write(wanted)
    assert scene.look(wanted) == AS_WANTED
    assert "WakeSystem" not in scene.file.read_text()
    (told,) = [one for one in caplog.messages if "WakeHost" in one]
    assert told == "WakeHost has no effect: this host has no clock whose alarm wakes it"


def test_a_newer_one_is(tmp_path: Path) -> None:
    scene = of_user(tmp_path, 254)
    scene.scheduler.write(replace(TIMER, wakes_host=True))
    assert "WakeSystem=yes" in (tmp_path / "config/systemd/user" / NAME).read_text()
    assert scene.scheduler.why_no_wake() is None


# is there anything that keeps timers here?


def test_without_systemd_there_are_no_timers(tmp_path: Path) -> None:
    scheduler = SystemdScheduler(Manager.of_system(tmp_path), call=FakeSystemctl())
    assert scheduler.why_not() == "no systemd runs here"
    assert not scheduler.available()


def test_a_users_systemd_comes_with_the_logon_where_the_host_has_one(tmp_path: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path / "runtime")}
    manager = Manager.of_user(environ, tmp_path, tmp_path)
    assert not manager.waits_for_logon()
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    assert manager.waits_for_logon()
    assert not Manager.of_system(tmp_path).waits_for_logon()
    (tmp_path / "runtime/systemd").mkdir(parents=True)
    (tmp_path / "runtime/systemd/private").write_text("")
    assert not manager.waits_for_logon()


def test_without_what_they_start_timers_are_of_no_use(tmp_path: Path) -> None:
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    manager = Manager.of_system(tmp_path)
    scheduler = SystemdScheduler(manager, deeds=Deeds(manager.folders, FakeSystemctl()))
    assert "guestwake service install" in (scheduler.why_not() or "")
    (tmp_path / "usr/lib/systemd/system").mkdir(parents=True)
    (tmp_path / "usr/lib/systemd/system/guestwake-wake@.service").write_text("")
    assert scheduler.available()
