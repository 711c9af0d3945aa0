"""Puts the service and its units into this host, or into a user's own systemd, and takes them out.

What it has written stands in a list, and only that is removed: files of a distribution's package,
or changed by somebody, are left as they are. Doing it twice does it once. Settings and state always
stay.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import guestwake
from guestwake.schedulers.api import Done, SchedulerError
from guestwake.schedulers.systemd import Manager, SystemdScheduler
from guestwake.schedulers.systemd_deeds import Systemctl, systemctl
from guestwake.schedulers.systemd_text import TEMPLATE

SERVICE = "guestwake.service"
SOCKETS = ("guestwake-timers.socket", "guestwake-settings.socket")
AGENT = "guestwake-agent.service"

_LIST = "installed-files"
_USER_UNITS = "usr/lib/systemd/user/"
_USER_BUS = "usr/share/dbus-1/services/"
_COMMAND = re.compile(r"(?<==)/usr/bin/(guestwake(?:-timers|-settings)?)(?=\s)")
_PLAIN = re.compile(r"[\w@+./-]+(?: -m [\w.]+)?")
_HOMES = ("/home", "/root", "/run/user")  # of which the units see nothing, or not all
_PATIENCE = 20 * 60.0  # seconds: runs that are stopped put back first
_LINGER = "linger"

# Any command but systemctl: whether it went well.
Run = Callable[[Sequence[str]], bool]


@dataclass(frozen=True, slots=True)
class Commands:
    """How the programs are called on this machine."""

    guestwake: str
    timers: str
    settings: str

    @classmethod
    def here(cls) -> Commands:
        called = Path(os.path.abspath(shutil.which(sys.argv[0]) or sys.argv[0]))
        beside = Path(sys.executable).parent / "guestwake"
        for command in (called, beside):
            if command.name == "guestwake" and os.access(command, os.X_OK):
                helpers = [command.with_name(f"guestwake-{one}") for one in ("timers", "settings")]
                if all(helper.exists() for helper in helpers):
                    return cls(str(command), *map(str, helpers))
        module = f"{sys.executable} -m guestwake"
        return cls(
            f"{module}.edges.cli",
            f"{module}.schedulers.timers_helper",
            f"{module}.settings.settings_helper",
        )

    def written_into(self, text: str) -> str:
        """`text` names the programs as a package would install them."""
        found = {
            "guestwake": self.guestwake,
            "guestwake-timers": self.timers,
            "guestwake-settings": self.settings,
        }
        return _COMMAND.sub(lambda match: found[match[1]], text)

    def check(self, *, for_all: bool) -> None:
        """`for_all`: other users run them, root among them. Raises SchedulerError."""
        for command in (self.guestwake, self.timers, self.settings):
            if not _PLAIN.fullmatch(command):
                raise SchedulerError(
                    f"'{command}' cannot be written into a unit: rename its folder"
                )
        if for_all:
            package = Path(guestwake.__file__).resolve().parent
            for path in (
                *(Path(each.split()[0]) for each in (self.guestwake, self.timers, self.settings)),
                package,
            ):
                _check_is_roots(path)


def _check_is_roots(path: Path) -> None:
    """What the service's helper runs as root nobody else may change."""
    at = path.resolve()
    if any(at.is_relative_to(home) for home in _HOMES):
        raise SchedulerError(
            f"'{at}' lies in somebody's home: install Guestwake for the whole host, such as with "
            "'python3 -m venv /opt/guestwake'"
        )
    found = at.stat()
    if found.st_uid != 0 or found.st_mode & stat.S_IWOTH:
        raise SchedulerError(
            f"'{at}' can be changed by others than root, and the service would run it: install "
            "Guestwake as root"
        )


