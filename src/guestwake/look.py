"""Back ends to `Facts`: one look at a VM, its host and who uses it.

Trouble becomes "unknown", never an exception. Nothing here decides, waits or writes.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import lru_cache

from guestwake.guest_report import Word, understood
from guestwake.hosts.api import Host
from guestwake.hypervisors.api import (
    Hypervisor,
    HypervisorError,
    MarksStart,
    PowerState,
    ReadsSavedImage,
    TellsAddresses,
    TellsViewers,
    Unreachable,
)
from guestwake.journal import Hold, Journal, OpenRun, Said
from guestwake.journal_applications import OpenedRow
from guestwake.policy.in_use import Evidence
from guestwake.policy.prompt import Prompt, about, is_agreed
from guestwake.policy.restart import RestartMark
from guestwake.policy.run import Facts, Mark, WakeRun
from guestwake.policy.words import Now, Power
from guestwake.record import dump_run, load_run
from guestwake.workspaces import Workspace

log = logging.getLogger(__name__)

DESKTOP = "its desktop"
_LIVE = (Power.RUNNING, Power.PAUSED, Power.SUSPENDED)
_DATES_MATTER = timedelta(days=31)  # a step of the clock, or of the zone, is less


class Senses:
    """What a hypervisor can tell, found out once: to ask whether it can costs more than to ask."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self.state = hypervisor.state
        self.marks = hypervisor if isinstance(hypervisor, MarksStart) else None
        self.images = hypervisor if isinstance(hypervisor, ReadsSavedImage) else None
        self.viewers = hypervisor if isinstance(hypervisor, TellsViewers) else None
        self.addresses = hypervisor if isinstance(hypervisor, TellsAddresses) else None


@dataclass(frozen=True, slots=True)
class Witness:
    """What the VM's own metadata says: the run that woke it, as it was recorded then. `by`: which
    Guestwake it was."""

    run: WakeRun
    start_id: str
    by: str


@dataclass(frozen=True, slots=True)
class Noted:
    """What the journal knows of a workspace besides its run. `holds`: those that are over too."""

    holds: tuple[Hold, ...] = ()
    opened: tuple[OpenedRow, ...] = ()
    published: bool = False
    last_window: datetime | None = None
    owed_off: bool = False
    had: frozenset[date] = frozenset()  # of the dates that matter now, skipped ones too
    paused_until: datetime | None = None
    said: Said | None = None
    restart_mark: RestartMark | None = None
    prompt: Prompt | None = None
    stands: bool = False  # a standing event of it


@dataclass(frozen=True, slots=True)
class Rivals:
    """The other workspaces. `ever`: they have had runs here; `runs`: those that are open now, each
    with the end of the last window that its workspace had."""

    ever: bool = False
    runs: tuple[tuple[OpenRun, datetime | None], ...] = ()


class Notes:
    """What the journal knows, for the manager of one workspace; read again only where somebody has
    written since. Raises JournalError."""

    def __init__(self, journal: Journal, workspace: str) -> None:
        self._journal, self._workspace = journal, workspace
        self._noted: Noted | None = None
        self._has_heard = False
        self._noted_of: object = None  # the edition, and what else the answer depends on
        self._rivals = Rivals()
        self._rivals_of: object = None

    def noted(self, now: Now) -> Noted:
        of = self._journal.edition(), now.wall.date()
        if self._noted is None or of != self._noted_of:
            self._noted = self._read(now.wall.date() - _DATES_MATTER)
            self._noted_of = of
        elif self._has_heard:
            self._noted = replace(self._noted, said=self._journal.said(self._workspace))
        self._has_heard = False
        return self._noted

    def heard(self) -> None:
        """What its guest says has been kept anew, here: that alone is read again."""
        self._has_heard = True

    def rivals(self) -> Rivals:
        of = self._journal.edition()
        if of != self._rivals_of:
            journal, workspace = self._journal, self._workspace
            open_runs = journal.open_runs(but=workspace)
            self._rivals = Rivals(
                self._rivals.ever or journal.has_others(workspace),
                tuple((one, journal.last_window(one.workspace)) for one in open_runs),
            )
            self._rivals_of = of
        return self._rivals

    def _read(self, since: date) -> Noted:
        journal, workspace = self._journal, self._workspace
        return Noted(
            holds=tuple(journal.holds(workspace)),
            opened=tuple(journal.opened(workspace)),
            published=journal.has_published(workspace),
            last_window=journal.last_window(workspace),
            owed_off=journal.owed_off(workspace),
            had=journal.had(workspace, since),
            paused_until=journal.paused_until(workspace),
            said=journal.said(workspace),
            restart_mark=journal.restart_mark(workspace),
            prompt=journal.prompt(workspace),
            stands=journal.standing(workspace) is not None,
        )


@dataclass(frozen=True, slots=True)
class Look:
    facts: Facts
    witness: Witness | None
    trouble: str | None  # the hypervisor's words, where it could not be asked


