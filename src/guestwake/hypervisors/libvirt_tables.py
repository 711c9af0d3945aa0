"""libvirt's words and ours: states with reasons, verbs, error codes. Nothing is asked here."""

from __future__ import annotations

from guestwake.hypervisors.api import (
    AgentSilent,
    HypervisorError,
    NotAllowed,
    Unreachable,
    VmBusy,
    VmNotFound,
)
from guestwake.hypervisors.libvirt_library import libvirt
from guestwake.policy.words import Power, StoppedBy, Verb

POWER = {
    libvirt.VIR_DOMAIN_RUNNING: Power.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: Power.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: Power.CHANGING,
    # The guest has ended and QEMU is about to, or libvirt is about to start the guest again:
    # neither can be asked anything now.
    libvirt.VIR_DOMAIN_SHUTDOWN: Power.CHANGING,
    libvirt.VIR_DOMAIN_SHUTOFF: Power.OFF,
    libvirt.VIR_DOMAIN_CRASHED: Power.CRASHED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: Power.SUSPENDED,
}
POWER_BY_REASON = {
    (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_POSTCOPY): Power.CHANGING,
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER): Power.PAUSED,
    # So QEMU shows a VM whose image was saved paused, for as long as nobody resumes it. While it
    # really migrates there is a job.
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION): Power.PAUSED,
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_CRASHED): Power.CRASHED,
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED): Power.ELSEWHERE,
}
STOPPED_BY = {
    libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN: StoppedBy.GUEST,
    libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED: StoppedBy.HOST,
    libvirt.VIR_DOMAIN_SHUTOFF_SAVED: StoppedBy.HOST,
    libvirt.VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT: StoppedBy.HOST,
    libvirt.VIR_DOMAIN_SHUTOFF_CRASHED: StoppedBy.CRASH,
    libvirt.VIR_DOMAIN_SHUTOFF_FAILED: StoppedBy.CRASH,
    libvirt.VIR_DOMAIN_SHUTOFF_DAEMON: StoppedBy.CRASH,
    libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED: StoppedBy.MIGRATION,
}
AT_REST = frozenset({Power.OFF, Power.SAVED, Power.ELSEWHERE})

VERBS: dict[Power, frozenset[Verb]] = {
    Power.OFF: frozenset({Verb.START}),
    Power.SAVED: frozenset({Verb.START}),
    Power.RUNNING: frozenset(
        {
            *(Verb.PAUSE, Verb.SUSPEND, Verb.SAVE, Verb.SAVE_PAUSED, Verb.SHUT_DOWN),
            *(Verb.PRESS_POWER_BUTTON, Verb.POWER_OFF, Verb.RESTART),
        }
    ),
    Power.PAUSED: frozenset({Verb.RESUME, Verb.SAVE, Verb.SAVE_PAUSED, Verb.POWER_OFF}),
    Power.SUSPENDED: frozenset({Verb.WAKE_UP, Verb.POWER_OFF}),
}
# What only QEMU's driver can be asked, of those that libvirt reaches.
QEMU_ONLY = frozenset({Verb.SUSPEND, Verb.WAKE_UP, Verb.SAVE_PAUSED, Verb.PRESS_POWER_BUTTON})
AGENT_VERBS = frozenset({Verb.SUSPEND, Verb.SHUT_DOWN})

ERRORS: dict[int, type[HypervisorError]] = {
    libvirt.VIR_ERR_NO_DOMAIN: VmNotFound,
    libvirt.VIR_ERR_OPERATION_INVALID: VmBusy,
    libvirt.VIR_ERR_OPERATION_TIMEOUT: VmBusy,
    libvirt.VIR_ERR_RESOURCE_BUSY: VmBusy,
    libvirt.VIR_ERR_OPERATION_ABORTED: VmBusy,
    libvirt.VIR_ERR_NO_CONNECT: Unreachable,
    libvirt.VIR_ERR_INVALID_CONN: Unreachable,
    libvirt.VIR_ERR_RPC: Unreachable,
    libvirt.VIR_ERR_OPERATION_DENIED: NotAllowed,
    libvirt.VIR_ERR_ACCESS_DENIED: NotAllowed,
    libvirt.VIR_ERR_AUTH_CANCELLED: NotAllowed,
    libvirt.VIR_ERR_AUTH_UNAVAILABLE: NotAllowed,
    libvirt.VIR_ERR_AGENT_UNRESPONSIVE: AgentSilent,
    libvirt.VIR_ERR_AGENT_UNSYNCED: AgentSilent,
}
# Where the agent takes part: its channel is not in the definition, or the guest took too long.
# The second code is newer than some libvirt that we serve.
NO_AGENT = (
    libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
    getattr(libvirt, "VIR_ERR_AGENT_COMMAND_TIMEOUT", None),
)

EVENTS = (
    libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
    libvirt.VIR_DOMAIN_EVENT_ID_GRAPHICS,
    libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE,
)


def power_of(state: int, reason: int) -> Power:
    """A state and a reason of libvirt's, both new ones too; a saved image and jobs aside."""
    return POWER_BY_REASON.get((state, reason)) or POWER.get(state, Power.CHANGING)
