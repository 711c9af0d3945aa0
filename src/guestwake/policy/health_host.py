"""The checks of the host: the resident service, what it keeps, the clock, the way out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from guestwake.policy.health_facts import Seen, WorkspaceSeen
from guestwake.policy.health_words import (
    JOURNAL,
    SETTINGS,
    SETTINGS_SOCKET,
    SOCKET,
    STATE,
    UNIT,
    WORKSPACES,
    Says,
    as_root,
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
from guestwake.policy.words import Network

_CLOCK_DOUBT = timedelta(minutes=5)
_OLDEST_YEAR = 2024  # no host that runs this was set right before
_STARTS_A_CPU = 2  # waking VMs that one processor bears


def answers(seen: Seen) -> Iterator[Says]:
    for question in seen.late:
        yield problem(f"There was no answer about {question}: it hangs, or the host is very busy.")


def service(seen: Seen) -> Iterator[Says]:
    host, stands = seen.host, seen.host.service
    if host.is_apart:
        yield note(
            "Everything lies below a folder of its own: no service and no timers are kept for it; "
            "'guestwake serve' keeps the time while it runs."
        )
    elif stands is None:
        return
    elif stands.waits_for_logon:
        yield warning(
            "No systemd runs for you, so nothing opens the windows by itself: log on, which su and "
            "sudo alone do not do, and call this again."
        )
    elif not stands.systemd_runs:
        yield warning(
            "No systemd runs here, so nothing opens the windows by itself: have whatever starts "
            "programs here run 'guestwake serve'."
        )
    elif stands.units is None:
        yield unknown("systemd does not tell whether the service runs.")
    else:
        yield _of_unit(seen, UNIT, "no window opens by itself")


def helpers(seen: Seen) -> Iterator[Says]:
    """The host's alone: the small parts that are root, each behind a socket."""
    stands = seen.host.service
    unit = (stands.units or {}).get(UNIT) if stands else None
    if seen.host.user is not None or unit is None or not unit.is_there:
        return
    yield _of_unit(seen, SOCKET, "no timer can be written")
    yield _of_unit(seen, SETTINGS_SOCKET, "settings cannot be changed over D-Bus")


def _of_unit(seen: Seen, name: str, harm: str) -> Says:
    host, stands = seen.host, seen.host.service
    unit = (stands.units or {}).get(name) if stands else None
    if unit is None or not unit.is_there:
        return problem(f"{name} is not installed: {harm}.", "guestwake service install")
    if unit.enabled.startswith("masked"):
        # Settings for root alone are an administrator's choice: docs/security.md.
        level = note if name == SETTINGS_SOCKET else problem
        runtime = "--runtime " if unit.enabled == "masked-runtime" else ""
        enable = systemctl(host, f"enable --now {name}")
        return level(
            f"{name} is masked: {harm}.",
            systemctl(host, f"unmask {runtime}{name} && {enable}"),
        )
    if unit.active not in ("active", "activating", "reloading"):
        return problem(
            f"{name} does not run (it is {unit.active or 'unknown'}): {harm}.",
            systemctl(host, f"enable --now {name}"),
        )
    if unit.enabled == "disabled":
        return warning(
            f"{name} runs, and will not after the next boot: it is disabled.",
            systemctl(host, f"enable {name}"),
        )
    return ok(f"{name} runs.")


def bus(seen: Seen) -> Iterator[Says]:
    stands = seen.host.service
    unit = (stands.units or {}).get(UNIT) if stands else None
    if stands is None or unit is None or unit.active != "active":
        return
    if stands.on_bus is None:
        yield unknown("Whether the service answers on D-Bus cannot be told.")
    elif stands.on_bus:
        yield ok("The service answers on D-Bus.")
    else:
        yield warning(
            "The service runs and is not on D-Bus: desktops cannot ask about restarts, and "
            "'status' of other users does not see its workspaces.",
            systemctl(seen.host, f"restart {UNIT}"),
        )


def lingering(seen: Seen) -> Iterator[Says]:
    stands = seen.host.service
    if seen.host.user is None or stands is None or not stands.systemd_runs:
        return
    if stands.lingers is False:
        yield note(
            "The service works only while you are logged on; windows in between are missed.",
            "guestwake service install --linger",
        )
    elif stands.lingers:
        yield ok("The service works also while you are logged off.")


def state_folder(seen: Seen) -> Iterator[Says]:
    host = seen.host
    if STATE in seen.late:
        return
    if host.why_not_written is None:
        yield ok(f"'{host.state_folder}' can be written.")
        return
    folder = quoted(host.state_folder)
    mends = f"chmod -R u+rwX {folder}"
    if host.user is None and not host.is_apart:
        mends = "systemd-tmpfiles --create guestwake.conf"
    elif host.user is not None and not host.has_state_folder:
        mends = as_root(host, f"install -d -m 700 -o {host.user} {folder}")
    elif host.user is not None:
        mends = as_root(host, f"chown -R {host.user} {folder} && {mends}")
    yield problem(f"{host.why_not_written} What cannot be recorded is not woken.", mends)


def journal(seen: Seen) -> Iterator[Says]:
    trouble = seen.host.journal_trouble
    if JOURNAL in seen.late:
        return
    if trouble is None:
        yield ok("The journal can be read.")
    else:
        yield problem(
            f"The journal cannot be read: {trouble} A damaged one is set aside by the next run, "
            "which goes on without what it cannot read."
        )


