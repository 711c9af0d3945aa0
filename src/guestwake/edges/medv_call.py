"""MED-V's way to call the Guest Update Manager, which old tasks and scripts still have:

    guestwake.exe /GuestWakeup /d:<minutes> /v:"<workspace>"

It is `guestwake wake WORKSPACE --duration MINUTES`; without /d it lasts the 240 minutes that it
lasted there (MED-V 2.0's event 11001). Its switches may be written in any case.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from guestwake.edges.parser import UsageError, named

SWITCH: Final = "/guestwakeup"
MINUTES: Final = "240"
_CALL = 'guestwake /GuestWakeup /d:<minutes> /v:"<workspace>"'


def is_one(words: Sequence[str]) -> bool:
    first = named(words)[:1]
    return bool(first) and first[0].lower() == SWITCH


def translated(words: Sequence[str]) -> list[str]:
    """The same call in our words; any other call as it is. Raises UsageError."""
    if not is_one(words):
        return list(words)
    at = words.index(named(words)[0])
    found: dict[str, str] = {}
    for word in words[at + 1 :]:
        switch, colon, value = word.partition(":")
        if not colon or switch.lower() not in ("/d", "/v") or switch.lower() in found:
            raise UsageError(f"'{word}' is not understood. Call: {_CALL}.")
        found[switch.lower()] = value.strip('"')
    if not found.get("/v"):
        raise UsageError(f"the workspace is missing. Call: {_CALL}.")
    duration = found.get("/d", MINUTES)
    return [*words[:at], "wake", "--duration", duration, "--", found["/v"]]
