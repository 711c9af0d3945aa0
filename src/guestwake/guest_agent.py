"""Guests in which only qemu-guest-agent runs: ask their own update clients to look now.

The two units are Debian's and Ubuntu's own periodic jobs, started as their timers would start
them, so that the guest's own configuration decides what is installed (contract, section 2,
NudgeUpdateClients). Debian's timer has a random delay of up to twelve hours: a VM awake for four
may never see it fire. The second unit is ordered after the first by its own definition.
"""

from __future__ import annotations

from guestwake.hypervisors.api import AsksGuestAgent, Vm

NUDGES: tuple[tuple[str, ...], ...] = (
    ("systemctl", "start", "--no-block", "apt-daily.service", "apt-daily-upgrade.service"),
)


def nudge(hypervisor: AsksGuestAgent, vm: Vm) -> None:
    """Raises HypervisorError where the agent will not; a guest without apt answers in itself."""
    for path, *arguments in NUDGES:
        hypervisor.ask_agent(vm, "guest-exec", {"path": path, "arg": arguments})
