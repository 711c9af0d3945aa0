"""One look at a hypervisor and the VMs of the workspaces on it, for `guestwake doctor`.

Reads only. A look is filled on a thread of its own and can be read while that hangs: what had been
told until then counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from guestwake.hosts import libvirt_files
from guestwake.hypervisors.api import (
    ChangesChannel,
    ChannelIs,
    Hypervisor,
    HypervisorError,
    InUseByAnotherProcess,
    NotAllowed,
    ReadsSavedImage,
    TellsAutostart,
    TellsVersion,
    Vm,
)
from guestwake.policy.health_facts import ChannelSeen, HypervisorSeen, Kvm, Reach, VmSeen
from guestwake.policy.words import Power
from guestwake.workspaces import Workspace

_SAVES_BY_ITSELF = (11, 2, 0)  # libvirt, from this version on
_OF_THE_HOST = "qemu:///system"
_DENIED = ("permission denied", "authentication", "polkit", "access denied")

Opens = Callable[[str], AbstractContextManager[Hypervisor]]


class Answered(NamedTuple):
    """`vms`: by UUID; text: it is not there, and why."""

    seen: HypervisorSeen
    vms: Mapping[str, VmSeen | str]


@dataclass(slots=True)
class Look:
    """At one hypervisor; filled on a thread of its own, and read even where that hangs."""

    uri: str
    workspaces: tuple[Workspace, ...]
    root: Path = Path("/")
    vms: dict[str, VmSeen | str] = field(default_factory=dict)
    reach: Reach = Reach.OPEN
    version: tuple[int, int, int] | None = None
    trouble: str = ""

    def fill(self, opens: Opens) -> None:
        try:
            with opens(self.uri) as hypervisor:
                if isinstance(hypervisor, TellsVersion):
                    self.version = hypervisor.version()
                there = {vm.uuid: vm for vm in hypervisor.vms()}
                for workspace in self.workspaces:
                    self.vms[workspace.uuid] = self._vm(hypervisor, there.get(workspace.uuid))
        except ImportError as err:
            self.reach, self.trouble = Reach.NO_LIBRARY, str(err)
        except HypervisorError as err:
            self.reach, self.trouble = self._why(err), str(err)

    def answered(self, *, late: bool) -> Answered:
        local, session = _is_local_qemu(self.uri), self.uri.endswith("/session")
        saves, restores = (
            _at_shutdown(self.version, self.root, session=session)
            if local
            else (
                None,
                None,
            )
        )
        seen = HypervisorSeen(
            uri=self.uri,
            reach=Reach.NO_ANSWER if late else self.reach,
            trouble=self.trouble,
            is_local_qemu=local,
            is_session=session,
            daemon=libvirt_files.daemon(self.root) if local else None,
            kvm=_kvm(self.root, own=self.uri != _OF_THE_HOST) if local else None,
            saves_at_shutdown=saves,
            restores_at_start=restores,
        )
        return Answered(seen, dict(self.vms))

    def _why(self, err: HypervisorError) -> Reach:
        if isinstance(err, InUseByAnotherProcess):
            return Reach.TAKEN
        said = str(err).lower()
        closed = self.uri == _OF_THE_HOST and libvirt_files.libvirt_socket(self.root) is False
        if isinstance(err, NotAllowed) or closed or any(word in said for word in _DENIED):
            return Reach.REFUSED
        return Reach.NOT_THERE

    def _vm(self, hypervisor: Hypervisor, vm: Vm | None) -> VmSeen | str:
        if vm is None:
            return f"{self.uri} has no VM of that UUID"
        try:
            return _vm_seen(hypervisor, vm)
        except HypervisorError as err:
            return VmSeen(Power.UNKNOWN, vm.name, trouble=str(err))


def _vm_seen(hypervisor: Hypervisor, vm: Vm) -> VmSeen:
    """Raises HypervisorError."""
    power, traits = hypervisor.state(vm).power, hypervisor.traits(vm)
    reads = hypervisor if isinstance(hypervisor, ReadsSavedImage) else None
    tells = hypervisor if isinstance(hypervisor, TellsAutostart) else None
    return VmSeen(
        power=power,
        name=vm.name,
        memory=traits.memory_mib,
        why_not_saved=traits.why_not,
        image_ok=reads.saved_image_ok(vm) if reads and power is Power.SAVED else None,
        has_agent=traits.has_guest_agent,
        channel=_channel(hypervisor, vm, has_channel=traits.has_channel),
        autostarts=tells.autostart(vm) if tells else None,
        kept_by=tells.kept_by(vm) if tells else None,
    )


def _channel(hypervisor: Hypervisor, vm: Vm, *, has_channel: bool) -> ChannelSeen:
    if has_channel and isinstance(hypervisor, ChangesChannel):
        with suppress(HypervisorError):  # a saved image that will not do is told as such
            if hypervisor.channel(vm) is ChannelIs.AT_NEXT_BOOT:
                return ChannelSeen.AT_NEXT_BOOT
    return ChannelSeen.THERE if has_channel else ChannelSeen.MISSING


def _at_shutdown(
    version: tuple[int, int, int] | None, root: Path, *, session: bool
) -> tuple[bool | None, bool | None]:
    """Whether libvirt itself saves what runs when the host goes down, and starts it again."""
    if version is None or version < _SAVES_BY_ITSELF:
        return None, None
    conf = libvirt_files.qemu_conf(session=session, root=root)
    if conf is None:
        return None, None
    saves = conf.get("auto_shutdown_try_save", "persistent" if session else "none") != "none"
    return saves, saves and conf.get("auto_shutdown_restore", "1") != "0"


def _kvm(root: Path, *, own: bool) -> Kvm:
    """`own`: VMs run as this user; else as one of libvirt's, whatever this one may."""
    match libvirt_files.kvm(root):
        case None:
            return Kvm.MISSING
        case usable:
            return Kvm.USABLE if usable or not own else Kvm.FORBIDDEN


def _is_local_qemu(uri: str) -> bool:
    return uri.startswith("qemu:///")
