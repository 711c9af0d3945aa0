"""`guestwake doctor` on a machine in memory: what is looked at, said, and waited for."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from command_world import CommandWorld

from guestwake import doctor
from guestwake.application import Application
from guestwake.doctor import Doctor
from guestwake.doctor_hypervisor import Look
from guestwake.edges import dbus_words
from guestwake.edges.exit_codes import Exit
from guestwake.edges.live import Live
from guestwake.hosts.libvirt_files import assigned, libvirt_guests
from guestwake.hypervisors.api import (
    Hypervisor,
    InUseByAnotherProcess,
    NotAllowed,
    Unreachable,
)
from guestwake.hypervisors.memory import MemoryHypervisor
from guestwake.policy import health, health_workspace
from guestwake.policy.health import checkup
from guestwake.policy.health_facts import Kvm, Level, Reach, Seen, VmSeen
from guestwake.policy.words import Autostart, Drift, Power, Timer
from guestwake.schedulers.memory import MemoryScheduler
from guestwake.schedulers.systemd_state import UnitState, unit_states
from guestwake_guest.detectors import install_on_shutdown


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CommandWorld:
    return CommandWorld(tmp_path / "gw", capsys)


def said(world: CommandWorld, *words: str) -> list[dict[str, Any]]:
    """All findings; what the machine below the test is like is no matter."""
    world.run("doctor", "--json", *words)
    found: list[dict[str, Any]] = json.loads(world.out)
    return found


def of(found: list[dict[str, Any]], check: str) -> list[dict[str, Any]]:
    return [each for each in found if each["check"] == check]


def look(world: CommandWorld, **other: Any) -> Seen:
    return Doctor(world.application, **other).look()


# what is said


def test_each_line_says_what_is_so_and_what_mends_it(world: CommandWorld) -> None:
    world.vm("web01", Power.OFF)
    world.machine.autostarts(world.machine.all()[0].vm)
    assert world.run("doctor") == Exit.ATTENTION
    lines = world.out.splitlines()
    at = lines.index("'web01'")
    assert lines[at + 1] == (
        "  !   libvirt starts it by itself (autostart): it then runs before its window, and is "
        "only watched, never put back."
    )
    assert lines[at + 2] == ("          virsh --connect 'qemu:///system' autostart --disable web01")
    assert lines[0] == "This host"
    assert lines[-1].endswith("then call this again.")


def test_the_objects_of_json_are_stable(world: CommandWorld) -> None:
    world.vm("web01", Power.OFF)
    found = said(world)
    assert {tuple(each) for each in found} == {("about", "check", "level", "sentence", "remedy")}
    assert {each["level"] for each in found} <= {level.value for level in Level}
    (channel,) = of(found, "channel")
    assert channel == {
        "about": "web01",
        "check": "channel",
        "level": "note",
        "sentence": "It has no channel for the Guest Update Service, which would tell whether the "
        "guest is busy, who uses it, and what needs a restart.",
        "remedy": "guestwake workspace channel add web01",
    }


def test_without_a_workspace_the_way_to_the_first_one_is_said(world: CommandWorld) -> None:
    (none,) = of(said(world), "workspaces")
    assert (none["level"], none["remedy"]) == ("note", "guestwake setup")


def test_one_workspace_alone(world: CommandWorld) -> None:
    world.vm("web01")
    world.vm("db")
    assert {each["about"] for each in of(said(world, "db"), "vm")} == {"db"}
    assert world.run("doctor", "wbe01") == Exit.NO_WORKSPACE
    assert "Did you mean 'web01'?" in world.err


def test_what_is_logged_afterwards_is_not_its_business(world: CommandWorld) -> None:
    level = logging.getLogger("guestwake").level
    world.run("doctor")
    assert logging.getLogger("guestwake").level == level


def test_names_from_outside_are_escaped(world: CommandWorld) -> None:
    world.vm("odd\x1b[31m")
    world.run("doctor")
    assert "\x1b" not in world.out


def test_nothing_is_changed_and_no_guest_is_asked(world: CommandWorld) -> None:
    world.vm("web01")
    before = world.machine.deeds.copy(), sorted(world.root.rglob("*"))
    world.run("doctor")
    assert (world.machine.deeds, sorted(world.root.rglob("*"))) == before


# what is seen of VMs


def test_a_vm_that_is_gone_is_found(world: CommandWorld) -> None:
    world.vm("web01")
    world.machine.deletes(world.machine.all()[0].vm)
    (vm,) = of(said(world), "vm")
    assert (vm["level"], vm["remedy"]) == ("problem", "guestwake workspace remove web01")


def test_what_the_hypervisor_tells_of_a_vm(world: CommandWorld) -> None:
    world.vm("web01")
    it = world.machine.all()[0]
    it.autostart, it.kept_by, it.why_not_saved = Autostart.ONCE, "Vagrant", "it may not"
    world.machine.spoils_image(it.vm)
    (seen,) = look(world).workspaces
    assert seen.vm is not None
    assert (seen.vm.autostarts, seen.vm.kept_by) == (Autostart.ONCE, "Vagrant")
    assert (seen.vm.why_not_saved, seen.vm.image_ok) == ("it may not", False)


def test_one_question_that_a_vm_refuses_is_that_vms(world: CommandWorld) -> None:
    world.vm("web01")
    world.vm("db")
    (web01,) = (it.vm for it in world.machine.all() if it.name == "web01")
    world.machine.fail("traits", NotAllowed("not this one"), vm=web01)
    found = {each.name: each.vm for each in look(world).workspaces}
    assert found["web01"] == VmSeen(Power.UNKNOWN, "web01", trouble="not this one")
    assert found["db"] is not None
    assert found["db"].trouble is None


@pytest.mark.parametrize(
    ("error", "reach"),
    [
        (Unreachable("cannot reach it: no such file"), Reach.NOT_THERE),
        (Unreachable("cannot reach it: authentication unavailable"), Reach.REFUSED),
        (NotAllowed("no"), Reach.REFUSED),
        (InUseByAnotherProcess("another process has it"), Reach.TAKEN),
    ],
)
def test_a_hypervisor_that_says_no(world: CommandWorld, error: Exception, reach: Reach) -> None:
    world.vm("web01")
    world.machine.fail("vms", error)  # type: ignore[arg-type]  # all of them are ours
    (seen,) = look(world).hypervisors
    assert seen.reach is reach
    assert look(world).workspaces[0].vm is None


def test_a_host_without_the_library_is_told_so(world: CommandWorld, tmp_path: Path) -> None:
    @contextmanager
    def opens(uri: str) -> Iterator[Hypervisor]:
        raise ImportError("No module named 'libvirt'")
        yield

    asked = Look("qemu:///system", (), tmp_path)
    asked.fill(opens)
    assert asked.answered(late=False).seen.reach is Reach.NO_LIBRARY


def test_a_hypervisor_that_hangs_is_itself_what_is_found(
    world: CommandWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.vm("web01")
    comes_back = threading.Event()

    def hangs(self: MemoryHypervisor) -> Any:
        comes_back.wait(60)
        return ()

    monkeypatch.setattr(MemoryHypervisor, "vms", hangs)
    waited: list[str] = []
    seen = look(world, patience=0.2, progress=waited.append)
    comes_back.set()
    assert [each.reach for each in seen.hypervisors] == [Reach.NO_ANSWER]
    assert "qemu:///system" in seen.late
    assert "qemu:///system" in waited
    wrong = {each.check for each in checkup(seen) if each.level is Level.PROBLEM}
    assert {"answers", "hypervisor"} <= wrong


# what is seen of the host


def test_a_damaged_journal_is_one_finding_among_the_others(world: CommandWorld) -> None:
    world.vm("web01")
    world.application.journal_path.write_bytes(b"no journal" * 100)
    found = said(world)
    assert [each["level"] for each in of(found, "journal")] == ["problem"]
    assert [each["level"] for each in of(found, "vm")] == ["ok"]
    assert of(found, "windows") == of(found, "guest") == []  # nobody can tell


def test_settings_that_hang_hold_up_nothing_else(
    world: CommandWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a home that lies on another machine."""
    world.vm("web01")
    comes_back = threading.Event()

    def hangs(self: Application, owner: str | None) -> Any:
        comes_back.wait(60)
        raise OSError("gone")

    monkeypatch.setattr(Application, "layers", hangs)
    seen: list[Seen] = []
    asks = threading.Thread(target=lambda: seen.append(look(world, patience=2.0)), daemon=True)
    asks.start()
    asks.join(20)
    assert not asks.is_alive(), "doctor hangs"
    comes_back.set()
    assert "the settings" in seen[0].late
    found = {each.check: each.level for each in checkup(seen[0])}
    assert (found["vm"], found["answers"]) == (Level.OK, Level.PROBLEM)
    assert {"settings", "windows", "guest", "disk"} & set(found) == set()


