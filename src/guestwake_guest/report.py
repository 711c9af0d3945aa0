"""What was found, as a message that fits one frame. Pure: values in, values out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Optional

from guestwake_guest import AGENT
from guestwake_wire.framing import FrameTooLong
from guestwake_wire.messages import (
    CLIENTS_MAX,
    NAME_MAX,
    REASONS_MAX,
    SESSIONS_MAX,
    TIME_MAX,
    Client,
    Reason,
    Report,
    Session,
    clean,
    encode,
)


class Identity(NamedTuple):
    """What stays the same for as long as this boot lasts."""

    boot_id: str
    os: str
    kernel: str


class Findings(NamedTuple):
    """What one look found; ages as of then. `busy` None: cannot be told."""

    busy: Optional[bool] = None
    restart: tuple[Reason, ...] = ()
    clients: tuple[Client, ...] = ()
    sessions: tuple[Session, ...] = ()


def report(identity: Identity, findings: Findings, number: int, time: int) -> Report:
    return Report(
        number=number,
        time=min(max(0, time), TIME_MAX),
        boot_id=clean(identity.boot_id, NAME_MAX),
        agent=AGENT,
        os=clean(identity.os),
        kernel=clean(identity.kernel),
        busy=findings.busy,
        restart=tuple(_clean(reason) for reason in findings.restart[:REASONS_MAX]),
        clients=findings.clients[:CLIENTS_MAX],
        sessions=findings.sessions[:SESSIONS_MAX],
    )


def substance(findings: Findings) -> Findings:
    """What has to differ for the host to be told at once: ages alone do not."""
    return findings._replace(
        restart=tuple(reason._replace(since=None) for reason in findings.restart),
        sessions=tuple(sorted(map(_ageless, findings.sessions), key=repr)),
    )


def framed(whole: Report) -> bytes:
    """The first of ever shorter versions that fits a frame."""
    for shorter in _shorter(whole):
        try:
            return encode(shorter)
        except FrameTooLong:
            continue
    raise AssertionError("the shortest report is longer than a frame")


def _shorter(whole: Report) -> Iterator[Report]:
    """The least is left out first: what was installed long ago, then ends of sentences and names;
    a reason or a session only if all else did not help, the weakest and the quietest first."""
    yield whole
    longest = max((len(client.installed) for client in whole.clients), default=0)
    for most in range(longest, -1, -1):
        yield _with_installed(whole, most)
    bare = _with_installed(whole, 0)
    for characters in (100, 50, 25, 12, 6):
        yield _with_texts(bare, characters)
    least = _with_texts(bare, 6)
    yield least._replace(restart=least.restart[:4], sessions=least.sessions[:4])


def _with_installed(whole: Report, most: int) -> Report:
    return whole._replace(clients=tuple(_cut(client, most) for client in whole.clients))


def _cut(client: Client, most: int) -> Client:
    left_out = max(0, len(client.installed) - most)
    return client._replace(installed=client.installed[:most], more=client.more + left_out)


def _with_texts(whole: Report, characters: int) -> Report:
    return whole._replace(
        os=clean(whole.os, characters),
        kernel=clean(whole.kernel, characters),
        restart=tuple(one._replace(text=clean(one.text, characters)) for one in whole.restart),
        sessions=tuple(one._replace(user=clean(one.user, characters)) for one in whole.sessions),
    )


def _clean(reason: Reason) -> Reason:
    return reason._replace(text=clean(reason.text))


def _ageless(session: Session) -> Session:
    """Whether there was input at all is more than an age."""
    last = session.input
    return session._replace(since=0, input=last if last is None or last < 0 else 0)
