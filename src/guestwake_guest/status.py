"""`guestwake-guest status`: one look, as people or programs read it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from guestwake_guest.exit_codes import Exit
from guestwake_guest.report import Findings, Identity, framed, report
from guestwake_wire.messages import Client, Reason, Report, Session, Strength

_BUSY = {True: "busy: yes", False: "busy: no", None: "busy: cannot be told"}


def show(who: Identity, findings: Findings, wall: float, *, as_json: bool) -> int:
    """`wall`: unix seconds."""
    told = report(who, findings, 1, int(wall))
    print(_json(told) if as_json else "\n".join(_lines(told)))
    strong = any(reason.strength is Strength.STRONG for reason in told.restart)
    return Exit.RESTART_REQUIRED if strong else Exit.DONE


def _json(told: Report) -> str:
    """The very message that the host gets, so as short as that."""
    return json.dumps(json.loads(framed(told)[1:-1]), indent=2)


def _lines(told: Report) -> Iterator[str]:
    yield f"{told.os}, kernel {told.kernel}"
    if not told.restart:
        yield "restart required: no"
    yield from map(_reason, told.restart)
    yield _BUSY[told.busy]
    yield from map(_client, told.clients)
    yield from map(_session, told.sessions)


def _reason(reason: Reason) -> str:
    required = "restart required" if reason.strength is Strength.STRONG else "weak sign"
    return f"{required}: {reason.text} ({reason.source}, for {_age(reason.since)})"


def _client(client: Client) -> str:
    latest = ", ".join(f"{one.name} {one.version}" for one in client.installed[:3])
    more = len(client.installed[3:]) + client.more
    installed = f", last installed: {latest}" if latest else ""
    return f"{client.name}: {client.state.value}{installed}{f' and {more} more' if more else ''}"


def _session(session: Session) -> str:
    last = "no input yet" if session.input == -1 else f"last input {_age(session.input)} ago"
    return f"session: {session.user}, {session.kind.value}, for {_age(session.since)}, {last}"


def _age(seconds: int | None) -> str:
    if seconds is None:
        return "an unknown time"
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
