"""The host as Windows tells of it. Under Wine nobody is logged on, there is no battery, and no
power request is taken: those are said, not compared."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from guestwake.hosts.api import HostError, Inhibited
from guestwake.hosts.windows import WindowsHost
from guestwake.hosts.windows_calls import WindowsCalls
from guestwake.policy.words import Network


def test_a_look() -> None:
    facts = WindowsHost().look(r"C:\ProgramData\not there yet")
    assert facts.network in (*Network, None)
    assert facts.on_ac_power in (True, False, None)
    assert not facts.shutting_down
    assert facts.memory_available is not None
    assert facts.memory_available > 0
    assert facts.disk_available is not None
    assert facts.disk_available > 0


def test_who_is_logged_on_and_where_to() -> None:
    host = WindowsHost()
    assert host.logons() is not None
    assert isinstance(host.rdp_peers(), frozenset)


def test_a_route_is_asked_for_and_nothing_sent() -> None:
    assert WindowsCalls().has_route() in (True, False, None)


def test_a_process_ends() -> None:
    host = WindowsHost()
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = host.name_of(other.pid)
    assert name is not None
    assert host.is_alive(name)
    other.kill()
    other.wait(60)
    assert not host.is_alive(name)
    own = host.name_of(os.getpid())
    assert own is not None
    assert host.is_alive(own)


def test_a_power_request_is_taken_or_refused_in_words() -> None:
    try:
        with WindowsHost().inhibit(Inhibited("sleep", "Guestwake", "a window is open")):
            pass
    except HostError as err:
        assert str(err)  # noqa: PT017  one or the other
    with pytest.raises(HostError):
        WindowsHost().inhibit(Inhibited("shutdown", "Guestwake", "a window is open"))
