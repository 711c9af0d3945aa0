"""What a guest said, for people and for machines. Every text in it is the guest's: escaped, and
bounded by the protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from guestwake.edges.text import local, printable, span, utc

if TYPE_CHECKING:
    from guestwake.journal import InstalledRow
    from guestwake.policy.restart import RestartMark
    from guestwake.reports import GuestWord, Status
    from guestwake_wire.messages import Client, Session

_BY = {"service": "Guest Update Service", "agent": "guest agent"}
_SHOWN_MAX = 5  # packages in one line


def lines(status: Status) -> Iterator[str]:
    """For `status`."""
    word = status.guest
    if word is None:
        yield "nobody reports from it: 'availability only'"
    else:
        yield f"{printable(word.report.os)}; {_heard(word)}"
    if status.restart_mark:
        yield _restart(status.restart_mark, status)
    if word is not None:
        yield from _details(word)


def installed(rows: Iterable[InstalledRow]) -> str:
    """In one line, the first few by name."""
    found = [f"{printable(row.name)} {printable(row.version)}" for row in rows]
    more = len(found) - _SHOWN_MAX
    return ", ".join(found[:_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")


def guest_json(word: GuestWord | None) -> dict[str, object] | None:
    if word is None:
        return None
    report = word.report
    return {
        "by": word.by,
        "agent": report.agent,
        "heard": utc(word.at),
        "fresh": word.fresh,
        "refused_messages": word.refused,
        "os": report.os,
        "kernel": report.kernel,
        "boot_id": report.boot_id,
        "busy": report.busy,
        "signs_of_restart": [
            {"source": each.source, "strength": each.strength.value, "text": each.text}
            for each in report.restart
        ],
        "update_clients": [
            {"name": each.name, "state": each.state.value} for each in report.clients
        ],
        "sessions": [
            {
                "user": each.user,
                "kind": each.kind.value,
                "age_seconds": each.since,
                "seconds_since_input": None if (each.input or 0) < 0 else each.input,
                "input_known": each.input is not None,
            }
            for each in report.sessions
        ],
    }


def restart_json(mark: RestartMark | None) -> dict[str, object] | None:
    if mark is None:
        return None
    return {
        "since": utc(mark.since),
        "boot_id": mark.boot_id,
        "in_vain": mark.is_in_vain,
        "reasons": [
            {"source": each.source, "text": each.text, "survived_restarts": each.survived}
            for each in mark.reasons
        ],
    }


def installed_json(rows: Iterable[InstalledRow]) -> list[dict[str, object]]:
    return [
        {"client": row.client, "name": row.name, "version": row.version, "at": utc(row.at)}
        for row in rows
    ]


def _heard(word: GuestWord) -> str:
    told = f"{_BY.get(word.by, word.by)} ({printable(word.report.agent)})"
    silent = "" if word.fresh else "; at rest or silent since"
    return f"{told}, {span(word.ago)} ago{silent}"


def _restart(mark: RestartMark, status: Status) -> str:
    reasons = "; ".join(
        f"{printable(each.source)}: {printable(each.text)}" if each.text else printable(each.source)
        for each in mark.reasons
    )
    vain = "; restarts did not help, so there will be no more for this" if mark.is_in_vain else ""
    return f"restart required since {local(mark.since, status.zone)} ({reasons}){vain}"


def _details(word: GuestWord) -> Iterator[str]:
    clients = ", ".join(_client(each) for each in word.report.clients)
    if clients:
        yield f"updates: {clients}"
    if word.report.busy:
        yield "busy installing"
    yield from (f"signed in: {_session(each)}" for each in word.report.sessions)
    if word.refused:
        yield f"{word.refused} of its messages were none, or too many, and were passed over"


def _client(client: Client) -> str:
    return f"{printable(client.name)} {client.state.value.replace('-', ' ')}"


def _session(session: Session) -> str:
    since = span(timedelta(seconds=session.since))
    if session.input is None:
        last = "nobody can tell when it was last used"
    elif session.input < 0:
        last = "untouched"
    else:
        last = f"last input {span(timedelta(seconds=session.input))} before"
    return f"{printable(session.user)} ({session.kind.value}, for {since}, {last})"
