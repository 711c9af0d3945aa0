"""What is wrong, how wrong, and what mends it: the checks of `doctor`, over all that was seen.

Pure. A check is one small function from `Seen` to findings; the tables name them all, in the order
in which a person would look. To add one: write it, add its line, and say in its sentence what is so
and why that matters. No check takes another's word: each must make sense alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from guestwake.policy import health_host as host
from guestwake.policy import health_hypervisor as hypervisor
from guestwake.policy import health_workspace as workspace
from guestwake.policy.health_facts import Finding, HypervisorSeen, Level, Seen, WorkspaceSeen
from guestwake.policy.health_words import Says

OfHost = Callable[[Seen], Iterable[Says]]
OfHypervisor = Callable[[Seen, HypervisorSeen], Iterable[Says]]
OfWorkspace = Callable[[Seen, WorkspaceSeen], Iterable[Says]]

OF_HOST: dict[str, OfHost] = {
    "answers": host.answers,
    "service": host.service,
    "helpers": host.helpers,
    "bus": host.bus,
    "lingering": host.lingering,
    "state-folder": host.state_folder,
    "journal": host.journal,
    "workspaces": host.workspaces,
    "settings": host.settings,
    "clock": host.clock,
    "time-zone": host.time_zone,
    "network": host.network,
    "power": host.power,
    "wake-alarm": host.wake_alarm,
    "lid": host.lid,
    "boot-storm": host.boot_storm,
    "libvirt-guests": host.libvirt_guests,
}
OF_HYPERVISOR: dict[str, OfHypervisor] = {
    "hypervisor": hypervisor.reach,
    "kvm": hypervisor.kvm,
    "host-shutdown": hypervisor.host_shutdown,
}
OF_WORKSPACE: dict[str, OfWorkspace] = {
    "record": workspace.record,
    "vm": workspace.vm,
    "owner": workspace.owner,
    "removing": workspace.removing,
    "run": workspace.run,
    "standing": workspace.standing,
    "timer": workspace.timer,
    "windows": workspace.windows,
    "autostart": workspace.autostart,
    "other-program": workspace.other_program,
    "saved-image": workspace.saved_image,
    "can-be-saved": workspace.can_be_saved,
    "disk": workspace.disk,
    "memory": workspace.memory,
    "guest-agent": workspace.guest_agent,
    "channel": workspace.channel,
    "guest": workspace.guest,
    "update-clients": workspace.update_clients,
    "installs-on-shutdown": workspace.installs_on_shutdown,
    "restart": workspace.restart,
}
_WRONG = (Level.PROBLEM, Level.WARNING)
_ORDER = list(Level)


class Group(NamedTuple):
    """What was found about one thing, the worst first. `about` as a finding has it."""

    about: str | None
    findings: tuple[Finding, ...]


def checkup(seen: Seen) -> tuple[Finding, ...]:
    """Every finding, in the order of the tables."""
    return tuple(_all(seen))


def grouped(findings: Iterable[Finding]) -> list[Group]:
    """The host first, then as they come; in each group the worst first."""
    groups: dict[str | None, list[Finding]] = {None: []}
    for finding in findings:
        groups.setdefault(finding.about, []).append(finding)
    return [
        Group(about, tuple(sorted(found, key=lambda each: _ORDER.index(each.level))))
        for about, found in groups.items()
        if found
    ]


def is_wrong(findings: Iterable[Finding]) -> bool:
    """Whether somebody should do something."""
    return any(finding.level in _WRONG for finding in findings)


def _all(seen: Seen) -> Iterator[Finding]:
    for name, of_host in OF_HOST.items():
        yield from _found(name, None, of_host(seen))
    for each in seen.hypervisors:
        for name, of_hypervisor in OF_HYPERVISOR.items():
            yield from _found(name, each.uri, of_hypervisor(seen, each))
    for one in seen.workspaces:
        for name, of_workspace in OF_WORKSPACE.items():
            yield from _found(name, one.name, of_workspace(seen, one))


def _found(check: str, about: str | None, said: Iterable[Says]) -> Iterator[Finding]:
    for says in said:
        yield Finding(check, says.level, says.sentence, says.remedy, about)
