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
from enum import StrEnum
from typing import Any, ClassVar, Protocol, runtime_checkable

from guestwake.channels.api import Channel
from guestwake.policy.words import Autostart, Power, Start, StoppedBy, Trouble, Verb


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
    has_guest_agent: bool  # the agent's channel is in its definition
    has_channel: bool  # the Guest Update Service's channel is, or another way to it
    image_folder: str | None  # where a saved image would lie on this host; None: elsewhere


class ChannelIs(StrEnum):
    """Where the Guest Update Service's channel stands in a VM's definition."""

    MISSING = "missing"
    LIVE = "live"  # it is there, as far as the VM runs or would start
    AT_NEXT_BOOT = "at-next-boot"  # defined; the VM, or its saved image, is still without it
    UNTIL_NEXT_BOOT = "until-next-boot"  # no longer defined; the VM, or its image, still has it

    @classmethod
    def of(cls, *, defined: bool, there: bool) -> ChannelIs:
        """`there`: the VM has it as it runs, or would have it as it would start now."""
        if defined:
            return cls.LIVE if there else cls.AT_NEXT_BOOT
        return cls.UNTIL_NEXT_BOOT if there else cls.MISSING


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
class OpensChannel(Protocol):
    def open_channel(self, vm: Vm, on_ready: Callable[[], None]) -> Channel:
        """The Guest Update Service's channel of a VM that runs. `on_ready` may run from any
        thread, once after the opening and after each `receive` that came back with nothing, when
        there is something to receive or the channel has closed. Raises NoChannel, Unreachable, and
        VmBusy where the VM does not run or somebody else holds the channel."""
        ...


@runtime_checkable
class ChangesChannel(Protocol):
    """The Guest Update Service's channel in the VM's definition, and in the VM itself as far as
    the hypervisor can add or remove it while it runs."""

    def channel(self, vm: Vm) -> ChannelIs: ...
    def add_channel(self, vm: Vm) -> ChannelIs:
        """Where it stands then; nothing is changed that is there already."""
        ...

    def remove_channel(self, vm: Vm) -> ChannelIs:
        """Where it stands then; nothing is removed that this did not define: only the port of our
        own name."""
        ...


@runtime_checkable
class TellsViewers(Protocol):
    def viewers(self, vm: Vm) -> frozenset[str] | None:
        """Display clients connected now, one opaque stable name each. None: cannot be told."""
        ...


@runtime_checkable
class TellsAutostart(Protocol):
    """Who else starts and stops this VM, as far as its definition tells."""

    def autostart(self, vm: Vm) -> Autostart: ...
    def kept_by(self, vm: Vm) -> str | None:
        """The program that made it and starts and stops it too, by name. None: none is known."""
        ...


@runtime_checkable
class TellsVersion(Protocol):
    def version(self) -> tuple[int, int, int]:
        """Of what answers, be it on another host: what it does by itself depends on it."""
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


class NoChannel(HypervisorError):
    """The VM, as it runs, has no way to its Guest Update Service."""

    code = "no-channel"


class NotAllowed(HypervisorError):
    """The one who asks may look at the VM, and not do this to it."""

    code = "not-allowed"


class ImageUnusable(HypervisorError):
    code = "saved-image-unusable"
    trouble = Trouble.IMAGE_UNUSABLE


class AgentSilent(HypervisorError):
    code = "agent-silent"
    trouble = Trouble.BUSY
