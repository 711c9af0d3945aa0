"""What a wake run is: its phases, what survives a crash, one look, one step (contract, section 4).

Values only; the rules are in `wake.py`, `hold.py` and `put_back.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum

from guestwake.policy.admission import Other
from guestwake.policy.in_use import Evidence, Session
from guestwake.policy.window import Opening
from guestwake.policy.words import Deadline, HostFacts, Power, Start, StoppedBy, Trouble, Verb


class Prior(StrEnum):
    """The state before Guestwake touched the VM."""

    RUNNING = "running"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    SAVED = "saved"
    SAVED_PAUSED = "saved-paused"
    OFF = "off"


class Goal(StrEnum):
    """Where a VM is being taken at the end."""

    PAUSED = "paused"
    SUSPENDED = "suspended"
    SAVED = "saved"
    SAVED_PAUSED = "saved-paused"
    OFF = "off"  # asked of the guest, never forced
    TURNED_OFF = "turned-off"  # only where CloseAction says TURN-OFF


class Phase(StrEnum):
    WAITING = "waiting"
    WATCHING = "watching"
    WAKING = "waking"
    HOLDING = "holding"
    RESTARTING = "restarting"
    LENT = "lent"
    RESTORING = "restoring"


class Kind(StrEnum):
    SCHEDULED = "scheduled"
    CAUGHT_UP = "caught-up"
    EXTRA = "extra"  # a person's `guestwake wake`: owned by no date
    RESTART = "restart"  # for a restart that is required, outside its windows: likewise
    USE = "use"  # somebody opens an application: Normal Start; likewise
    FAST_START = "fast-start"  # its owner has logged on; likewise


DATELESS = frozenset({Kind.EXTRA, Kind.RESTART, Kind.USE, Kind.FAST_START})


class Why(StrEnum):
    """Every answer of this policy. `events.py` has a sentence, a cause and a remedy for each."""

    # on the way
    WAITS_FOR_NETWORK = "waits-for-network"
    WAITS_FOR_AC_POWER = "waits-for-ac-power"
    WAITS_FOR_STARTS = "waits-for-starts"
    WAITS_FOR_TURN = "waits-for-turn"
    WAITS_FOR_MEMORY = "waits-for-memory"
    WAITS_FOR_DISK = "waits-for-disk"
    WAITS_FOR_CHANGE = "waits-for-change"
    WAITS_FOR_HYPERVISOR = "waits-for-hypervisor"
    WAITS_FOR_HOST = "waits-for-host"
    WAITS_FOR_JOURNAL = "waits-for-journal"
    WAITS_AFTER_REFUSED_WAKE = "waits-after-refused-wake"
    WATCHES = "watches"
    WAKES = "wakes"
    HOLDS = "holds"
    HOLDS_WITHOUT_WORD = "holds-without-word"
    RESTART_WAITS = "restart-waits"
    RESTART_IN_VAIN = "restart-in-vain"
    CRASHED_WOKEN_AGAIN = "crashed-woken-again"
    CRASHED_SESSION_LOST = "crashed-session-lost"
    HOST_DIED_UNDER_IT = "host-died-under-it"
    RESTARTS = "restarts"
    RESTART_REFUSED = "restart-refused"
    RESTART_HANGS = "restart-hangs"
    RESTARTED = "restarted"
    RESTARTS_IN_USE = "restarts-in-use"
    IN_USE = "in-use"
    KEPT_FOR_USER = "kept-for-user"
    WINDOWS_TOUCH = "windows-touch"
    BUSY_INSTALLING = "busy-installing"
    HOST_RESUMED = "host-resumed"
    LENT = "lent"
    WAITS_TO_PUT_BACK = "waits-to-put-back"
    PUTS_BACK = "puts-back"
    NOT_PUT_BACK_REFUSED = "not-put-back-refused"
    LOGOFF_OVERDUE = "logoff-overdue"
    SHUTDOWN_OVERDUE = "shutdown-overdue"
    SAVES_INSTEAD = "saves-instead"
    HOST_SHUTS_DOWN = "host-shuts-down"
    AC_POWER_LOST = "ac-power-lost"
    # over
    WATCHED = "watched"
    RUNS_ALREADY = "runs-already"
    NOT_WANTED = "not-wanted"
    RESTARTED_IN_USE = "restarted-in-use"
    RESTART_FAILED = "restart-failed"
    RESTART_NOT_NEEDED = "restart-not-needed"
    PUT_BACK = "put-back"
    PUT_BACK_OWED_OFF = "put-back-owed-off"
    CLOSED = "closed"
    GUEST_STOPPED_ITSELF = "guest-stopped-itself"
    STOPPED_BY_SOMEBODY = "stopped-by-somebody"
    STARTED_BY_SOMEBODY = "started-by-somebody"
    WHO_STARTED_IT_UNKNOWN = "who-started-it-unknown"
    MIGRATED_AWAY = "migrated-away"
    VM_GONE = "vm-gone"
    REMOVED_IN_USE = "removed-in-use"
    CRASHED = "crashed"
    CRASHED_TOO_OFTEN = "crashed-too-often"
    IMAGE_UNUSABLE = "image-unusable"
    NO_NETWORK = "no-network"
    NO_AC_POWER = "no-ac-power"
    NO_TURN = "no-turn"
    NO_MEMORY = "no-memory"
    NO_DISK = "no-disk"
    NEVER_SETTLED = "never-settled"
    HYPERVISOR_UNREACHABLE = "hypervisor-unreachable"
    NOT_RECORDED = "not-recorded"
    WAKE_REFUSED = "wake-refused"
    STOPPED_BEFORE_WAKE = "stopped-before-wake"


class Restart(StrEnum):
    """What the restart mark says; weak signs never come this far."""

    NOT_REQUIRED = "not-required"
    REQUIRED = "required"
    IN_VAIN = "in-vain"  # required still, after restarts that did not help: only told


@dataclass(frozen=True, slots=True)
class GuestReport:
    """The guest's last word, fresh. Advice: it may stretch or shorten things within the caps."""

    boot_id: str
    busy: bool | None = None  # installing now
    nothing_left: bool | None = None  # its update clients have nothing left to do
    restart: Restart = Restart.NOT_REQUIRED


