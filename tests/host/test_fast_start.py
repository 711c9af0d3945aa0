"""Fast Start on a real host: two users log on and off, each with a VM that has a published
application (contract, section 8)."""

from __future__ import annotations

import pytest
from served import NO_WINDOWS, PATIENCE, looked_after, outcomes, phase, served, set_, status

from lab.guests import Guest
from lab.host import Host, HostError

# As a package manager does for as long as it installs.
INSTALLS = (
    "systemd-run --collect systemd-inhibit --what=shutdown --mode=block --why=installs sleep 900"
)


def test_each_logon_starts_ones_own_and_the_logoff_puts_it_to_rest(lab_host: Host) -> None:
    host = lab_host
    annas, berts = published(host, "web01", "anna"), published(host, "web02", "bert")
    served(host)
    set_(host, *NO_WINDOWS, 'close_action = "SHUTDOWN"')

    anna = host.logon("anna")
    host.wait_until(lambda: phase(host, annas) == "lent", seconds=PATIENCE)
    assert annas.state() == "running"
    assert berts.state() == "saved"
    with pytest.raises(HostError, match="ended with 17"):  # another's, who is logged on
        host.run("guestwake", "wake", "web01", "--duration", "1", user="bert")

    bert = host.logon("bert")
    host.wait_until(lambda: phase(host, berts) == "lent", seconds=PATIENCE)
    annas.wait_until_agent_answers()
    assert annas.run(INSTALLS).code == 0
    host.wait_until(lambda: is_busy(host, annas), seconds=PATIENCE)

    anna.logoff()  # it installs: it is never shut down, whatever CloseAction says
    host.wait_until(lambda: outcomes(host, annas) == ["put-back-owed-off"], seconds=PATIENCE)
    assert annas.state() == "saved"
    assert berts.state() == "running"

    bert.logoff()
    host.wait_until(lambda: outcomes(host, berts) == ["closed"], seconds=PATIENCE)
    assert berts.state() == "shut off"


def published(host: Host, name: str, owner: str) -> Guest:
    guest = host.hibernated_guest(name)
    looked_after(host, guest, owner=owner)
    host.run("guestwake", "publish", name, "xterm", "--guest", "linux")
    return guest


def is_busy(host: Host, guest: Guest) -> bool:
    said = status(host, guest)["guest"]
    return bool(said and said["busy"])
