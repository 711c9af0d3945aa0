"""Who is logged on by `/run/utmp` (utmp(5)), for hosts without logind.

Only lines of this host's own consoles and displays count: a pty may be a window, a multiplexer
or ssh. On a host whose utmp is laid out for 64-bit times nobody can tell.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from guestwake.policy.words import Logon

# type, process, line, id, user, host, exit status, session, seconds, microseconds, address
_ENTRY = struct.Struct("=hxxi32s4s32s256s4xiIi16s20x")
_USER_PROCESS = 7
_BYTES_MAX = 1024 * _ENTRY.size
_HERE = ("tty", "console", "hvc", ":")


def logons(root: Path) -> tuple[Logon, ...] | None:
    """None: there is no such file, or it is laid out otherwise."""
    try:
        with open(root / "run/utmp", "rb") as file:
            data = file.read(_BYTES_MAX)
    except OSError:
        return None
    if len(data) % _ENTRY.size:
        return None
    return tuple(sorted(_logons(root, data), key=lambda logon: (logon.since, logon.session)))


def _logons(root: Path, data: bytes) -> Iterator[Logon]:
    for kind, process, line, _, user, host, _, seconds, *_ in _ENTRY.iter_unpack(data):
        name, where, far = _text(user), _text(line), _text(host)
        is_here = where.startswith(_HERE) and (not far or far.startswith(":"))
        # An entry is left over where a session was killed.
        if kind == _USER_PROCESS and name and is_here and (root / f"proc/{process}").exists():
            yield Logon(name, datetime.fromtimestamp(seconds, UTC), session=where)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")
