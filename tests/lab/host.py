"""A whole host: Debian with systemd, logind, polkit and libvirt, booted as root by systemd-nspawn.

    with booted_host() as host:
        host.install_product()
        guest = host.hibernated_guest("web01")
        host.run("guestwake", "workspace", "add", "web01", "--system")
        session = host.logon("anna", "graphical")
        host.sleep_and_resume()
        host.reboot()

It boots in half a second from a throw-away layer over the cached image, in namespaces and cgroups
of its own; nothing is registered on the machine outside. Its root folder and all mounts are seen
inside alone and go with it; it dies with the process that started it.

    PYTHONPATH=tests .venv/bin/python -m lab.host      a shell in one, with the product

What is not real: the sleep of a suspend (`systemd-suspend.service` is a double, everything that
logind does is real), the clock, which is the machine's, displays, and the network's other end.
"""

from __future__ import annotations

import inspect
import os
import pwd
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import cgroups
from lab.guests import Guest, Place
from lab.host_image import host_image
from lab.image import PROJECT, Image, image
from lab.libvirtd import PARENT, PREFIX, hold, sweep
from lab.steps import StepFailed

HOST_PREFIX = f"{PREFIX}host-"
DEADLINE = 60.0  # seconds, for whatever takes seconds on a quiet machine
REBOOT = 133  # systemd-nspawn's exit code where the container asked for it

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": pwd.getpwuid(0).pw_dir,
    "LANG": "C.UTF-8",
}

# Where in the host things of outside lie.
SOURCES = Path("/usr/lib/guestwake")
GUEST_IMAGE = Path("/srv/guestwake-lab")
GUESTS = Path("/var/lib/libvirt/images")
SAVES = Path("/var/lib/libvirt/qemu/save")
# What libvirt found out about QEMU, a second's work: the next host may know it.
PROBED = Path("/var/cache/libvirt/qemu/capabilities")

PACKAGING = PROJECT / "packaging" / "host"
ENTRY_POINT = """\
#!/usr/bin/python3
import sys
from {module} import {function}
sys.exit({function}())
"""

ASLEEP = "/run/guestwake-lab-asleep"

# In mount and process namespaces of its own: $1 the host's folder, $2 its image, $3 the sources,
# $4 the guests' image, then the files of cgroups to enter.
BOOT = f"""
cd "$1"
root=$2 sources=$3 guest_image=$4
shift 4
for file; do echo $$ >"$file"; done
mount --bind "$root" lower
rm -rf work/*/incompat  # of a volatile overlay that was not unmounted
mount -t overlay -o volatile,lowerdir=lower,upperdir=upper,workdir=work host root
mkdir -p root{SOURCES} root{GUEST_IMAGE} root{SAVES} root{PROBED}
show() {{
    mount --bind "$1" "root$2"
    [ -z "$3" ] || mount -o remount,bind,ro "root$2"
}}
show "$sources" {SOURCES} read-only
show "$guest_image" {GUEST_IMAGE} read-only
show guests {GUESTS} ""
show saves {SAVES} ""
show probed {PROBED} ""
mount -t tmpfs run /run  # where it would leave files of its own
exec systemd-nspawn --quiet --directory=root --boot --machine=host --register=no --keep-unit \\
    --private-network --capability=CAP_WAKE_ALARM --link-journal=no --resolv-conf=off \\
    --timezone=off --console=pipe --bind="$PWD/power:/sys/power"
"""

# Where the first process of a namespace dies, the kernel ends all others in it. A container
# without one outlives systemd-nspawn.
DIES_WITH_US = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--kill-child", "--fork", "--pid", "--mount", "--mount-proc"),
)

MOUNTS_WORK = """
mount -t tmpfs lab /mnt && cd /mnt && mkdir lower upper work root
mount -t overlay -o volatile,lowerdir=lower,upperdir=upper,workdir=work lab root
"""


class HostError(Exception):
    """What a command in the host said, or why there is no host."""


