"""What the machine below is asked: network, power, room. Who is logged on comes later."""

from __future__ import annotations

from typing import Protocol

from guestwake.policy.words import HostFacts, Logon


class Host(Protocol):
    def look(self, image_folder: str | None) -> HostFacts:
        """Never raises: what cannot be told is None. `image_folder`: where the saved image of
        the VM in question would lie; None: not on this host, so no disk figure."""
        ...

    def logons(self) -> tuple[Logon, ...] | None:
        """Who is logged on now. None: nobody can tell."""
        ...

    def rdp_peers(self) -> frozenset[str]:
        """Addresses that a remote desktop client on this host is connected to (port 3389)."""
        ...
