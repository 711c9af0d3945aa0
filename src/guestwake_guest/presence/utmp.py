"""Sessions as /run/utmp has them (utmp(5)), where there is no logind, or it does not answer.

Its times are by the wall clock, which moves; so a session is as old as its process.
"""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

from guestwake_guest.presence.terminals import Terminals
from guestwake_guest.system import System
from guestwake_guest.view import View
from guestwake_wire.messages import NAME_MAX, Session, SessionKind, clean

_FILE = "/run/utmp"
# type, process, line, id, user, host, exit status, session, seconds, microseconds, address
_ENTRY = struct.Struct("=hxxi32s4s32s256s4xi2i16s20x")
_USER_PROCESS = 7
_BYTES_MAX = 1024 * _ENTRY.size


class _Entry(NamedTuple):
    process: int
    line: str
    user: str
    host: str
    began: int


def sessions(view: View, terminals: Terminals) -> list[Session]:
    entries = _entries(view.system)
    terminals.forget_all_but({entry.line for entry in entries})
    return [
        _session(view.system, entry, since, terminals)
        for entry in entries
        if (since := _age(view.system, entry.process)) is not None
    ]


def _session(system: System, entry: _Entry, since: int, terminals: Terminals) -> Session:
    last = terminals.input(system, entry.line, entry.line, entry.began)
    return Session(clean(entry.user, NAME_MAX), _kind(entry), since, last)


def _kind(entry: _Entry) -> SessionKind:
    if entry.line.startswith(":") or entry.host.startswith(":"):
        return SessionKind.GRAPHICAL
    return SessionKind.REMOTE if entry.host else SessionKind.TEXT


def _entries(system: System) -> list[_Entry]:
    try:
        with open(system.path(_FILE), "rb") as file:
            data = file.read(_BYTES_MAX)
    except OSError:
        return []
    whole = data[: len(data) - len(data) % _ENTRY.size]
    return [
        _Entry(fields[1], _text(fields[2]), _text(fields[4]), _text(fields[5]), fields[7])
        for fields in _ENTRY.iter_unpack(whole)
        if fields[0] == _USER_PROCESS
    ]


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")


def _age(system: System, process: int) -> int | None:
    """None: it is gone, and its entry was left over. Field 22 of proc(5)'s stat, in ticks since
    the boot; names of processes may hold spaces and brackets."""
    fields = (system.text(f"/proc/{process}/stat") or "").rpartition(")")[2].split()
    if len(fields) < 20 or not fields[19].isdigit():
        return None
    return system.bounded(system.elapsed() - int(fields[19]) / os.sysconf("SC_CLK_TCK"))
