"""The schedule kept in place: systemd's own timers, and whoever changes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from served import (
    NO_WINDOWS,
    dates,
    looked_after,
    outcomes,
    phase,
    run_unit,
    served,
    set_,
    timer_unit,
)

from lab.guests import Guest
from lab.host import Host


def window_at(at: datetime, minutes: int = 1) -> tuple[str, ...]:
    return (
        'time_zone = "UTC"',
        f'guest_update_time = "{at:%H:%M}"',
        f"guest_update_duration = {minutes}",
    )


def at_next_minute() -> datetime:
    """In ten to seventy seconds."""
    return (datetime.now(UTC) + timedelta(seconds=70)).replace(second=0, microsecond=0)


def test_the_timer_fires_and_the_vm_is_woken_as_soon_as_that_may_be_and_put_back(
    lab_host: Host,
) -> None:
    """At its hour the host has neither network nor power (contract, section 9)."""
    guest = lab_host.hibernated_guest("web01")
    served(lab_host)
    looked_after(lab_host, guest)
    has_supplies = lab_host.exists("/sys/class/power_supply")  # not every kernel
    lab_host.lose_network()
    lab_host.unplug()
    at = at_next_minute()
    set_(lab_host, *window_at(at, minutes=60))
    lab_host.wait_until(lambda: is_active(lab_host, guest))
    assert fired_at(lab_host, guest) == ""
    lab_host.wait_until(lambda: happened(lab_host, guest, NO_NETWORK) == 1, seconds=130)
    assert (datetime.now(UTC) - at).total_seconds() >= 0
    assert fired_at(lab_host, guest) != ""

    lab_host.find_network()
    looks_again(lab_host, guest)
    if has_supplies:
        lab_host.wait_until(lambda: happened(lab_host, guest, NO_AC_POWER) == 1)
        assert phase(lab_host, guest) == "waiting"
        assert guest.state() == "saved"
    lab_host.plug_in()
    looks_again(lab_host, guest)
    lab_host.wait_until(lambda: phase(lab_host, guest) == "holding")
    assert guest.state() == "running"

    set_(lab_host, *NO_WINDOWS)  # a Duration of 0 ends the one that is open
    looks_again(lab_host, guest)
    lab_host.wait_until(lambda: outcomes(lab_host, guest) == ["put-back"])
    assert guest.state() == "saved"
    assert dates(lab_host, guest) == [f"{at:%Y-%m-%d}"]
    assert happened(lab_host, guest, NO_NETWORK) == 1
    assert happened(lab_host, guest, NO_AC_POWER) == int(has_supplies)
    # Once more, early or late or twice: no harm.
    set_(lab_host, *window_at(at, minutes=60))
    lab_host.run("systemctl", "start", "--wait", run_unit(guest))
    assert outcomes(lab_host, guest) == ["put-back"]
    assert guest.state() == "saved"


NO_NETWORK, NO_AC_POWER = 11002, 11003


def happened(host: Host, guest: Guest, event: int) -> int:
    """How often."""
    lines = host.run("guestwake", "events", "--happened", guest.name).splitlines()
    return sum(f" {event} " in line for line in lines)


def looks_again(host: Host, guest: Guest) -> None:
    """Nobody waits for the minute in which a manager looks anew: one that died looks at once."""
    unit = run_unit(guest)
    before = main_process(host, unit)
    host.run("systemctl", "kill", "--signal=KILL", unit)
    host.wait_until(lambda: main_process(host, unit) not in ("0", before))


def main_process(host: Host, unit: str) -> str:
    return host.run("systemctl", "show", "--value", "--property=MainPID", unit).strip()


def fired_at(host: Host, guest: Guest) -> str:
    """The timer itself, last; empty: never."""
    last = "--property=LastTriggerUSec"
    return host.run("systemctl", "show", "--value", last, timer_unit(guest)).strip()


DRIFTS = {
    "stopped": "systemctl stop {timer}",
    "disabled": "systemctl disable {timer}",
    "deleted": "rm /etc/systemd/system/{timer}",
    "edited": "echo OnCalendar=daily >>/etc/systemd/system/{timer}",
    "overridden": "mkdir -p /etc/systemd/system/{timer}.d && "
    "printf '[Timer]\\nOnCalendar=\\n' >/etc/systemd/system/{timer}.d/mine.conf && "
    "systemctl daemon-reload",
    "masked": "ln -sf /dev/null /etc/systemd/system/{timer} && systemctl daemon-reload",
}


def test_whoever_changes_it_finds_it_restored_and_is_told(lab_host: Host) -> None:
    guest = lab_host.off_guest("web01")
    served(lab_host)
    looked_after(lab_host, guest)
    set_(lab_host, *window_at(datetime.now(UTC) + timedelta(hours=5)))
    lab_host.wait_until(lambda: is_active(lab_host, guest))
    unit = f"/etc/systemd/system/{timer_unit(guest)}"
    written = lab_host.read(unit)
    for count, (drift, command) in enumerate(DRIFTS.items(), start=1):
        lab_host.run("sh", "-c", command.format(timer=timer_unit(guest)))
        lab_host.wait_until(lambda count=count: len(told(lab_host)) == count)
        assert told(lab_host)[-1].endswith(f"'web01': {drift}") or drift in told(lab_host)[-1]
        lab_host.wait_until(lambda: is_active(lab_host, guest))
        assert lab_host.read(unit) == written
        assert lab_host.run("systemctl", "is-enabled", timer_unit(guest)).strip() == "enabled"


def test_settings_are_followed_within_seconds(lab_host: Host) -> None:
    guest = lab_host.off_guest("web01")
    served(lab_host)
    looked_after(lab_host, guest)
    later = datetime.now(UTC) + timedelta(hours=5)
    set_(lab_host, *window_at(later))
    unit = f"/etc/systemd/system/{timer_unit(guest)}"
    lab_host.wait_until(
        lambda: lab_host.exists(unit) and f"{later:%H:%M}:00" in lab_host.read(unit)
    )
    set_(lab_host, *NO_WINDOWS)
    lab_host.wait_until(lambda: not lab_host.exists(unit))
    set_(lab_host, *window_at(later))
    lab_host.wait_until(lambda: lab_host.exists(unit))
    lab_host.run("guestwake", "workspace", "remove", "web01")
    lab_host.wait_until(lambda: not lab_host.exists(unit))
    assert told(lab_host) == []


def is_active(host: Host, guest: Guest) -> bool:
    return host.run("systemctl", "is-active", timer_unit(guest), check=False).strip() == "active"


def told(host: Host) -> list[str]:
    """By the service, or by a manager that came first."""
    lines = host.journal("guestwake*").splitlines()
    return [line.rstrip(")") for line in lines if "has been restored" in line]
