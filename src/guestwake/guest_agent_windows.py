"""What a Windows guest's registry says, asked through qemu-guest-agent.

No Windows was ever asked: what stands where, and what its `reg.exe` prints, is taken from what is
written about them; Wine's prints it the same way.

Each question is one `reg.exe query`, which the agent starts and whose end it tells when asked
later. Nobody waits for it here: one `look` starts all questions, the next ones fetch the answers,
and only the answers of one round are ever put together, so that they are all of one boot. In
between the last round counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from guestwake import guest_agent_answers as answers
from guestwake.guest_agent_answers import Ended
from guestwake_wire.messages import BadMessage, Reason, Strength, clean

NEEDED = frozenset({"guest-exec", "guest-exec-status"})
LOOKS_MAX = 10  # a question without an answer after so many is given up
# Component Based Servicing sets and clears its signs while it works (contract, section 6).
SETTLED = timedelta(seconds=15)

# Counts boots, for Windows' own prefetcher.
BOOT = (
    r"HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management"
    r"\PrefetchParameters"
)
BOOT_ID = "BootId"
# Windows Update Agent: the key RebootRequired below it is there from the installation of an
# update that needs a restart until that restart.
AUTO_UPDATE = (
    r"HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update"
)
REBOOT_REQUIRED = "RebootRequired"
# Component Based Servicing, which installs what Windows itself is made of: the same with these.
SERVICING = (
    r"HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing"
)
PENDING = ("RebootPending", "RebootInProgress", "PackagesPending")
# The older Update.exe, which hotfixes of some products still are: not 0 until the restart.
UPDATES = r"HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Updates"
VOLATILE = "UpdateExeVolatile"
# The name that the computer has, and the one that it takes on at the next start.
COMPUTER_NAME = r"HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\ComputerName"
NAME = "ComputerName"

# Without /s a query lists the values of a key and the names of the keys right below it.
QUESTIONS: Mapping[str, tuple[str, ...]] = {
    BOOT: ("/v", BOOT_ID),
    AUTO_UPDATE: (),
    SERVICING: (),
    UPDATES: ("/v", VOLATILE),
    COMPUTER_NAME: ("/s",),
}

Ask = Callable[[str, dict[str, Any]], Any]
Keys = dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Registry:
    boot_id: str
    restart: tuple[Reason, ...]


class RegistryQuestions:
    """`look` at each pass; `forget` whatever was asked when the agent has been away."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.forget()

    def forget(self) -> None:
        self._round: _Round | None = None
        self._last: Registry | None = None
        self._servicing_since: datetime | None = None

    def look(self, wall: datetime) -> Registry | None:
        """What the last whole round found; None: none has ended yet. Raises BadMessage, and
        HypervisorError where the agent does not know the question any more."""
        if self._round is None:
            self._round = _Round(self._ask)
        elif self._round.fetch():
            self._last = self._understood(self._round.keys(), wall)
            self._round = None
        return self._last

    def _understood(self, keys: Keys, wall: datetime) -> Registry:
        boot = _number(keys, BOOT, BOOT_ID)
        if not boot:
            raise BadMessage("the registry counts no boots")
        if not _pending(keys):
            self._servicing_since = None
        elif self._servicing_since is None:
            self._servicing_since = wall
        since = self._servicing_since
        settled = since is not None and wall - since >= SETTLED
        return Registry(f"windows-boot-{boot}", tuple(_reasons(keys, settled=settled)))


class _Round:
    """Every question once."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._looks = 0
        self._ended: list[Ended] = []
        self._running = [self._start(key, options) for key, options in QUESTIONS.items()]

    def fetch(self) -> bool:
        """Whether all have an answer, or are given up."""
        self._looks += 1
        self._running = [process for process in self._running if not self._has_ended(process)]
        return not self._running or self._looks >= LOOKS_MAX

    def keys(self) -> Keys:
        """What was not found, failed or was given up is not in it."""
        found: Keys = {}
        for ended in self._ended:
            if ended.code == 0:
                found |= parsed(ended.output)
        return found

    def _start(self, key: str, options: tuple[str, ...]) -> int:
        # An agent of 32 bits would be shown another registry without /reg:64.
        arguments = ["query", key, *options, "/reg:64"]
        request = {"path": "reg.exe", "arg": arguments, "capture-output": True}
        return answers.process(self._ask("guest-exec", request))

    def _has_ended(self, process: int) -> bool:
        ended = answers.ended(self._ask("guest-exec-status", {"pid": process}))
        if ended is not None:
            self._ended.append(ended)
        return ended is not None


def parsed(output: str) -> Keys:
    """What `reg.exe query` printed: for each key the values with their data as text. Names count
    in any case, so they are folded."""
    keys: Keys = {}
    values: dict[str, str] = {}
    for line in output.splitlines():
        if line.startswith("HKEY_"):
            values = keys.setdefault(line.strip().casefold(), {})
        elif line.startswith(_GAP):
            name, *rest = line.strip().split(_GAP, 2)
            values[name.casefold()] = rest[1] if len(rest) == 2 else ""
    return keys


_GAP = " " * 4


def _reasons(keys: Keys, *, settled: bool) -> Iterator[Reason]:
    if _below(AUTO_UPDATE, REBOOT_REQUIRED) in keys:
        yield _reason("windows-update", "Windows Update has installed something")
    if settled:
        yield _reason("component-based-servicing", f"Windows Setup: {', '.join(_pending(keys))}")
    if _number(keys, UPDATES, VOLATILE):
        yield _reason("update-exe-volatile", "Update.exe has installed something")
    now, then = (_name(keys, which) for which in ("ActiveComputerName", "ComputerName"))
    if now and then and now.casefold() != then.casefold():
        yield _reason("computer-rename", f"the computer is to be called {then}")


def _reason(source: str, text: str) -> Reason:
    return Reason(source, Strength.STRONG, None, clean(text))


def _pending(keys: Keys) -> list[str]:
    return [name for name in PENDING if _below(SERVICING, name) in keys]


def _name(keys: Keys, which: str) -> str:
    return keys.get(_below(COMPUTER_NAME, which), {}).get(NAME.casefold(), "")


def _number(keys: Keys, key: str, name: str) -> int | None:
    """A REG_DWORD, printed as 0x2a."""
    data = keys.get(key.casefold(), {}).get(name.casefold(), "")
    return int(data, 16) if re.fullmatch(r"0x[0-9a-fA-F]{1,8}", data) else None


def _below(key: str, name: str) -> str:
    return rf"{key}\{name}".casefold()
