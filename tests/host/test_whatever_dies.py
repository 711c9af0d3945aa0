"""Whatever dies, goes down or falls asleep: what was woken is put back (contract, 4.3 and 10)."""

from __future__ import annotations

from served import (
    PATIENCE,
    history,
    is_restart_required,
    looked_after,
    outcomes,
    phase,
    restarts_seen,
    run_unit,
    served,
    signalled,
    status,
    wakes,
)

from lab.guests import Guest
from lab.host import Host

# As soon as the journal says that the run is in that phase, all of them die.
KILLS = """
runuser -u guestwake -- python3 -c "$1" "$2" "$3"
shift 3
exec systemctl kill --signal=KILL "$@"
"""
SEES = """
import sys, time
from guestwake.application import Application
from guestwake.paths import Paths
with Application(Paths.system()).journal(readonly=True) as journal:
    while (run := journal.glance(sys.argv[1])) is None or run.phase != sys.argv[2]:
        time.sleep(0.01)
"""


def awake(host: Host, seconds: float) -> Guest:
    """A VM that was saved, in the middle of somebody's own run."""
    guest = host.hibernated_guest("web01")
    served(host)
    looked_after(host, guest)
    wakes(host, guest, seconds)
    host.wait_until(lambda: phase(host, guest) == "holding")
    return guest


def goes_on(host: Host, guest: Guest) -> None:
    """With its VM awake, until it is stopped; the window is longer than anybody waits."""
    host.wait_until(lambda: guest.state() == "running", seconds=PATIENCE)
    host.wait_until(lambda: phase(host, guest) == "holding")
    assert is_active(host, "guestwake.service")
    host.run("systemctl", "stop", run_unit(guest))
    assert guest.state() == "saved"
    assert outcomes(host, guest) == ["put-back"]


def test_every_part_is_killed_in_every_phase_of_a_restart_at_logon(lab_host: Host) -> None:
    """Its owner logs on: the VM is woken, restarted unseen and put back, whatever dies."""
    guest = signalled(lab_host)
    lab_host.logon("anna", "graphical")
    for at in ("waking", "holding"):
        kill_every_part(lab_host, guest, at)
    # Before the guest has heard of it, that would cost TaskTimeout: nobody can tell whether it has.
    lab_host.wait_until(lambda: restarts_seen(guest) == 1, seconds=PATIENCE)
    for at in ("restarting", "restoring"):
        kill_every_part(lab_host, guest, at)
    lab_host.wait_until(lambda: len(outcomes(lab_host, guest)) == 2, seconds=PATIENCE)
    assert outcomes(lab_host, guest)[-1] == "put-back"
    assert history(lab_host, guest)[-1]["restarts"] == 1
    assert not is_restart_required(lab_host, guest)
    assert status(lab_host, guest)["run"] is None
    assert guest.state() == "saved"
    guest.start()
    guest.wait_until_agent_answers()
    # The boot it had been hibernated in, and the restart: its memory was never lost.
    assert guest.run("last -x reboot | grep -c ^reboot").stdout.strip() == "2"


def kill_every_part(host: Host, guest: Guest, at: str) -> None:
    parts = ["guestwake.service", run_unit(guest), "libvirtd.service", "dbus.service"]
    host.run("sh", "-ec", KILLS, "kills", SEES, guest.uuid, at, *parts, timeout=PATIENCE)


def test_the_host_shuts_down_in_the_middle_and_the_run_goes_on_afterwards(lab_host: Host) -> None:
    guest = awake(lab_host, 600)
    lab_host.power_off()
    lab_host.start()
    goes_on(lab_host, guest)
    events = lab_host.run("guestwake", "events", "--happened", guest.name)
    assert "shuts down" in events
    assert "session is lost" not in events


def test_the_host_dies_in_the_middle_and_the_run_goes_on_afterwards(lab_host: Host) -> None:
    guest = awake(lab_host, 600)
    lab_host.crash()
    lab_host.start()
    goes_on(lab_host, guest)


def test_the_host_sleeps_over_the_end(lab_host: Host) -> None:
    guest = awake(lab_host, 10)
    lab_host.sleep_and_resume(10)
    lab_host.wait_until(lambda: outcomes(lab_host, guest) == ["put-back"], seconds=PATIENCE)
    assert guest.state() == "saved"


def test_a_manager_that_is_stopped_puts_it_back_at_once(lab_host: Host) -> None:
    guest = awake(lab_host, 600)
    lab_host.run("systemctl", "stop", run_unit(guest))
    assert guest.state() == "saved"
    assert status(lab_host, guest)["run"] is None


def is_active(host: Host, unit: str) -> bool:
    return host.run("systemctl", "is-active", unit, check=False).strip() == "active"
