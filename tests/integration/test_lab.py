"""The lab itself: what the other tests here build on."""

from __future__ import annotations

import pytest

from lab.guests import Lab, LabError
from lab.viewer import Viewer


def test_a_hibernated_guest_comes_back_to_what_it_was(lab: Lab) -> None:
    guest = lab.hibernated_guest("web01")
    assert guest.state() == "saved"
    assert guest.saved_image.exists()

    guest.start()
    guest.wait_until_agent_answers()
    assert "1.0" in guest.run("dpkg -l guestwake-example").stdout
    assert guest.run("echo to stderr >&2; exit 3").code == 3

    guest.hibernate(paused=True)
    guest.start()
    assert guest.state() == "paused"


def test_guests_outlive_the_daemon(lab: Lab) -> None:
    guest = lab.hibernated_guest("web01")
    guest.start()
    lab.libvirtd.kill()
    lab.libvirtd.start()
    assert guest.state() == "running"
    guest.wait_until_agent_answers()


@pytest.mark.usefixtures("private_mounts")
def test_a_full_disk_leaves_the_guest_running(lab: Lab) -> None:
    guest = lab.hibernated_guest("web01")
    guest.start()
    with lab.libvirtd.small_save_folder(64):
        with pytest.raises(LabError, match="No space left on device"):
            guest.hibernate()
        assert guest.state() == "running"
    guest.hibernate()
    assert guest.state() == "saved"


def test_a_viewer_is_seen_on_the_display(lab: Lab) -> None:
    guest = lab.hibernated_guest("web01")
    guest.start()
    with Viewer(guest) as viewer:
        viewer.press()
        assert peers(guest.display.name) == 1
    assert guest.state() == "running"


def peers(socket_name: str) -> int:
    """How many are connected to the listening socket of that name."""
    with open("/proc/net/unix") as table:
        lines = [line.split() for line in table if line.rstrip().endswith(socket_name)]
    return sum(words[5] == "03" for words in lines)


def test_a_guest_that_never_boots_says_nothing(lab: Lab) -> None:
    guest = lab.define_guest("dead", boots=False)
    guest.start()
    assert guest.state() == "running"
    assert not guest.agent_answers()