def workspaces(seen: Seen) -> Iterator[Says]:
    for trouble in seen.host.workspace_troubles:
        yield problem(trouble)
    if not seen.workspaces and not seen.host.workspace_troubles and WORKSPACES not in seen.late:
        yield note("No VM is looked after yet.", "guestwake setup")


def settings(seen: Seen) -> Iterator[Says]:
    found = seen.host.settings_problems
    if SETTINGS in seen.late:
        return
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        yield problem(f"Settings: {found[0]}{more}", "guestwake settings check")
    else:
        yield ok("The settings are in order.")
    for section in seen.host.strangers:
        yield note(
            f"The settings have a section for '{section}', and no workspace here has that name or "
            "UUID (yet)."
        )


def clock(seen: Seen) -> Iterator[Says]:
    host, wall = seen.host, seen.host.now.wall
    mends = as_root(host, "timedatectl set-ntp true")
    if wall.year < _OLDEST_YEAR:
        yield problem(f"The host's clock shows {_day(wall)}, which cannot be.", mends)
    elif host.latest is not None and host.latest - wall > _CLOCK_DOUBT:
        yield warning(
            f"The host's clock shows {_day(wall)}, and something was recorded on "
            f"{_day(host.latest)} already: it was put back.",
            mends,
        )
    elif host.clock_synchronized is False:
        yield note(
            "Nobody keeps the host's clock right: windows open by it, and guests are set by it.",
            mends,
        )
    else:
        yield ok("The host's clock is plausible.")


def _day(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"


def time_zone(seen: Seen) -> Iterator[Says]:
    host = seen.host
    if not host.has_zones:
        yield problem(
            "This host has no time zone data: windows open by UTC, and TimeZone cannot be set.",
            as_root(host, "apt install tzdata"),
        )
    elif not host.zone_told:
        yield warning(
            "The host does not say in which time zone it is: windows open by UTC.",
            as_root(host, "timedatectl set-timezone Europe/Berlin   # or yours"),
        )
    else:
        yield ok(f"Times are meant in {host.zone}, where TimeZone does not say otherwise.")


def network(seen: Seen) -> Iterator[Says]:
    facts = seen.host.facts
    asks = [each for each in seen.workspaces if each.limits.require_network]
    if facts is None or not asks or SETTINGS in seen.late:
        return
    match facts.network:
        case None:
            yield unknown("Whether the host has a network cannot be told.")
        case Network.DOWN:
            yield note("The host has no network now; while that is so nothing is woken.")
        case Network.METERED if not all(each.limits.allow_metered for each in asks):
            yield note(
                "The host's network is metered now: nothing is woken on it, unless AllowMetered "
                "is 1."
            )
        case _:
            yield ok("The host has a network.")


def power(seen: Seen) -> Iterator[Says]:
    facts = seen.host.facts
    asks = any(each.limits.require_ac_power for each in seen.workspaces)
    if facts is None or not asks or SETTINGS in seen.late:
        return
    if facts.on_ac_power is None:
        yield unknown("Whether the host runs on AC power cannot be told.")
    elif not facts.on_ac_power:
        yield note("The host runs on battery now; while that is so nothing is woken.")
    else:
        yield ok("The host runs on AC power.")


def _waking(seen: Seen) -> list[WorkspaceSeen]:
    return [each for each in seen.workspaces if each.limits.wake_host]


def wake_alarm(seen: Seen) -> Iterator[Says]:
    stands, waking = seen.host.service, _waking(seen)
    if stands is None or not waking:
        return
    if stands.why_no_wake is not None:
        yield warning(f"WakeHost is 1 and has no effect: {stands.why_no_wake}.")
    else:
        yield ok("The host has a clock whose alarm can wake it.")


def lid(seen: Seen) -> Iterator[Says]:
    if _waking(seen) and seen.host.lid_closed_sleeps:
        yield note(
            "With its lid closed the host goes back to sleep soon after it was woken for a window: "
            "leave it open at night, or set HandleLidSwitchExternalPower=ignore in logind.conf."
        )


def boot_storm(seen: Seen) -> Iterator[Says]:
    host = seen.host
    active = [each for each in seen.workspaces if each.limits.guest_update_duration]
    if len(active) < 2 or SETTINGS in seen.late:
        return
    starts = max(each.limits.max_concurrent_starts for each in active)
    if host.cpus is not None and starts > _STARTS_A_CPU * host.cpus and len(active) > starts // 2:
        yield warning(
            f"MaxConcurrentStarts lets {starts} VMs wake at once, on "
            f"{times(host.cpus, 'processor')}: all of them will be slow, and may time out."
        )
    memory = sum(each.vm.memory for each in active if each.vm)
    room = host.facts.memory_available if host.facts else None
    together = {(each.limits.guest_update_time, each.limits.splay) for each in active}
    reserve = max(each.limits.memory_reserve for each in active)
    if room is not None and memory > room - reserve and len(together) == 1:
        yield note(
            f"All {len(active)} windows open at once, and their VMs take {memory} MiB of "
            f"{room} MiB: some will wait for the others to end.",
            setting(active[-1], "GuestUpdateTime", "05:00"),
        )


def libvirt_guests(seen: Seen) -> Iterator[Says]:
    guests = seen.host.guests_service
    if guests is None or not guests.enabled:
        return
    does = {"shutdown": "shuts down", "suspend": "saves"}.get(guests.on_shutdown, "saves")
    again = " and starts them with it" if guests.on_boot == "start" else ""
    yield note(
        f"libvirt-guests {does} the VMs that run when the host goes down{again}; those that "
        "Guestwake has woken are put back before."
    )