def why_no_host() -> str | None:
    """None: this machine can boot one."""
    if os.geteuid() != 0:
        return "only root can boot a host"
    for tool in ("systemd-nspawn", "nsenter", "unshare", "setpriv", "mmdebstrap"):
        if not shutil.which(tool):
            return f"no {tool} here: tools/bootstrap --lab installs it"
    tried = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", MOUNTS_WORK],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"no overlays here: {tried.stderr.strip()}" if tried.returncode else None


@contextmanager
def booted_host() -> Iterator[Host]:
    """Raises HostError where this machine cannot. At its end all is gone."""
    reason = why_no_host()
    if reason:
        raise HostError(reason)
    sweep()
    cgroups.sweep(HOST_PREFIX, lambda name: not (PARENT / name).exists())
    root, guest_image = host_image(), image()
    folder = Path(tempfile.mkdtemp(prefix=HOST_PREFIX, dir=PARENT))
    owner = hold(folder)
    host = Host(folder, root, guest_image)
    try:
        host.start()
        yield host
    finally:
        host.remove()
        if owner:
            owner.close()


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is logged on: `id` as logind calls it."""

    host: Host
    id: str
    user: str
    unit: str  # what holds it open

    def run(self, *command: str, check: bool = True, timeout: float = DEADLINE) -> str:
        """As the user, in the session: polkit and logind take the command for a part of it."""
        return self.host.run(
            *command, user=self.user, session=self.id, check=check, timeout=timeout
        )

    def logoff(self) -> None:
        self.host.run("systemctl", "stop", self.unit)
        self.host.wait_until(lambda: self.id not in self.host.sessions())


class Host:
    """Use `booted_host()`. Commands are words, never parsed by a shell; times are in seconds."""

    def __init__(self, folder: Path, root: Path, guest_image: Image) -> None:
        self.folder = folder
        self.guests = GuestsOfHost(self, guest_image)
        self._root = root
        self._container: subprocess.Popen[bytes] | None = None
        self._leader = 0
        self._logons = 0
        self._new_disk()

    # --- on and off

    def start(self) -> None:
        """Returns when all of it is up. Raises HostError."""
        entered = cgroups.create(self.folder.name)
        words = [self.folder, self._root, PROJECT / "src", self.guests.image.folder, *entered]
        with self.console.open("ab") as console:
            self._container = subprocess.Popen(
                [*DIES_WITH_US, "sh", "-ec", BOOT, "boot", *map(str, words)],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,  # a Ctrl-C at the tests is not for it
            )
        self._leader = self._wait_for_leader()
        self.wait_until(lambda: self.state() in ("running", "degraded"))
        self.plug_in()

    @property
    def is_on(self) -> bool:
        return self._container is not None and self._container.poll() is None

    def state(self) -> str:
        """systemd's word: `running` or `degraded` once it is up; empty before it can tell."""
        return self.run("systemctl", "is-system-running", check=False).strip()

    def power_off(self, deadline: float = DEADLINE) -> None:
        """As a person does; `start` turns it on again with the same disk."""
        self.run("systemctl", "poweroff", check=False)
        self._wait_for_end(0, deadline)

    def reboot(self, deadline: float = DEADLINE) -> None:
        """Down in all order, and up again."""
        self.run("systemctl", "reboot", check=False)
        self._wait_for_end(REBOOT, deadline)
        self.start()

    def crash(self) -> None:
        """The power fails. Everything in it ends at once; the disk stays."""
        if self._container is not None:
            self._container.kill()
            self._container.wait()
            self._container = None
        cgroups.remove(self.folder.name)

    def renew(self) -> None:
        """The power fails, and a new host with an empty disk boots."""
        self.crash()
        self._new_disk()
        self.start()

    def remove(self) -> None:
        self.crash()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def console(self) -> Path:
        return self.folder / "console"

    # --- asking and telling

    def run(
        self,
        *command: str,
        user: str | None = None,
        session: str | None = None,
        given: str | None = None,
        check: bool = True,
        timeout: float = DEADLINE,
    ) -> str:
        """Its stdout. Raises HostError with what it said if it fails, unless not to `check`.
        `given`: its stdin."""
        done = self.finish(*command, user=user, session=session, given=given, timeout=timeout)
        if check and done.returncode:
            said = f"{done.stdout}{done.stderr}".strip()
            raise HostError(f"{shlex.join(command)}: ended with {done.returncode}: {said}")
        return done.stdout

    def finish(
        self,
        *command: str,
        user: str | None = None,
        session: str | None = None,
        given: str | None = None,
        timeout: float = DEADLINE,
    ) -> subprocess.CompletedProcess[str]:
        """Where the exit code or stderr is asked for."""
        return subprocess.run(
            self.entering(*command, user=user, session=session),
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def begin(
        self, *command: str, user: str | None = None, session: str | None = None
    ) -> subprocess.Popen[str]:
        """A command that runs on, both streams on its `stdout`. It is in none of the host's
        cgroups: what shall sleep and be stopped with the host is started by systemd-run."""
        return subprocess.Popen(
            self.entering(*command, user=user, session=session),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def entering(
        self, *command: str, user: str | None = None, session: str | None = None
    ) -> list[str]:
        """The command for outside that runs this one inside."""
        words = list(command)
        if user is not None:
            words = ["runuser", "-u", user, "--", "env", *self._environment(user), *words]
        if session is not None:
            words = ["sh", "-ec", INTO_SESSION, "session", f"session-{session}.scope", *words]
        variables = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
        return [*self.prefix, "env", "-i", *variables, *words]

    @property
    def prefix(self) -> list[str]:
        namespaces = ["-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"]
        return ["nsenter", "-t", str(self._leader), *namespaces, "--"]

    def python(self, code: str, *arguments: str, user: str | None = None) -> str:
        """What Debian's Python prints over it, with the product to import."""
        return self.run("python3", "-c", code, *arguments, user=user)

    def put(
        self, path: str | Path, text: str, *, mode: int = 0o644, owner: str | None = None
    ) -> None:
        """Makes the folders too, which belong to root."""
        words = ["put", str(path), f"{mode:o}", owner or "root"]
        self.run("sh", "-ec", PUT, *words, given=text)

    def read(self, path: str | Path) -> str:
        return self.run("cat", str(path))

    def exists(self, path: str | Path) -> bool:
        return self.finish("test", "-e", str(path)).returncode == 0

    def journal(self, unit: str | None = None) -> str:
        """Since its boot; of a unit of the system, or all."""
        words = ["journalctl", "--boot", "--no-pager", "--output=short-precise"]
        return self.run(*words, *([f"--unit={unit}"] if unit else []))

    def wait_until(self, true: Callable[[], Any], seconds: float = DEADLINE) -> None:
        """Asks again until it is so. Raises TimeoutError with the end of the journal."""
        deadline = time.monotonic() + seconds
        while not true():
            if time.monotonic() > deadline:
                what = inspect.getsource(true).strip()
                raise TimeoutError(f"not so after {seconds} s: {what}\n{self._last_words()}")
            time.sleep(0.05)

    # --- people

    def logon(self, user: str, kind: str = "graphical") -> Session:
        """`graphical` at the seat, `text` at a console, or `ssh`. `anna` and `bert` are users."""
        self._logons += 1
        unit = f"guestwake-lab-session-{self._logons}.service"
        told = f"/run/guestwake-lab-session-{self._logons}"
        program = "/usr/local/lib/guestwake-lab/session"
        self.run("systemd-run", "-q", f"--unit={unit}", program, user, kind, told)
        self.wait_until(lambda: self.exists(told))
        name = self.read(told)
        if not name:
            raise HostError(f"logind knows no such session:\n{self.journal(unit)}")
        return Session(self, name, user, unit)

    def logoff(self, session: Session) -> None:
        session.logoff()

    def sessions(self) -> list[str]:
        lines = self.run("loginctl", "list-sessions", "--no-legend").splitlines()
        return [line.split()[0] for line in lines]

    # --- sleep, power and network

    def suspend(self) -> None:
        """By logind, which asks and tells all who want to know. Returns when it sleeps."""
        self.run("busctl", "call", *LOGIND, "Suspend", "b", "false")
        self.wait_until(self.is_asleep)

    def is_asleep(self) -> bool:
        return self.exists(ASLEEP)

    def resume(self, after: float = 0.0, *, by_alarm: bool = False) -> None:
        """It sleeps on for `after` seconds, in which nothing in it runs, and resumes; `by_alarm`:
        the kernel says that its clock woke it, else nothing about what did."""
        self._tell_what_woke_it(by_alarm=by_alarm)
        if after:
            with cgroups.frozen(self.folder.name):
                time.sleep(after)
        self.run("rm", ASLEEP)
        self.wait_until(lambda: "false" in self._is_preparing_for_sleep())

    def sleep_and_resume(self, seconds: float = 1.0, *, by_alarm: bool = False) -> None:
        self.suspend()
        self.resume(after=seconds, by_alarm=by_alarm)

    def plug_in(self) -> None:
        """On AC power, with a battery that is full, as at each start."""
        self._supply(online="1", status="Full")

    def unplug(self) -> None:
        self._supply(online="0", status="Discharging")

    def lose_network(self) -> None:
        self.run("/usr/local/lib/guestwake-lab/network", "down")

    def find_network(self) -> None:
        self.run("/usr/local/lib/guestwake-lab/network", "up")

    # --- the product

    def install_product(self, packaging: Path = PACKAGING) -> None:
        """A command for each entry point of this checkout, and the files of `packaging`, which
        mirrors a file system; then what a package's scripts do after unpacking. Units are started
        by whoever wants them."""
        self.put("/usr/lib/python3/dist-packages/guestwake.pth", f"{SOURCES}\n")
        project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
        for name, place in project["scripts"].items():
            module, _, function = place.partition(":")
            text = ENTRY_POINT.format(module=module, function=function)
            self.put(f"/usr/bin/{name}", text, mode=0o755)
        if packaging.is_dir():
            self._unpack(packaging)
        self.run("sh", "-ec", AFTER_UNPACKING)

    def _unpack(self, folder: Path) -> None:
        pack = ["tar", "--create", "--owner=root", "--group=root", "--mode=go-w", "-C", str(folder)]
        with subprocess.Popen([*pack, "."], stdout=subprocess.PIPE) as packer:
            unpack = ["tar", "--extract", "--no-overwrite-dir", "-C", "/"]
            subprocess.run(self.entering(*unpack), stdin=packer.stdout, check=True)

    # --- VMs

    def hibernated_guest(self, name: str, *, paused: bool = False) -> Guest:
        return self.guests.hibernated_guest(name, paused=paused)

    def off_guest(self, name: str, *, boots: bool = True) -> Guest:
        return self.guests.define_guest(name, boots=boots)

    # --- within

    def _new_disk(self) -> None:
        for name in ("upper", "work", "guests", "saves", "power"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in ("lower", "root", "upper", "work", "guests", "saves", "power", "probed"):
            (self.folder / name).mkdir(exist_ok=True)
        # QEMU is nobody in particular, and makes the sockets of displays among the disks.
        (self.folder / "guests").chmod(0o1777)
        like = (self._root / SAVES.parent.relative_to("/")).stat()
        os.chown(self.folder / "saves", like.st_uid, like.st_gid)
        (self.folder / "power" / "state").write_text("freeze mem\n")
        (self.folder / "power" / "mem_sleep").write_text("s2idle [deep]\n")

    def _wait_for_leader(self) -> int:
        """Process 1 of the host, as it is called outside."""
        assert self._container is not None
        deadline = time.monotonic() + DEADLINE
        while self._container.poll() is None and time.monotonic() < deadline:
            for nspawn in children(self._container.pid):
                for pid in children(nspawn):
                    if is_first_of_its_kind(pid):
                        return pid
            time.sleep(0.02)
        raise HostError(f"the host does not start:\n{self._last_words()}")

    def _wait_for_end(self, code: int, deadline: float) -> None:
        assert self._container is not None
        try:
            ended = self._container.wait(deadline)
        except subprocess.TimeoutExpired:
            raise HostError(f"still up after {deadline} s:\n{self._last_words()}") from None
        self.crash()  # what is left of it: cgroups
        if ended != code:
            raise HostError(f"ended with {ended}, not {code}:\n{self._last_words()}")

    def _last_words(self) -> str:
        if not self.is_on:
            return self.console.read_text(errors="replace")[-2000:]
        done = self.finish("journalctl", "--no-pager", "-n", "30")
        return done.stdout or self.console.read_text(errors="replace")[-2000:]

    def _tell_what_woke_it(self, *, by_alarm: bool) -> None:
        irq = self.folder / "power" / "pm_wakeup_irq"
        irq.unlink(missing_ok=True)
        if by_alarm:
            irq.write_text("8\n")
            self.run("sh", "-ec", WITH_A_CLOCK)

    def _supply(self, *, online: str, status: str) -> None:
        self.run("sh", "-ec", SUPPLY, "supply", online, status)

    def _is_preparing_for_sleep(self) -> str:
        service, path, interface = LOGIND
        words = ["get-property", service, path, interface, "PreparingForSleep"]
        return self.run("busctl", *words)

    def _environment(self, user: str) -> list[str]:
        account = self.run("getent", "passwd", user).split(":")
        runtime = f"/run/user/{account[2]}"
        variables = [f"HOME={account[5]}", f"USER={user}", f"LOGNAME={user}"]
        if self.exists(runtime):
            bus = f"DBUS_SESSION_BUS_ADDRESS=unix:path={runtime}/bus"
            variables += [f"XDG_RUNTIME_DIR={runtime}", bus]
        return variables


LOGIND = (
    "org.freedesktop.login1",
    "/org/freedesktop/login1",
    "org.freedesktop.login1.Manager",
)
BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")

PUT = """
mkdir -p "$(dirname "$1")"
cat >"$1"
chmod "$2" "$1"
chown "$3:" "$1"
"""

# As a package's scripts do.
AFTER_UNPACKING = f"""
systemd-sysusers
systemd-tmpfiles --create
systemctl daemon-reload
busctl call {" ".join(BUS)} ReloadConfig
"""

# The interrupts of a machine with a real-time clock.
WITH_A_CLOCK = """
table=/run/guestwake-lab-interrupts
[ -e $table ] && exit
printf '           CPU0\n  8:          1   IO-APIC   8-edge      rtc0\n' >$table
mount --bind $table /proc/interrupts
"""

# Kernels without power supplies have no folder for them, and are on AC for ever.
SUPPLY = """
folder=/run/guestwake-lab-supplies
[ -d /sys/class/power_supply ] || exit 0
if [ ! -d $folder ]; then
    mkdir -p $folder/AC $folder/BAT0
    echo Mains >$folder/AC/type
    echo Battery >$folder/BAT0/type
    mount --bind $folder /sys/class/power_supply
fi
echo "$1" >$folder/AC/online
echo "$2" >$folder/BAT0/status
"""

# Where that scope is depends on the user; with cgroups of both versions it is in two places.
INTO_SESSION = """
scope=$1
shift
for folder in $(find /sys/fs/cgroup -type d -name "$scope"); do
    echo $$ >"$folder/cgroup.procs"
done
exec "$@"
"""


def children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def is_first_of_its_kind(pid: int) -> bool:
    """Process 1 of a process namespace."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return any(line.startswith("NSpid:") and line.endswith("\t1") for line in status.splitlines())


@dataclass(frozen=True, slots=True)
class GuestsOfHost(Place):
    """The VMs of the host's own `qemu:///system`. They are emulated: it has no /dev/kvm."""

    host: Host
    image: Image
    domain_type: str = "qemu"

    @property
    def uri(self) -> str:
        return "qemu:///system"

    @property
    def folder(self) -> Path:
        return self.host.folder / "guests"

    @property
    def save_folder(self) -> Path:
        return self.host.folder / "saves"

    @property
    def enter(self) -> Sequence[str]:
        return self.host.prefix

    def inside(self, path: Path) -> Path:
        for outside, here in ((self.folder, GUESTS), (self.image.folder, GUEST_IMAGE)):
            if path.is_relative_to(outside):
                return here / path.relative_to(outside)
        return path

    @property
    def sleeps_in(self) -> str:
        return f"{self.host._root.parent.name} "


def main() -> int:
    try:
        with booted_host() as host:
            host.install_product()
            return subprocess.run(
                host.entering("env", "TERM=xterm", "bash"), check=False
            ).returncode
    except (HostError, StepFailed) as failure:
        print(f"host: {failure}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
