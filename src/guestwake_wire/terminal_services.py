"""A session of a Windows, as Terminal Services tell of it. Pure: `windows_sessions.py` asks."""

from __future__ import annotations

from typing import NamedTuple, Optional

PEOPLE = (0, 1, 3, 4)  # WTSActive, WTSConnected, WTSShadow, WTSDisconnected
CONSOLE = "console"
_SOMEBODY = "?"
_HAS_ENDED = (2, 7022)  # ERROR_FILE_NOT_FOUND, ERROR_CTX_WINSTATION_NOT_FOUND


class Told(NamedTuple):
    """One of them as Windows has it: times in FILETIME, 0: Windows does not say. `domain`: of the
    user; the computer itself for one of its own."""

    user: str
    state: int
    station: str
    logged_on: int
    last_input: int
    now: int
    domain: str = ""


def untold(number: int, state: int, error: int) -> Optional[Told]:
    """What is told of a session of which Windows says no more than its number and state, but
    `error`. Somebody may be there. None: nobody is: it has ended since, or it is the services'."""
    if number == 0 or error in _HAS_ENDED:
        return None
    return Told(_SOMEBODY, state, CONSOLE, 0, 0, 0)
