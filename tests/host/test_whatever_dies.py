"""Whatever dies, goes down or falls asleep: what was woken is put back (contract, 4.3 and 10)."""

from __future__ import annotations

from served import looked_after, outcomes, phase, run_unit, served, status, wakes

from lab.guests import Guest
from lab.host import Host


def awake(host: Host, seconds: float = 30) -> Guest:
    """A VM that was saved, in the middle of somebody's own run."""
    guest = host.hibernated_guest("web01")
    served(host)
    looked_after(host, guest)
    wakes(host, guest, seconds)
    host.wait_until(lambda: phase(host, guest) == "holding")
    return guest


def is_put_back(host: Host, guest: Guest) -> None:
    host.wait_until(lambda: outcomes(host, guest) == ["put-back"], seconds=150)
    assert guest.state() == "saved"


def test_every_part_is_killed_in_the_middle_of_a_run(lab_host: Host) -> None:
    guest = awake(lab_host)
    for unit in ("guestwake.service", run_unit(guest), "libvirtd.service", "dbus.service"):
        lab_host.run("systemctl", "kill", "--signal=KILL", unit)
    lab_host.wait_until(lambda: is_active(lab_host, "guestwake.service"))
    assert guest.state() == "running"
    is_put_back(lab_host, guest)


def test_the_host_shuts_down_in_the_middle_and_the_run_goes_on_afterwards(lab_host: Host) -> None:
    guest = awake(lab_host)
    lab_host.power_off()
    lab_host.start()
    lab_host.wait_until(lambda: is_active(lab_host, "guestwake.service"))
    is_put_back(lab_host, guest)
    events = lab_host.run("guestwake", "events", "--happened", guest.name)
    assert "shuts down" in events
    assert "session is lost" not in events


def test_the_host_dies_in_the_middle_and_the_run_goes_on_afterwards(lab_host: Host) -> None:
    guest = awake(lab_host)
    lab_host.crash()
    lab_host.start()
    lab_host.wait_until(lambda: guest.state() == "running", seconds=120)
    lab_host.wait_until(lambda: len(outcomes(lab_host, guest)) == 1, seconds=150)
    assert guest.state() == "saved"


def test_the_host_sleeps_over_the_end(lab_host: Host) -> None:
    guest = awake(lab_host)
    lab_host.sleep_and_resume(5)
    assert guest.state() == "running"
    is_put_back(lab_host, guest)


def test_a_manager_that_is_stopped_puts_it_back_at_once(lab_host: Host) -> None:
    guest = awake(lab_host)
    lab_host.run("systemctl", "stop", run_unit(guest))
    assert guest.state() == "saved"
    assert status(lab_host, guest)["run"] is None


def is_active(host: Host, unit: str) -> bool:
    return host.run("systemctl", "is-active", unit, check=False).strip() == "active"
