"""Guests of the lab: defined, started, hibernated and asked from outside, by virsh.

    with open_lab() as lab:
        guest = lab.hibernated_guest("web01")
        guest.start()
        print(guest.run("dpkg -l guestwake-example").stdout)

A cold boot takes about 20 s under emulation and a restore one or two, so there is one guest that
was booted and hibernated once for each image, and `hibernated_guest` makes copies of it.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
import uuid as uuids
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from lab.asleep import Sleeper, sleeper
from lab.image import CACHE, DISK, Image, image
from lab.libvirtd import Libvirtd, private_libvirtd
from lab.steps import Steps

MEMORY = 256  # MiB; what it is made of is what a save has to write
COMMAND_LINE = "root=/dev/vda rw quiet console=tty0 console=ttyS0 fsck.mode=skip"
NEVER_BOOTS = f"{COMMAND_LINE} init=/usr/bin/sleep -- infinity"
# The Guest Update Service is in the image; these let it be, as in a guest that never had one.
UNITS = ("guestwake-guest.service", "guestwake-guest.socket")
NO_SERVICE = "".join(f" systemd.mask={unit}" for unit in UNITS)
# Into the guest only: it reaches nothing. Without a ROM, which it would only boot from, and where
# libvirt, which does not know of it, puts no device.
NETWORK = """\
  <qemu:commandline>
    <qemu:arg value='-netdev'/>
    <qemu:arg value='user,id=lab,restrict=on,hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:22'/>
    <qemu:arg value='-device'/>
    <qemu:arg value='virtio-net-pci,netdev=lab,romfile=,addr=0x1e'/>
  </qemu:commandline>
"""
CHANNEL = "<channel type='unix'><target type='virtio' name='org.guestwake.update.0'/></channel>"

DOMAIN = """\
<domain type='{domain_type}' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>{kernel}</kernel>
    <initrd>{initrd}</initrd>
    <cmdline>{command_line}</cmdline>
  </os>
  <features><acpi/></features>
  <clock offset='utc'/>
  <pm><suspend-to-mem enabled='yes'/></pm>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='{disk}'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <controller type='usb' model='none'/>
    <serial type='file'><source path='{console}' append='on'/></serial>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    {channel}
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <graphics type='vnc'><listen type='socket' socket='{display}'/></graphics>
    <video><model type='vga'/></video>
  </devices>
{network}</domain>
"""


class LabError(Exception):
    """What virsh or the guest said."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that ended inside the guest."""

    code: int
    stdout: str
    stderr: str


