"""Who is logged on, by a real logind: with the product's own eyes, in the real host."""

from __future__ import annotations

import json

import pytest

from lab.host import Host

LOOK = """
import json
from guestwake.hosts.linux import LinuxHost
seen = LinuxHost(patience=30.0)
found = seen.logons()
said = found and [(each.user, each.since.timestamp(), each.session) for each in found]
print(json.dumps([said, seen.look(None).shutting_down]))
"""


def logons(host: Host) -> list[tuple[str, str]] | None:
    """User and session of each. None: nobody can tell."""
    said, _ = json.loads(host.python(LOOK))
    return None if said is None else [(user, session) for user, _, session in said]


@pytest.mark.parametrize("kind", ["graphical", "text"])
def test_a_person_at_the_host_is_logged_on_until_logoff(lab_host: Host, kind: str) -> None:
    assert logons(lab_host) == []
    before = float(lab_host.run("date", "+%s.%N"))
    session = lab_host.logon("anna", kind)
    after = float(lab_host.run("date", "+%s.%N"))
    ((user, since, name),), goes_down = json.loads(lab_host.python(LOOK))
    assert (user, name, goes_down) == ("anna", session.id, False)
    assert before <= since <= after
    session.logoff()
    assert logons(lab_host) == []


def test_ssh_a_lingering_manager_and_a_greeter_are_nobody(lab_host: Host) -> None:
    lab_host.logon("anna", "ssh")
    lab_host.run("loginctl", "enable-linger", "bert")
    lab_host.wait_until(lambda: "bert" in lab_host.run("loginctl", "list-users"))
    _log_in_as(lab_host, "greeter", "wayland")
    _log_in_as(lab_host, "background", "unspecified")
    classes = [
        lab_host.run("loginctl", "show-session", each, "--property=Class", "--value").strip()
        for each in lab_host.sessions()
    ]
    assert {"user", "greeter", "background"} <= set(classes)
    assert logons(lab_host) == []


def _log_in_as(host: Host, kind: str, type_: str) -> None:
    """A session of this class, as a greeter's or cron's PAM stack makes it."""
    before = len(host.sessions())
    settings = [f"XDG_SESSION_CLASS={kind}", f"XDG_SESSION_TYPE={type_}"]
    host.run(
        *("systemd-run", "-q", "-p", "PAMName=login", "-p", "User=bert"),
        *(word for setting in settings for word in ("-p", f"Environment={setting}")),
        *("sleep", "infinity"),
    )
    host.wait_until(lambda: len(host.sessions()) > before)


@pytest.mark.parametrize("kind", ["graphical", "text"])
def test_without_logind_utmp_tells_as_much(lab_host: Host, kind: str) -> None:
    lab_host.logon("anna", kind)
    lab_host.logon("bert", "ssh")
    lab_host.run("systemctl", "stop", "systemd-logind")
    assert logons(lab_host) is None  # silent, and no logoff
    lab_host.run("rm", "-r", "/run/systemd/seats")  # as on a host that has none
    terminal = {"graphical": ":0", "text": "hvc0"}[kind]
    assert logons(lab_host) == [("anna", terminal)]
