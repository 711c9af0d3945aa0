"""The checks of one workspace: its VM, its timer and windows, its guest, who else moves it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from guestwake.policy.health_facts import ChannelSeen, Seen, WorkspaceSeen
from guestwake.policy.health_words import (
    SETTINGS,
    UNIT,
    Says,
    note,
    ok,
    problem,
    quoted,
    setting,
    systemctl,
    times,
    unknown,
    warning,
)
from guestwake.policy.limits import CatchUp, ReturnState
from guestwake.policy.restart import SURVIVES
from guestwake.policy.run import Why
from guestwake.policy.words import Autostart, Power

INSTALLS_ON_SHUTDOWN = "installs-on-shutdown"  # the guest's word for it, a weak sign
_ENOUGH = 3  # windows, from which on one may say "never"
_FEW = 0.5  # of the windows missed: worth a word
_SILENT_FOR = timedelta(hours=1)  # a guest that is awake says something every two minutes
_AT_REST = (Power.OFF, Power.SAVED)


def record(seen: Seen, workspace: WorkspaceSeen) -> Iterator[Says]:
    if workspace.trouble is not None:
        yield problem(f"What is recorded of it cannot be read: {workspace.trouble}")


def vm(seen: Seen, workspace: WorkspaceSeen) -> Iterator[Says]:
    if workspace.why_no_vm is not None:
        yield problem(
            f"Its VM is not there: {workspace.why_no_vm}.",
            f"guestwake workspace remove {workspace.word}",
        )
        return
    found = workspace.vm
    if found is None:
        return
    if found.trouble is not None:
        yield unknown(f"Its VM could not be looked at: {found.trouble}.")
    elif found.power is Power.ELSEWHERE:
        yield problem("Its VM was migrated to another host, and is never started here.")
    elif found.power is Power.CRASHED:
        yield problem("Its VM has crashed and is kept as it is: it is never touched.")
    elif found.name != workspace.name:
        yield note(
            f"The hypervisor calls its VM '{found.name}' now; it is known by its UUID all the same."
        )
    else:
        yield ok(f"Its VM is there ({found.power}).")


def owner(seen: Seen, workspace: WorkspaceSeen) -> Iterator[Says]:
    if not workspace.owner_known:
        yield problem(
            f"Its owner '{workspace.owner}' is no user of this host: nobody's settings and logon "
            "count for it. After the command add it anew, with another owner.",
            f"guestwake workspace remove {workspace.word}",
        )


def removing(seen: Seen, workspace: WorkspaceSeen) -> Iterator[Says]:
    if workspace.is_removing:
        yield warning(
            "It was to be removed, and still is to be.",
            f"guestwake workspace remove {workspace.word}",
        )


def run(seen: Seen, workspace: WorkspaceSeen) -> Iterator[Says]:
    if workspace.is_orphaned:
        yield warning(
            "A run of it is open and nobody minds it: its VM may be up since.",
            f"guestwake wake {workspace.word}",
        )


def standing(seen: Seen, workspace: WorkspaceSeen) -> Iterator[Says]:
    if workspace.standing is not None:
        yield problem(workspace.standing)


def timer(seen: Seen, workspace: WorkspaceSeen) -> Iterator[Says]:
    there = workspace.timer
    if there is None:
        return
    mends = systemctl(seen.host, f"reload {UNIT}")
    if there.trouble is not None:
        yield unknown(f"Its timer could not be looked at: {there.trouble}.")
    elif not there.is_wanted:
        if there.is_there:
            yield warning("It has a timer although no window is to open.", mends)
    elif not there.is_there:
        yield problem("It has no timer: its windows do not open by themselves.", mends)
    elif there.drifts or not there.is_as_wanted:
        what = ", ".join(there.drifts) or "out of date"
        yield warning(f"Its timer is not as the settings want it: {what}.", mends)
    else:
        yield ok("Its timer is as the settings want it.")


# is it ever updated?


def windows(seen: Seen, workspace: WorkspaceSeen) -> Iterator[Says]:
    limits, had = workspace.limits, workspace.windows
    if not workspace.is_recorded:
        return
    if not limits.guest_update_duration:
        yield note("GuestUpdateDuration is 0: it has no windows.")
    elif workspace.is_paused:
        yield note("It is paused: it has no windows.", f"guestwake resume {workspace.word}")
    elif had.missed and had.missed == had.passed >= _ENOUGH:
        yield _never(seen, workspace)
    elif workspace.is_stale:
        yield problem(
            f"It has had no window for {times(workspace.without_window.days, 'day')}; CatchUpDays "
            f"is {limits.catch_up_days}.",
            f"guestwake history {workspace.word}",
        )
    elif had.passed >= _ENOUGH and had.missed > had.passed * _FEW:
        yield _often(seen, workspace)
    elif _is_at_risk(seen, workspace):
        yield _laptop(seen, workspace)
    elif not had.passed:
        yield ok("No window of it has passed yet.")
    else:
        yield ok(f"It has had {had.passed - had.missed} of its last {times(had.passed, 'window')}.")


def _never(seen: Seen, workspace: WorkspaceSeen) -> Says:
    had = workspace.windows
    text = f"It is never updated: all of its last {times(had.passed, 'window')} were missed"
    reason, remedy = _reason(workspace, can_wake=_can_wake(seen))
    return problem(f"{text}, {reason}", remedy)


def _often(seen: Seen, workspace: WorkspaceSeen) -> Says:
    had = workspace.windows
    reason, remedy = _reason(workspace, can_wake=_can_wake(seen))
    return warning(f"{had.missed} of its last {had.passed} windows were missed, {reason}", remedy)


def _reason(workspace: WorkspaceSeen, *, can_wake: bool) -> tuple[str, str | None]:
    """Why most of them were, and what would help."""
    had = workspace.windows
    recorded = sum(had.for_lack_of.values())
    most = max(had.for_lack_of, key=lambda why: had.for_lack_of[why], default="")
    if recorded * 2 >= had.missed and most:
        return _kept_from_waking(workspace, most)
    return _host_was_not_up(workspace, can_wake=can_wake)


def _kept_from_waking(workspace: WorkspaceSeen, why: str) -> tuple[str, str | None]:
    match why:
        case Why.NO_AC_POWER:
            text = "as the host ran on battery (RequireACPower): leave it plugged in, or"
            return f"{text} let it be woken on battery too.", setting(
                workspace, "RequireACPower", "0"
            )
        case Why.NO_NETWORK:
            text = "as the host had no network, or a metered one (RequireNetwork, AllowMetered)."
            return text, f"guestwake history {workspace.word}"
        case Why.NO_MEMORY | Why.NO_DISK | Why.NO_TURN:
            text = f"for lack of room ({why}): let fewer windows open at once."
            return text, f"guestwake events --happened {workspace.word}"
        case _:
            return f"because of '{why}'.", f"guestwake events --happened {workspace.word}"


def _host_was_not_up(workspace: WorkspaceSeen, *, can_wake: bool) -> tuple[str, str | None]:
    limits = workspace.limits
    # Nothing is on record for them, and so this is a guess.
    text = f"probably as the host was off or asleep at {limits.guest_update_time:%H:%M}"
    if not limits.wake_host and can_wake:
        return f"{text}: let it be woken.", setting(workspace, "WakeHost", "1")
    if limits.catch_up is CatchUp.NEVER:
        text += ", and CatchUp is never: have them made up when it starts."
        return text, setting(workspace, "CatchUp", "next-start")
    return f"{text}: choose an hour at which it is up.", setting(
        workspace, "GuestUpdateTime", "12:30"
    )


def _can_wake(seen: Seen) -> bool:
    stands = seen.host.service
    return stands is not None and stands.why_no_wake is None


def _is_at_risk(seen: Seen, workspace: WorkspaceSeen) -> bool:
    """A host that one carries about sleeps at night, and nothing on record says otherwise yet."""
    had = workspace.windows
    is_new = had.passed < _ENOUGH
    return seen.host.has_battery is True and is_new and not workspace.limits.wake_host


def _laptop(seen: Seen, workspace: WorkspaceSeen) -> Says:
    limits = workspace.limits
    when = f"{limits.guest_update_time:%H:%M}"
    helps = ("WakeHost", "1") if _can_wake(seen) else ("GuestUpdateTime", "12:30")
    remedy = setting(workspace, *helps)
    if limits.catch_up is CatchUp.NEVER:
        return warning(
            f"This host has a battery: where it is off or asleep at {when} the window is missed, "
            "and CatchUp is never.",
            remedy,
        )
    then = "at its next start"
    if limits.catch_up is CatchUp.STALE:
        then = f"once the last one is {times(limits.catch_up_days, 'day')} ago"
    return note(
        f"This host has a battery: where it is off or asleep at {when} the window is missed, and "
        f"made up {then}.",
        remedy,
    )


# who else moves it


def autostart(seen: Seen, workspace: WorkspaceSeen) -> Iterator[Says]:
    match workspace.vm.autostarts if workspace.vm else None:
        case Autostart.ALWAYS:
            yield warning(
                "libvirt starts it by itself (autostart): it then runs before its window, and is "
                "only watched, never put back.",
                f"virsh --connect {quoted(workspace.uri)} autostart --disable {workspace.word}",
            )
        case Autostart.ONCE:
            yield note(
                "libvirt starts it with the host the next time, as it ran when that went down.",
                f"virsh --connect {quoted(workspace.uri)} autostart --once --disable "
                f"{workspace.word}",
            )
        case Autostart.NEVER:
            yield ok("Nothing of libvirt's starts it by itself.")


def other_program(seen: Seen, workspace: WorkspaceSeen) -> Iterator[Says]:
    if workspace.vm and workspace.vm.kept_by:
        yield note(
            f"{workspace.vm.kept_by} made it, and starts and stops it too: who takes it during a "
            "run keeps it. 'vagrant destroy' and the like delete it with all that was installed."
        )


# can it be woken and put back?


def saved_image(seen: Seen, workspace: WorkspaceSeen) -> Iterator[Says]:
    if workspace.vm and workspace.vm.image_ok is False:
        yield problem(
            "Its saved image cannot be read: it is kept, and never started, as that would discard "
            "it. Event 12053 of 'guestwake events' tells what can be done."
        )


def can_be_saved(seen: Seen, workspace: WorkspaceSeen) -> Iterator[Says]:
    found = workspace.vm
    if found is None or found.trouble is not None:
        return
    if found.why_not_saved is not None:
        yield warning(
            f"It cannot be hibernated: {found.why_not_saved}. It can be woken only where it is "
            "off, and is put back by shutting it down."
        )
    else:
        yield ok("Nothing in its definition forbids to hibernate it.")


def disk(seen: Seen, workspace: WorkspaceSeen) -> Iterator[Says]:
    found, reserve = workspace.vm, workspace.limits.disk_reserve
    if found is None or found.disk_available is None or found.power is not Power.OFF:
        return  # what is saved has its room already
    if SETTINGS in seen.late:
        return
    left = found.disk_available - found.memory
    if left < reserve:
        yield problem(
            f"There is no room for its saved image: {found.disk_available} MiB are free, the image "
            f"takes up to {found.memory} MiB, and DiskReserve keeps {reserve} MiB."
        )
    else:
        yield ok(f"There is room for its saved image ({found.disk_available} MiB).")


def memory(seen: Seen, workspace: WorkspaceSeen) -> Iterator[Says]:
    found, facts = workspace.vm, seen.host.facts
    room = facts.memory_available if facts else None
    if found is None or room is None or found.power not in _AT_REST or SETTINGS in seen.late:
        return
    reserve = workspace.limits.memory_reserve
    if room - found.memory < reserve:
        yield warning(
            f"It could not be woken now: it takes {found.memory} MiB, {room} MiB are free, and "
            f"MemoryReserve keeps {reserve} MiB."
        )
    else:
        yield ok(f"There is memory to wake it ({room} MiB).")


# its guest


def guest_agent(seen: Seen, workspace: WorkspaceSeen) -> Iterator[Says]:
    found = workspace.vm
    if found is None or found.trouble is not None:
        return
    if found.has_agent:
        yield ok("It has the channel of qemu-guest-agent.")
    else:
        yield note(
            "It has no channel for qemu-guest-agent: its clock cannot be set after a wake, nor its "
            "update clients be asked to look.",
            f"virt-xml --connect {quoted(workspace.uri)} {workspace.word} --add-device --channel "
            "unix,target.type=virtio,target.name=org.qemu.guest_agent.0",
        )


def channel(seen: Seen, workspace: WorkspaceSeen) -> Iterator[Says]:
    match workspace.vm.channel if workspace.vm else None:
        case ChannelSeen.MISSING:
            yield note(
                "It has no channel for the Guest Update Service, which would tell whether the "
                "guest is busy, who uses it, and what needs a restart.",
                f"guestwake workspace channel add {workspace.word}",
            )
        case ChannelSeen.AT_NEXT_BOOT:
            yield note("It gets the channel of the Guest Update Service with its next boot.")
        case ChannelSeen.THERE:
            yield ok("It has the channel of the Guest Update Service.")


def guest(seen: Seen, workspace: WorkspaceSeen) -> Iterator[Says]:
    said, found = workspace.guest, workspace.vm
    if not workspace.is_recorded:
        return
    if said is None:
        if found is not None and found.channel is ChannelSeen.THERE:
            yield note(
                "It is 'availability only': it has the channel, and nobody in the guest has ever "
                "reported. In the guest, as root:",
                "guestwake-guest install",
            )
        else:
            yield note(
                "It is 'availability only': nobody reports from its guest, so that it is woken and "
                "put back, and whether it has updated anything cannot be told."
            )
        return
    if said.refused:
        logs = "journalctl --user" if seen.host.user is not None else "journalctl"
        yield warning(
            f"{times(said.refused, 'message')} of its guest made no sense, and counted for "
            "nothing. The log says why:",
            f"{logs} -u 'guestwake*' -e",
        )
    if said.ago > workspace.without_window + _SILENT_FOR:
        yield warning(
            f"Its guest reported {_ago(said.ago)} ago, and in its last window said nothing: in the "
            "guest, as root:",
            "systemctl status guestwake-guest"
            if said.by == "service"
            else "systemctl status qemu-guest-agent",
        )
    else:
        by = "the Guest Update Service" if said.by == "service" else "qemu-guest-agent"
        yield ok(f"Its guest reported {_ago(said.ago)} ago, through {by}.")


def _ago(span: timedelta) -> str:
    if span >= timedelta(days=2):
        return f"{span.days} days"
    hours = span // timedelta(hours=1)
    return times(hours, "hour") if hours else times(span // timedelta(minutes=1), "minute")


def update_clients(seen: Seen, workspace: WorkspaceSeen) -> Iterator[Says]:
    said = workspace.guest
    if said is None or said.by != "service":
        return
    if said.clients:
        yield ok(f"Its update clients: {', '.join(said.clients)}.")
    else:
        yield warning(
            "Its guest has no update client that Guestwake knows: it is woken, and nothing is "
            "installed. In a Debian guest, as root:",
            "apt install unattended-upgrades",
        )


def installs_on_shutdown(seen: Seen, workspace: WorkspaceSeen) -> Iterator[Says]:
    said = workspace.guest
    if said is None or INSTALLS_ON_SHUTDOWN not in said.weak_signs:
        return
    if workspace.limits.return_state is ReturnState.SHUTDOWN:
        yield ok("Its guest installs when it is shut down, and ReturnState shuts it down.")
    else:
        yield warning(
            "Its guest installs its updates only when it is shut down (InstallOnShutdown), and it "
            "is hibernated: nothing is ever installed. Have it shut down, with a TaskTimeout that "
            "is long enough.",
            setting(workspace, "ReturnState", "shutdown"),
        )


def restart(seen: Seen, workspace: WorkspaceSeen) -> Iterator[Says]:
    mark = workspace.mark
    if mark is None:
        return
    for reason in mark.reasons:
        if reason.survived >= SURVIVES:
            yield warning(
                f"Its guest asks for a restart ({reason.source}), and still does after "
                f"{times(reason.survived, 'restart')}: look in the guest what is wrong there."
            )
    if not mark.is_in_vain:
        yield note(
            "Its guest needs a restart; it gets one in its window, or at its owner's logon.",
            f"guestwake restart {workspace.word}",
        )
