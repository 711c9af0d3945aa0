"""A libvirtd of one's own: its VMs, sockets and state live in one short folder under /tmp.

It runs as libvirt's session daemon, because that one keeps everything below the XDG folders that
it is given. Root starts it as somebody else, because root's libvirtd takes itself for the
system's. Several processes can use it at once by its URI, and its VMs outlive every one of them.

What a killed test run leaves behind is swept up by the next one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from lab import reaper

# Sockets' paths end after 107 characters, and libvirt's are long.
PARENT = Path("/tmp")
PREFIX = "gw-"

CONFIGURATION = """\
stdio_handler = "file"
security_driver = "none"
namespaces = []
cgroup_controllers = []
clear_emulator_capabilities = 0
"""

# Some user that every Debian knows, because libvirt asks for the name: daemon.
SOMEBODY = 1
# In a user namespace, where all files still belong to root.
IN_A_NAMESPACE = ["unshare", "--user", f"--map-user={SOMEBODY}", f"--map-group={SOMEBODY}"]
# Where there are none (containers, chroots): really that user, who may open root's files.
WITH_RIGHTS = [
    *("setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups"),
    *("--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
]

PID_FILE = "libvirtd.pid"
START_DEADLINE = 20.0  # seconds; it takes a tenth of one


class Libvirtd:
    """Use `private_libvirtd()`. `kill` and `start` are there for tests of a daemon that dies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uri = f"qemu+unix:///session?socket={folder}/run/libvirt/libvirt-sock"
        self._pid_file = folder / PID_FILE
        self._parents: list[subprocess.Popen[bytes]] = []

    @property
    def environment(self) -> Mapping[str, str]:
        """For processes that ask libvirt where a session keeps its files, such as saved images."""
        return {
            "XDG_CONFIG_HOME": str(self.folder),
            "XDG_RUNTIME_DIR": str(self.folder / "run"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
        }

    @property
    def save_folder(self) -> Path:
        return self.folder / "libvirt" / "qemu" / "save"

    @contextmanager
    def small_save_folder(self, size: int) -> Iterator[Path]:
        """For "the disk is full": saved images lie on a disk of their own, of `size` MiB, until
        the end of the block, when no VM may be saved. Mounts it: ask for the fixture
        `private_mounts`."""
        folder = self.save_folder
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}m,mode=755", "saves", str(folder)]
        subprocess.run(mount, check=True)
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)

    @property
    def log(self) -> Path:
        return self.folder / "libvirtd.log"

    @property
    def pid(self) -> int:
        """Of the daemon that runs."""
        return int(self._pid_file.read_text())

    def start(self) -> None:
        """Returns when it answers. Raises RuntimeError with what it said if it does not."""
        with self.log.open("ab") as log:
            parent = subprocess.Popen(
                self._command(),
                env={**os.environ, **self.environment, "HOME": str(self.folder)},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C at the tests is not for it
            )
        self._parents.append(parent)
        deadline = time.monotonic() + START_DEADLINE
        while not self.answers():
            if parent.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"libvirtd did not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.02)

    def answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            path = self.folder / "run" / "libvirt" / "libvirt-sock"
            return client.connect_ex(str(path)) == 0

    def remove(self) -> None:
        """Ends it and its VMs and removes the folder."""
        remove(self.folder)
        for parent in self._parents:
            parent.wait()

    def _command(self) -> list[str]:
        libvirtd = shutil.which("libvirtd") or "/usr/sbin/libvirtd"
        somebody = as_somebody(self.folder) if os.geteuid() == 0 else []
        return [sys.executable, reaper.__file__, *somebody, libvirtd, "-p", str(self._pid_file)]

    def kill(self) -> None:
        """Ends it at once and leaves all as it is; its VMs run on."""
        end(self._pid_file, self.folder)
        while self.answers():  # the last of its threads still holds the socket
            time.sleep(0.005)


@contextmanager
def private_libvirtd() -> Iterator[Libvirtd]:
    """At its end the VMs are ended too, and the folder goes."""
    sweep()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=PARENT))
    owner = hold(folder)
    (folder / "run").mkdir()
    (folder / "libvirt").mkdir()
    (folder / "libvirt" / "qemu.conf").write_text(CONFIGURATION)
    libvirtd = Libvirtd(folder)
    try:
        libvirtd.start()
        yield libvirtd
    finally:
        libvirtd.remove()
        if owner:
            owner.close()


def as_somebody(folder: Path) -> list[str]:
    """What root puts before a command to run it as somebody else."""
    namespaces = subprocess.run([*IN_A_NAMESPACE, "true"], capture_output=True, check=False)
    if namespaces.returncode == 0:
        return IN_A_NAMESPACE
    for path in (folder, *folder.rglob("*")):
        os.chown(path, SOMEBODY, SOMEBODY)
    return WITH_RIGHTS


# --- what a killed run left behind ---


def sweep() -> None:
    for folder in PARENT.glob(f"{PREFIX}*"):
        if folder.is_dir() and os.access(folder / "owner", os.W_OK):
            owner = hold(folder)
            if owner:
                remove(folder)
                owner.close()


def hold(folder: Path) -> IO[str] | None:
    """A lock that dies with its holder; None: somebody is alive who holds it."""
    owner = (folder / "owner").open("w")
    try:
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner.close()
        return None
    return owner


def remove(folder: Path) -> None:
    for pid_file in [folder / PID_FILE, *folder.glob("run/libvirt/qemu/run/*.pid")]:
        end(pid_file, folder)
    shutil.rmtree(folder, ignore_errors=True)


def end(pid_file: Path, folder: Path) -> None:
    """Kills the process of that file, unless its number now belongs to somebody else, and
    returns when it is gone."""
    with suppress(OSError, ValueError):  # it is gone already
        pid = int(pid_file.read_text())
        while str(folder).encode() in command_of(pid):
            os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)


def command_of(pid: int) -> bytes:
    """Nothing for a process that has ended, even one that nobody has asked about yet."""
    return Path(f"/proc/{pid}/cmdline").read_bytes()
