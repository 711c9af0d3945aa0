"""What `doctor` has seen of a host, its hypervisors and its workspaces, and what it says of it.

Values only; the checks are in `health.py`, `health_host.py` and `health_workspace.py`. `None` is
"nobody could tell", as everywhere; a question that got no answer in time is in `Seen.late`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from guestwake.policy.limits import Limits
from guestwake.policy.restart import RestartMark
from guestwake.policy.words import Autostart, Drift, HostFacts, Now, Power


class Level(StrEnum):
    """From worst to best."""

    PROBLEM = "problem"  # it does not work, or does harm
    WARNING = "warning"  # it will not work some day, or not as one would think
    UNKNOWN = "unknown"  # could not be found out
    NOTE = "note"  # worth knowing, and nothing is wrong
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """`about`: a workspace's name, a hypervisor's URI; None: the host. `remedy`: the command that
    mends it, to be copied; None: there is no such command, and the sentence says what to do."""

    check: str
    level: Level
    sentence: str
    remedy: str | None = None
    about: str | None = None


class Kvm(StrEnum):
    USABLE = "usable"
    FORBIDDEN = "forbidden"  # it is there, and not for this user
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class UnitSeen:
    """One unit of systemd's. `active`, `enabled`: systemd's own words."""

    is_there: bool
    active: str = "inactive"
    enabled: str = ""


@dataclass(frozen=True, slots=True)
class ServiceSeen:
    """How the resident service stands. `units`: by name; None: systemd does not answer.
    `why_no_timers`: none are kept here, as a sentence. `why_no_wake`: a timer cannot wake this
    host. `lingers`: of an ordinary user; None: of the host, or it cannot be told.
    `waits_for_logon`: systemd runs for others, but not for this ordinary user."""

    systemd_runs: bool
    waits_for_logon: bool = False
    units: Mapping[str, UnitSeen] | None = None
    on_bus: bool | None = None
    why_no_timers: str | None = None
    why_no_wake: str | None = None
    lingers: bool | None = None


@dataclass(frozen=True, slots=True)
class GuestsServiceSeen:
    """libvirt-guests: what it does with the VMs that run as the host goes down and comes up."""

    enabled: bool
    on_boot: str = "start"
    on_shutdown: str = "suspend"


@dataclass(frozen=True, slots=True)
class HostSeen:
    """`user`: the ordinary user who asks; None: for the whole host, or below a folder of one's
    own, which `is_apart`. `zone_told` False: it is taken to be in UTC as nothing says where it is.
    `latest`: when something was last recorded here. `lid_closed_sleeps`: logind is to suspend
    when the lid is closed; None: no lid, or nobody tells."""

    user: str | None
    is_apart: bool
    now: Now
    zone: str
    zone_told: bool = True
    has_zones: bool = True  # the tz database
    clock_synchronized: bool | None = True
    latest: datetime | None = None
    facts: HostFacts | None = None
    has_battery: bool | None = None
    lid_closed_sleeps: bool | None = None
    state_folder: str = ""
    has_state_folder: bool = True
    why_not_written: str | None = None  # into the state folder, as a sentence
    journal_trouble: str | None = None
    workspace_troubles: tuple[str, ...] = ()
    settings_problems: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()  # sections of the settings that name no workspace here
    service: ServiceSeen | None = None
    guests_service: GuestsServiceSeen | None = None
    cpus: int | None = None


class Reach(StrEnum):
    """How a hypervisor answered."""

    OPEN = "open"
    NO_ANSWER = "no-answer"  # in time: it hangs
    NOT_THERE = "not-there"  # no daemon
    NO_LIBRARY = "no-library"  # Python has no libvirt
    REFUSED = "refused"  # the daemon is there, and not for this user
    TAKEN = "taken"  # another process has it: embedded libvirt


@dataclass(frozen=True, slots=True)
class HypervisorSeen:
    """`saves_at_shutdown`, `restores_at_start`: what libvirt itself (11.2 and later) does with the
    VMs that run as the host goes down or the user logs off; None: an older one, or it cannot be
    told. `is_session`: it is a user's own."""

    uri: str
    reach: Reach
    trouble: str = ""
    is_local_qemu: bool = False
    is_session: bool = False
    daemon: str | None = None  # libvirt's that is installed on this host
    kvm: Kvm | None = None  # None: not on this host
    saves_at_shutdown: bool | None = None
    restores_at_start: bool | None = None


class ChannelSeen(StrEnum):
    MISSING = "missing"
    THERE = "there"
    AT_NEXT_BOOT = "at-next-boot"


@dataclass(frozen=True, slots=True)
class VmSeen:
    """A workspace's VM as its hypervisor has it. `trouble`: it could not be asked all of it."""

    power: Power
    name: str  # as it is called now
    trouble: str | None = None
    memory: int = 0  # MiB
    why_not_saved: str | None = None
    image_ok: bool | None = None
    has_agent: bool = False
    channel: ChannelSeen | None = None
    autostarts: Autostart | None = None
    kept_by: str | None = None  # another program that starts and stops it, by name
    disk_available: int | None = None  # MiB where its saved image would lie


@dataclass(frozen=True, slots=True)
class TimerSeen:
    """`is_wanted`: there is to be one. `drifts`: what somebody has done to it."""

    is_wanted: bool
    is_there: bool
    is_as_wanted: bool = True
    drifts: tuple[Drift, ...] = ()
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class GuestSeen:
    """What its guest said last. `by`: "service" or "agent"; `clients`: of those that reported."""

    by: str
    ago: timedelta
    clients: tuple[str, ...] = ()
    weak_signs: tuple[str, ...] = ()  # their sources
    refused: int = 0


@dataclass(frozen=True, slots=True)
class WindowsSeen:
    """The windows of the last weeks: how many ended, how many of them were had or left out on
    purpose, and of the missed ones why, as far as it is on record: a run that began and was kept
    from waking says so; where none began the host was not up."""

    passed: int = 0
    missed: int = 0
    for_lack_of: Mapping[str, int] = field(default_factory=dict)  # a `Why` to how often


@dataclass(frozen=True, slots=True)
class WorkspaceSeen:
    """`word`: its name as a shell takes it. `vm` None: see its hypervisor, or `there_is_none`.
    `standing`: what of its last run still stands, and the remedy. `is_recorded` False: what is
    recorded of it, or what is set for it, could not be read, and nobody can tell."""

    name: str
    word: str
    uuid: str
    uri: str
    owner: str | None
    limits: Limits
    owner_known: bool = True
    is_removing: bool = False
    is_recorded: bool = True
    is_orphaned: bool = False  # a run is open that nobody minds
    settings_problems: tuple[str, ...] = ()
    standing: str | None = None
    without_window: timedelta = timedelta(0)
    is_stale: bool = False
    is_paused: bool = False
    windows: WindowsSeen = WindowsSeen()
    timer: TimerSeen | None = None  # None: no timers are kept here
    guest: GuestSeen | None = None
    mark: RestartMark | None = None
    vm: VmSeen | None = None
    why_no_vm: str | None = None  # it is not there, as a sentence
    trouble: str | None = None  # what is recorded of it cannot be read


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything, once. `late`: the questions that got no answer in time."""

    host: HostSeen
    hypervisors: tuple[HypervisorSeen, ...] = ()
    workspaces: tuple[WorkspaceSeen, ...] = ()
    late: tuple[str, ...] = ()
