"""Hyper-V on this Windows host, through PowerShell's Hyper-V module and its WMI classes.

What it cannot be asked: to press a power button, to suspend a guest to memory, to save a VM so that
it comes back paused, to carry a mark. It has not been run on a Windows host so far: docs/windows.md
tells what was checked, and how.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from guestwake.channels.api import HV_SERVICE, Channel
from guestwake.channels.socket import watched_by_a_thread
from guestwake.hypervisors.api import (
    AgentSilent,
    HypervisorError,
    NoChannel,
    NotAllowed,
    PowerState,
    Unreachable,
    Vm,
    VmBusy,
    VmNotFound,
    VmTraits,
)
from guestwake.hypervisors.hyperv_shell import PowerShell, Refused
from guestwake.hypervisors.hyperv_tables import (
    AT_REST,
    AUTOSTART,
    CAME_THROUGH,
    ERRORS,
    GUEST_SAYS,
    GUEST_VERBS,
    JOBS,
    LIVE,
    POWER,
    STOPPED_BY,
    VERBS,
)
from guestwake.policy.words import Autostart, Power, Start, StoppedBy, Verb

URI: Final = "hyperv:///"
LOOK_SECONDS: Final = 60.0
CONNECT_SECONDS: Final = 3.0
VERB_SECONDS: Final = 1800.0  # a save writes all the guest's memory

_WMI_DENIED = "0x80041003"


class HyperV:
    """Opened at the first question. Raises HypervisorError for a `uri` of another host."""

    def __init__(self, uri: str, shell: PowerShell | None = None) -> None:
        if uri != URI:
            raise HypervisorError(f"'{uri}' is not this host's Hyper-V: that is {URI}")
        self.uri = uri
        self._shell = shell or PowerShell()

    def version(self) -> tuple[int, int, int]:
        """Windows'."""
        major, minor, build = self._asked("ask the version", "version")["version"]
        return major, minor, build

    def vms(self) -> Iterable[Vm]:
        found = self._asked("list the VMs", "vms")["vms"]
        return tuple(Vm(each["id"].lower(), each["name"]) for each in found)

    def find(self, name_or_uuid: str) -> Vm:
        """Raises HypervisorError where several have the name: Hyper-V allows that."""
        vms = tuple(self.vms())
        named = [vm for vm in vms if vm.uuid == name_or_uuid.lower()]
        named = named or [vm for vm in vms if vm.name == name_or_uuid]
        if not named:
            raise VmNotFound(f"cannot find '{name_or_uuid}' on {self.uri}")
        if len(named) > 1:
            ids = ", ".join(vm.uuid for vm in named)
            raise HypervisorError(
                f"{len(named)} VMs are called '{name_or_uuid}': say which by its identifier, {ids}"
            )
        return named[0]

    def state(self, vm: Vm) -> PowerState:
        try:
            look = self._look(vm)
        except VmNotFound:
            return PowerState(Power.GONE)
        power = _power(look)
        if power is Power.SAVED:
            return PowerState(power, stopped_by=StoppedBy.HOST)
        if power in AT_REST:
            return PowerState(power, stopped_by=STOPPED_BY.get(look["end"]))
        # Not when it began: Windows tells that on its wall clock alone, which steps.
        start = Start(f"worker/{look['worker']}", None) if look["worker"] else None
        return PowerState(power, start)

    def traits(self, vm: Vm) -> VmTraits:
        found = self._traits(vm)
        why_not = None
        if found["devices"]:
            why_not = f"it has devices of the host: {', '.join(found['devices'])}"
        return VmTraits(
            memory_mib=found["memory"],
            can_be_saved=why_not is None,
            why_not=why_not,
            has_guest_agent=False,
            has_channel=hasattr(socket, "AF_HYPERV"),
            image_folder=found["folder"] or None,
        )

    def verbs(self, vm: Vm) -> frozenset[Verb]:
        try:
            return _verbs(self._look(vm))
        except VmNotFound:
            return frozenset()

    def apply(self, vm: Vm, verb: Verb) -> None:
        """START of a saved VM restores it, or Hyper-V refuses and keeps the image: only
        Remove-VMSavedState would discard it, and nobody here calls that. SHUT_DOWN and RESTART are
        refused by a guest with a locked screen."""
        if verb not in _verbs(look := self._look(vm)):
            raise VmBusy(f"cannot {verb} '{vm.name}': it is {_power(look)}")
        answer = self._asked(f"{verb} '{vm.name}'", "verb", VERB_SECONDS, vm=vm.uuid, verb=verb)
        returned = answer["returned"]
        if returned not in CAME_THROUGH:
            kind, why = GUEST_SAYS.get(returned, (HypervisorError, f"the guest says {returned}"))
            raise kind(f"cannot {verb} '{vm.name}': {why}")

    def set_guest_clock(self, vm: Vm, wall: datetime) -> None:
        """Hyper-V's own time synchronisation sets it to the host's clock at each start and resume,
        so this only tells whether it does. Raises AgentSilent until the guest takes part."""
        answer = self._asked(f"set the guest's clock of '{vm.name}'", "clock", vm=vm.uuid)
        if not answer["enabled"]:
            raise HypervisorError(
                f"the guest's clock of '{vm.name}' is not set: Time synchronization is off among "
                "its integration services. Switch it on in the VM's settings."
            )
        if not answer["answers"]:
            raise AgentSilent(f"the guest's time synchronisation of '{vm.name}' is silent")

    def viewers(self, vm: Vm) -> frozenset[str] | None:
        """Who is connected through VMConnect: one at a time, always under the same name."""
        found = self._asked(f"look at '{vm.name}'", "viewers", vm=vm.uuid)
        return frozenset(found["viewers"])

    def autostart(self, vm: Vm) -> Autostart:
        return AUTOSTART.get(self._traits(vm)["autostart"], Autostart.ALWAYS)

    def kept_by(self, vm: Vm) -> str | None:
        """None: other programs leave no trace in a VM of Hyper-V's that would tell."""
        return None

    def open_channel(self, vm: Vm, on_ready: Callable[[], None]) -> Channel:
        """Over hvsocket, which Windows' Python has since 3.12. Raises NoChannel where this one has
        none, VmBusy until the guest's service listens."""
        family = getattr(socket, "AF_HYPERV", None)
        if family is None:
            raise NoChannel(f"'{vm.name}': this Python knows no sockets of Hyper-V's (3.12 does)")
        try:
            connected = socket.socket(family, socket.SOCK_STREAM, socket.HV_PROTOCOL_RAW)  # type: ignore[attr-defined, unused-ignore]
        except OSError as err:
            raise NoChannel(
                f"'{vm.name}': this Windows has no sockets of Hyper-V's: {err}"
            ) from err
        try:
            connected.settimeout(CONNECT_SECONDS)
            connected.connect((vm.uuid, HV_SERVICE))
        except OSError as err:
            connected.close()
            raise VmBusy(f"nobody answers on the hvsocket of '{vm.name}' (yet): {err}") from err
        return watched_by_a_thread(connected, on_ready)

    def close(self) -> None:
        self._shell.close()

    def _look(self, vm: Vm) -> dict[str, Any]:
        return self._asked(f"look at '{vm.name}'", "look", vm=vm.uuid)

    def _traits(self, vm: Vm) -> dict[str, Any]:
        return self._asked(f"look at '{vm.name}'", "traits", vm=vm.uuid)

    def _asked(
        self, what: str, question: str, seconds: float = LOOK_SECONDS, **values: str
    ) -> dict[str, Any]:
        with _translated(what):
            answer = self._shell.ask(question, seconds, **values)
            if not isinstance(answer, dict):
                raise Unreachable(f"cannot {what}: Hyper-V's answer is empty")
            return answer


def connect(uri: str) -> HyperV:
    """Asks nothing yet."""
    return HyperV(uri)


def _power(look: dict[str, Any]) -> Power:
    if JOBS.intersection(look["status"]):
        return Power.CHANGING
    power = POWER.get(look["state"], Power.CHANGING)
    # The module's word may be five seconds old, the worker is as it is now: it has just ended.
    return Power.CHANGING if look["worker"] is None and power in LIVE else power


def _verbs(look: dict[str, Any]) -> frozenset[Verb]:
    verbs = VERBS.get(_power(look), frozenset())
    return verbs if look["shutdown"] else verbs - GUEST_VERBS


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except Refused as err:
        raise _kind(err.error)(f"cannot {what}: {err}") from err


def _kind(error: str) -> Callable[[str], HypervisorError]:
    """Of a FullyQualifiedErrorId: "InvalidState,Microsoft.HyperV.PowerShell.Commands.StartVM"."""
    known = ERRORS.get(error.partition(",")[0])
    if known is not None:
        return known
    if _WMI_DENIED in error:
        return NotAllowed
    # Neither the service nor its WMI classes answer.
    return Unreachable if "CimCmdlets" in error or "GetVMHost" in error else HypervisorError
