"""`guestwake open`: a hibernated guest on the screen, in a real window of virt-viewer."""

from __future__ import annotations

import os
import signal
import subprocess

from stories import GUESTWAKE, Host, until

from guestwake.locks import holder_of, is_held
from lab.display import Display, display
from lab.guests import Guest, Lab


def test_a_guest_stays_up_while_its_window_is_open_whoever_dies(lab: Lab, host: Host) -> None:
    guest = lab.hibernated_guest("web01")
    host.looks_after(guest)
    with display() as screen:
        launcher = _opens(host, guest, screen)
        until(lambda: screen.titled(guest.name) or launcher.poll() is not None)
        window = screen.titled(guest.name)
        assert window is not None, launcher.communicate()
        assert guest.state() == "running"
        until(lambda: _open(host, guest) == [("", True)])
        assert host.status(guest)["run"]["kind"] == "use"
        launcher.kill()
        launcher.wait()
        _kill_manager(host, guest)
        manager = host.begins(guest, use_ended=2)
        until(lambda: host.phase(guest) == "lent" and host.status(guest)["run"]["manager_lives"])
        assert _open(host, guest) == [("", True)]
        assert screen.titled(guest.name) == window
        assert guest.state() == "running"
        screen.close(window)
        manager.ends()
    assert guest.state() == "saved"
    assert host.outcomes(guest) == ["closed"]
    assert _open(host, guest) == []


def _opens(host: Host, guest: Guest, screen: Display) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [GUESTWAKE, "--root", str(host.root), "open", guest.name],
        env={**os.environ, **host.lab.environment, "DISPLAY": screen.name, "NO_AT_BRIDGE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _open(host: Host, guest: Guest) -> list[tuple[str, bool]]:
    return [(each["application"], each["shown"]) for each in host.status(guest)["open"]]


def _kill_manager(host: Host, guest: Guest) -> None:
    """The one that the launcher has started, which no minute is short for."""
    lock = host.root / "run/guestwake/locks" / f"{guest.uuid}.lock"
    manager = holder_of(lock)
    assert manager is not None
    os.kill(manager, signal.SIGKILL)
    until(lambda: not is_held(lock))
