"""A restart that updates need, and somebody who uses the VM (contract, section 6). How one at rest
is restarted unseen: `test_whatever_dies.py`."""

from __future__ import annotations

from contextlib import suppress

import pytest
from served import (
    NOT_IN_WINDOWS,
    PATIENCE,
    history,
    is_restart_required,
    looked_after,
    outcomes,
    requires_restart,
    restarts_seen,
    run_unit,
    set_,
    signalled,
    status,
)

from lab.guests import Guest
from lab.host import Host, HostError

BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
ASKED = "waits for an answer. ('{name}')"
NOTICE = "has been put off for as long as it can be, and comes in ten minutes. ('{name}')"

# As it is after a run in which its guest asked for a restart, and shut itself down.
MARK = """
import sys
from guestwake.application import Application
from guestwake.paths import Paths
from guestwake.policy.restart import MarkedReason, RestartMark
application = Application(Paths.system())
mark = RestartMark((MarkedReason("apt", "libc6"),), application.clock.now().wall, "boot-1")
with application.journal() as journal:
    journal.mark_restart(sys.argv[1], mark)
"""
# Stands in for ten minutes of waiting: the notice was given so much earlier.
AGE_NOTICE = """
import sys
from dataclasses import replace
from guestwake.application import Application
from guestwake.paths import Paths
from guestwake.policy.prompt import GRACE
def aged(prompt):
    return replace(prompt, notice=prompt.notice.shifted(-GRACE))
with Application(Paths.system()).journal() as journal:
    journal.change_prompt(sys.argv[1], aged)
"""


def test_one_that_is_used_is_restarted_when_its_user_agrees_or_after_notice(
    lab_host: Host,
) -> None:
    guest = signalled(lab_host)
    guest.start()
    guest.wait_until_agent_answers()
    boot = guest.run(BOOT_ID).stdout
    off = marked_and_off(lab_host)
    session = lab_host.logon("anna", "graphical")
    lab_host.wait_until(lambda: told(lab_host, ASKED, guest) == 1)
    assert "postponed" in session.run("guestwake", "postpone", "web01")
    with pytest.raises(HostError, match="ended with 17"):  # refused, by polkit
        lab_host.run("guestwake", "postpone", "web01", user="bert")
    is_left_alone(lab_host, off)
    assert guest.run(BOOT_ID).stdout == boot

    session.run("guestwake", "restart", "web01")
    lab_host.wait_until(lambda: len(outcomes(lab_host, guest)) == 2, seconds=PATIENCE)
    assert outcomes(lab_host, guest)[-1] == "restarted-in-use"
    assert guest.state() == "running"
    assert not is_restart_required(lab_host, guest)
    guest.wait_until_agent_answers()
    assert guest.run(BOOT_ID).stdout != boot

    # Once more, and this time nobody agrees.
    requires_restart(guest)
    lab_host.wait_until(lambda: is_asked_again(lab_host, guest), seconds=PATIENCE)
    assert "postponed" in session.run("guestwake", "postpone", "web01")
    assert told(lab_host, NOTICE, guest) == 0
    set_(lab_host, *NOT_IN_WINDOWS, "reboot_absolute_delay_timeout = 0")
    lab_host.wait_until(lambda: told(lab_host, NOTICE, guest) == 1)
    with pytest.raises(HostError, match="cannot be postponed any more"):
        session.run("guestwake", "postpone", "web01")
    lab_host.run("systemctl", "reload", "guestwake.service")
    assert status(lab_host, guest)["run"] is None
    assert restarts_seen(guest) == 1
    lab_host.python(AGE_NOTICE, guest.uuid, user="guestwake")
    lab_host.run("systemctl", "reload", "guestwake.service")
    lab_host.wait_until(lambda: restarts_seen(guest) == 2, seconds=PATIENCE)
    assert told(lab_host, NOTICE, guest) == 1


def is_asked_again(host: Host, guest: Guest) -> bool:
    """A look, as each quarter of an hour, gives the guest ten seconds to be heard; once it is over
    the service asks."""
    host.run("systemctl", "start", run_unit(guest))
    with suppress(TimeoutError):
        host.wait_until(lambda: told(host, ASKED, guest) == 2, seconds=40)
        return True
    return False


def marked_and_off(host: Host) -> Guest:
    off = host.off_guest("web02", boots=False)
    looked_after(host, off, owner="anna")
    host.python(MARK, off.uuid, user="guestwake")
    return off


def is_left_alone(host: Host, off: Guest) -> None:
    """It has been looked at, at the logon, and needs nothing."""
    host.wait_until(lambda: "Deactivated successfully" in host.journal(run_unit(off)))
    assert is_restart_required(host, off)
    assert status(host, off)["run"] is None
    assert history(host, off) == []
    assert told(host, ASKED, off) == 0
    assert off.state() == "shut off"


def told(host: Host, what: str, guest: Guest) -> int:
    return host.journal("guestwake.service").count(what.format(name=guest.name))
