"""A night with one VM: a small model of a VM that does what it is told, a clock that is moved,
and the policy between them. Tests set what somebody does at which minute, and look.

`take` is the one way into the policy. It keeps every `Why` that was returned, and holds every
single step against the rules that know no exception.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from guestwake.policy import close, common
from guestwake.policy.admission import Other
from guestwake.policy.in_use import By, Evidence, Reporter, Session, Use
from guestwake.policy.limits import CloseAction, Limits
from guestwake.policy.run import (
    Facts,
    Goal,
    GuestReport,
    Kind,
    Mark,
    Phase,
    Prior,
    Restart,
    Step,
    WakeRun,
    Why,
)
from guestwake.policy.wake import begin, next_step
from guestwake.policy.window import Opening, Schedule, opening, schedule_of
from guestwake.policy.words import (
    Deadline,
    HostFacts,
    Now,
    Power,
    Start,
    StoppedBy,
    Trouble,
    Verb,
)

DATE = date(2026, 6, 9)
UUID = "6f3f3c1e-0000-4000-8000-000000000001"
HOST_ZONE = ZoneInfo("UTC")
# A window of one hour, opening at midnight: minutes of the night are minutes of the window.
HOUR = Limits(guest_update_duration=timedelta(minutes=60))
NEVER_SLEPT_BEFORE = 100_000.0  # seconds that the host has been up at the opening

SEEN: set[Why] = set()

AT_REST = (Power.PAUSED, Power.SUSPENDED, Power.SAVED, Power.OFF)
LIVE = (Power.RUNNING, Power.PAUSED, Power.SUSPENDED)
WAKES = (Verb.START, Verb.RESUME, Verb.WAKE_UP)
SAVES = (Verb.SAVE, Verb.SAVE_PAUSED, Verb.PAUSE)
SHUTS_DOWN = (Verb.SHUT_DOWN, Verb.PRESS_POWER_BUTTON)


def take(
    run: WakeRun | Opening,
    facts: Facts,
    limits: Limits,
    schedule: Schedule,
    now: Now,
    *,
    kind: Kind = Kind.SCHEDULED,
) -> Step:
    """One step: the first of a run over an opening, or the next of a run."""
    if isinstance(run, Opening):
        step = begin(run, kind, "token", facts, limits, schedule, now)
    else:
        step = next_step(run, facts, limits, schedule, now)
    SEEN.add(step.why)
    _without_exception(step, facts, limits, now)
    return step


def _without_exception(step: Step, facts: Facts, limits: Limits, now: Now) -> None:
    run, verb = step.run, step.verb
    assert step.run.why is step.why
    if not step.over:
        assert step.look_again_at is not None
        assert not step.look_again_at.passed(now)
    if verb is None:
        return
    assert not step.over
    assert run.prior is not None  # recorded before the act
    if verb in WAKES:
        assert facts.power in AT_REST
        assert step.mark
        assert run.phase is Phase.WAKING
        if run.prior is Prior.SAVED_PAUSED and verb is Verb.RESUME:
            return  # the second half of a wake that is under way
        assert not run.ends.passed(now)
        assert not facts.removed
        assert not facts.host.shutting_down
        return
    assert facts.power in LIVE
    assert common.is_ours(run, facts, now)
    busy = common.is_busy(run, facts)
    at_risk = common.work_at_risk(run, facts, now)
    if verb is Verb.RESTART and facts.agreed:
        return
    if _who_counts(run, facts, limits, now, verb):
        assert facts.host.shutting_down
        assert verb in SAVES
    if verb is Verb.POWER_OFF:
        assert limits.close_action is CloseAction.TURN_OFF
        assert close.closes(run)
    if verb in SHUTS_DOWN:
        assert run.goal is Goal.OFF
        assert not busy
        assert not at_risk or (close.closes(run) and limits.close_action is CloseAction.SHUTDOWN)
    if verb is Verb.RESTART:
        assert close.is_for_use(run) or not run.ends.passed(now)
        assert not at_risk or limits.restart_in_window == 2


def _who_counts(
    run: WakeRun, facts: Facts, limits: Limits, now: Now, verb: Verb
) -> tuple[Use, ...]:
    """Who only waits to open something may see it restarted first; after the logoff of Fast
    Start's user the guest's word does not count."""
    if verb is Verb.RESTART:
        facts = replace(facts, evidence=replace(facts.evidence, openings=()))
    using = common.users(run, facts, limits, now)
    if run.kind is not Kind.FAST_START:
        return using
    return tuple(use for use in using if use.by is not By.GUEST)


@dataclass
class Night:
    """Everything that a look can show. Set it, move the clock with `until`, read `verbs`."""

    power: Power = Power.SAVED
    limits: Limits = HOUR
    kind: Kind = Kind.SCHEDULED
    opening: Opening | None = None
    # the VM
    start: Start | None = None
    stopped_by: StoppedBy | None = None
    mark: Mark | None = None
    image_ok: bool | None = None
    image_paused: bool = False
    refuses: Mapping[Verb, Trouble] = field(default_factory=dict)
    ignores: frozenset[Verb] = frozenset()
    # the guest: None of it is heard where it does not report
    reporter: Reporter = Reporter.NEVER
    guest_boot: int = 1
    boot_id_before_rest: str | None = None
    busy: bool | None = None
    nothing_left: bool | None = None
    restart: Restart = Restart.NOT_REQUIRED
    sessions: tuple[Session, ...] = ()
    sessions_before_rest: tuple[Session, ...] | None = None
    agent: bool = True
    # who uses it
    applications: tuple[str, ...] = ()
    openings: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    rdp: tuple[str, ...] = ()
    viewers: frozenset[str] = frozenset()
    fast_start_holds: bool = False
    user_logged_on: bool = False
    close_due: bool = False
    # the host and the command
    host: HostFacts = field(default_factory=HostFacts)
    others: tuple[Other, ...] = ()
    memory: int = 1024
    owed_off: bool = False
    told_to_stop: bool = False
    removed: bool = False
    agreed: bool = False
    had: frozenset[date] = frozenset()
    paused: bool = False
    # the clocks: seconds since the opening, how much of them slept, how far the wall was put
    seconds: float = 0.0
    slept: float = 0.0
    wall_put: timedelta = timedelta(0)
    boot: int = 1
    boot_began: float = -NEVER_SLEPT_BEFORE
    # what came of it
    run: WakeRun | None = None
    step: Step | None = None
    verbs: list[Verb] = field(default_factory=list)
    whys: list[Why] = field(default_factory=list)
    tells: int = 0
    done: Verb | None = None
    trouble: Trouble | None = None
    told: bool | None = None
    starts: int = 0

    def __post_init__(self) -> None:
        if self.power in LIVE and self.start is None:
            power = self.power
            self.starts_anew(at=-3600.0)
            self.power = power

    @property
    def schedule(self) -> Schedule:
        return schedule_of(self.limits, UUID, HOST_ZONE)

    @property
    def window(self) -> Opening:
        if self.opening is None:
            self.opening = opening(DATE, self.schedule)
        assert self.opening is not None
        return self.opening

    @property
    def record(self) -> WakeRun:
        assert self.run is not None
        return self.run

    @property
    def elapsed(self) -> float:
        return self.seconds - self.boot_began

    @property
    def over(self) -> bool:
        return self.step is not None and self.step.over

    @property
    def left(self) -> bool:
        return self.step is not None and self.step.leave

    @property
    def minute(self) -> float:
        return self.seconds / 60

    def now(self) -> Now:
        midnight = datetime.combine(DATE, datetime.min.time(), tzinfo=UTC)
        wall = midnight + timedelta(seconds=self.seconds) + self.wall_put
        return Now(wall, self.elapsed, f"boot-{self.boot}", self.slept)

    def set(self, **changes: Any) -> None:
        """Of this night, or of its settings by their names."""
        for name, value in changes.items():
            if hasattr(self, name):
                setattr(self, name, value)
            else:
                self.limits = replace(self.limits, **{name: value})

    def facts(self) -> Facts:
        running = self.power is Power.RUNNING
        heard = running and self.reporter is Reporter.FRESH
        return Facts(
            power=self.power,
            start=self.start if self.power in LIVE else None,
            stopped_by=self.stopped_by,
            mark=self.mark if self.power in LIVE else None,
            image_ok=self.image_ok if self.power is Power.SAVED else None,
            done=self.done,
            trouble=self.trouble,
            told=self.told,
            evidence=Evidence(
                applications=self.applications,
                openings=self.openings,
                holds=self.holds,
                rdp=self.rdp,
                viewers=self.viewers,
                reporter=self.reporter,
                sessions=self.sessions,
            ),
            guest=GuestReport(
                f"guest-boot-{self.guest_boot}", self.busy, self.nothing_left, self.restart
            )
            if heard
            else None,
            boot_id_before_rest=self.boot_id_before_rest,
            fast_start_holds=self.fast_start_holds,
            user_logged_on=self.user_logged_on,
            restart_marked=self.restart is Restart.REQUIRED,
            sessions_before_rest=self.sessions_before_rest,
            owed_off=self.owed_off,
            told_to_stop=self.told_to_stop,
            removed=self.removed,
            had=self.had,
            paused=self.paused,
            agreed=self.agreed,
            host=self.host,
            others=self.others,
            memory=self.memory,
            workspace="web01",
        )

    # the loop

    def look(self) -> Step:
        """One pass of the loop: look, decide, act. The clock stands still."""
        facts, now = self.facts(), self.now()
        self.done, self.trouble = None, None
        before = self.run or self.window
        step = take(before, facts, self.limits, self.schedule, now, kind=self.kind)
        self.run, self.step = step.run, step
        if not self.whys or self.whys[-1] is not step.why:
            self.whys.append(step.why)
        if step.tell:
            self.tells, self.told = self.tells + 1, self.agent
        if step.verb:
            self.verbs.append(step.verb)
            self._apply(step.verb)
        if step.mark and self.start:
            self.mark = Mark(step.run.token, self.start.id)
        if step.unmark:
            self.mark = None
        return step

    def until(self, minute: float) -> None:
        """Look whenever the policy asks for it, up to and at that minute."""
        looks = 0
        while not (self.over or self.left):
            step = self.look()
            looks = looks + 1 if step.verb else 0
            assert looks < 20, f"a storm of {step.verb}"
            if step.verb or step.over or step.leave:
                continue
            assert step.look_again_at is not None
            pause = step.look_again_at.left(self.now()).total_seconds()
            if self.seconds + pause >= minute * 60:
                break
            self.seconds += pause
        if not (self.over or self.left):
            self.seconds = max(self.seconds, minute * 60)

    def goes_on(self) -> None:
        """The same command once more, after a manager that left or died."""
        self.step, self.told_to_stop = None, False
        self.done = self.trouble = self.told = None

    # what happens to the VM

    def _apply(self, verb: Verb) -> None:
        if verb in self.refuses:
            self.trouble = self.refuses[verb]
            return
        self.done = verb
        if verb in self.ignores:
            return
        match verb:
            case Verb.START:
                if self.power is Power.OFF:
                    self.guest_boot += 1
                paused = self.power is Power.SAVED and self.image_paused
                self.starts_anew()
                self.power = Power.PAUSED if paused else Power.RUNNING
            case Verb.RESUME | Verb.WAKE_UP:
                self.power = Power.RUNNING
            case Verb.PAUSE:
                self.power = Power.PAUSED
            case Verb.SUSPEND:
                self.power = Power.SUSPENDED
            case Verb.SAVE | Verb.SAVE_PAUSED:
                self.image_paused = verb is Verb.SAVE_PAUSED
                self.stops(Power.SAVED)
            case Verb.SHUT_DOWN | Verb.PRESS_POWER_BUTTON:
                self.stops(Power.OFF, StoppedBy.GUEST)
            case Verb.POWER_OFF:
                self.stops(Power.OFF, StoppedBy.HOST)
            case Verb.RESTART:
                self.guest_boot += 1
                self.restart, self.sessions = Restart.NOT_REQUIRED, ()

    def starts_anew(self, at: float | None = None) -> None:
        """By anybody. `at`: elapsed seconds of the night; None: now."""
        self.starts += 1
        began = self.elapsed if at is None else at - self.boot_began
        self.start = Start(f"start-{self.starts}", began)
        self.power, self.stopped_by = Power.RUNNING, None

    def stops(self, power: Power, by: StoppedBy | None = StoppedBy.HOST) -> None:
        # The mark stays where it is: a saved image brings it back.
        self.power, self.start, self.stopped_by = power, None, by

    def host_restarts(self, power: Power = Power.OFF, minutes: float = 5) -> None:
        """Without a word: the manager and whatever ran are gone; `power` is what is found."""
        self.seconds += minutes * 60
        self.boot, self.boot_began, self.slept = self.boot + 1, self.seconds - 60, 0.0
        if self.power in LIVE:
            self.stops(power, None)
        self.host = HostFacts()
        self.goes_on()

    def host_sleeps(self, minutes: float) -> None:
        self.seconds += minutes * 60
        self.slept += minutes * 60

    def session(self, user: str, since: float, saw: float | None = None) -> Session:
        """`since` and last input (`saw`) in minutes of the night."""
        base = -self.boot_began
        return Session(user, base + since * 60, None if saw is None else base + saw * 60)


Event = Callable[[Night], None]


def sets(**changes: Any) -> Event:
    """An event: what is otherwise from now on."""
    return lambda night: night.set(**changes)


def signs_in(user: str = "alice", *, types: bool = True) -> Event:
    """Somebody, or an automatic logon, in the guest."""

    def event(night: Night) -> None:
        saw = night.minute if types else None
        night.sessions = (*night.sessions, night.session(user, night.minute, saw))

    return event


def stops(power: Power, by: StoppedBy | None = StoppedBy.HOST) -> Event:
    return lambda night: night.stops(power, by)


def started_by_somebody(night: Night) -> None:
    """Stopped, and started anew by hand, between two looks."""
    night.starts_anew()


def crashes(night: Night) -> None:
    night.stops(Power.OFF, StoppedBy.CRASH)


@dataclass(frozen=True)
class Case:
    """A sentence of the contract, and a night that shows it.

    `verbs`: all that the hypervisor was asked, in order. `left`: the state at the end; None: as
    it began. `passed`: answers on the way, in order. `at`: the minute of the end.
    """

    says: str
    why: Why
    verbs: str = "start save"
    power: Power = Power.SAVED
    left: Power | None = None
    limits: Mapping[str, Any] = field(default_factory=dict)
    night: Mapping[str, Any] = field(default_factory=dict)
    events: Mapping[float, Event] = field(default_factory=dict)
    passed: tuple[Why, ...] = ()
    at: float | None = None
    until: float = 60 * 30


def play(case: Case) -> Night:
    night = Night(power=case.power, limits=replace(HOUR, **case.limits), **dict(case.night))
    for minute, event in sorted(case.events.items()):
        if minute > 0:
            night.until(minute)
        event(night)
    night.until(case.until)
    return night


def check(case: Case) -> None:
    night = play(case)
    assert night.whys[-1] is case.why, night.whys
    assert " ".join(night.verbs) == case.verbs, night.whys
    assert night.power is (case.left or case.power)
    reached = iter(night.whys)
    assert all(why in reached for why in case.passed), night.whys
    if case.at is not None:
        assert abs(night.minute - case.at) < 0.1, night.minute


def other(workspace: str = "db01", **changes: Any) -> Other:
    """Another workspace's run: alive, and neither waiting, waking nor awake unless said so."""
    values: dict[str, Any] = {
        "alive": True,
        "waiting": None,
        "slot": None,
        "woke": None,
        "awake": False,
        "memory": 1024,
        "image": 1024,
        "last_window": None,
    }
    return Other(workspace=workspace, **(values | changes))


def ago(night: Night, minutes: float) -> Deadline:
    return night.now().after(timedelta(minutes=-minutes))


def named(cases: list[Case]) -> dict[str, Any]:
    """For `parametrize`: the sentences are the names of the tests."""
    return {"argvalues": cases, "ids": [case.says for case in cases]}
