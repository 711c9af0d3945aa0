"""The Guest Update Manager: one loop over one workspace, from the opening to "put back".

Look, decide, save, act, wait. It decides nothing: `policy/wake.py` does. It goes on from the
journal, so that after a crash the same command is all that is needed. What cannot be recorded is
not woken; what was woken is put back all the same.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from guestwake import event_log, guest_agent
from guestwake.channels.api import Parses
from guestwake.clock import Clock
from guestwake.conversation import Conversation
from guestwake.events import OF_WHY
from guestwake.guest_report import keep, keep_installed, said_of
from guestwake.hosts.api import Host
from guestwake.hypervisors.api import (
    AsksGuestAgent,
    Hypervisor,
    HypervisorError,
    OpensChannel,
    SetsGuestClock,
    TellsChanges,
)
from guestwake.journal import Journal, Said
from guestwake.journal_file import JournalDamaged, JournalError
from guestwake.locks import is_held
from guestwake.look import Look, Noted, Notes, Rivals, Senses, look, mark_text
from guestwake.policy import close
from guestwake.policy.admission import Other
from guestwake.policy.adopt import adopted, is_behind
from guestwake.policy.limits import Limits
from guestwake.policy.prompt import Answer, answer, tried, used_up
from guestwake.policy.put_back import slot_since
from guestwake.policy.run import Facts, Kind, Mark, Phase, Step, WakeRun, Why
from guestwake.policy.wake import begin, next_step, waits_for
from guestwake.policy.window import Opening, Schedule
from guestwake.policy.words import Deadline, Now, Power, Start, Trouble, Verb
from guestwake.workspaces import Workspace
from guestwake_wire.messages import Nudge, Report, RestartNotice

log = logging.getLogger(__name__)

# A deadline that is less than a rounding away is not asked for again and again.
WAIT_MIN = 0.001  # seconds

# Seconds: before the agent is asked, for the guest's own service to answer; and between two asks.
AGENT_WAITS = 20.0
AGENT_ASKED_EACH = 60.0

HEARS_AGAIN = 0.5  # seconds

_WINDOW_OPEN = (Phase.WATCHING, Phase.HOLDING, Phase.RESTARTING)
_ENDS_REST = (Verb.START, Verb.RESUME, Verb.WAKE_UP)
_WAKES = (*_ENDS_REST, Verb.RESTART)
_AWAKE = (Phase.WAKING, Phase.HOLDING, Phase.RESTARTING, Phase.LENT, Phase.RESTORING)


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a new run is for."""

    opening: Opening
    kind: Kind


@dataclass(frozen=True, slots=True)
class Settings:
    """As they are now; asked for anew at each pass."""

    limits: Limits
    schedule: Schedule


class Office(Protocol):
    """What the loop asks of the one who runs it, at each pass."""

    def settings(self) -> Settings: ...

    def renew_journal(self) -> None:
        """Where another file has taken its place, or it is damaged. Raises JournalError."""
        ...

    def removing(self) -> bool: ...
    def told_to_stop(self) -> bool: ...
    def progress(self, step: Step, now: Now) -> None: ...


@dataclass(frozen=True, slots=True)
class World:
    """The back ends of one workspace. `locks`: the folder of all workspaces' locks. `by`: which
    Guestwake this is, as it signs what it marks. `opens`: the way to its guest, where it is not the
    hypervisor's; None: that, if it has one."""

    hypervisor: Hypervisor
    host: Host
    parser: Parses
    journal: Journal
    clock: Clock
    locks: Path
    by: str
    opens: OpensChannel | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """`over` False: the manager was told to stop, and the record stays open."""

    run: WakeRun
    why: Why
    over: bool
    detail: str


@dataclass(frozen=True, slots=True)
class _Acted:
    """What the last act came to, for the next look."""

    done: Verb | None = None
    trouble: Trouble | None = None
    detail: str = ""
    told: bool | None = None
    mark: Mark | None = None  # known to this process, also where no metadata can be written
    started: Deadline | None = None  # when the last START had returned


@lru_cache(maxsize=256)
def lock_of(locks: Path, workspace: str) -> Path:
    return locks / f"{workspace}.lock"


