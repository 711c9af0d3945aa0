"""What logind (or elogind) tells and does: who is logged on, to bed, and please not yet.

`org.freedesktop.login1` on the system bus. Nothing is judged here but what a logon is (contract,
section 6), and nothing waits beyond the bus's patience.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from guestwake.hosts.api import HostError, Inhibited
from guestwake.hosts.dbus import PROPERTIES, Answer, Call, Property, Refusal, SystemBus
from guestwake.policy.words import Logon

log = logging.getLogger(__name__)

LOGIND = "org.freedesktop.login1"
PATH = "/org/freedesktop/login1"
MANAGER = f"{LOGIND}.Manager"
_SESSION = f"{LOGIND}.Session"
_LID = Property(LOGIND, PATH, MANAGER, "HandleLidSwitch")
_LID_ON_POWER = Property(LOGIND, PATH, MANAGER, "HandleLidSwitchExternalPower")
_SLEEPS = ("suspend", "hibernate", "hybrid-sleep", "suspend-then-hibernate", "sleep")
_LIST = Call(LOGIND, PATH, MANAGER, "ListSessions")

# A person's, with or without a manager of their own; root's at the console is "early". Not:
# greeter, lock-screen, background (cron, at), manager (lingering).
_PERSONS = ("user", "user-early", "user-light", "user-early-light")
_AT_THE_HOST = ("x11", "wayland", "mir", "tty")  # not: web, unspecified
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_Told = Mapping[str, object]


# --- how it is set


def sleeps_when_lid_closes(bus: SystemBus) -> bool | None:
    """On AC power. None: logind is not there, or is silent."""
    told = bus.ask((_LID, _LID_ON_POWER))
    acts = told.get(_LID_ON_POWER) or told.get(_LID)
    return acts in _SLEEPS if isinstance(acts, str) else None


# --- who is logged on


def logons(bus: SystemBus) -> tuple[Logon, ...] | None:
    """The longest first. None: logind is not there, or is silent."""
    deadline = bus.deadline()
    paths = _paths(bus.call([_LIST], deadline).get(_LIST))
    if paths is None:
        return None
    asked = {Call(LOGIND, path, PROPERTIES, "GetAll", "s", (_SESSION,)): path for path in paths}
    answers = bus.call(asked, deadline)
    if len(answers) < len(asked):
        return None
    # A session that has ended in between answers with an error.
    told = (properties_of(answer) for answer in answers.values())
    found = (logon for each in told if each is not None and (logon := logon_of(each)) is not None)
    return tuple(sorted(found, key=lambda logon: (logon.since, logon.session)))


def logon_of(told: _Told) -> Logon | None:
    """By the properties of one session. None: it is no person's logon at this host, or what it
    says makes no sense."""
    name, since = told.get("Name"), _instant(told.get("Timestamp"))
    if not _is_logon(told) or not isinstance(name, str) or not name or since is None:
        return None
    return Logon(
        user=name,
        since=since,
        session=str(told.get("Id", "")),
        active=_truth(told.get("Active")),
        locked=_truth(told.get("LockedHint")),
    )


def properties_of(answer: Answer | None) -> dict[str, object] | None:
    """Of an answer to GetAll. None: it is none."""
    match answer:
        case (dict() as told,):
            variants = {name: value for name, value in told.items() if isinstance(value, tuple)}
            return {str(name): value[1] for name, value in variants.items() if len(value) == 2}
    return None


def _is_logon(told: _Told) -> bool:
    # ssh has neither seat nor terminal: logind is not told its pty. From the host itself it is
    # not "remote" either.
    return (
        told.get("Class") in _PERSONS
        and told.get("Type") in _AT_THE_HOST
        and told.get("Remote") is False
        and told.get("State") != "closing"
        and bool(_seat(told.get("Seat")) or told.get("TTY"))
    )


def _seat(value: object) -> str:
    match value:
        case (str() as name, _):
            return name
    return ""


def _paths(answer: Answer | None) -> list[str] | None:
    """Of `a(susso)`: id, uid, user, seat, path."""
    match answer:
        case (list() as sessions,):
            return [each[4] for each in sessions if _is_listed(each)]
    return None


def _is_listed(session: object) -> bool:
    return isinstance(session, tuple) and len(session) == 5 and isinstance(session[4], str)


def _instant(microseconds: object) -> datetime | None:
    if not isinstance(microseconds, int) or isinstance(microseconds, bool) or microseconds <= 0:
        return None
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return None


def _truth(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


# --- to bed

_SUSPEND = Call(LOGIND, PATH, MANAGER, "Suspend", "b", (False,))  # nobody is here to be asked
_BLOCKED = Property(LOGIND, PATH, MANAGER, "BlockInhibited")


def suspend(bus: SystemBus) -> None:
    """Let the host sleep, unless somebody holds a block against it. Raises HostError."""
    deadline = bus.deadline()
    # logind lets root's word go over any block, and a user's over their own, also with the flag
    # that says to heed them: a backup as root would be slept over.
    if "sleep" in str(bus.ask([_BLOCKED], deadline).get(_BLOCKED, "")).split(":"):
        raise HostError("cannot let the host sleep: somebody holds a block against it")
    _check(bus.call([_SUSPEND], deadline).get(_SUSPEND), "let the host sleep")


# --- please not yet


@contextmanager
def inhibit(bus: SystemBus, inhibited: Inhibited) -> Iterator[None]:
    """Hold the lock for the length of the block. Raises HostError before it. The lock does not
    hang on the bus: it goes with this process at the latest."""
    asked = (inhibited.what, inhibited.who, inhibited.why, inhibited.mode)
    held = bus.descriptor(Call(LOGIND, PATH, MANAGER, "Inhibit", "ssss", asked))
    if not isinstance(held, int):
        _check(held, f"have logind wait with '{inhibited.what}'")
        raise AssertionError("an answer without a descriptor was let pass")
    try:
        yield
    finally:
        os.close(held)


def _check(answer: Answer | None, what: str) -> None:
    if answer is None:
        raise HostError(f"cannot {what}: logind is not there, or is silent")
    if isinstance(answer, Refusal):
        raise HostError(f"cannot {what}: {answer.text or answer.name}")