class Installation:
    """Raises SchedulerError, OSError. All but the manager is given by tests alone."""

    def __init__(
        self,
        manager: Manager,
        *,
        root: Path = Path("/"),
        environ: Mapping[str, str] = os.environ,
        home: Path | None = None,
        commands: Commands | None = None,
        call: Systemctl | None = None,
        run: Run | None = None,
        has_alarm: Callable[[], bool] | None = None,
    ) -> None:
        self._manager = manager
        self._is_of_user = manager.is_of_user
        self._root = root
        self._data = Path(environ.get("XDG_DATA_HOME") or (home or Path.home()) / ".local/share")
        self._user = environ.get("USER", "")
        self._commands = commands or Commands.here()
        self._checks = commands is None
        self._systemctl = call or systemctl(*manager.options, patience=_PATIENCE)
        self._run = run or _run
        self._scheduler = SystemdScheduler(manager, call=call, has_alarm=has_alarm)

    # what there is to be called

    def install(self, *, linger: bool = False) -> Done:
        """`linger`: a user's own systemd is to run also while the user is logged off."""
        if self._checks:
            self._commands.check(for_all=not self._is_of_user)
        if self._is_of_user and not self._runs():
            raise SchedulerError(
                "no systemd runs for this user: log on, so that it does, and call again"
            )
        told = Done()
        changed = self._put_all(told)
        if self._is_of_user:
            self._start_users(told, changed=changed)
            self._linger(told, wanted=linger)
        else:
            self._start_hosts(told, changed=changed)
        if (why := self._scheduler.why_no_wake()) is not None:
            told.next.append(f"WakeHost has no effect: {why}.")
        return told

    def remove(self) -> Done:
        """The runs that are under way are told to put back first, and waited for."""
        told = Done()
        if self._runs():
            self._stop_all(told)
        units = [SERVICE] if self._is_of_user else [SERVICE, *SOCKETS]
        self._systemctl("disable", *units, fails=False)
        self._disable_agent()
        listed = self._listed()
        told.done += [f"removed {path}" for path in listed if self._removed(path)]
        if _LINGER in listed and self._run(["loginctl", "disable-linger"]):
            told.done.append("lingering is off again")
        self._list.unlink(missing_ok=True)
        with suppress(OSError):
            self._list.parent.rmdir()
        self._tell_all()
        if any((folder / SERVICE).exists() for folder in self._manager.templates):
            told.done.append(f"{SERVICE} is stopped and disabled; what a package has brought stays")
        elif not told.done:
            told.done.append("nothing to do: no service was installed from here")
        told.next.append(self._what_stays())
        return told

    # files

    def _put_all(self, told: Done) -> bool:
        changed = False
        listed = self._listed()
        for source, target in self._files():
            text = self._commands.written_into(source)
            there = _content(target)
            if there == text:
                continue
            if there is not None and str(target) not in listed:
                told.next.append(f"{target} was there already and is left as it is.")
                continue
            _write(target, text)
            if str(target) not in listed:
                listed.append(str(target))
            told.done.append(f"wrote {target}")
            changed = True
        self._keep(listed)
        return changed

    def _files(self) -> Iterator[tuple[str, Path]]:
        for name, text in packaged():
            target = self._target(name)
            if target is None:
                continue
            if self._is_of_user and _content(self._root / name) == self._commands.written_into(
                text
            ):
                continue  # the host has it for all users
            yield text, target

    def _target(self, name: str) -> Path | None:
        """Where a file of the package goes. None: it is nothing for a user."""
        if not self._is_of_user:
            return self._root / name
        if name.startswith(_USER_UNITS):
            return self._manager.folders.home / name.removeprefix(_USER_UNITS)
        if name.startswith(_USER_BUS):
            return self._data / "dbus-1/services" / name.removeprefix(_USER_BUS)
        return None

    @property
    def _list(self) -> Path:
        data = self._data if self._is_of_user else self._root / "usr/share"
        return data / "guestwake" / _LIST

    def _listed(self) -> list[str]:
        return (_content(self._list) or "").splitlines()

    def _keep(self, listed: Sequence[str]) -> None:
        if listed:
            _write(self._list, "".join(f"{each}\n" for each in listed))

    def _removed(self, path: str) -> bool:
        try:
            os.unlink(path)
        except (FileNotFoundError, IsADirectoryError):
            return False
        return True

    # systemd

    def _runs(self) -> bool:
        return self._manager.sign_of_life.exists()

    def _start_hosts(self, told: Done, *, changed: bool) -> None:
        for tool in (["systemd-sysusers"], ["systemd-tmpfiles", "--create", "guestwake.conf"]):
            if not self._run(tool):
                raise SchedulerError(f"'{' '.join(tool)}' failed; what it said is above")
        self._systemctl("enable", SERVICE, *SOCKETS)
        self._systemctl("--global", "enable", AGENT, fails=False)
        if not self._runs():
            told.next.append("No systemd runs here: the service starts with the next boot.")
            return
        self._tell_all()
        self._systemctl("restart" if changed else "start", *SOCKETS)
        self._systemctl("restart" if changed else "start", SERVICE)
        told.done.append(f"{SERVICE} and {' and '.join(SOCKETS)} are enabled and run")
        told.next.append(
            "'guestwake workspace add NAME' has it look after a VM; 'systemctl status guestwake' "
            "and 'guestwake status' tell how it goes."
        )

    def _start_users(self, told: Done, *, changed: bool) -> None:
        self._systemctl("daemon-reload")
        self._systemctl("enable", SERVICE, AGENT)
        self._systemctl("restart" if changed else "start", SERVICE)
        told.done.append(f"{SERVICE} is enabled and runs")
        told.next.append(
            "'guestwake workspace add NAME' has it look after a VM of qemu:///session; "
            "'systemctl --user status guestwake' and 'guestwake status' tell how it goes."
        )

    def _linger(self, told: Done, *, wanted: bool) -> None:
        listed = self._listed()
        if self._lingers():
            return
        if not wanted:
            told.next.append(
                "It works only while you are logged on. 'guestwake service install --linger' has "
                "your systemd run always, and your VMs woken while you are away."
            )
        elif self._run(["loginctl", "enable-linger"]):
            self._keep([*listed, _LINGER])
            told.done.append("lingering is on: your systemd runs also while you are logged off")
        else:
            raise SchedulerError(
                "lingering was refused: root may allow it, with 'loginctl enable-linger "
                f"{self._user}'. All else was done"
            )

    def _lingers(self) -> bool:
        return (self._root / "var/lib/systemd/linger" / self._user).exists() and self._user != ""

    def _stop_all(self, told: Done) -> None:
        """The service first, or it would restore what is taken away now."""
        self._systemctl("stop", SERVICE, fails=False)
        told.done += [f"removed the timer of {uuid}" for uuid in self._without_timers()]
        self._systemctl("stop", f"{TEMPLATE}*.service", fails=False)
        self._without_timers()  # a run that had just begun has written its own again
        if not self._is_of_user:
            self._systemctl("stop", *SOCKETS, fails=False)

    def _without_timers(self) -> list[str]:
        """Those that there were."""
        there = sorted(self._scheduler.workspaces())
        for uuid in there:
            self._scheduler.remove(uuid)
        return there

    def _disable_agent(self) -> None:
        if self._is_of_user:
            self._systemctl("disable", "--now", AGENT, fails=False)
        else:
            self._systemctl("--global", "disable", AGENT, fails=False)

    def _tell_all(self) -> None:
        """systemd, and the bus of what may be on it."""
        if not self._runs():
            return
        self._systemctl("daemon-reload")
        if not self._is_of_user:
            bus = "org.freedesktop.DBus"
            self._run(
                ["busctl", "--quiet", "call", bus, "/org/freedesktop/DBus", bus, "ReloadConfig"]
            )

    def _what_stays(self) -> str:
        if self._is_of_user:
            return "Your settings, workspaces and their history stay: see docs/files.md."
        return (
            "The settings in /etc/guestwake, the workspaces and their history in "
            "/var/lib/guestwake, and the user guestwake stay."
        )


def packaged() -> Iterator[tuple[str, str]]:
    """Each file that a package of the host brings: where, below /, and its text."""
    top = files("guestwake") / "host_files"
    waiting = [("", top)]
    while waiting:
        name, place = waiting.pop()
        if place.is_dir():
            waiting += [(f"{name}/{each.name}", each) for each in place.iterdir()]
        else:
            yield name.lstrip("/"), place.read_text(encoding="utf-8")


def _content(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return None


def _write(path: Path, text: str) -> None:
    """Whole or not at all, for all to read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)


def _run(words: Sequence[str]) -> bool:
    try:
        return subprocess.run(words, stdin=subprocess.DEVNULL, check=False).returncode == 0
    except FileNotFoundError:
        return False
