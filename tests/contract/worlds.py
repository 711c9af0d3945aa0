"""The back ends that the contract suite runs on, each with one VM that is off.

What a back end's world cannot do (a viewer, a crash, a spoiled image), its `World` says by
skipping. Real QEMU sits in its BIOS without any disk: enough for all that a hypervisor does. Its
libvirtd is private; run it below tools/without_kvm where /dev/kvm hangs.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import hyperv_double
import pytest

from guestwake.hypervisors.hyperv import URI as HYPERV
from guestwake.hypervisors.hyperv import HyperV
from guestwake.hypervisors.hyperv_shell import PowerShell
from guestwake.hypervisors.libvirt import Libvirt
from guestwake.hypervisors.memory import MemoryHypervisor, MemoryMachine
from guestwake.policy.words import Now, Power, Verb

if TYPE_CHECKING:
    from lab.libvirtd import Libvirtd

BOOT_ID = Path("/proc/sys/kernel/random/boot_id").read_text().strip()

DOMAIN = """\
<domain type='{type}'>
  <name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <controller type='usb' model='none'/><memballoon model='none'/>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <graphics type='vnc' {display}</graphics><video><model type='vga'/></video>
  </devices>
</domain>
"""


def now() -> Now:
    elapsed = time.clock_gettime(time.CLOCK_BOOTTIME)
    return Now(datetime.now(UTC), elapsed, BOOT_ID)


def until(true: Callable[[], Any], seconds: float = 10.0) -> bool:
    """Ask again until it is so; False after `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def has(world: World, power: type) -> None:
    if not isinstance(world.hypervisor, power):
        pytest.skip(f"has no {power.__name__}")


@dataclass
class World:
    """One back end, its VM, and what somebody else can do to it."""

    hypervisor: Any  # a driver; tests ask which powers it has
    another: Callable[[], Any]  # a second driver, as another process would have it
    name: str
    crash: Callable[[], None] = lambda: pytest.skip("its VMs cannot crash")
    spoil_image: Callable[[], None] = lambda: pytest.skip("its images are not files")
    view: Callable[[], Callable[[], None]] = lambda: pytest.skip("it has no display")
    autostart: Callable[[], object] = lambda: pytest.skip("nothing starts its VMs by itself")
    start_at_is_told: bool = True
    image_keeps_mark: bool = True
    several_viewers: bool = True
    guest_has_agent: bool = False  # one that answers
    can_have_channel: bool = True

    def __post_init__(self) -> None:
        self.vm = self.hypervisor.find(self.name)
        if self.power() is not Power.OFF:
            self.hypervisor.apply(self.vm, Verb.POWER_OFF)
        assert self.power() is Power.OFF

    def power(self) -> Power:
        return self.hypervisor.state(self.vm).power

    def do(self, *verbs: Verb) -> None:
        """Skips where the VM cannot be asked one of them."""
        for verb in verbs:
            if verb not in self.hypervisor.verbs(self.vm):
                pytest.skip(f"cannot be asked to {verb} while {self.power()}")
            self.hypervisor.apply(self.vm, verb)

    def bring_to(self, power: Power) -> None:
        self.do(*WAYS[power])
        assert self.power() is power


WAYS = {
    Power.OFF: (),
    Power.RUNNING: (Verb.START,),
    Power.PAUSED: (Verb.START, Verb.PAUSE),
    Power.SAVED: (Verb.START, Verb.SAVE),
}


@contextlib.contextmanager
def memory_world() -> Iterator[World]:
    machine = MemoryMachine(now)
    vm = machine.add("web01")
    machine.get(vm).guest.agent = False
    numbers = iter(range(100))

    def view() -> Callable[[], None]:
        viewer = f"viewer-{next(numbers)}"
        machine.connects(vm, viewer)
        return lambda: machine.disconnects(vm, viewer)

    yield World(
        MemoryHypervisor(machine),
        lambda: MemoryHypervisor(machine),
        "web01",
        crash=lambda: machine.crashes(vm),
        spoil_image=lambda: machine.spoils_image(vm),
        view=view,
        autostart=lambda: machine.autostarts(vm),
    )


@contextlib.contextmanager
def libvirt_test_world() -> Iterator[World]:
    """Its state is this process's, and is gone once the last driver is closed."""
    with contextlib.ExitStack() as closing:

        def connect() -> Libvirt:
            driver = Libvirt("test:///default")
            closing.callback(driver.close)
            return driver

        yield World(
            connect(),
            connect,
            "test",
            start_at_is_told=False,
            image_keeps_mark=False,
            guest_has_agent=True,
            can_have_channel=False,
            autostart=lambda: autostarts("test:///default", "test"),
        )


@contextlib.contextmanager
def hyperv_world(folder: Path) -> Iterator[World]:
    """A scripted double, no Hyper-V: hyperv_double.py."""
    state, uuid = folder / "hyperv.json", str(uuid4())
    state.write_text(json.dumps({uuid: hyperv_double.new("web01")}))
    with contextlib.ExitStack() as closing:

        def connect() -> HyperV:
            command = (sys.executable, hyperv_double.__file__, str(state))
            driver = HyperV(HYPERV, PowerShell(command))
            closing.callback(driver.close)
            return driver

        def change(**values: Any) -> None:
            with hyperv_double.shared(state) as machines:
                machines[uuid] |= values

        def view() -> Callable[[], None]:
            change(viewers=[f"Microsoft:{uuid.upper()}\\0"])
            return lambda: change(viewers=[])

        yield World(
            connect(),
            connect,
            "web01",
            crash=lambda: change(state="Off", worker=None, end=14070),
            view=view,
            autostart=lambda: change(autostart="Start"),
            start_at_is_told=False,
            several_viewers=False,
            guest_has_agent=True,
            can_have_channel=False,
        )


def autostarts(uri: str, name: str) -> None:
    """As another program in this process would set it."""
    import libvirt

    libvirt.open(uri).lookupByName(name).setAutostart(1)


@contextlib.contextmanager
def qemu_world(libvirtd: Libvirtd, folder: Path, *, tcp: bool = False) -> Iterator[World]:
    name, uuid, display = f"contract-{uuid4().hex[:8]}", str(uuid4()), folder / "vnc.sock"
    define(libvirtd, name, uuid, "port='-1' autoport='yes'>" if tcp else listen_at(display))
    with contextlib.ExitStack() as closing:

        def connect() -> Libvirt:
            driver = Libvirt(libvirtd.uri)
            closing.callback(driver.close)
            return driver

        def view() -> Callable[[], None]:
            client = socket.socket(socket.AF_INET if tcp else socket.AF_UNIX)
            client.connect(tcp_display(libvirtd, name) if tcp else str(display))
            closing.callback(client.close)
            assert client.recv(3) == b"RFB"  # QEMU has taken it
            return client.close

        world = World(
            connect(),
            connect,
            name,
            crash=lambda: os.kill(qemu_pid(uuid), signal.SIGKILL),
            spoil_image=lambda: (libvirtd.save_folder / f"{name}.save").write_bytes(b"short"),
            view=view,
            autostart=lambda: virsh(libvirtd, "autostart", name),
        )
        closing.callback(undefine, libvirtd, name)
        yield world


def listen_at(path: Path) -> str:
    return f"><listen type='socket' socket='{path}'/>"


def define(libvirtd: Libvirtd, name: str, uuid: str, display: str) -> None:
    kind = os.environ.get("GUESTWAKE_LAB_DOMAIN_TYPE", "qemu")
    xml = DOMAIN.format(type=kind, name=name, uuid=uuid, display=display)
    virsh(libvirtd, "define", "/dev/stdin", text=xml)


def undefine(libvirtd: Libvirtd, name: str) -> None:
    with contextlib.suppress(subprocess.CalledProcessError):
        virsh(libvirtd, "destroy", name)
    with contextlib.suppress(subprocess.CalledProcessError):
        virsh(libvirtd, "undefine", name, "--managed-save")


def tcp_display(libvirtd: Libvirtd, name: str) -> tuple[str, int]:
    number = virsh(libvirtd, "vncdisplay", name).strip().rpartition(":")[2]
    return "127.0.0.1", 5900 + int(number)


def virsh(libvirtd: Libvirtd, *command: str, text: str | None = None) -> str:
    """Another program's view, so that the driver does not vouch for itself."""
    run = ["virsh", "--connect", libvirtd.uri, *command]
    return subprocess.run(
        run, input=text, check=True, capture_output=True, text=True, timeout=60
    ).stdout


def qemu_pid(uuid: str) -> int:
    answer = subprocess.run(
        ["pgrep", "--full", f"qemu-system.* -uuid {uuid}"],
        check=True,
        capture_output=True,
        text=True,
        timeout=10,
    )
    return int(answer.stdout)
