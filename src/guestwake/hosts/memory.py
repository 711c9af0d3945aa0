"""A pretend host for tests and simulation: everything is as it was set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from guestwake.hosts.api import HostError, Inhibited
from guestwake.policy.words import HostFacts, Logon, Network


@dataclass(slots=True)
class MemoryHost:
    network: Network | None = Network.UP
    on_ac_power: bool | None = True
    shutting_down: bool = False
    memory_available: int | None = 16_384  # MiB
    disk_available: int | None = 102_400  # MiB
    peers: frozenset[str] = frozenset()
    logged_on: tuple[Logon, ...] | None = ()
    processes: set[str] = field(default_factory=set)  # that run
    may_sleep: bool = True
    suspended: int = 0  # how often it was let sleep
    by_alarm: bool | None = None
    inhibited: list[Inhibited] = field(default_factory=list)  # what it waits with now

    def look(self, image_folder: str | None) -> HostFacts:
        return HostFacts(
            network=self.network,
            on_ac_power=self.on_ac_power,
            shutting_down=self.shutting_down,
            memory_available=self.memory_available,
            disk_available=None if image_folder is None else self.disk_available,
        )

    def logons(self) -> tuple[Logon, ...] | None:
        return self.logged_on

    def rdp_peers(self) -> frozenset[str]:
        return self.peers

    def is_alive(self, process: str) -> bool:
        return process in self.processes

    def suspend(self) -> None:
        if not self.may_sleep:
            raise HostError("cannot let the host sleep: it may not")
        self.suspended += 1

    def woken_by_alarm(self) -> bool | None:
        return self.by_alarm

    @contextmanager
    def inhibit(self, inhibited: Inhibited) -> Iterator[None]:
        self.inhibited.append(inhibited)
        try:
            yield
        finally:
            self.inhibited.remove(inhibited)