def look(
    senses: Senses,
    host: Host,
    workspace: Workspace,
    *,
    noted: Noted,
    now: Now,
    by: str,
) -> Look:
    """One look. What the loop alone knows (its own last verb, signals, the others) it adds. `by`:
    who we are; another Guestwake's witness is none for us."""
    state, trouble = _state(senses, workspace)
    word = understood(noted.said, noted.restart_mark, state.start, now)
    evidence, witness = _opened(host, noted), None
    if state.power in _LIVE:
        try:
            evidence = _evidence(senses, host, workspace, evidence, _holds(noted, now), word)
            witness = _witness(senses, workspace)
        except HypervisorError as err:  # nothing may be decided on half a look
            state, trouble = PowerState(Power.UNKNOWN), str(err)
    facts = Facts(
        power=state.power,
        start=state.start,
        stopped_by=state.stopped_by,
        mark=Mark(witness.run.token, witness.start_id, witness.by != by) if witness else None,
        image_ok=_image_ok(senses, workspace) if state.power is Power.SAVED else None,
        evidence=evidence,
        guest=word.guest if state.power is Power.RUNNING else None,
        boot_id_before_rest=word.boot_id_before_rest,
        sessions_before_rest=word.sessions if noted.said else None,
        agreed=_agreed(noted, now),
        restart_marked=noted.restart_mark is not None and not noted.restart_mark.is_in_vain,
        owed_off=noted.owed_off,
        host=host.look(workspace.image_folder),
        memory=workspace.memory,
        last_window=noted.last_window,
        had=noted.had,
        paused=noted.paused_until is not None and now.wall < noted.paused_until,
        workspace=workspace.uuid,
    )
    return Look(facts, witness if witness and witness.by == by else None, trouble)


def mark_text(run: WakeRun, start_id: str, by: str) -> str:
    """What is written into the VM's live metadata: the run, the start that it woke, and which
    Guestwake did."""
    return json.dumps({"by": by, "start": start_id, "run": dump_run(run)})


def _holds(noted: Noted, now: Now) -> tuple[str, ...]:
    return tuple(hold.reason for hold in noted.holds if hold.until > now.wall)


def _agreed(noted: Noted, now: Now) -> bool:
    mark = noted.restart_mark
    return mark is not None and is_agreed(about(noted.prompt, mark), now)


def _state(senses: Senses, workspace: Workspace) -> tuple[PowerState, str | None]:
    try:
        return senses.state(workspace.vm), None
    except HypervisorError as err:
        log.debug("state of '%s': %s", workspace.name, err)
        return PowerState(Power.UNKNOWN), str(err)


def _witness(senses: Senses, workspace: Workspace) -> Witness | None:
    try:
        text = senses.marks.marked(workspace.vm) if senses.marks else None
        return _said_by_mark(text) if text is not None else None
    except Unreachable:
        raise
    except (HypervisorError, ValueError, LookupError, TypeError, RecursionError) as err:
        # Anybody may write there; what is not ours is nothing.
        log.debug("mark of '%s': %s", workspace.name, err)
        return None


@lru_cache(maxsize=16)
def _said_by_mark(text: str) -> Witness:
    """Remembered by its text, as it is read at each pass."""
    said = json.loads(text)
    return Witness(load_run(said["run"]), str(said["start"]), str(said["by"]))


def _image_ok(senses: Senses, workspace: Workspace) -> bool | None:
    try:
        return senses.images.saved_image_ok(workspace.vm) if senses.images else None
    except HypervisorError as err:
        log.debug("saved image of '%s': %s", workspace.name, err)
        return None


def _opened(host: Host, noted: Noted) -> Evidence:
    """What is open, and what is about to be, by the processes that still live."""
    alive = [row for row in noted.opened if any(map(host.is_alive, row.processes))]
    return Evidence(
        applications=tuple(row.application or DESKTOP for row in alive if row.shown),
        openings=tuple(row.application or DESKTOP for row in alive if not row.shown),
    )


def _evidence(
    senses: Senses,
    host: Host,
    workspace: Workspace,
    opened: Evidence,
    holds: tuple[str, ...],
    word: Word,
) -> Evidence:
    """Raises HypervisorError."""
    return replace(
        opened,
        holds=holds,
        rdp=_rdp(senses, host, workspace),
        viewers=_viewers(senses, workspace),
        reporter=word.reporter,
        sessions=word.sessions,
    )


def _viewers(senses: Senses, workspace: Workspace) -> frozenset[str]:
    there = senses.viewers.viewers(workspace.vm) if senses.viewers else None
    return there or frozenset()


def _rdp(senses: Senses, host: Host, workspace: Workspace) -> tuple[str, ...]:
    peers = host.rdp_peers()
    if not peers or senses.addresses is None:
        return ()
    return tuple(sorted(peers & senses.addresses.addresses(workspace.vm)))