class Place(ABC):
    """A libvirtd with guests: how to ask it, and where their files are."""

    image: Image
    domain_type: str  # kvm or qemu

    @property
    @abstractmethod
    def uri(self) -> str: ...

    @property
    @abstractmethod
    def folder(self) -> Path:
        """Of the guests' files."""

    @property
    @abstractmethod
    def save_folder(self) -> Path: ...

    @property
    def enter(self) -> Sequence[str]:
        """What to put before a command to run it where libvirtd is."""
        return ()

    def inside(self, path: Path) -> Path:
        """How libvirtd calls a file of `folder` or of the image."""
        return path

    def virsh(self, *arguments: str, timeout: float = 120) -> str:
        """Its stdout. Raises LabError."""
        done = subprocess.run(
            [*self.enter, "virsh", "--quiet", "--connect", self.uri, *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            raise LabError(done.stderr.strip())
        return done.stdout.strip()

    def define_guest(
        self,
        name: str,
        *,
        memory: int = MEMORY,
        boots: bool = True,
        channel: bool = True,
        service: bool = True,
        ssh_port: int | None = None,
    ) -> Guest:
        """An off guest with the package at 1.0. `memory` in MiB; `boots=False`: it starts and
        hangs before anything in it could answer; `channel`: it has the port on which its Guest
        Update Service speaks; `service`: that runs; `ssh_port`: of 127.0.0.1, it leads to the
        guest's port 22 once `serve_ssh` was called. Names of at most 20 characters."""
        guest = Guest(self, name, str(uuids.uuid4()))
        guest.make_disk(self.image.disk)
        command_line = COMMAND_LINE if boots else NEVER_BOOTS
        if not service:
            command_line += NO_SERVICE
        guest.define(memory=memory, command_line=command_line, channel=channel, ssh_port=ssh_port)
        return guest

    def hibernated_guest(self, name: str, *, paused: bool = False) -> Guest:
        """A saved guest with the package at 1.0, about a second's work. It was booted an unknown
        time ago: its clock stands. `paused`: it was saved while paused."""
        sleeper = self.sleeper()
        guest = Guest(self, name, str(uuids.uuid4()))
        guest.make_disk(sleeper.disk)
        guest.define(memory=MEMORY, command_line=COMMAND_LINE)
        copy = self.folder / f"{name}.copy"
        sleeper.write_memory(copy, self.virsh("dumpxml", name, "--migratable"))
        self.virsh("restore", str(self.inside(copy)), "--paused")
        guest.hibernate(paused=paused)
        copy.unlink()
        return guest

    def forget_all(self) -> None:
        """All guests, whoever defined them."""
        for line in self.virsh("list", "--all", "--uuid", "--name").splitlines():
            uuid, name = line.split()
            Guest(self, name, uuid).forget()

    def sleeper(self) -> Sleeper:
        """The hibernated guest that others are copied from, made now if there is none."""
        kind = f"{self.sleeps_in}{self.domain_type} {MEMORY} {DOMAIN}"
        return sleeper(self.image, kind, self._make_sleeper)

    @property
    def sleeps_in(self) -> str:
        """What else than the versions of QEMU and libvirt here decides who can wake it."""
        return ""

    def _make_sleeper(self, folder: Path) -> None:
        Steps("lab", CACHE / "lab.log").say("booting the guest that others are copied from ...")
        guest = self.define_guest(f"asleep-{os.getpid()}")
        guest.start()
        guest.wait_until_agent_answers()
        guest.run("systemctl is-system-running --wait")
        assert guest.run(f"systemctl is-active {' '.join(UNITS)}").code == 0
        guest.hibernate()
        shutil.copyfile(guest.saved_image, folder / "memory.save")
        # The base by a relative path: the checkout may be moved.
        base = f"../{self.image.disk.name}"
        shutil.copyfile(guest.disk, folder / "disk.qcow2")
        rebase = ["qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b", base]
        subprocess.run([*rebase, str(folder / "disk.qcow2")], check=True)
        guest.forget()


@dataclass(frozen=True, slots=True)
class Lab(Place):
    libvirtd: Libvirtd
    image: Image
    domain_type: str

    @property
    def uri(self) -> str:
        return self.libvirtd.uri

    @property
    def environment(self) -> Mapping[str, str]:
        return self.libvirtd.environment

    @property
    def folder(self) -> Path:
        return self.libvirtd.folder

    @property
    def save_folder(self) -> Path:
        return self.libvirtd.save_folder


@contextmanager
def open_lab() -> Iterator[Lab]:
    """A private libvirtd with nothing in it. Run it under tools/without_kvm."""
    domain_type = os.environ.get("GUESTWAKE_LAB_DOMAIN_TYPE")
    if domain_type is None:
        raise LabError("run this through tools/without_kvm, which finds out about KVM")
    guest_image = image()
    with private_libvirtd() as libvirtd:
        yield Lab(libvirtd, guest_image, domain_type)


@dataclass(frozen=True, slots=True)
class Guest:
    lab: Place = field(repr=False)
    name: str
    uuid: str

    @property
    def disk(self) -> Path:
        return self.lab.folder / f"{self.name}.qcow2"

    @property
    def definition(self) -> Path:
        return self.lab.folder / f"{self.name}.xml"

    @property
    def console(self) -> Path:
        """What the guest wrote on its serial console."""
        return self.lab.folder / f"{self.name}.console"

    @property
    def display(self) -> Path:
        """The socket of its VNC server."""
        return self.lab.folder / f"{self.name}.vnc"

    @property
    def saved_image(self) -> Path:
        return self.lab.save_folder / f"{self.name}.save"

    # --- from outside ---

    def make_disk(self, base: Path) -> None:
        """`base` may have another name where libvirtd is: it is not opened here."""
        command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-u"]
        words = [*command, "-b", str(self.lab.inside(base)), str(self.disk), DISK]
        subprocess.run(words, check=True)

    def define(
        self,
        *,
        memory: int,
        command_line: str,
        channel: bool = True,
        ssh_port: int | None = None,
    ) -> None:
        inside = self.lab.inside
        xml = DOMAIN.format(
            domain_type=self.lab.domain_type,
            name=escape(self.name),
            uuid=self.uuid,
            memory=memory,
            command_line=command_line,
            channel=CHANNEL if channel else "",
            network=NETWORK.format(port=ssh_port) if ssh_port else "",
            kernel=escape(str(inside(self.lab.image.kernel))),
            initrd=escape(str(inside(self.lab.image.initrd))),
            disk=inside(self.disk),
            console=inside(self.console),
            display=inside(self.display),
        )
        self.definition.write_text(xml)
        self.lab.virsh("define", str(inside(self.definition)))

    def state(self) -> str:
        """libvirt's word (`running`, `paused`, `shut off` ...), or `saved`."""
        lines = self.lab.virsh("dominfo", self.uuid).splitlines()
        told = dict(line.split(":", 1) for line in lines if ":" in line)
        state = told["State"].strip()
        saved = told["Managed save"].strip() == "yes"
        return "saved" if saved and state == "shut off" else state

    def start(self) -> None:
        self.lab.virsh("start", self.uuid)

    def hibernate(self, *, paused: bool = False) -> None:
        """`paused`: so that it comes back paused."""
        self.lab.virsh("managedsave", self.uuid, "--paused" if paused else "--running")

    def power_off(self) -> None:
        self.lab.virsh("destroy", self.uuid)

    def forget(self) -> None:
        """Ends it and removes all that it had."""
        with suppress(LabError):  # it is off
            self.power_off()
        self.lab.virsh("undefine", self.uuid, "--managed-save")
        for path in (self.disk, self.console, self.display, self.definition):
            path.unlink(missing_ok=True)

    # --- asking inside ---

    def agent(
        self, command: str, arguments: dict[str, object] | None = None, timeout: int = 5
    ) -> object:
        """What the guest agent returns. Raises LabError where it does not answer in `timeout`
        seconds."""
        request = json.dumps({"execute": command, "arguments": arguments or {}})
        answer = self.lab.virsh("qemu-agent-command", self.uuid, request, "--timeout", str(timeout))
        return json.loads(answer)["return"]

    def agent_answers(self) -> bool:
        try:
            self.agent("guest-ping", timeout=1)
        except LabError:
            return False
        return True

    def wait_until_agent_answers(self, deadline: float = 180) -> float:
        """The seconds that it took. Raises TimeoutError with the end of the console."""
        began = time.monotonic()
        while not self.agent_answers():
            if time.monotonic() - began > deadline:
                end = self.console.read_text(errors="replace")[-2000:]
                raise TimeoutError(f"no word from '{self.name}' in {deadline} s:\n{end}")
            time.sleep(0.2)
        return time.monotonic() - began

    def run(self, command: str | Sequence[str], deadline: float = 120) -> Finished:
        """Runs it inside as root, a string by the shell. Raises TimeoutError."""
        words = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
        options: dict[str, object] = {"path": words[0], "arg": words[1:], "capture-output": True}
        started = self.agent("guest-exec", options)
        assert isinstance(started, dict)
        until = time.monotonic() + deadline
        while time.monotonic() < until:
            status = self.agent("guest-exec-status", {"pid": started["pid"]})
            assert isinstance(status, dict)
            if status["exited"]:
                return finished(status)
            time.sleep(0.2)
        raise TimeoutError(f"'{command}' still runs in '{self.name}' after {deadline} s")


def finished(status: dict[str, object]) -> Finished:
    def text(name: str) -> str:
        return base64.b64decode(str(status.get(name, ""))).decode(errors="replace")

    code = status.get("exitcode", status.get("signal"))
    return Finished(int(str(code)), text("out-data"), text("err-data"))