class UpdateManager:
    """One run at a time. The caller holds the workspace's lock."""

    def __init__(self, world: World, workspace: Workspace, office: Office) -> None:
        self._world = world
        self._workspace = workspace
        self._office = office
        self._run: WakeRun | None = None
        self._told: WakeRun | None = None  # as it was when its events could be told last
        self._acted = _Acted()
        self._senses = Senses(world.hypervisor)
        self._notes = Notes(world.journal, workspace.uuid)
        self._known = Noted()  # as it could be read last
        self._user_logged_on: bool | None = None  # as could be told last; None: never
        self._unkept: Said | None = None  # by the guest, and the journal could not take it
        if isinstance(world.hypervisor, TellsChanges):
            world.hypervisor.on_change(world.clock.hurry)
        opens = world.opens
        if opens is None and isinstance(world.hypervisor, OpensChannel):
            opens = world.hypervisor
        self._talk = (
            Conversation(world.hypervisor, opens, workspace.vm, world.parser, world.clock.hurry)
            if opens is not None
            else None
        )
        self._agent = (
            guest_agent.AgentReporter(world.hypervisor, workspace.vm)
            if isinstance(world.hypervisor, AsksGuestAgent)
            else None
        )
        self._running_since: float | None = None  # elapsed seconds; None: it did not run just now
        self._agent_asked = -AGENT_ASKED_EACH

    def run(self, occasion: Occasion | None) -> Ended | None:
        """Go on with the open run, or begin one for `occasion`. None: neither is there."""
        try:
            return self._go_on(occasion)
        finally:
            if self._talk is not None:
                self._talk.end()

    def hear(self, patience: float, is_over: Callable[[], bool]) -> None:
        """Outside of runs: what the guest has to say by now, for so many seconds at most, and until
        there is something better to do. One that does not run says nothing, and is not waited
        for."""
        clock = self._world.clock
        until = clock.now().elapsed + patience
        try:
            while not (self._listen() or is_over()) and self._runs():
                if clock.now().elapsed >= until:
                    break
                clock.wait(HEARS_AGAIN)
        finally:
            if self._talk is not None:
                self._talk.end()

    def _runs(self) -> bool:
        try:
            return self._world.hypervisor.state(self._workspace.vm).power is Power.RUNNING
        except HypervisorError:
            return False

    def restart_answer(self) -> Answer:
        """What one look at the VM comes to, where a restart is required and no run is open.
        Raises JournalError."""
        try:
            self._listen()
            seen, noted = self._look(), self._noted()
            now = self._world.clock.now()
            mark = noted.restart_mark
            found = answer(mark, noted.prompt, seen.facts, now)
            if mark is not None:
                self._world.journal.change_prompt(
                    self._workspace.uuid, lambda before: tried(before, mark, found, now)
                )
            return found
        finally:
            if self._talk is not None:
                self._talk.end()

    def _go_on(self, occasion: Occasion | None) -> Ended | None:
        self._run, self._acted = self._open_run(), _Acted()
        self._told = self._run
        while True:
            self._listen()
            seen = self._look()
            if self._run is None or is_behind(self._run, seen.facts):
                self._run = self._told = self._adopted(seen) or self._run
            if self._run is None and occasion is None:
                return None
            step, recorded = self._decide(seen, occasion)
            self._tell_window(step)
            self._act(step, seen, recorded=recorded)
            if step.over:
                self._finish(step)
            if step.over or step.leave:
                return Ended(step.run, step.why, step.over, self._acted.detail)
            if step.verb is None or not recorded:
                self._wait(step)

    # listen

    def _listen(self) -> bool:
        """The guest's word into the journal, from its own service or else from its agent. Whether
        its service has said something."""
        now = self._world.clock.now()
        try:
            report = self._talk.listen(now) if self._talk else None
            if report is not None and self._talk and self._talk.start:
                self._keep(report, self._talk.start, now, "service", self._talk.refused)
                return True
            if self._is_time_to_ask_agent(now):
                self._ask_agent(now)
        except HypervisorError as err:  # the look will say so
            log.debug("'%s' is not listened to: %s", self._workspace.name, err)
        return False

    def _is_time_to_ask_agent(self, now: Now) -> bool:
        if self._agent is None:
            return False
        answered = self._talk is not None and self._talk.is_answered
        if answered or self._running_since is None:
            return False
        due = max(self._running_since + AGENT_WAITS, self._agent_asked + AGENT_ASKED_EACH)
        return now.elapsed >= due and self._office.settings().limits.ask_guest_agent

    def _ask_agent(self, now: Now) -> None:
        """Raises HypervisorError."""
        assert self._agent is not None
        self._agent_asked = now.elapsed
        hypervisor, vm = self._world.hypervisor, self._workspace.vm
        before = hypervisor.state(vm)
        report = self._agent.ask(now.wall)
        after = hypervisor.state(vm)
        if report is not None and before.start is not None and before.start == after.start:
            self._keep(report, before.start, now, "agent", 0)

    def _keep(self, report: Report, start: Start, now: Now, by: str, refused: int) -> None:
        journal, workspace, run = self._world.journal, self._workspace.uuid, self._run
        try:
            keep(journal, workspace, report, start, now, by=by, refused=refused)
            self._notes.heard()
            self._unkept = None
            if run is not None and (awake := run.first_awake or _watched_since(run)):
                keep_installed(journal, workspace, run.token, report, -awake.left(now))
        except JournalError as err:
            log.warning("what '%s' reports cannot be kept: %s", self._workspace.name, err)
            before = self._unkept or self._known.said
            self._unkept = said_of(report, start, now, by=by, refused=refused, before=before)

    def _tell_window(self, step: Step) -> None:
        if self._talk is not None:
            now = self._world.clock.now()
            open_ = step.run.phase in _WINDOW_OPEN and not step.over
            left = step.run.ends.left(now) if open_ else None
            awake = step.run.first_awake or step.run.since
            self._talk.tell_window(left, -awake.left(now), now)

    # look

    def _look(self) -> Look:
        now = self._world.clock.now()
        seen = look(
            self._senses,
            self._world.host,
            self._workspace,
            noted=self._noted(),
            now=now,
            by=self._world.by,
        )
        if seen.facts.power is not Power.RUNNING:
            self._running_since = None
        elif self._running_since is None:
            self._running_since = now.elapsed
        return seen

    def _noted(self) -> Noted:
        """Who uses it is not forgotten where the journal fails meanwhile."""
        try:
            self._known = self._notes.noted(self._world.clock.now())
        except JournalError as err:
            log.warning("journal: %s; it is as it was last", err)
        return replace(self._known, said=self._unkept) if self._unkept else self._known

    # decide and save

    def _open_run(self) -> WakeRun | None:
        try:
            return self._world.journal.run(self._workspace.uuid)
        except JournalDamaged as err:
            log.error("%s; going by what the VM itself says", err)
            return None

    def _adopted(self, seen: Look) -> WakeRun | None:
        """The run that the VM's own metadata tells of, where the journal knows of none, or of an
        earlier one. The mark of one that is over could not be taken off then, and is now."""
        if seen.witness is None:
            return None
        known = self._world.journal.is_known(seen.witness.run.token)
        if known and self._run is None:
            self._unmark()
        return adopted(seen.witness.run, seen.witness.start_id, seen.facts, known=known)

    def _decide(self, seen: Look, occasion: Occasion | None) -> tuple[Step, bool]:
        """The step, and whether it is on record. Others are counted, and the record written, in
        one transaction."""
        now = self._world.clock.now()
        recorded = True
        try:
            self._office.renew_journal()
            with self._world.journal.turn():
                step = self._weigh(seen, occasion, self._notes.rivals(), now)
                self._world.journal.save(
                    self._workspace.uuid, step.run, memory=self._workspace.memory
                )
                self._tell_events(self._told, step, seen, now)
                self._let_open(step, seen)
            self._told = step.run
        except JournalError as err:
            log.error("'%s' cannot be recorded: %s", self._workspace.name, err)
            step, recorded = self._weigh(seen, occasion, Rivals(), now), False
        if recorded or step.verb not in _ENDS_REST:  # not woken: somebody else may wake it
            self._run = step.run
        self._office.progress(step, now)
        return step, recorded

    def _is_user_there(self, kind: Kind, limits: Limits) -> bool:
        """Whether whom Fast Start serves is logged on. What cannot be told any more is as it was,
        also with the manager before: a bus that is away ends no logon."""
        if kind is not Kind.FAST_START and not (
            self._known.published and limits.logon_start_enabled
        ):
            return False
        logons = self._world.host.logons()
        if logons is not None:
            since = close.user_since(logons, self._workspace.owner, limits)
            self._user_logged_on = since is not None
        elif self._user_logged_on is None:
            goes = self._run is not None and self._run.phase is Phase.RESTORING
            self._user_logged_on = kind is Kind.FAST_START and not goes
        return self._user_logged_on is True

    def _let_open(self, step: Step, seen: Look) -> None:
        """Who waits to open an application is told when it can be, and that it cannot any more."""
        limits, now = self._office.settings().limits, self._world.clock.now()
        ready = close.may_open(step, seen.facts, limits, now)
        if any(row.ready != ready for row in self._known.opened):
            self._world.journal.ready_to_open(self._workspace.uuid, ready=ready)

    def _weigh(self, seen: Look, occasion: Occasion | None, rivals: Rivals, now: Now) -> Step:
        began, settings = self._run or occasion, self._office.settings()
        assert began is not None
        facts = self._facts(seen, began.kind, settings.limits, rivals)
        if self._run is not None:
            return next_step(self._run, facts, settings.limits, settings.schedule, now)
        assert occasion is not None
        return begin(
            occasion.opening,
            occasion.kind,
            uuid.uuid4().hex,
            facts,
            settings.limits,
            settings.schedule,
            now,
        )

    def _facts(self, seen: Look, kind: Kind, limits: Limits, rivals: Rivals) -> Facts:
        """What was seen, with what this process alone knows."""
        is_there = self._is_user_there(kind, limits)
        return replace(
            seen.facts,
            mark=seen.facts.mark or self._acted.mark,
            done=self._acted.done,
            started=self._acted.started,
            trouble=self._acted.trouble,
            told=self._acted.told,
            told_to_stop=self._office.told_to_stop(),
            removed=self._office.removing(),
            user_logged_on=is_there,
            fast_start_holds=is_there and self._known.published and limits.logon_start_enabled,
            rivals=rivals.ever,
            others=self._others(rivals),
        )

    def _others(self, rivals: Rivals) -> tuple[Other, ...]:
        return tuple(
            Other(
                workspace=other.workspace,
                alive=is_held(lock_of(self._world.locks, other.workspace)),
                waiting=waits_for(other.run),
                slot=slot_since(other.run),
                woke=other.run.woke,
                awake=other.run.phase in _AWAKE,
                memory=other.memory,
                image=other.memory,
                last_window=last_window,
            )
            for other, last_window in rivals.runs
        )

    def _tell_events(self, before: WakeRun | None, step: Step, seen: Look, now: Now) -> None:
        """An event for each change of `why`, one for a window where it says so."""
        journal, uuid_, why = self._world.journal, self._workspace.uuid, step.why
        event = OF_WHY[why]
        of_last_verb = self._acted.trouble or step.over or event.standing
        detail = (self._acted.detail if of_last_verb else "") or seen.trouble or ""
        goes, stands = step.run.phase is Phase.RESTORING and not step.over, self._known.stands
        if event.standing:
            journal.stand(uuid_, why, now.wall, detail)
        elif not goes and (stands or step.over):
            journal.unstand(uuid_)
        if before is not None and before.why is why and before.phase is step.run.phase:
            return
        if stands and goes:  # told already, and it stands in `status` until it works
            return
        alike = [other for other, known in OF_WHY.items() if known.id == event.id]
        if event.once and journal.was_told(step.run.token, alike):
            return
        kept = event.level <= self._office.settings().limits.event_log_level
        event_log.write(event, name=self._workspace.name, detail=detail, recorded=kept)
        if kept:
            journal.tell(uuid_, step.run.token, why, now.wall, detail)

    # act

    def _act(self, step: Step, seen: Look, *, recorded: bool) -> None:
        acted = self._acted
        if acted.done or acted.trouble or (acted.told is not None and step.run.woke is None):
            told = acted.told if step.run.woke is not None else None
            self._acted = replace(acted, done=None, trouble=None, told=told)
        if step.verb is None:
            if step.mark and seen.facts.start:
                self._mark(step.run, seen.facts.start.id)
        elif step.verb in _WAKES and not recorded:
            self._acted = replace(self._acted, trouble=Trouble.NOT_RECORDED, detail="")
        else:
            self._apply(step, step.verb, seen)
        if step.tell:
            self._acted = replace(self._acted, told=self._set_clock())
        if step.nudge:
            self._nudge()
        if step.unmark:
            self._unmark()

    def _apply(self, step: Step, verb: Verb, seen: Look) -> None:
        hypervisor, vm = self._world.hypervisor, self._workspace.vm
        if verb is Verb.RESTART:
            self._before_restart()
        if step.mark and seen.facts.start:  # it is in memory already: the mark comes first
            self._mark(step.run, seen.facts.start.id)
        try:
            hypervisor.apply(vm, verb)
        except HypervisorError as err:
            log.warning("%s; the next look tells what comes of it", err)
            self._acted = replace(self._acted, trouble=err.trouble, detail=str(err))
            return
        started = self._world.clock.now().after(timedelta(0))
        self._acted = _Acted(
            done=verb,
            mark=self._acted.mark,
            started=started if verb is Verb.START else self._acted.started,
        )
        if step.mark and not seen.facts.start:
            self._mark_new_start(step.run)

    def _before_restart(self) -> None:
        """The guest is told; what people have agreed to was this one restart."""
        journal, workspace = self._world.journal, self._workspace.uuid
        if self._talk is not None:
            self._talk.say(RestartNotice(0))
        try:
            now = self._world.clock.now()
            journal.change_prompt(workspace, lambda before: before and used_up(before, now))
        except JournalError as err:
            log.warning("the prompt of '%s' cannot be kept: %s", self._workspace.name, err)

    def _mark_new_start(self, run: WakeRun) -> None:
        try:
            start = self._world.hypervisor.state(self._workspace.vm).start
        except HypervisorError as err:  # the next look marks it
            log.debug("start of '%s': %s", self._workspace.name, err)
            return
        if start is not None:
            self._mark(run, start.id)

    def _mark(self, run: WakeRun, start_id: str) -> None:
        self._acted = replace(self._acted, mark=Mark(run.token, start_id))
        if self._senses.marks is None:
            return
        try:
            text = mark_text(run, start_id, self._world.by)
            self._senses.marks.mark(self._workspace.vm, text)
        except HypervisorError as err:
            log.warning("mark on '%s': %s; going by the journal alone", self._workspace.name, err)

    def _unmark(self) -> None:
        if self._senses.marks is None:
            return
        try:
            self._senses.marks.unmark(self._workspace.vm)
        except HypervisorError as err:
            log.debug("unmark of '%s': %s", self._workspace.name, err)

    def _set_clock(self) -> bool:
        hypervisor, vm = self._world.hypervisor, self._workspace.vm
        if not isinstance(hypervisor, SetsGuestClock):
            return False
        try:
            hypervisor.set_guest_clock(vm, self._world.clock.now().wall)
        except HypervisorError as err:
            log.debug("clock of '%s': %s", self._workspace.name, err)
            return False
        return True

    def _nudge(self) -> None:
        """By its own service, and where none has answered by its agent."""
        hypervisor = self._world.hypervisor
        if self._talk is not None and self._talk.is_answered:
            self._talk.say(Nudge())
        elif isinstance(hypervisor, AsksGuestAgent):
            try:
                guest_agent.nudge(hypervisor, self._workspace.vm)
            except HypervisorError as err:
                log.info("'%s' could not be nudged: %s", self._workspace.name, err)

    def _finish(self, step: Step) -> None:
        now = self._world.clock.now()
        try:
            self._world.journal.finish(self._workspace.uuid, step.run, step.why, now.wall)
        except JournalError as err:
            log.error("the end of '%s' cannot be recorded: %s", self._workspace.name, err)

    def _wait(self, step: Step) -> None:
        clock = self._world.clock
        if step.look_again_at is None:
            return
        left = step.look_again_at.left(clock.now()).total_seconds()
        within = self._talk.look_within if self._talk else None
        if within is not None:
            left = min(left, within.total_seconds())
        clock.wait(max(WAIT_MIN, left))


def _watched_since(run: WakeRun) -> Deadline | None:
    return run.since if run.phase is Phase.WATCHING else None
