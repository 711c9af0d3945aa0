"""A pretend host for tests and simulation: everything is as it was set."""

from __future__ import annotations

from dataclasses import dataclass

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
