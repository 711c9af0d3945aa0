"""`guestwake open` by users of a real host: its own service starts the VM, polkit and logind say
who may, and a window of one user is none of another's business."""

from __future__ import annotations

from served import NO_WINDOWS, PATIENCE, looked_after, served, set_, status

from lab.guests import Guest
from lab.host import Host

WINDOW = 'desktop_command = "sleep 900"'


def test_two_users_share_a_vm_that_stays_up_for_each(lab_host: Host) -> None:
    host = lab_host
    guest = host.hibernated_guest("web01")
    looked_after(host, guest, owner="anna")
    served(host)
    set_(host, *NO_WINDOWS, WINDOW)
    host.logon("anna")
    host.logon("bert")
    refused = host.finish("guestwake", "open", "web01", user="bert")
    assert (refused.returncode, "who is logged on" in refused.stderr) == (17, True), refused
    assert guest.state() == "saved"

    annas = host.begin("guestwake", "open", "web01", user="anna")
    host.wait_until(lambda: windows(host, guest) == 1, seconds=PATIENCE)
    assert guest.state() == "running"
    set_(host, *NO_WINDOWS, WINDOW, "multi_user_enabled = 1")
    berts = host.begin("guestwake", "open", "web01", user="bert")
    host.wait_until(lambda: windows(host, guest) == 2, seconds=PATIENCE)

    annas.kill()  # what runs it
    host.run("pkill", "-KILL", "-u", "anna", "-f", "guestwake open")
    assert windows(host, guest) == 2
    host.run("pkill", "-u", "anna", "sleep")
    host.wait_until(lambda: windows(host, guest) == 1)
    assert guest.state() == "running"
    host.run("pkill", "-TERM", "-u", "bert", "-f", "guestwake open")  # goes on to the window
    assert berts.wait(60) == 15
    assert windows(host, guest) == 0


def windows(host: Host, guest: Guest) -> int:
    return sum(each["shown"] for each in status(host, guest)["open"])