def test_a_workspace_file_that_cannot_be_read_is_named(world: CommandWorld) -> None:
    world.vm("web01")
    (world.application.paths.state / "workspaces/x.json").write_text("{")
    (found,) = of(said(world), "workspaces")
    assert found["level"] == "problem"
    assert "x.json" in found["sentence"]


def test_settings_that_are_wrong_are_told(world: CommandWorld) -> None:
    world.vm("web01")
    config = world.application.paths.config
    config.mkdir(parents=True)
    (config / "guestwake.toml").write_text("guest_update_duration = 9999\n[workspace.wbe]\n")
    found = of(said(world), "settings")
    assert [each["level"] for each in found][:1] == ["problem"]
    assert found[0]["remedy"] == "guestwake settings check"


def test_an_owner_whom_this_host_does_not_know(world: CommandWorld) -> None:
    world.vm("web01")
    application = world.application
    (workspace,) = application.workspaces.all()
    application.paths = replace(application.paths, root=None)
    application.workspaces.write(replace(workspace, owner="no-such-user-here"))
    seen = Doctor(application, scheduler=lambda: None).look()
    assert [each.owner_known for each in seen.workspaces] == [False]


def test_timers_are_held_against_what_is_wanted(world: CommandWorld) -> None:
    world.vm("web01")
    scheduler = MemoryScheduler()
    (seen,) = look(world, scheduler=lambda: scheduler).workspaces
    assert seen.timer is not None
    assert (seen.timer.is_wanted, seen.timer.is_there) == (True, False)
    (workspace,) = world.application.workspaces.all()
    scheduler.tampered[workspace.uuid] = (Drift.DISABLED,)
    scheduler.timers[workspace.uuid] = Timer(workspace.uuid, ())
    (seen,) = look(world, scheduler=lambda: scheduler).workspaces
    assert seen.timer is not None
    assert (seen.timer.is_there, seen.timer.drifts) == (True, (Drift.DISABLED,))
    scheduler.trouble = "it does not answer"
    (seen,) = look(world, scheduler=lambda: scheduler).workspaces
    assert seen.timer is not None
    assert seen.timer.trouble == "it does not answer"


