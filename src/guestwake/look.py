"""Back ends to `Facts`: one look at a VM, its host and who uses it.

Trouble becomes "unknown", never an exception. Nothing here decides, waits or writes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

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
from guestwake.journal import Said
from guestwake.journal_applications import OpenedRow
from guestwake.policy.in_use import Evidence
from guestwake.policy.prompt import Prompt, about, is_agreed
from guestwake.policy.restart import RestartMark
from guestwake.policy.run import Facts, Mark, WakeRun
from guestwake.policy.words import Now, Power
from guestwake.record import RecordError, dump_run, load_run
from guestwake.workspaces import Workspace

log = logging.getLogger(__name__)

DESKTOP = "its desktop"
_LIVE = (Power.RUNNING, Power.PAUSED, Power.SUSPENDED)


@dataclass(frozen=True, slots=True)
class Witness:
    """What the VM's own metadata says: the run that woke it, as it was recorded then. `by`: which
    Guestwake it was."""

    run: WakeRun
    start_id: str
    by: str


@dataclass(frozen=True, slots=True)
class Noted:
    """What the journal knows of a workspace besides its run."""

    holds: tuple[str, ...] = ()
    opened: tuple[OpenedRow, ...] = ()
    published: bool = False
    last_window: datetime | None = None
    owed_off: bool = False
    had: frozenset[date] = frozenset()  # of the dates that matter now, skipped ones too
    paused: bool = False
    said: Said | None = None
    restart_mark: RestartMark | None = None
    prompt: Prompt | None = None


@dataclass(frozen=True, slots=True)
class Look:
    facts: Facts
    witness: Witness | None
    trouble: str | None  # the hypervisor's words, where it could not be asked


def look(
    hypervisor: Hypervisor,
    host: Host,
    workspace: Workspace,
    *,
    noted: Noted,
    now: Now,
    by: str,
) -> Look:
    """One look. What the loop alone knows (its own last verb, signals, the others) it adds. `by`:
    who we are; another Guestwake's witness is none for us."""
    state, trouble = _state(hypervisor, workspace)
    word = understood(noted.said, noted.restart_mark, state.start, now)
    evidence, witness = _opened(host, noted), None
    if state.power in _LIVE:
        try:
            evidence = _evidence(hypervisor, host, workspace, evidence, noted.holds, word)
            witness = _witness(hypervisor, workspace)
        except Unreachable as err:  # nothing may be decided on half a look
            state, trouble = PowerState(Power.UNKNOWN), str(err)
    facts = Facts(
        power=state.power,
        start=state.start,
        stopped_by=state.stopped_by,
        mark=Mark(witness.run.token, witness.start_id, witness.by != by) if witness else None,
        image_ok=_image_ok(hypervisor, workspace) if state.power is Power.SAVED else None,
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
        paused=noted.paused,
        workspace=workspace.uuid,
    )
    return Look(facts, witness if witness and witness.by == by else None, trouble)


def mark_text(run: WakeRun, start_id: str, by: str) -> str:
    """What is written into the VM's live metadata: the run, the start that it woke, and which
    Guestwake did."""
    return json.dumps({"by": by, "start": start_id, "run": dump_run(run)})


def _agreed(noted: Noted, now: Now) -> bool:
    mark = noted.restart_mark
    return mark is not None and is_agreed(about(noted.prompt, mark), now)


def _state(hypervisor: Hypervisor, workspace: Workspace) -> tuple[PowerState, str | None]:
    try:
        return hypervisor.state(workspace.vm), None
    except HypervisorError as err:
        log.debug("state of '%s': %s", workspace.name, err)
        return PowerState(Power.UNKNOWN), str(err)


def _witness(hypervisor: Hypervisor, workspace: Workspace) -> Witness | None:
    if not isinstance(hypervisor, MarksStart):
        return None
    try:
        text = hypervisor.marked(workspace.vm)
        if text is None:
            return None
        said = json.loads(text)
        return Witness(load_run(said["run"]), str(said["start"]), str(said["by"]))
    except Unreachable:
        raise
    except (HypervisorError, RecordError, ValueError, KeyError, TypeError) as err:
        # Anybody may write there; what is not ours is nothing.
        log.debug("mark of '%s': %s", workspace.name, err)
        return None


def _image_ok(hypervisor: Hypervisor, workspace: Workspace) -> bool | None:
    if not isinstance(hypervisor, ReadsSavedImage):
        return None
    try:
        return hypervisor.saved_image_ok(workspace.vm)
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
    hypervisor: Hypervisor,
    host: Host,
    workspace: Workspace,
    opened: Evidence,
    holds: Sequence[str],
    word: Word,
) -> Evidence:
    """Raises Unreachable."""
    return replace(
        opened,
        holds=tuple(holds),
        rdp=_rdp(hypervisor, host, workspace),
        viewers=_viewers(hypervisor, workspace),
        reporter=word.reporter,
        sessions=word.sessions,
    )


def _viewers(hypervisor: Hypervisor, workspace: Workspace) -> frozenset[str]:
    if not isinstance(hypervisor, TellsViewers):
        return frozenset()
    try:
        return hypervisor.viewers(workspace.vm) or frozenset()
    except Unreachable:
        raise
    except HypervisorError as err:
        log.debug("viewers of '%s': %s", workspace.name, err)
        return frozenset()


def _rdp(hypervisor: Hypervisor, host: Host, workspace: Workspace) -> tuple[str, ...]:
    peers = host.rdp_peers()
    if not peers or not isinstance(hypervisor, TellsAddresses):
        return ()
    try:
        return tuple(sorted(peers & hypervisor.addresses(workspace.vm)))
    except Unreachable:
        raise
    except HypervisorError as err:
        log.debug("addresses of '%s': %s", workspace.name, err)
        return ()
