"""The words that policy and back ends share: states, verbs, one look at the world.

Values only. Nothing here decides, and nothing here asks anybody. `None` means "nobody could
tell", never "no". All datetimes are aware and in UTC; `elapsed` is seconds of a clock that
counts the host's sleep and starts anew with each boot of the host (contract, section 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Power(StrEnum):
    """What a hypervisor says of a VM: state and reason together (contract, section 4.0)."""

    RUNNING = "running"
    PAUSED = "paused"  # by a user or a tool; nothing else is "paused"
    SUSPENDED = "suspended"  # the guest is in S3
    SAVED = "saved"  # hibernated: memory on the host's disk
    OFF = "off"
    ELSEWHERE = "elsewhere"  # migrated away: never started, two hosts on one disk
    CRASHED = "crashed"  # kept as it crashed: never touched
    CHANGING = "changing"  # a job, an I/O error, a state in between: looked at again
    GONE = "gone"  # there is no such VM any more
    UNKNOWN = "unknown"  # the hypervisor could not be asked


class StoppedBy(StrEnum):
    """Why a VM that is off, saved or elsewhere stopped, as the hypervisor tells."""

    CRASH = "crash"  # the guest, or the hypervisor's process below it
    GUEST = "guest"  # the guest shut itself down
    HOST = "host"  # somebody at the host: destroyed, saved, undefined
    MIGRATION = "migration"


class Autostart(StrEnum):
    """Whether the hypervisor starts a VM by itself when it starts."""

    NEVER = "never"
    ALWAYS = "always"
    ONCE = "once"  # the next time: it ran as the host went down


class Verb(StrEnum):
    """What a hypervisor can be asked. Each is started by `apply`; the next look tells the end."""

    START = "start"  # from off: boot; from saved: restore, and never boot cold
    RESUME = "resume"  # from paused
    WAKE_UP = "wake-up"  # from suspended (S3)
    PAUSE = "pause"
    SUSPEND = "suspend"  # S3, asked of the guest
    SAVE = "save"  # to the host's disk; comes back running
    SAVE_PAUSED = "save-paused"  # to the host's disk; comes back paused
    SHUT_DOWN = "shut-down"  # asked of the guest's agent
    PRESS_POWER_BUTTON = "press-power-button"  # ACPI; repeated by the policy
    POWER_OFF = "power-off"  # pulls the cord: only where CloseAction says TURN-OFF
    RESTART = "restart"  # asked of the guest, agent or ACPI; never a reset


class Trouble(StrEnum):
    """How the hypervisor answered the last verb when it did not do it."""

    BUSY = "busy"  # a job is running; worth asking again soon
    REFUSED = "refused"  # it will not: disk full, a device that cannot be saved
    UNREACHABLE = "unreachable"
    NOT_RECORDED = "not-recorded"  # it was not asked: what cannot be recorded is not woken
    IMAGE_UNUSABLE = "image-unusable"  # starting would have discarded the saved image: kept


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a VM: changes when anybody starts it anew, not over a guest's own restart."""

    id: str
    at: float | None  # host's elapsed seconds when it began; None: cannot be told (remote)


@dataclass(frozen=True, slots=True)
class Now:
    """One instant on both clocks, with the boot of the host it belongs to."""

    wall: datetime
    elapsed: float  # CLOCK_BOOTTIME: goes on while the host sleeps
    boot_id: str
    asleep: float = 0.0  # of `elapsed`, the seconds that the host slept since its boot

    def after(self, span: timedelta) -> Deadline:
        return Deadline(self.wall + span, self.elapsed + span.total_seconds(), self.boot_id)


@dataclass(frozen=True, slots=True)
class Deadline:
    """An instant kept in elapsed time, and in wall time only across a restart of the host."""

    wall: datetime
    elapsed: float
    boot_id: str

    def left(self, now: Now) -> timedelta:
        """Time until it; negative once it has passed."""
        if self.boot_id == now.boot_id:
            return timedelta(seconds=self.elapsed - now.elapsed)
        return self.wall - now.wall

    def passed(self, now: Now) -> bool:
        return self.left(now) <= timedelta(0)

    def shifted(self, span: timedelta) -> Deadline:
        return Deadline(self.wall + span, self.elapsed + span.total_seconds(), self.boot_id)


class Network(StrEnum):
    UP = "up"
    METERED = "metered"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class HostFacts:
    """The host in one look."""

    network: Network | None = Network.UP
    on_ac_power: bool | None = True
    shutting_down: bool = False
    memory_available: int | None = None  # MiB that could be given to a guest without swapping
    disk_available: int | None = None  # MiB free where this VM's saved image will lie


@dataclass(frozen=True, slots=True)
class Logon:
    """A person at the host, by a graphical or text login: not ssh, cron, a greeter or a lingering
    manager (contract, section 6). `user`: the account's name. `active`: in the foreground."""

    user: str
    since: datetime
    session: str = ""
    active: bool | None = None
    locked: bool | None = None


@dataclass(frozen=True, slots=True)
class Timer:
    """What calls `guestwake wake --scheduled` for one workspace. `instants`: in UTC, in order, in
    whole seconds, the last one that has passed among them, so that it stays the same for the
    length of a window. `wakes_host`: also a host that sleeps."""

    workspace: str  # UUID
    instants: tuple[datetime, ...]
    wakes_host: bool = False


class Drift(StrEnum):
    """What somebody has done to a timer of ours."""

    DELETED = "deleted"
    EDITED = "edited"
    OVERRIDDEN = "overridden"  # by a drop-in of its own
    MASKED = "masked"
    DISABLED = "disabled"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Found:
    """What is there. `as_written`: some timer that we wrote, be it an older one; `as_wanted`: the
    very one that is wanted. `drifts`: what else is amiss."""

    as_wanted: bool
    as_written: bool
    drifts: tuple[Drift, ...] = ()