def test_windows_that_passed_unseen_are_counted_as_missed(world: CommandWorld) -> None:
    world.vm("web01")
    world.clock.move(timedelta(days=12))
    (seen,) = look(world).workspaces
    assert seen.windows.passed in (11, 12)
    assert seen.windows.missed == seen.windows.passed
    assert seen.windows.for_lack_of == {}
    assert seen.is_stale
    world.run("skip", "web01")
    (after,) = look(world).workspaces
    assert after.windows.missed == seen.windows.missed  # that one is still to come


def test_windows_before_a_pause_ended_were_left_out_on_purpose(world: CommandWorld) -> None:
    world.vm("web01")
    (workspace,) = world.application.workspaces.all()
    with world.application.journal() as journal:
        journal.pause(workspace.uuid, world.clock.wall + timedelta(days=10))
    world.clock.move(timedelta(days=12))
    (seen,) = look(world).workspaces
    assert seen.windows.missed in (1, 2)


def test_what_kept_a_window_from_being_had_is_counted(world: CommandWorld) -> None:
    world.vm("web01")
    world.host.on_ac_power = False
    (window, *_) = world.json("plan", "web01")
    world.clock.wall = datetime.fromisoformat(window["opens"]) + timedelta(minutes=1)
    world.run("wake", "web01", "--scheduled")
    world.clock.move(timedelta(hours=1))
    (seen,) = look(world).workspaces
    assert seen.windows.for_lack_of == {"no-ac-power": 1}
    assert seen.windows.missed == 1


