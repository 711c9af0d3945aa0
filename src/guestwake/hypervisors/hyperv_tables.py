"""Hyper-V's words and ours: states, ends, verbs, error identifiers. Nothing is asked here.

States go by their names: their numbers differ between versions of Windows.
"""

from __future__ import annotations

from guestwake.hypervisors.api import (
    HypervisorError,
    NotAllowed,
    Unreachable,
    VmBusy,
    VmNotFound,
)
from guestwake.policy.words import Autostart, Power, StoppedBy, Verb

# Whatever is not here is a state in between, or one that Hyper-V calls critical (its storage does
# not answer, or is full): looked at again.
POWER = {
    "Running": Power.RUNNING,
    "Off": Power.OFF,
    "Saved": Power.SAVED,
    "FastSaved": Power.SAVED,
    "Paused": Power.PAUSED,
    "Hibernated": Power.OFF,  # the guest did that itself: its memory is on its own disk
}
# Operational statuses that come with a job on the VM or its disks.
JOBS = frozenset(
    {
        *("CreatingSnapshot", "ApplyingSnapshot", "DeletingSnapshot", "MergingDisks"),
        "32769",  # ApplyingSnapshot, as it really comes: the module's own list has 23769 for it
        *("ExportingVirtualMachine", "MigratingVirtualMachine", "MigratingPlannedVm"),
        *("BackingUpVirtualMachine", "ModifyingUpVirtualMachine"),
        *("StorageMigrationPhaseOne", "StorageMigrationPhaseTwo", "WaitingToStart"),
    }
)
AT_REST = frozenset({Power.OFF, Power.SAVED})
LIVE = frozenset({Power.RUNNING, Power.PAUSED})
# Events of Microsoft-Windows-Hyper-V-Worker-Admin and -VMMS-Admin that end a start of a VM.
# https://github.com/microsoft/openvmm names them in its Hyper-V test back end. The script asks for
# 18500, started, too: where that is the latest, nobody knows.
STOPPED_BY = {
    18502: StoppedBy.HOST,  # turned off
    18504: StoppedBy.HOST,  # shut down through the shutdown service
    18508: StoppedBy.GUEST,
    18510: StoppedBy.HOST,  # saved
    18528: StoppedBy.CRASH,  # could not recover from a critical error
    18608: StoppedBy.GUEST,  # hibernated itself
    14070: StoppedBy.CRASH,  # its worker process ended
}
AUTOSTART = {
    "Nothing": Autostart.NEVER,
    "Start": Autostart.ALWAYS,
    "StartIfRunning": Autostart.ONCE,
}

VERBS: dict[Power, frozenset[Verb]] = {
    Power.OFF: frozenset({Verb.START}),
    Power.SAVED: frozenset({Verb.START}),
    Power.RUNNING: frozenset({Verb.PAUSE, Verb.SAVE, Verb.SHUT_DOWN, Verb.RESTART, Verb.POWER_OFF}),
    Power.PAUSED: frozenset({Verb.RESUME, Verb.SAVE, Verb.POWER_OFF}),
}
# What only a guest with the shutdown service can be asked. Hyper-V has no power button to press,
# no S3 to ask for, and no image that comes back paused.
GUEST_VERBS = frozenset({Verb.SHUT_DOWN, Verb.RESTART})

# By the first part of an error's FullyQualifiedErrorId; the two in small letters are our script's.
ERRORS: dict[str, type[HypervisorError]] = {
    "not-found": VmNotFound,
    "unreachable": Unreachable,
    "AccessDenied": NotAllowed,
    "InvalidState": VmBusy,
    "ObjectInUse": VmBusy,
    "OperationTimeout": VmBusy,
    "StatusUnavailable": VmBusy,
}
# What InitiateShutdown and InitiateReboot return, other than 0 and 4096 (a job was started).
# https://learn.microsoft.com/windows/win32/hyperv_v2/msvm-shutdowncomponent-initiateshutdown
GUEST_SAYS: dict[int, tuple[type[HypervisorError], str]] = {
    32769: (NotAllowed, "access is denied"),
    32772: (VmBusy, "the guest did not answer in time"),
    32774: (VmBusy, "it is in use"),
    32775: (VmBusy, "it is in another state"),
    32777: (VmBusy, "the guest is not available"),
    32780: (VmBusy, "the guest is not ready"),
    32781: (HypervisorError, "its screen is locked, and only a forced one would go ahead"),
    32782: (VmBusy, "the guest shuts down already"),
}
CAME_THROUGH = frozenset({0, 4096})
