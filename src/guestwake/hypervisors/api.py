"""What a hypervisor back end can be asked, and how it says no.

A driver is two tables (its states to `Power`, `Verb` to its call) and an error translation. It
makes one short call and translates the outcome. It never sleeps, retries, waits for a state,
reads a setting or logs above debug: time and insistence belong to the policy.

Powers that not every driver has are separate small protocols; who needs one asks
`isinstance(hypervisor, SetsGuestClock)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol, runtime_checkable

from guestwake.policy.words import Power, Start, StoppedBy, Trouble, Verb


@dataclass(frozen=True, slots=True)
class Vm:
    """A VM by its UUID, which survives renaming; the name is only for people."""

    uuid: str
    name: str


@dataclass(frozen=True, slots=True)
class PowerState:
    """One answer about one VM, state and reason together."""

    power: Power
    start: Start | None = None  # None: not started, or cannot be told
    stopped_by: StoppedBy | None = None


@dataclass(frozen=True, slots=True)
class VmTraits:
    """What `workspace add` tells of a VM before it is taken on."""

    memory_mib: int
    can_be_saved: bool
    why_not: str | None  # the hypervisor's reason it cannot be saved, as a sentence
    has_guest_agent: bool  # the channel is in its definition
    image_folder: str | None  # where a saved image would lie on this host; None: elsewhere


class Hypervisor(Protocol):
    """Short blocking calls. Errors are `HypervisorError`, never the library's own."""

    def vms(self) -> Iterable[Vm]: ...
    def find(self, name_or_uuid: str) -> Vm:
        """Raises VmNotFound."""
        ...

    def state(self, vm: Vm) -> PowerState:
        """Power.GONE when there is no such VM; raises Unreachable when nobody answers."""
        ...

    def traits(self, vm: Vm) -> VmTraits: ...
    def verbs(self, vm: Vm) -> frozenset[Verb]:
        """What this VM can be asked in its present state."""
        ...

    def apply(self, vm: Vm, verb: Verb) -> None:
        """Start it; the next look tells how it ended. START on a saved VM restores it or raises
        ImageUnusable, and never boots it cold. SAVE blocks until the image is on disk."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class TellsChanges(Protocol):
    def on_change(self, call: Callable[[], None]) -> None:
        """`call` runs, from any thread, whenever a VM's state or viewers may have changed."""
        ...


@runtime_checkable
class ReadsSavedImage(Protocol):
    def saved_image_ok(self, vm: Vm) -> bool | None:
        """False: the image is there and starting would discard it. None: there is none."""
        ...


@runtime_checkable
class SetsGuestClock(Protocol):
    def set_guest_clock(self, vm: Vm, wall: datetime) -> None:
        """Raises AgentSilent where the guest's agent does not answer (yet)."""
        ...


@runtime_checkable
class AsksGuestAgent(Protocol):
    def ask_agent(self, vm: Vm, command: str, arguments: dict[str, Any] | None = None) -> Any:
        """One qemu-guest-agent command, its `return` value. Always with a time limit; raises
        AgentSilent. The answer is the guest's word: advice, not fact."""
        ...


@runtime_checkable
class TellsViewers(Protocol):
    def viewers(self, vm: Vm) -> frozenset[str] | None:
        """Display clients connected now, one opaque stable name each. None: cannot be told."""
        ...


@runtime_checkable
class TellsAddresses(Protocol):
    def addresses(self, vm: Vm) -> frozenset[str]:
        """IP addresses of the guest as the host knows them (leases, ARP), not as the guest says."""
        ...


@runtime_checkable
class MarksStart(Protocol):
    """Live metadata that goes with this start of the VM: second witness of "woken by us"."""

    def mark(self, vm: Vm, text: str) -> None: ...
    def marked(self, vm: Vm) -> str | None: ...
    def unmark(self, vm: Vm) -> None:
        """No mark, no error."""
        ...


class HypervisorError(Exception):
    """A sentence that a tired administrator understands, the original chained."""

    code: ClassVar[str] = "hypervisor-error"
    trouble: ClassVar[Trouble] = Trouble.REFUSED


class VmNotFound(HypervisorError):
    code = "vm-not-found"


class VmBusy(HypervisorError):
    code = "vm-busy"
    trouble = Trouble.BUSY


class Unreachable(HypervisorError):
    code = "hypervisor-unreachable"
    trouble = Trouble.UNREACHABLE


class InUseByAnotherProcess(Unreachable):
    """Embedded libvirt is one process for each root."""

    code = "hypervisor-in-use"


class ImageUnusable(HypervisorError):
    code = "saved-image-unusable"
    trouble = Trouble.IMAGE_UNUSABLE


class AgentSilent(HypervisorError):
    code = "agent-silent"
    trouble = Trouble.BUSY