# the pieces


def test_the_name_on_the_bus_is_the_services() -> None:
    assert doctor.BUS_NAME == dbus_words.SERVICE


def test_the_guests_word_for_installing_at_shutdown_is_understood() -> None:
    assert health_workspace.INSTALLS_ON_SHUTDOWN == install_on_shutdown.SOURCE


def test_units_as_systemd_shows_them() -> None:
    text = (
        "Id=a.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n\n"
        "Id=b.service\nLoadState=not-found\nActiveState=inactive\nUnitFileState=\n"
    )
    assert unit_states(lambda *words: text, "a.service", "b.service") == {
        "a.service": UnitState(is_there=True, active="active", enabled="enabled"),
        "b.service": UnitState(is_there=False, active="inactive", enabled=""),
    }


def test_files_of_assignments(tmp_path: Path) -> None:
    text = "# ON_BOOT=ignore\nON_BOOT=\"start\"\nON_SHUTDOWN = 'shutdown' # so\nURIS=default\n"
    assert assigned(text) == {"ON_BOOT": "start", "ON_SHUTDOWN": "shutdown", "URIS": "default"}
    assert libvirt_guests(tmp_path) == {}
    (tmp_path / "etc/default").mkdir(parents=True)
    (tmp_path / "etc/default/libvirt-guests").write_text(text)
    assert libvirt_guests(tmp_path)["ON_SHUTDOWN"] == "shutdown"


@pytest.mark.parametrize(
    ("version", "conf", "saves", "restores"),
    [
        ((9, 0, 0), "", None, None),
        ((11, 2, 0), "", False, False),
        ((11, 2, 0), 'auto_shutdown_try_save = "all"\n', True, True),
        (
            *((12, 0, 0), 'auto_shutdown_try_save = "all"\nauto_shutdown_restore = 0\n'),
            *(True, False),
        ),
    ],
)
def test_what_libvirt_itself_does_at_the_hosts_shutdown(
    world: CommandWorld,
    tmp_path: Path,
    version: tuple[int, int, int],
    conf: str,
    saves: bool | None,
    restores: bool | None,
) -> None:
    (tmp_path / "etc/libvirt").mkdir(parents=True)
    (tmp_path / "etc/libvirt/qemu.conf").write_text(conf)
    world.machine.version = version
    asked = Look("qemu:///system", (), tmp_path)
    asked.fill(world.application.hypervisor)
    seen = asked.answered(late=False).seen
    assert (seen.saves_at_shutdown, seen.restores_at_start) == (saves, restores)
    assert seen.kvm is Kvm.MISSING


@pytest.mark.parametrize(
    ("uri", "kvm"),
    [("qemu:///system", Kvm.USABLE), ("qemu:///session", Kvm.FORBIDDEN)],
)
def test_the_hosts_vms_run_as_another_user_who_may_use_kvm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, kvm: Kvm
) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/kvm").touch()
    monkeypatch.setattr("os.access", lambda *_: False)
    assert Look(uri, (), tmp_path).answered(late=False).seen.kvm is kvm


def test_whoever_waits_is_told_for_what(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 1.0, 3.0, 3.5])
    monkeypatch.setattr("guestwake.edges.live.time.monotonic", lambda: next(moments))
    stream = io.StringIO()
    live = Live(stream)
    for _ in range(3):
        live.wait_for("qemu:///system")
    assert stream.getvalue() == "guestwake: waiting for qemu:///system\n"


@pytest.mark.parametrize("check", [*health.OF_HOST, *health.OF_HYPERVISOR, *health.OF_WORKSPACE])
def test_every_check_is_documented(check: str) -> None:
    page = Path(__file__).resolve().parents[2] / "docs/doctor.md"
    assert f"`{check}`" in page.read_text(encoding="utf-8")


def test_without_time_zone_data_that_is_what_is_said(
    world: CommandWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.vm("web01")
    monkeypatch.setattr(doctor, "_has_zones", lambda: False)
    (zone,) = of(said(world), "time-zone")
    assert (zone["level"], zone["remedy"]) == ("problem", "apt install tzdata")
