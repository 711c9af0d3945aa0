"""The service's files into a folder that stands for the host, or for a home, and out again."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fake_systemctl import FakeSystemctl

from guestwake.policy.words import Timer
from guestwake.schedulers.api import Done, SchedulerError
from guestwake.schedulers.systemd import Manager
from guestwake.schedulers.systemd_deeds import Deeds
from guestwake.schedulers.systemd_install import Commands, Installation, packaged

COMMANDS = Commands(
    "/opt/gw/bin/guestwake", "/opt/gw/bin/guestwake-timers", "/opt/gw/bin/guestwake-settings"
)
UUID = "6a1f3c52-9d1e-4a53-8a55-0c7f2a9b1d10"
SYSTEM = "usr/lib/systemd/system"


@dataclass
class Scene:
    root: Path
    manager: Manager
    systemctl: FakeSystemctl = field(default_factory=FakeSystemctl)
    ran: list[Sequence[str]] = field(default_factory=list)
    refused: tuple[str, ...] = ()

    def run(self, words: Sequence[str]) -> bool:
        self.ran.append(words)
        return words[0] not in self.refused

    @property
    def installation(self) -> Installation:
        return Installation(
            self.manager,
            root=self.root,
            environ={"USER": "anna"},
            home=self.root / "home/anna",
            commands=COMMANDS,
            call=self.systemctl,
            run=self.run,
            has_alarm=lambda: True,
        )

    def install(self, *, linger: bool = False) -> Done:
        return self.installation.install(linger=linger)

    def files(self) -> list[str]:
        found = (path for path in self.root.rglob("*") if not path.is_dir())
        return sorted(str(path.relative_to(self.root)) for path in found)


@pytest.fixture
def host(tmp_path: Path) -> Scene:
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    return Scene(tmp_path, Manager.of_system(tmp_path))


@pytest.fixture
def user(tmp_path: Path) -> Scene:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path / "run/user/1")}
    (tmp_path / "run/user/1/systemd").mkdir(parents=True)
    (tmp_path / "run/user/1/systemd/private").touch()
    return Scene(tmp_path, Manager.of_user(environ, tmp_path / "home/anna", tmp_path))


def test_a_host_gets_all_files_of_the_package_and_the_command_that_is_there(host: Scene) -> None:
    told = host.install()
    assert {name for name, _ in packaged()} <= set(host.files())
    for name, line in {
        f"{SYSTEM}/guestwake.service": "ExecStart=/opt/gw/bin/guestwake serve",
        f"{SYSTEM}/guestwake-wake@.service": "ExecStart=/opt/gw/bin/guestwake wake --scheduled %i",
        f"{SYSTEM}/guestwake-timers@.service": "ExecStart=/opt/gw/bin/guestwake-timers",
        f"{SYSTEM}/guestwake-settings@.service": "ExecStart=/opt/gw/bin/guestwake-settings",
    }.items():
        assert f"\n{line}\n" in (host.root / name).read_text()
    sockets = ("guestwake-timers.socket", "guestwake-settings.socket")
    assert ("enable", "guestwake.service", *sockets) in host.systemctl.calls
    assert ("restart", "guestwake.service") in host.systemctl.calls
    assert ["systemd-sysusers"] in host.ran
    assert any("workspace add" in line for line in told.next)


def test_nothing_is_left_that_names_a_place_where_nothing_is(host: Scene) -> None:
    host.install()
    left = [name for name in host.files() if "/usr/bin/guestwake" in (host.root / name).read_text()]
    assert left == []


def test_a_second_time_changes_nothing(host: Scene) -> None:
    host.install()
    before = host.files()
    host.systemctl.calls.clear()
    told = host.install()
    assert host.files() == before
    assert not [line for line in told.done if line.startswith("wrote")]
    assert ("start", "guestwake.service") in host.systemctl.calls


def test_what_a_package_has_brought_is_only_enabled(host: Scene) -> None:
    unit = host.root / SYSTEM / "guestwake.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("of a package\n")
    told = host.install()
    assert unit.read_text() == "of a package\n"
    assert f"{unit} was there already and is left as it is." in told.next
    assert "what a package has brought stays" in host.installation.remove().done[-1]
    assert host.files() == [f"{SYSTEM}/guestwake.service"]


def test_removing_is_the_undo(host: Scene) -> None:
    host.install()
    timer = Timer(UUID, (datetime(2026, 11, 26, tzinfo=UTC),))
    Deeds(host.manager.folders, host.systemctl).write(timer)
    host.systemctl.calls.clear()
    told = host.installation.remove()
    assert host.files() == []
    assert f"removed the timer of {UUID}" in told.done
    stops = [call for call in host.systemctl.calls if call[0] == "stop"]
    assert stops[0] == ("stop", "guestwake.service")  # or it would restore the timers
    assert ("stop", "guestwake-wake@*.service") in stops
    assert "stay" in told.next[0]
    assert host.installation.remove().done == ["nothing to do: no service was installed from here"]


def test_without_systemd_the_service_waits_for_a_boot(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Manager.of_system(tmp_path))
    told = scene.install()
    assert "next boot" in told.next[0]
    assert [call[0] for call in scene.systemctl.calls if call[0] != "--global"] == ["enable"]


def test_a_tool_that_fails_is_named(host: Scene) -> None:
    host.refused = ("systemd-sysusers",)
    with pytest.raises(SchedulerError, match="systemd-sysusers"):
        host.install()


# a user's own


def test_a_user_gets_the_users_units_alone(user: Scene) -> None:
    told = user.install()
    config, data = "home/anna/.config/systemd/user", "home/anna/.local/share"
    own = [name for name in user.files() if name.startswith("home")]
    assert f"{config}/guestwake.service" in own
    assert f"{config}/guestwake-wake@.service" in own
    assert f"{data}/dbus-1/services/org.guestwake.Manager1.service" in own
    assert own == [name for name in user.files() if not name.startswith("run/")]
    assert (
        "ExecStart=/opt/gw/bin/guestwake serve"
        in (user.root / config / "guestwake.service").read_text()
    )
    assert "only while you are logged on" in told.next[1]
    assert user.ran == []


def test_lingering_is_turned_on_only_by_consent_and_off_again(user: Scene) -> None:
    user.install(linger=True)
    assert user.ran == [["loginctl", "enable-linger"]]
    user.installation.remove()
    assert user.ran[1:] == [["loginctl", "disable-linger"]]


def test_lingering_that_was_there_is_not_ours_to_turn_off(user: Scene) -> None:
    (user.root / "var/lib/systemd/linger").mkdir(parents=True)
    (user.root / "var/lib/systemd/linger/anna").touch()
    user.install(linger=True)
    user.installation.remove()
    assert user.ran == []


def test_lingering_that_is_refused_is_said(user: Scene) -> None:
    user.refused = ("loginctl",)
    with pytest.raises(SchedulerError, match="loginctl enable-linger anna"):
        user.install(linger=True)


def test_an_old_systemd_is_no_reason_not_to_but_said(user: Scene) -> None:
    assert "254" in user.install().next[-1]
    user.systemctl.version = "systemd 254 (254)"
    assert not any("254" in line for line in user.install().next)


def test_what_the_host_has_for_all_users_is_not_written_again(user: Scene) -> None:
    units = user.root / "usr/lib/systemd/user"
    units.mkdir(parents=True)
    for name, text in packaged():
        if name.startswith("usr/lib/systemd/user/"):
            (user.root / name).write_text(COMMANDS.written_into(text))
    user.install()
    assert not (user.root / "home/anna/.config/systemd/user/guestwake.service").exists()


def test_without_a_manager_a_user_is_told_to_log_on(user: Scene) -> None:
    (user.root / "run/user/1/systemd/private").unlink()
    with pytest.raises(SchedulerError, match="log on"):
        user.install()


# the command that is there


@pytest.mark.parametrize(
    "bad", ["/opt/my tools/guestwake", "/opt/100%/guestwake", '/opt/"/guestwake']
)
def test_a_command_that_no_unit_can_name_is_refused(bad: str) -> None:
    with pytest.raises(SchedulerError, match="rename"):
        Commands(bad, COMMANDS.timers, COMMANDS.settings).check(for_all=False)


def test_what_others_could_change_is_not_run_as_root(tmp_path: Path) -> None:
    command = tmp_path / "guestwake"
    command.touch()
    command.chmod(0o777)
    with pytest.raises(SchedulerError, match="changed by others"):
        Commands(str(command), str(command), str(command)).check(for_all=True)


def test_a_module_is_called_where_there_is_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/opt/py/bin/python3")
    monkeypatch.setattr("sys.argv", ["/somewhere/pytest"])
    found = Commands.here()
    assert found.guestwake == "/opt/py/bin/python3 -m guestwake.edges.cli"
    assert found.timers == "/opt/py/bin/python3 -m guestwake.schedulers.timers_helper"
    found.check(for_all=False)


# what systemd says to the files


UNITS = {
    "system": ("guestwake.service", "guestwake-wake@.service", "guestwake-timers@.service"),
    "user": ("guestwake.service", "guestwake-wake@.service", "guestwake-libvirt.service"),
}


@pytest.mark.parametrize("kind", UNITS)
def test_systemd_finds_nothing_wrong_with_the_units(kind: str, tmp_path: Path) -> None:
    done = analyze(
        tmp_path, kind, lambda text: text.replace("/usr/bin/guestwake-timers", "/bin/true")
    )
    ours = [line for line in done.stderr.splitlines() if "guestwake" in line]
    assert ours == []


@pytest.mark.parametrize(
    ("unit", "at_most"),
    [("guestwake.service", 30), ("guestwake-wake@.service", 30), ("guestwake-timers@.service", 15)],
)
def test_the_units_expose_little(unit: str, at_most: int, tmp_path: Path) -> None:
    tool = systemd_analyze()
    (tmp_path / unit).write_text(dict(packaged())[f"{SYSTEM}/{unit}"])
    done = subprocess.run(
        [
            tool,
            "security",
            "--no-pager",
            "--offline=yes",
            f"--threshold={at_most}",
            tmp_path / unit,
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout.splitlines()[-1:]


def analyze(
    folder: Path, kind: str, change: Callable[[str], str]
) -> subprocess.CompletedProcess[str]:
    tool = systemd_analyze()
    for name, text in packaged():
        if name.startswith(f"usr/lib/systemd/{kind}/"):
            text = change(text).replace("/usr/bin/guestwake", "/bin/true")
            (folder / Path(name).name).write_text(text)
    return subprocess.run(
        [tool, f"--{kind}", "--man=no", "verify", *(folder / unit for unit in UNITS[kind])],
        capture_output=True,
        text=True,
        timeout=60,
        env={"XDG_RUNTIME_DIR": str(folder), "HOME": str(folder), "LC_ALL": "C"},
    )


def systemd_analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("no systemd-analyze here (Debian's package systemd)")
    return found