@dataclass(frozen=True, slots=True)
class Mark:
    """What the VM's live metadata says of us: which run woke which start. `another`: it is of
    another Guestwake on the same hypervisor."""

    token: str
    start_id: str
    another: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """One look. None: nobody could tell."""

    power: Power
    start: Start | None = None
    stopped_by: StoppedBy | None = None
    mark: Mark | None = None
    image_ok: bool | None = None  # of a saved VM; False: starting would discard it
    done: Verb | None = None  # the verb that was applied without complaint just before this look
    started: Deadline | None = None  # when the last START of this very process had returned
    trouble: Trouble | None = None  # how the hypervisor answered our last verb
    told: bool | None = None  # the guest's clock was set; False: tried, no answer; None: not tried
    evidence: Evidence = field(default_factory=Evidence)
    guest: GuestReport | None = None
    boot_id_before_rest: str | None = None  # of the last report before the VM was put to rest
    # Of the last report before it was put to rest: interactive ones. None: none ever came.
    sessions_before_rest: tuple[Session, ...] | None = None
    agreed: bool = False  # a restart may be done over what is going on in it, with notice
    fast_start_holds: bool = False  # Fast Start, and its user is logged on
    user_logged_on: bool = False  # whom Fast Start serves; told where it matters
    restart_marked: bool = False  # a restart is required, by what its guest once said
    owed_off: bool = False  # an earlier run left it saved that should be off
    told_to_stop: bool = False  # SIGTERM
    removed: bool = False  # the workspace is being taken off: put back first
    host: HostFacts = field(default_factory=HostFacts)
    others: tuple[Other, ...] = ()
    rivals: bool = False  # other workspaces have runs on this host, perhaps at this very hour
    memory: int = 0  # MiB of this VM
    last_window: datetime | None = None
    had: frozenset[date] = frozenset()  # local dates that had their window, or are to have none
    paused: bool = False  # no windows until further notice
    workspace: str = ""


@dataclass(frozen=True, slots=True)
class WakeRun:
    """What survives a crash. `start` None: not woken by us (yet)."""

    token: str
    kind: Kind
    chain: tuple[Opening, ...]  # windows that touch, one after the other
    length: timedelta  # Duration as it was when `ends` was last computed
    ends: Deadline
    phase: Phase
    since: Deadline  # when the phase, or its present try, began
    why: Why
    prior: Prior | None = None  # None: not settled yet
    parked: Power | None = None  # put to rest inside the window, as this; goes on later
    start: str | None = None  # identity of the start that is ours
    kept_memory: bool = True  # it came back from memory, with whatever sessions it had
    woke: Deadline | None = None
    first_awake: Deadline | None = None  # of all the times that this run woke it
    told: bool = False
    nudged: bool = False  # its update clients were asked to look, since this wake
    early_viewers: frozenset[str] = frozenset()
    used: bool = False
    users: tuple[str, ...] = ()  # who kept it awake at the last look, a few of them, for `status`
    crashes: int = 0
    restarts: int = 0
    restarted: Deadline | None = None
    boot_id_before: str | None = None  # of the guest, when we restarted it; None: not awaited
    goal: Goal | None = None
    parking: Why | None = None  # why it is put to rest though its window is still open
    forced: bool = False  # put to rest at once, whatever else: told to stop, host shuts down
    closing: bool = False  # the goal came from CloseAction
    owed_off: bool = False  # it is saved, and should really be off
    asked: Deadline | None = None  # when the present verb was last asked for; None: not under way
    idle: Deadline | None = None  # lent: since when nobody uses it
    tries: int = 0  # refusals of the present verb
    retry: Deadline | None = None  # not before
    asleep: float = 0.0  # seconds the host had slept when last looked
    resumed: Deadline | None = None
    power_changed: Deadline | None = None  # when AC power was last acted upon

    @property
    def dates(self) -> tuple[date, ...]:
        """The local dates whose windows this run serves; a person's own run has none."""
        return tuple(opening.date for opening in self.chain[self.kind in DATELESS :])


@dataclass(frozen=True, slots=True)
class Step:
    """What to do now. `over`: the run has ended with `why`. `leave`: the manager ends and the
    record stays open, to be gone on with. `mark`, `tell`, `nudge`, `unmark`: besides the verb."""

    run: WakeRun
    why: Why
    verb: Verb | None = None
    mark: bool = False
    tell: bool = False
    nudge: bool = False
    unmark: bool = False
    over: bool = False
    leave: bool = False
    look_again_at: Deadline | None = None
