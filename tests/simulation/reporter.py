"""A Guest Update Service for the guests of a pretend world: it works, and reports whatever a story
lets be so in its guest. It speaks the protocol by the bytes, as any other would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from guestwake_wire.framing import Framer
from guestwake_wire.messages import (
    VERSIONS,
    Client,
    ClientState,
    Hello,
    Installed,
    Message,
    Nudge,
    Reason,
    Report,
    Session,
    SessionKind,
    Strength,
    decode,
    encode,
)

if TYPE_CHECKING:
    from world import World

    from guestwake.hypervisors.api import Vm

BOOTS_FOR = 20.0  # seconds from the power button to the first word
REPORTS_EACH = 120.0
QUEUE_BYTES = 1 << 17


@dataclass
class Somebody:
    """Signed in in the guest; instants of the world's real time."""

    user: str
    since: float
    input: float | None = None  # None: none since then
    input_known: bool = True


@dataclass
class Inside:
    """What is so in one boot of the guest."""

    boot: int
    up_at: float
    reasons: dict[str, Strength] = field(default_factory=dict)
    said: set[str] = field(default_factory=set)  # sources that were ever strong in it
    people: list[Somebody] = field(default_factory=list)


class MemoryService:
    """`stays`: reasons that are there again after each boot. `silent`: it hangs."""

    def __init__(self, world: World, vm: Vm, *, up: bool) -> None:
        self._world, self._vm = world, vm
        self._framer, self._out, self._greets = Framer(), b"", True
        self._number = 0
        boot = world.machine.get(vm).guest_boot
        self.inside = Inside(boot, world.real if up else world.real + BOOTS_FOR)
        self.stays: dict[str, Strength] = {}
        self.silent = False
        self.busy: bool | None = False
        self.state = ClientState.IDLE
        self.installed: list[Installed] = []
        self.boots_for = BOOTS_FOR
        self.heard: list[Message] = []
        self.on_nudge: Callable[[], None] = lambda: None

    # its end of the channel

    def connected(self) -> None:
        self._framer, self._out, self._greets = Framer(), b"", True
        self._rebooted()
        self._world.later(self.inside.up_at - self._world.real, self.speak)
        self._world.later(REPORTS_EACH, self._again)

    def take(self, data: bytes) -> None:
        for text in self._framer.feed(data):
            message = decode(text)
            self.heard.append(message)
            if isinstance(message, Hello):
                self._greets = True
                self.speak()
            if isinstance(message, Nudge):
                self.on_nudge()

    def give(self, bytes_max: int) -> bytes:
        given, self._out = self._out[:bytes_max], self._out[bytes_max:]
        self._greets = self._greets and not given
        return given

    # what it says

    def speak(self) -> None:
        """The whole snapshot, with a hello where one is due, if it is up and can."""
        self._rebooted()
        if self.silent or self._world.real < self.inside.up_at:
            return
        hello = encode(Hello(VERSIONS, "memory")) if self._greets else b""
        self._out = hello + encode(self._report())  # a snapshot makes the one before nothing
        self._world.machine.guest_speaks(self._vm)

    def says(self, raw: bytes) -> None:
        """Whatever an enemy would send; what nobody takes in time finds no room."""
        self._out = (self._out + raw)[:QUEUE_BYTES]
        self._world.machine.guest_speaks(self._vm)

    def _again(self) -> None:
        vm = self._world.machine.get(self._vm)
        if vm.host_end is not None and vm.start is not None:
            self.speak()
            self._world.later(REPORTS_EACH, self._again)

    def _rebooted(self) -> None:
        boot = self._world.machine.get(self._vm).guest_boot
        if boot != self.inside.boot:
            self.inside = Inside(boot, self._world.real + self.boots_for, dict(self.stays))
            self.busy = False

    def _report(self) -> Report:
        self._number += 1
        real = self._world.real
        return Report(
            number=self._number,
            time=int(self._world.machine.guest_clock(self._vm).timestamp()),
            boot_id=f"guest-boot-{self.inside.boot}",
            agent="memory",
            os="Memory 1",
            kernel="1",
            busy=self.busy,
            restart=tuple(Reason(name, how, 0, name) for name, how in self.inside.reasons.items()),
            clients=(Client("apt", self.state, tuple(self.installed)),),
            sessions=tuple(_session(one, real) for one in self.inside.people),
        )


def _session(one: Somebody, real: float) -> Session:
    last = None if not one.input_known else -1 if one.input is None else int(real - one.input)
    return Session(one.user, SessionKind.GRAPHICAL, int(real - one.since), last)
