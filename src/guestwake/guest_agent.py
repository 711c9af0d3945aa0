"""Guests in which only qemu-guest-agent runs: what it can tell, and how they are nudged.

`AgentReporter` asks it for what our own service would have reported: which boot this is, whether
a restart is required, who is signed in. It cannot tell whether the guest is installing, what was
installed, or when a session had its last input. No Windows was ever asked
(`guest_agent_windows.py`).

The two units of `nudge` are Debian's and Ubuntu's own periodic jobs, started as their timers
would start them, so that the guest's own configuration decides what is installed (contract,
section 2, NudgeUpdateClients). Debian's timer has a random delay of up to twelve hours: a VM awake
for four may never see it fire. The second unit is ordered after the first by its own definition.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any

from guestwake import guest_agent_answers as answers
from guestwake.guest_agent_answers import Agent, System
from guestwake.guest_agent_windows import NEEDED as WINDOWS_NEEDED
from guestwake.guest_agent_windows import RegistryQuestions
from guestwake.hypervisors.api import AsksGuestAgent, HypervisorError, Unreachable, Vm
from guestwake_wire.framing import FrameTooLong
from guestwake_wire.messages import (
    NAME_MAX,
    BadMessage,
    Reason,
    Report,
    SessionKind,
    Strength,
    clean,
    decode,
    encode,
)

log = logging.getLogger(__name__)

NUDGES: tuple[tuple[str, ...], ...] = (
    ("systemctl", "start", "--no-block", "apt-daily.service", "apt-daily-upgrade.service"),
)

# Seconds of one `ask`. An agent that answers each question just in time holds up who asks it, and
# with that the end of its VM's window, for minutes.
PATIENCE = 30.0

NEEDED = frozenset({"guest-get-osinfo", "guest-get-users", "guest-get-time"})
LINUX_NEEDED = frozenset({"guest-file-open", "guest-file-read", "guest-file-close"})

# Linux makes it anew at each boot (random(4)).
BOOT_ID = "/proc/sys/kernel/random/boot_id"
# From it the agent knows who is signed in (utmp(5)); it begins with the boot. Where it is missing
# or empty, as with musl, nobody keeps it, and the agent would say that nobody is signed in.
SIGNED_IN = "/run/utmp"
# Made by Debian's and Ubuntu's packages (Debian policy, 6.9), with their names in the second.
REBOOT_REQUIRED = "/run/reboot-required"
REBOOT_REQUIRED_BY = "/run/reboot-required.pkgs"

_BOOT_ID = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n?")


def nudge(hypervisor: AsksGuestAgent, vm: Vm) -> None:
    """Raises HypervisorError where the agent will not; a guest without apt answers in itself."""
    for path, *arguments in NUDGES:
        hypervisor.ask_agent(vm, "guest-exec", {"path": path, "arg": arguments})


class CannotTell(Exception):
    """What the agent of this guest can tell is too little for a report."""


@dataclass(frozen=True, slots=True)
class _Met:
    """What stays as it is for one boot of the guest."""

    agent: Agent
    system: System


class AgentReporter:
    """One for each VM, for as long as it is looked after.

    Calls of the agent for each `ask`: six of a Linux guest, ten while it needs a restart, five
    more at the first one of a boot; seven of a Windows guest. One where nobody answers.
    """

    def __init__(
        self, hypervisor: AsksGuestAgent, vm: Vm, clock: Callable[[], float] = monotonic
    ) -> None:
        """`clock`: seconds."""
        self._hypervisor, self._vm, self._clock = hypervisor, vm, clock
        self._until = 0.0
        self._registry = RegistryQuestions(self._ask)
        self._number = 0
        self._forget()

    def ask(self, wall: datetime) -> Report | None:
        """None: nobody answers, or too late, too little or nonsense; the next one begins anew.
        `wall`: the host's time. Raises Unreachable."""
        self._until = self._clock() + PATIENCE
        try:
            report = self._report(wall)
            if report is not None:
                decode(encode(report)[1:-1])  # between RS and LF: what any reader would accept
                self._number += 1
        except Unreachable:
            raise
        except (HypervisorError, CannotTell, BadMessage, FrameTooLong) as err:
            log.debug("no report of '%s' by its agent: %s", self._vm.name, clean(str(err)))
            self._forget()
            return None
        return report

    def _ask(self, command: str, arguments: dict[str, Any] | None = None) -> Any:
        if self._clock() > self._until:
            raise CannotTell(f"its agent was given {PATIENCE:.0f} s, and has more to answer")
        return self._hypervisor.ask_agent(self._vm, command, arguments)

    def _forget(self) -> None:
        self._met: _Met | None = None
        self._boot_id: str | None = None
        self._registry.forget()

    def _report(self, wall: datetime) -> Report | None:
        """None: a Windows guest has been asked, and its first answers come later."""
        met = self._met or self._meet()
        if met.system.is_windows:
            registry = self._registry.look(wall)
            boot_id = registry.boot_id if registry else None
        else:
            registry, boot_id = None, self._read_boot_id()
        if self._boot_id not in (None, boot_id):
            met = self._meet()
        self._met, self._boot_id = met, boot_id
        if boot_id is None:
            return None
        kind = SessionKind.GRAPHICAL if registry else SessionKind.TEXT
        users = self._ask("guest-get-users")
        time = answers.clock(self._ask("guest-get-time"))
        return Report(
            number=self._number + 1,
            time=int(time),
            boot_id=boot_id,
            agent=clean(f"qemu-guest-agent {met.agent.version}", NAME_MAX),
            os=met.system.os,
            kernel=met.system.kernel,
            busy=None,
            restart=registry.restart if registry else self._restart(),
            sessions=answers.sessions(users, time, kind),
        )

    def _meet(self) -> _Met:
        agent = answers.agent(self._ask("guest-info"))
        _has(agent, NEEDED)
        system = answers.system(self._ask("guest-get-osinfo"))
        _has(agent, WINDOWS_NEEDED if system.is_windows else LINUX_NEEDED)
        if not system.is_windows and not self._read(SIGNED_IN):
            raise CannotTell(f"nothing is in {SIGNED_IN}, so who is signed in cannot be told")
        return _Met(agent, system)

    # a Linux guest

    def _read_boot_id(self) -> str:
        found = self._read(BOOT_ID)
        if found is None or not _BOOT_ID.fullmatch(found):
            raise CannotTell("which boot this is cannot be told")
        return found.decode("ascii").strip()

    def _restart(self) -> tuple[Reason, ...]:
        """Where the file cannot be opened for whatever reason, nothing is made up: none."""
        if not self._is_there(REBOOT_REQUIRED):
            return ()
        by = answers.names(self._read(REBOOT_REQUIRED_BY) or b"") or "a package"
        # The same word as our own service's, so that it is the same reason to the host.
        return (Reason("reboot-required", Strength.STRONG, None, clean(f"asked for by {by}")),)

    def _is_there(self, path: str) -> bool:
        handle = self._open(path)
        if handle is None:
            return False
        self._close(handle)
        return True

    def _read(self, path: str) -> bytes | None:
        """The beginning of the file; None: it cannot be opened."""
        handle = self._open(path)
        if handle is None:
            return None
        request = {"handle": handle, "count": answers.READ_BYTES_MAX}
        try:
            return answers.content(self._ask("guest-file-read", request))
        finally:
            self._close(handle)

    def _open(self, path: str) -> int | None:
        try:
            return answers.handle(self._ask("guest-file-open", {"path": path, "mode": "r"}))
        except HypervisorError as err:
            if type(err) is not HypervisorError:  # the agent is silent, the VM is gone ...
                raise
            return None

    def _close(self, handle: int) -> None:
        try:
            self._hypervisor.ask_agent(self._vm, "guest-file-close", {"handle": handle})
        except Unreachable:
            raise
        except HypervisorError as err:  # the next call tells whether it matters
            log.debug("file of '%s' not closed: %s", self._vm.name, clean(str(err)))


def _has(agent: Agent, needed: frozenset[str]) -> None:
    missing = needed - agent.commands
    if missing:
        raise CannotTell(f"its agent has switched off: {', '.join(sorted(missing))}")
