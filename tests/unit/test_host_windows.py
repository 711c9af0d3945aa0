"""A Windows host. Its calls are a double here; tests/windows makes them under Wine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from guestwake.hosts.api import HostError, Inhibited
from guestwake.hosts.windows import WindowsHost
from guestwake.policy.words import Logon, Network
from guestwake_wire.terminal_services import Told


class Calls:
    """A double of Windows."""

    def __init__(self) -> None:
        self.hint: tuple[int, int] | None = None
        self.route: bool | None = True
        self.down = False
        self.requests: list[str] = []
        self.trouble: OSError | None = None
        self.told: list[Told] = []

    def sessions(self) -> list[Told]:
        if self.trouble:
            raise self.trouble
        return self.told

    def computer(self) -> str:
        return "PC01"

    def connectivity(self) -> tuple[int, int] | None:
        return self.hint

    def has_route(self) -> bool | None:
        return self.route

    def shutting_down(self) -> bool:
        return self.down

    def suspend(self) -> None:
        if self.trouble:
            raise self.trouble

    def awake(self, why: str) -> Any:
        if self.trouble:
            raise self.trouble
        return self._awake(why)

    @contextmanager
    def _awake(self, why: str) -> Iterator[None]:
        self.requests.append(why)
        yield
        self.requests.clear()


class Psutil:
    """A double of psutil's few words."""

    class Error(Exception):
        pass

    class NoSuchProcess(Error):
        pass

    class AccessDenied(Error):
        pass

    def __init__(self) -> None:
        self.battery: Any = None
        self.connections: list[Any] = []
        self.processes: dict[int, float | Exception] = {}

    def virtual_memory(self) -> Any:
        return SimpleNamespace(available=3 << 30)

    def sensors_battery(self) -> Any:
        return self.battery

    def net_connections(self, kind: str) -> list[Any]:
        assert kind == "tcp"
        return self.connections

    def Process(self, pid: int) -> Any:
        began = self.processes.get(pid, self.NoSuchProcess())
        if isinstance(began, Exception):
            raise began
        return SimpleNamespace(create_time=lambda: began)


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def psutil() -> Psutil:
    return Psutil()


@pytest.fixture
def host(calls: Calls, psutil: Psutil) -> WindowsHost:
    return WindowsHost(calls, psutil)


NETWORKS = [
    ((1, 1), True, Network.DOWN),  # none at all
    ((2, 1), False, Network.UP),  # a network without the Internet: its servers may have updates
    ((3, 1), True, Network.UP),
    ((3, 2), True, Network.METERED),
    ((3, 3), True, Network.METERED),
    ((4, 1), True, Network.DOWN),  # a captive portal
    ((3, 0), True, Network.UP),
    ((0, 0), True, Network.UP),
    ((0, 2), True, Network.METERED),
    ((0, 0), False, Network.DOWN),
    (None, True, Network.UP),  # a Windows that has no such hint
    (None, False, Network.DOWN),
    (None, None, None),
]


@pytest.mark.parametrize(("hint", "route", "network"), NETWORKS)
def test_the_network(
    host: WindowsHost,
    calls: Calls,
    hint: tuple[int, int] | None,
    *,
    route: bool | None,
    network: Network | None,
) -> None:
    calls.hint, calls.route = hint, route
    assert host.look(None).network is network


@pytest.mark.parametrize("plugged", [True, False, None])
def test_ac_power(host: WindowsHost, psutil: Psutil, *, plugged: bool | None) -> None:
    assert host.look(None).on_ac_power is True  # no battery
    psutil.battery = SimpleNamespace(power_plugged=plugged)
    assert host.look(None).on_ac_power is plugged


def test_room(host: WindowsHost, calls: Calls, tmp_path: Path) -> None:
    facts = host.look(str(tmp_path / "not" / "there yet"))
    assert facts.memory_available == 3072
    assert facts.disk_available is not None
    assert facts.disk_available > 0
    assert host.look(None).disk_available is None
    calls.down = True
    assert host.look(None).shutting_down


def told(user: str, domain: str, seconds: int, state: int = 0) -> Told:
    """`seconds`: of 1970, when it was logged on."""
    since = (seconds + 11_644_473_600) * 10_000_000
    return Told(user, state, "Console", since, 0, since, domain)


def test_who_is_logged_on(host: WindowsHost, calls: Calls) -> None:
    """A user of a domain has its name too, as an owner has."""
    calls.told = [
        told("bert", "CORP", 200, state=4),
        told("anna", "pc01", 100),
        told("", "", 50),
        told("eve", "PC01", 70, state=6),
    ]
    assert host.logons() == (
        Logon("anna", datetime.fromtimestamp(100, UTC)),
        Logon("CORP\\bert", datetime.fromtimestamp(200, UTC)),
    )
    calls.trouble = OSError("no")
    assert host.logons() is None


def test_a_logon_without_a_time_is_one(host: WindowsHost, calls: Calls) -> None:
    """Windows' 0 is the beginning of 1601."""
    calls.told = [told("anna", "PC01", -11_644_473_600)]
    assert host.logons() == (Logon("anna", datetime(1601, 1, 1, tzinfo=UTC)),)


def test_remote_desktops_of_this_host(host: WindowsHost, psutil: Psutil) -> None:
    psutil.connections = [
        SimpleNamespace(raddr=SimpleNamespace(ip="10.0.0.5", port=3389), status="ESTABLISHED"),
        SimpleNamespace(raddr=SimpleNamespace(ip="10.0.0.6", port=3389), status="TIME_WAIT"),
        SimpleNamespace(raddr=SimpleNamespace(ip="10.0.0.7", port=443), status="ESTABLISHED"),
        SimpleNamespace(raddr=(), status="LISTEN"),
    ]
    assert host.rdp_peers() == {"10.0.0.5"}


def test_a_process_is_told_from_a_later_one_of_its_number(
    host: WindowsHost, psutil: Psutil
) -> None:
    psutil.processes[7] = 12.5
    name = host.name_of(7)
    assert name is not None
    assert host.is_alive(name)
    psutil.processes[7] = 13.5
    assert not host.is_alive(name)
    psutil.processes[7] = psutil.AccessDenied()
    assert host.is_alive(name)  # in doubt it is
    assert host.name_of(7) is None
    del psutil.processes[7]
    assert not host.is_alive(name)
    assert not host.is_alive("nonsense")


def test_sleep_is_held_up_by_a_power_request(host: WindowsHost, calls: Calls) -> None:
    with host.inhibit(Inhibited("sleep", "Guestwake", "a window is open")):
        assert calls.requests == ["Guestwake: a window is open"]
    assert calls.requests == []
    with pytest.raises(HostError, match="shutdown"):
        host.inhibit(Inhibited("shutdown", "Guestwake", "a window is open"))


def test_what_windows_refuses_is_told(host: WindowsHost, calls: Calls) -> None:
    host.suspend()
    calls.trouble = OSError(5, "Access is denied")
    with pytest.raises(HostError, match="Access is denied"):
        host.suspend()
    with pytest.raises(HostError, match="Access is denied"):
        host.inhibit(Inhibited("sleep", "a", "b"))
