"""Every event: a stable id, a level, a sentence, its cause and its remedy.

One for each answer of the wake policy that somebody may want to know of, and the usage event of
the Guest Update Manager. 4022, 4028 and 11001 to 11003 are MED-V's own ids (its event log page;
contract, sections 8 and 9); ours are 12000 and up and never change their meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from guestwake.policy.run import Why


class Level(IntEnum):
    """As EventLogLevel counts: an event is written where its level is at most the setting."""

    ERROR = 1
    WARNING = 2
    INFORMATION = 3
    DEBUG = 4


@dataclass(frozen=True, slots=True)
class Event:
    """`sentence` has one place, `{name}`, for the workspace. `once`: only once for one window.
    `standing`: stays in `status` until it has ended."""

    id: int
    level: Level
    sentence: str
    cause: str
    remedy: str
    once: bool = False
    standing: bool = False


_ERROR, _WARNING, _INFORMATION, _DEBUG = Level

USAGE = Event(
    11001,
    _ERROR,
    "The Guest Update Manager was called wrongly.",
    "The command line is not understood.",
    "Call: guestwake wake WORKSPACE [--duration MINUTES] [--scheduled].",
)
JOURNAL_SET_ASIDE = Event(
    12090,
    _ERROR,
    "The journal was damaged and has been set aside; a new one was begun.",
    "The file was cut, overwritten, or its disk failed.",
    "Keep the file named in the detail for inquiry; windows had before it are forgotten, "
    "workspaces are not. Say again what was skipped, paused or held.",
)
TIMER_RESTORED = Event(
    12091,
    _WARNING,
    "A timer was not as Guestwake keeps it, and has been restored.",
    "Somebody edited, overrode, masked, disabled, stopped or deleted it; the detail says what.",
    "When a VM is woken is a setting: 'guestwake settings show WORKSPACE' names the files. "
    "'guestwake pause WORKSPACE' stops its windows.",
)
RESTART_ASKED = Event(
    12092,
    _INFORMATION,
    "A restart that updates need waits for an answer.",
    "Somebody is logged on, and work in the guest may be at risk.",
    "'guestwake restart WORKSPACE' does it now, 'guestwake postpone WORKSPACE' later.",
)
RESTART_NOTICE = Event(
    12093,
    _WARNING,
    "A restart that updates need has been put off for as long as it can be, and comes in ten "
    "minutes.",
    "RebootAbsoluteDelayTimeout has passed since the first prompt that a user saw.",
    "Save what is open in the guest.",
)
_NETWORK = Event(
    11002,
    _WARNING,
    "Cannot update {name}: no host network.",
    "The host has no network, or only a metered one that is not allowed.",
    "Connect the host: the wake is tried again while the window is open. RequireNetwork = 0 or "
    "AllowMetered = 1 lift the guard.",
    once=True,
)
_AC_POWER = Event(
    11003,
    _WARNING,
    "Cannot update {name}: the host does not run on AC power.",
    "The host runs on battery.",
    "Plug it in: the wake is tried again while the window is open. RequireACPower = 0 lifts the "
    "guard.",
    once=True,
)

OF_WHY: Mapping[Why, Event] = {
    Why.WAITS_FOR_NETWORK: _NETWORK,
    Why.NO_NETWORK: _NETWORK,
    Why.WAITS_FOR_AC_POWER: _AC_POWER,
    Why.NO_AC_POWER: _AC_POWER,
    Why.WAITS_FOR_STARTS: Event(
        12001,
        _DEBUG,
        "{name} waits: as many VMs as MaxConcurrentStarts allows are waking or being saved.",
        "Several windows open at the same time.",
        "Nothing. Splay spreads the openings.",
    ),
    Why.WAITS_FOR_TURN: Event(
        12002,
        _INFORMATION,
        "{name} waits for its turn: as many VMs as MaxAwake allows are awake.",
        "MaxAwake limits, and others have been without a window longer.",
        "Nothing, or raise MaxAwake.",
        once=True,
    ),
    Why.WAITS_FOR_MEMORY: Event(
        12003,
        _WARNING,
        "{name} waits: waking it would leave the host less memory than MemoryReserve.",
        "Other VMs or programs use the host's memory.",
        "Free memory, or lower MemoryReserve.",
        once=True,
    ),
    Why.WAITS_FOR_DISK: Event(
        12004,
        _WARNING,
        "{name} waits: its saved image would leave the disk less room than DiskReserve.",
        "The disk on which saved images lie is nearly full.",
        "Make room there, or lower DiskReserve.",
        once=True,
    ),
    Why.WAITS_FOR_CHANGE: Event(
        12005,
        _INFORMATION,
        "{name} is in the middle of something: a job, a snapshot, a migration, an I/O error.",
        "Another program is at work on the VM, or its disk is full or failing.",
        "Nothing while the job runs; after an I/O error, mend the disk and resume the VM.",
        once=True,
    ),
    Why.WAITS_FOR_HYPERVISOR: Event(
        12006,
        _WARNING,
        "The hypervisor of {name} cannot be reached.",
        "Its daemon is not running, or the connection is refused.",
        "Start it (systemctl start libvirtd), or correct the URI of the workspace.",
        once=True,
    ),
    Why.WAITS_FOR_HOST: Event(
        12007,
        _INFORMATION,
        "{name} is not woken: the host is shutting down.",
        "The host shuts down.",
        "Nothing: it goes on when the host is back, inside its window.",
    ),
    Why.WAITS_FOR_JOURNAL: Event(
        12009,
        _ERROR,
        "{name} is not woken: its wake cannot be recorded. It is tried again in a minute.",
        "The journal is locked, or its disk full or read-only; nothing is woken without a record.",
        "Mend what the log names; the journal is the file journal.db in the state folder.",
        once=True,
    ),
    Why.WAITS_AFTER_REFUSED_WAKE: Event(
        12008,
        _WARNING,
        "The hypervisor would not wake {name}; it is asked again in a minute.",
        "See the detail: the hypervisor's own words.",
        "Try to start the VM by hand, and mend what it complains of.",
        once=True,
    ),
    Why.WATCHES: Event(
        12010,
        _INFORMATION,
        "{name} runs already: its window is only watched.",
        "It was running when its window opened.",
        "Nothing.",
    ),
    Why.WAKES: Event(
        12011,
        _INFORMATION,
        "{name} is being woken.",
        "Its window is open.",
        "Nothing.",
        once=True,  # else one that is refused each minute filled the log
    ),
    Why.HOLDS: Event(
        12012,
        _INFORMATION,
        "{name} is awake for its updates.",
        "It was woken.",
        "Nothing.",
        once=True,  # else a guest that asks for a restart, and not, and again, filled the log
    ),
    Why.HOLDS_WITHOUT_WORD: Event(
        12013,
        _WARNING,
        "{name} is awake, but its guest has not answered within TaskTimeout.",
        "The guest does not boot, hangs, or has no agent running.",
        "Look at its console. Install qemu-guest-agent in the guest, and give the VM its channel.",
        once=True,
    ),
    Why.RESTART_WAITS: Event(
        12029,
        _INFORMATION,
        "{name} needs a restart for its updates; it waits.",
        "It is installing, or cannot tell and the window is not near its end, or somebody uses it, "
        "or somebody's work is at risk, or the window is too short for it, or RestartInWindow is "
        "0, or it was restarted within the hour, or twice in this window.",
        "'guestwake status' names who is signed in and what asks for it. It is looked at again, "
        "and in the next window too.",
        once=True,
    ),
    Why.RESTART_IN_VAIN: Event(
        12030,
        _WARNING,
        "{name} still says that it needs a restart, after two that did not help; it is not "
        "restarted for that again.",
        "An update in the guest fails at each boot, or a program there asks for restarts for ever.",
        "Look at what 'guestwake status' names, inside the guest.",
        once=True,
    ),
    Why.CRASHED_WOKEN_AGAIN: Event(
        12014,
        _WARNING,
        "{name} crashed inside its window and is woken again.",
        "The guest or its hypervisor process crashed.",
        "See the hypervisor's log for this VM.",
    ),
    Why.CRASHED_SESSION_LOST: Event(
        12015,
        _ERROR,
        "{name} crashed inside its window: the session it was restored from is lost.",
        "The guest or its hypervisor process crashed after it was restored.",
        "See the hypervisor's log for this VM; tell its user that unsaved work is gone.",
    ),
    Why.RESTARTS: Event(
        12016,
        _INFORMATION,
        "{name} is being restarted for its updates.",
        "Its guest asks for a restart, and nobody's work is at risk.",
        "Nothing.",
    ),
    Why.RESTART_REFUSED: Event(
        12031,
        _WARNING,
        "{name} was to be restarted for its updates, and was not; it is held on.",
        "The hypervisor refused, or the guest did not go down within TaskTimeout.",
        "Nothing: it is tried again in an hour, or in the next window. If it lasts, look at the "
        "guest's console.",
    ),
    Why.RESTART_HANGS: Event(
        12017,
        _WARNING,
        "{name} has not come back from its restart within TaskTimeout; it is held on.",
        "An update installs for long while it boots, or the guest hangs.",
        "Look at its console.",
    ),
    Why.RESTARTED: Event(
        12018,
        _INFORMATION,
        "{name} has restarted, and its guest reports again.",
        "A restart for updates.",
        "Nothing.",
    ),
    Why.RESTARTS_IN_USE: Event(
        12032,
        _INFORMATION,
        "{name} is being restarted, as was agreed or announced.",
        "Updates in its guest need a restart.",
        "Nothing; what is not saved in the guest by now is lost.",
    ),
    Why.WINDOWS_TOUCH: Event(
        12019,
        _INFORMATION,
        "{name} stays awake: its next window has opened.",
        "Windows that touch or overlap are one run.",
        "Nothing.",
    ),
    Why.BUSY_INSTALLING: Event(
        12020,
        _INFORMATION,
        "{name} is still installing at the end of its window, which is extended.",
        "Its updates take longer than the window.",
        "Lengthen GuestUpdateDuration if this happens often; MaxExtension is the limit.",
    ),
    Why.HOST_RESUMED: Event(
        12021,
        _INFORMATION,
        "The host slept past the end of the window of {name}: it is put back in a minute.",
        "The host was asleep.",
        "Nothing.",
    ),
    Why.LENT: Event(
        12022,
        _INFORMATION,
        "{name} is in use and stays up; it is put back when the use has ended.",
        "Somebody began to use it.",
        "Nothing. 'guestwake status' names who keeps it awake.",
    ),
    Why.IN_USE: Event(
        12034,
        _INFORMATION,
        "{name} was started for who uses it, and stays up until that has ended.",
        "Somebody opened an application of it, or a 'guestwake open' waits for it.",
        "Nothing. 'guestwake status' names who keeps it awake.",
    ),
    Why.KEPT_FOR_USER: Event(
        12035,
        _INFORMATION,
        "{name} stays up while its user is logged on: Fast Start.",
        "It has published applications, and LogonStartEnabled is 1.",
        "Nothing. With LogonStartEnabled = 0 it is started with the first application instead.",
    ),
    Why.LOGOFF_OVERDUE: Event(
        4022,
        _ERROR,
        "{name} could not be put to rest within TaskTimeout after the logoff of its user.",
        "The hypervisor refuses, or the VM does not come to an end; see the detail.",
        "Mend what the detail names. It is tried again until it works.",
        standing=True,
    ),
    Why.SHUTDOWN_OVERDUE: Event(
        4028,
        _ERROR,
        "{name} could not be hibernated within TaskTimeout of the host's shutdown.",
        "The hypervisor refuses, or the disk is slow or full; see the detail.",
        "Mend what the detail names. A guest that the host took down with it has lost its session.",
        standing=True,
    ),
    Why.WAITS_TO_PUT_BACK: Event(
        12023,
        _DEBUG,
        "{name} waits to be saved: as many VMs as MaxConcurrentStarts allows are.",
        "Several windows end at the same time.",
        "Nothing.",
    ),
    Why.PUTS_BACK: Event(
        12024, _INFORMATION, "{name} is being put back.", "Its window has ended.", "Nothing."
    ),
    Why.NOT_PUT_BACK_REFUSED: Event(
        12025,
        _ERROR,
        "{name} stays up: the hypervisor refuses to put it back. It is tried again.",
        "See the detail: the disk is full, a device cannot be saved, or a job is running; or an "
        "I/O error keeps it paused.",
        "Mend what the detail names, and resume the VM after an I/O error. It is put back as soon "
        "as that works.",
        standing=True,
    ),
    Why.SAVES_INSTEAD: Event(
        12026,
        _WARNING,
        "{name} did not go down within TaskTimeout and is saved instead.",
        "The guest ignores the request.",
        "Install qemu-guest-agent or acpid in the guest; lengthen TaskTimeout for a slow one.",
    ),
    Why.HOST_SHUTS_DOWN: Event(
        12027,
        _INFORMATION,
        "{name} was put to rest inside its window because the host shuts down.",
        "The host shuts down.",
        "Nothing: it goes on when the host is back, inside its window.",
    ),
    Why.AC_POWER_LOST: Event(
        12028,
        _WARNING,
        "{name} was put back inside its window because the host runs on battery.",
        "AC power was lost.",
        "Plug the host in: it goes on inside its window.",
    ),
    Why.WATCHED: Event(
        12040,
        _INFORMATION,
        "{name} was running through its window, and was left as it was.",
        "It ran before the window opened.",
        "Nothing.",
    ),
    Why.RUNS_ALREADY: Event(
        12066,
        _DEBUG,
        "{name} runs already: it need not be started, and is not put to rest.",
        "Somebody else had started it.",
        "Nothing.",
    ),
    Why.NOT_WANTED: Event(
        12067,
        _INFORMATION,
        "{name} was not started: who wanted it does not any more.",
        "The application was given up, or its user has logged off, before there was room for it.",
        "Nothing.",
    ),
    Why.RESTARTED_IN_USE: Event(
        12062,
        _INFORMATION,
        "{name} has restarted, and its guest reports again.",
        "Its user agreed, or the time to postpone it was over.",
        "Nothing.",
    ),
    Why.RESTART_FAILED: Event(
        12063,
        _WARNING,
        "{name} was to be restarted for its updates, and did not restart.",
        "The guest hangs, is busy installing, does not report, or refuses: see the detail.",
        "Restart it from inside; the restart stays required until it has.",
    ),
    Why.RESTART_NOT_NEEDED: Event(
        12064,
        _DEBUG,
        "{name} needs no restart any more.",
        "It was restarted meanwhile, or somebody began to use it.",
        "Nothing.",
    ),
    Why.PUT_BACK: Event(
        12041, _INFORMATION, "{name} had its window and was put back.", "As planned.", "Nothing."
    ),
    Why.PUT_BACK_OWED_OFF: Event(
        12042,
        _WARNING,
        "{name} had its window and was saved; it should really be off. The next run settles it.",
        "Its work was at risk, it was installing, or it ignored the request to shut down.",
        "Nothing, or shut it down by hand.",
    ),
    Why.CLOSED: Event(
        12043,
        _INFORMATION,
        "The use of {name} has ended, and its CloseAction was done.",
        "It was started for somebody, or somebody used it during or after its window.",
        "Nothing.",
    ),
    Why.GUEST_STOPPED_ITSELF: Event(
        12044,
        _INFORMATION,
        "The guest of {name} shut itself down or hibernated; it is left so.",
        "A program or a person inside the guest did it.",
        "Nothing, if that was wanted.",
    ),
    Why.STOPPED_BY_SOMEBODY: Event(
        12045,
        _INFORMATION,
        "Somebody stopped, paused or saved {name}; it is left so.",
        "A person or a program at the host did it.",
        "Nothing, if that was wanted.",
    ),
    Why.STARTED_BY_SOMEBODY: Event(
        12046,
        _INFORMATION,
        "Somebody started {name} anew; it is theirs now, and is left as it is.",
        "A person or a program at the host did it.",
        "Nothing, if that was wanted.",
    ),
    Why.WHO_STARTED_IT_UNKNOWN: Event(
        12068,
        _WARNING,
        "{name} runs, and nobody can tell whether it was started for its window or by somebody; it "
        "is left as it is.",
        "The Guest Update Manager was killed, or was refused an answer, just as it started the VM.",
        "Put it to rest by hand if nobody uses it.",
    ),
    Why.MIGRATED_AWAY: Event(
        12047,
        _WARNING,
        "{name} is on another host; it is never started here.",
        "It was migrated away.",
        "Add it as a workspace there, and remove it here.",
    ),
    Why.VM_GONE: Event(
        12048,
        _ERROR,
        "The VM of {name} does not exist any more.",
        "It was deleted or undefined.",
        "Take the workspace off: guestwake workspace remove {name}",
        standing=True,
    ),
    Why.REMOVED_IN_USE: Event(
        12049,
        _WARNING,
        "{name} was removed while somebody used it; it stays up.",
        "The workspace was removed.",
        "Put it back by hand when the use has ended.",
    ),
    Why.CRASHED: Event(
        12050,
        _ERROR,
        "{name} has crashed and is not touched.",
        "The guest or its hypervisor process crashed.",
        "See the hypervisor's log, and start it by hand.",
        standing=True,
    ),
    Why.CRASHED_TOO_OFTEN: Event(
        12051,
        _ERROR,
        "{name} crashed three times inside its window and is left off.",
        "The guest or its hypervisor process crashes again and again.",
        "See the hypervisor's log for this VM.",
        standing=True,
    ),
    Why.HOST_DIED_UNDER_IT: Event(
        12052,
        _WARNING,
        "The host went down while {name} was awake.",
        "Power was lost, or the host was reset.",
        "Nothing: it goes on inside its window. A session that had been restored may be lost.",
    ),
    Why.IMAGE_UNUSABLE: Event(
        12053,
        _ERROR,
        "The saved image of {name} cannot be restored; it is kept, and nothing was started.",
        "The image is cut short or damaged, or from another version of the hypervisor.",
        "Look at it with 'virsh managedsave-dumpxml'. Starting the VM by hand would discard it.",
        standing=True,
    ),
    Why.NO_TURN: Event(
        12054,
        _WARNING,
        "{name} had no turn in this window.",
        "MaxAwake or MaxConcurrentStarts let others go first.",
        "Nothing: it goes first next time. Lengthen the window, or raise the limit.",
    ),
    Why.NO_MEMORY: Event(
        12055,
        _WARNING,
        "{name} had no window: the host had too little memory.",
        "Waking it would have gone below MemoryReserve.",
        "Free memory at that hour, or lower MemoryReserve.",
    ),
    Why.NO_DISK: Event(
        12056,
        _WARNING,
        "{name} had no window: the host had too little disk room.",
        "Its saved image would have gone below DiskReserve.",
        "Make room there, or lower DiskReserve.",
    ),
    Why.NEVER_SETTLED: Event(
        12057,
        _WARNING,
        "{name} had no window: it was in the middle of something until the end.",
        "A job, a snapshot, a migration or an I/O error.",
        "Look at the VM; after an I/O error, mend the disk and resume it.",
    ),
    Why.HYPERVISOR_UNREACHABLE: Event(
        12058,
        _ERROR,
        "{name} had no window: its hypervisor could not be reached.",
        "Its daemon was not running, or refused the connection.",
        "Start it (systemctl start libvirtd), or correct the URI of the workspace.",
    ),
    Why.NOT_RECORDED: Event(
        12061,
        _ERROR,
        "{name} had no window: its wake could not be recorded, so it was not woken.",
        "The journal was locked, or its disk full or read-only, through the whole window.",
        "Mend what the log names; the journal is the file journal.db in the state folder.",
    ),
    Why.WAKE_REFUSED: Event(
        12059,
        _ERROR,
        "{name} had no window: the hypervisor would not wake it.",
        "See the detail: the hypervisor's own words.",
        "Try to start the VM by hand, and mend what it complains of.",
    ),
    Why.STOPPED_BEFORE_WAKE: Event(
        12060,
        _INFORMATION,
        "The run of {name} ended before the VM was woken; nothing was touched.",
        "The manager was told to stop, or the window was taken away.",
        "Nothing.",
    ),
}
