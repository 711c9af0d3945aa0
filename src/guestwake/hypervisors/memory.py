"""The memory back end: a driver on a `MemoryMachine`, opened as often as one likes.

It has every power that a driver can have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from guestwake.channels.api import ChannelClosed
from guestwake.hypervisors.api import (
    AgentSilent,
    ChannelIs,
    HypervisorError,
    PowerState,
    Vm,
    VmBusy,
    VmNotFound,
    VmTraits,
)
from guestwake.hypervisors.memory_machine import (
    Guest,
    GuestEnd,
    MemoryMachine,
    MemoryVm,
    agent_answers,
)
from guestwake.policy.words import Autostart, Power, Verb

__all__ = ["Guest", "GuestEnd", "MemoryHypervisor", "MemoryMachine", "MemoryVm"]


class MemoryHypervisor:
    """A driver with every power there is."""

    uri = "memory:///"

    def __init__(self, machine: MemoryMachine) -> None:
        self._machine = machine
        self._unlisten: list[Callable[[], None]] = []
        self._channels: list[MemoryChannel] = []

    def version(self) -> tuple[int, int, int]:
        self._machine.check("version")
        return self._machine.version

    def vms(self) -> Iterable[Vm]:
        self._machine.check("vms")
        return tuple(it.vm for it in self._machine.all())

    def find(self, name_or_uuid: str) -> Vm:
        self._machine.check("find")
        for it in self._machine.all():
            if name_or_uuid in (it.uuid, it.name):
                return it.vm
        raise VmNotFound(f"cannot find '{name_or_uuid}' on {self.uri}")

    def state(self, vm: Vm) -> PowerState:
        self._machine.check("state", vm)
        if (lie := self._machine.lie(vm)) is not None:
            return lie
        try:
            it = self._machine.get(vm)
        except VmNotFound:
            return PowerState(Power.GONE)
        if it.changing is not None:
            return PowerState(Power.CHANGING, it.start)
        return PowerState(it.power, it.start, it.stopped_by)

    def traits(self, vm: Vm) -> VmTraits:
        it = self._asked("traits", vm)
        return VmTraits(
            *(it.memory_mib, it.why_not_saved is None, it.why_not_saved),
            *(it.has_agent_channel, it.has_channel, None),
        )

    def verbs(self, vm: Vm) -> frozenset[Verb]:
        self._machine.check("verbs", vm)
        try:
            return self._machine.verbs(vm)
        except VmNotFound:
            return frozenset()

    def apply(self, vm: Vm, verb: Verb) -> None:
        self._machine.check(verb, vm)
        self._machine.perform(vm, verb)

    def saved_image_ok(self, vm: Vm) -> bool | None:
        image = self._asked("saved_image_ok", vm).image
        return None if image is None else image.usable

    def set_guest_clock(self, vm: Vm, wall: datetime) -> None:
        self._with_agent("set_guest_clock", vm).clock_behind = self._machine.now().wall - wall

    def ask_agent(self, vm: Vm, command: str, arguments: dict[str, Any] | None = None) -> Any:
        """What the test put into the guest's `answers`; a callable there gets `arguments`."""
        answers = self._with_agent("ask_agent", vm).guest.answers
        if command not in answers:
            raise HypervisorError(f"the agent of '{vm.name}' does not know {command}")
        answer = answers[command]
        return answer(arguments or {}) if callable(answer) else answer

    def open_channel(self, vm: Vm, on_ready: Callable[[], None]) -> MemoryChannel:
        """Faults of "receive" and "send" close it, as a lost hypervisor would."""
        self._machine.check("open_channel", vm)
        channel = MemoryChannel(self._machine, vm, on_ready)
        self._channels.append(channel)
        return channel

    def channel(self, vm: Vm) -> ChannelIs:
        self._machine.check("channel", vm)
        return self._machine.channel(vm)

    def add_channel(self, vm: Vm) -> ChannelIs:
        self._machine.check("add_channel", vm)
        return self._machine.change_channel(vm, there=True)

    def remove_channel(self, vm: Vm) -> ChannelIs:
        self._machine.check("remove_channel", vm)
        return self._machine.change_channel(vm, there=False)

    def viewers(self, vm: Vm) -> frozenset[str] | None:
        return self._asked("viewers", vm).viewers

    def autostart(self, vm: Vm) -> Autostart:
        return self._asked("autostart", vm).autostart

    def kept_by(self, vm: Vm) -> str | None:
        return self._asked("kept_by", vm).kept_by

    def addresses(self, vm: Vm) -> frozenset[str]:
        return self._asked("addresses", vm).guest.addresses

    def mark(self, vm: Vm, text: str) -> None:
        it = self._asked("mark", vm)
        under_way = it.changing is not None and it.changing.act is not None
        if it.start is None or under_way:
            raise VmBusy(f"cannot mark '{vm.name}': it is {it.power}")
        it.mark = text

    def marked(self, vm: Vm) -> str | None:
        """None also for a VM at rest: the mark lies in its saved image, and comes back with it."""
        return self._asked("marked", vm).mark

    def unmark(self, vm: Vm) -> None:
        self._asked("unmark", vm).mark = None

    def on_change(self, call: Callable[[], None]) -> None:
        self._unlisten.append(self._machine.listen(call))

    def close(self) -> None:
        for unlisten in self._unlisten:
            unlisten()
        self._unlisten.clear()
        for channel in self._channels:
            channel.close()
        self._channels.clear()

    def _asked(self, what: str, vm: Vm) -> MemoryVm:
        self._machine.check(what, vm)
        return self._machine.get(vm)

    def _with_agent(self, what: str, vm: Vm) -> MemoryVm:
        it = self._asked(what, vm)
        if not agent_answers(it) or it.changing is not None:
            raise AgentSilent(f"the guest agent of '{vm.name}' does not answer")
        return it


class MemoryChannel:
    """The host's end; what is sent while nobody in the guest would take it stays with the sender.
    Raises NoChannel and VmBusy where it is made."""

    def __init__(self, machine: MemoryMachine, vm: Vm, on_ready: Callable[[], None]) -> None:
        self._machine, self._vm, self._on_ready = machine, vm, on_ready
        self._armed = True
        machine.take_channel(vm, self)

    def receive(self, bytes_max: int) -> bytes:
        guest = self._guest("receive")
        data = b"" if guest is None else guest.give(bytes_max)
        self._armed = self._armed or not data
        return data

    def send(self, data: bytes) -> int:
        guest = self._guest("send")
        if guest is None:
            return 0
        guest.take(data)
        return len(data)

    def close(self) -> None:
        self._armed = False
        self._machine.leave_channel(self._vm, self)

    def hear(self) -> None:
        if self._armed:
            self._armed = False
            self._on_ready()

    def _guest(self, what: str) -> GuestEnd | None:
        try:
            self._machine.check(what, self._vm)
        except HypervisorError as err:
            self.close()
            raise ChannelClosed(str(err)) from err
        return self._machine.guest_end(self._vm, self)
