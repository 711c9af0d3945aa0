"""Two questions about one VM: is it in use, and is somebody's work at risk?

In use decides whether it may be hibernated; nothing is lost if it is. Work at risk decides
whether it may be restarted or shut down (contract, section 5). Both are answered from
`Evidence`, which is gathered elsewhere. What the guest says is advice and bounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from guestwake.policy.limits import Limits
from guestwake.policy.words import Now

VIEWER_COUNTS_AFTER = timedelta(seconds=60)
GUEST_INPUT_COUNTS_AFTER = timedelta(minutes=2)
GUEST_INPUT_LASTS = timedelta(minutes=60)
# The guest tells ages in whole seconds, and is heard a moment after it spoke: a session that
# seems to have begun just after the wake may have come with the memory.
SESSION_AGE_DOUBT = timedelta(seconds=60)


class By(StrEnum):
    """Whose evidence says that a VM is in use."""

    APPLICATION = "application"  # opened through `guestwake open`
    VIEWER = "viewer"  # a display client
    HOLD = "hold"  # `guestwake hold`
    RDP = "rdp"  # a remote desktop client on this host whose peer is the guest
    GUEST = "guest"  # the guest reports input


class Reporter(StrEnum):
    """What is known of a reporter in the guest."""

    NEVER = "never"  # this guest has never reported: "availability only"
    SILENT = "silent"  # it used to, and does not now
    FRESH = "fresh"


@dataclass(frozen=True, slots=True)
class Use:
    by: By
    who: str


@dataclass(frozen=True, slots=True)
class Session:
    """An interactive session in the guest, on the host's elapsed clock (seconds)."""

    user: str
    since: float
    input: float | None  # last input; None: none since it began
    input_known: bool = True  # False: nobody can tell; then it is no use, and work at risk


@dataclass(frozen=True, slots=True)
class Evidence:
    """Who may be using a VM, as far as anybody can tell."""

    applications: tuple[str, ...] = ()  # that are open
    openings: tuple[str, ...] = ()  # that somebody waits for; there is no work in them yet
    holds: tuple[str, ...] = ()
    rdp: tuple[str, ...] = ()
    viewers: frozenset[str] = frozenset()
    reporter: Reporter = Reporter.NEVER
    sessions: tuple[Session, ...] = ()  # of the last report; for a VM at rest, before its rest


@dataclass(frozen=True, slots=True)
class Awake:
    """What the two questions need to know of our own doing.

    `woke`: elapsed seconds of our wake; None: we did not wake it. `rested`: it kept its memory
    while at rest (saved, paused, suspended) or was running, so sessions may be older than the
    wake. `early_viewers`: those attached before a viewer counts.
    """

    woke: float | None
    rested: bool
    used: bool = False
    early_viewers: frozenset[str] = frozenset()
    past_end: timedelta = timedelta(0)


def users(evidence: Evidence, awake: Awake, limits: Limits, now: Now) -> tuple[Use, ...]:
    """Everybody who keeps the VM from being hibernated; empty: nobody. `status` names them."""
    found = [Use(By.APPLICATION, name) for name in (*evidence.applications, *evidence.openings)]
    found += [Use(By.HOLD, reason) for reason in evidence.holds]
    found += [Use(By.RDP, peer) for peer in evidence.rdp]
    if _since_wake(awake, now) > VIEWER_COUNTS_AFTER:
        late = evidence.viewers - awake.early_viewers
        found += [Use(By.VIEWER, viewer) for viewer in sorted(late)]
    if evidence.reporter is Reporter.FRESH and awake.past_end < limits.guest_use_limit:
        found += [
            Use(By.GUEST, session.user)
            for session in evidence.sessions
            if _input_counts(session, awake, now)
        ]
    return tuple(found)


def work_at_risk(evidence: Evidence, awake: Awake) -> bool:
    """Whether a restart or a shutdown could lose somebody's work. In doubt: yes."""
    if evidence.applications:
        return True
    if evidence.reporter is Reporter.SILENT:
        return True
    if evidence.reporter is Reporter.NEVER:
        return awake.rested or awake.used or bool(evidence.viewers)
    return any(_has_work(session, awake) for session in evidence.sessions)


def _since_wake(awake: Awake, now: Now) -> timedelta:
    if awake.woke is None:
        return timedelta.max
    return timedelta(seconds=now.elapsed - awake.woke)


def _input_counts(session: Session, awake: Awake, now: Now) -> bool:
    if session.input is None or now.elapsed - session.input > GUEST_INPUT_LASTS.total_seconds():
        return False
    counts_from = GUEST_INPUT_COUNTS_AFTER.total_seconds()
    return awake.woke is None or session.input > awake.woke + counts_from


def _has_work(session: Session, awake: Awake) -> bool:
    # A session that began after the wake and never saw input is an automatic logon.
    if session.input is not None or not session.input_known or awake.woke is None:
        return True
    doubt = SESSION_AGE_DOUBT.total_seconds() if awake.rested else 0.0
    return session.since < awake.woke + doubt
