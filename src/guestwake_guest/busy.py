"""Is this guest installing something, so that it should not go down?

A client that is busy says so itself (`update_clients`). Whoever else installs takes an inhibitor
of logind's that blocks a shutdown: PackageKit, rpm and what calls itself so. Those that only
delay one do not count.

The files in /run/systemd/inhibit are logind's private data, so they say only *when* to ask; what
the inhibitors are is asked over the bus. On a quiet guest that is once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from guestwake_guest.questions import Question
from guestwake_guest.view import View
from guestwake_wire.messages import Client, ClientState

_FOLDER = "/run/systemd/inhibit"
_BUSCTL = "/usr/bin/busctl"
_AGAIN = 300.0  # seconds, for an answer that was none
_QUESTION = Question(
    "inhibitors",
    (
        _BUSCTL,
        "--json=short",
        "call",
        "org.freedesktop.login1",
        "/org/freedesktop/login1",
        "org.freedesktop.login1.Manager",
        "ListInhibitors",
    ),
)


def is_busy(view: View, clients: Iterable[Client]) -> bool | None:
    """None: cannot be told."""
    states = {client.state for client in clients}
    if ClientState.BUSY in states:
        return True
    blocked = _shutdown_is_blocked(view)
    return None if blocked is False and ClientState.UNKNOWN in states else blocked


def _shutdown_is_blocked(view: View) -> bool | None:
    there = [name for name in view.system.names(_FOLDER) if not name.endswith(".ref")]
    if not there:
        return False
    answer = view.questions.ask(_QUESTION, tuple(there), again_after=_AGAIN)
    return blocks_shutdown(answer.text) if answer and answer.code == 0 else None


def blocks_shutdown(text: str) -> bool | None:
    """Of `{"type":"a(ssssuu)","data":[[[WHAT, WHO, WHY, MODE, UID, PID], ...]]}`. None: it is not
    that."""
    try:
        (inhibitors,) = json.loads(text)["data"]
        return any("shutdown" in one[0].split(":") and one[3] == "block" for one in inhibitors)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return None
