"""What the machine below is asked: network, power, room, who is logged on; and when to sleep."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from guestwake.policy.words import HostFacts, Logon


class HostError(Exception):
    """The host did not do what it was asked: a sentence that says what, and why."""

    code = "host-error"


@dataclass(frozen=True, slots=True)
class Inhibited:
    """What somebody asks the host to wait with. `what`: `sleep`, `shutdown`, or both with a colon
    between. `mode`: `delay` (seconds, as logind is set) or `block`."""

    what: str
    who: str
    why: str
    mode: str = "delay"


class Host(Protocol):
    def look(self, image_folder: str | None) -> HostFacts:
        """Never raises: what cannot be told is None. `image_folder`: where the saved image of
        the VM in question would lie; None: not on this host, so no disk figure."""
        ...

    def logons(self) -> tuple[Logon, ...] | None:
        """Who is logged on now, the longest first. Never raises. None: nobody can tell."""
        ...

    def rdp_peers(self) -> frozenset[str]:
        """Addresses that a remote desktop client on this host is connected to (port 3389)."""
        ...

    def is_alive(self, process: str) -> bool:
        """Whether that process (`processes.name_of`) still runs. Never raises; in doubt it does."""
        ...

    def suspend(self) -> None:
        """Let the host sleep. It is asked, and answers before it sleeps or after; the clock tells
        whether it did. Raises HostError: refused, by a block of somebody's too, or nobody there."""
        ...

    def woken_by_alarm(self) -> bool | None:
        """Whether an alarm ended the host's last sleep: its firmware's word, which most do not
        give. True, or None: nobody can tell. Never False."""
        ...

    def inhibit(self, inhibited: Inhibited) -> AbstractContextManager[None]:
        """Have the host wait for the length of the block. Entering raises HostError."""
        ...
