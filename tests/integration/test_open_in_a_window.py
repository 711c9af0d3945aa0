"""`guestwake open` on a hibernated guest: its desktop in a real window of virt-viewer, and one of
its applications in a window of its own, by ssh."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess

from stories import DEADLINE, GUESTWAKE, Host, until

from guestwake.locks import holder_of, is_held
from guestwake.paths import account_name
from lab.display import Display, display
from lab.guests import Guest, Lab
from lab.ssh import free_port, serve_ssh


def test_a_guest_stays_up_while_its_window_is_open_whoever_dies(lab: Lab, host: Host) -> None:
    guest = lab.hibernated_guest("web01")
    host.looks_after(guest)
    with display() as screen:
        launcher = _opens(host, guest, screen)
        until(lambda: screen.titled(guest.name) or launcher.poll() is not None)
        window = screen.titled(guest.name)
        assert window is not None, launcher.communicate()[0]
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


def test_an_application_of_a_guest_has_a_window_of_its_own(lab: Lab, host: Host) -> None:
    guest = _guest_with_ssh(lab, host)
    command = "9menu -label 'Some of Debian' exit"
    host.looks_after(guest)
    host.guestwake(
        *("publish", guest.name, "menu", "--name", "Menu", "--guest", "linux"),
        *("--command", command),
    )
    with display() as screen:
        launcher = _opens(host, guest, screen, "menu")
        until(lambda: screen.titled("Some of Debian") or launcher.poll() is not None)
        window = screen.titled("Some of Debian")
        assert window is not None, launcher.communicate()[0]
        me = account_name(os.getuid())
        assert guest.run(f"pgrep --exact --uid {shlex.quote(me)} 9menu").code == 0
        until(lambda: _open(host, guest) == [("menu", True)])
        assert host.status(guest)["run"]["kind"] == "use"
        _kill_manager(host, guest)
        manager = host.begins(guest, use_ended=2)
        until(lambda: host.phase(guest) == "lent" and host.status(guest)["run"]["manager_lives"])
        screen.ask_to_close(window)
        said, _ = launcher.communicate(timeout=DEADLINE)
        assert launcher.returncode == 0, said
        manager.ends()
    assert guest.state() == "saved"
    assert host.outcomes(guest) == ["closed"]
    assert _open(host, guest) == []


def _guest_with_ssh(lab: Lab, host: Host) -> Guest:
    """A hibernated one, which this host's users reach as the same user there."""
    port = free_port()
    guest = lab.define_guest("web01", ssh_port=port)
    guest.start()
    guest.wait_until_agent_answers()
    guest.run("systemctl is-system-running --wait")  # nobody but root may log on before
    options = serve_ssh(guest, port, host.root / "keys", account_name(os.getuid()))
    guest.hibernate()
    command = f"ssh -Y {shlex.join(options)} -- {{user}}@127.0.0.1 {{application}}"
    host.set(f"linux_application_command = {json.dumps(command)}")
    return guest


def _opens(
    host: Host, guest: Guest, screen: Display, application: str = ""
) -> subprocess.Popen[str]:
    words = [application] if application else []
    return subprocess.Popen(
        [GUESTWAKE, "--root", str(host.root), "open", guest.name, *words],
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
