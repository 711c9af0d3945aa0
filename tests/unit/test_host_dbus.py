"""The Linux host by what services say on a real, private system bus."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_bus import (
    NM,
    ON_BATTERY,
    UPOWER,
    VERSION,
    Bus,
    FakeService,
    bus_daemon,
    deaf_bus,
    logind,
    network_manager,
    upower,
)
from jeepney.io.blocking import open_dbus_connection  # type: ignore[import-untyped]

from guestwake.hosts.dbus import Property, SystemBus
from guestwake.hosts.linux import LinuxHost
from guestwake.policy.words import Network

# --- what they say


@pytest.mark.parametrize(
    ("service", "network"),
    [
        (network_manager(metered=1), Network.METERED),
        (network_manager(metered=3), Network.METERED),
        (network_manager(metered=0), Network.UP),
        (network_manager(metered=2), Network.UP),
        (network_manager(metered=4), Network.UP),
        (network_manager(connectivity=2), Network.DOWN),
        (network_manager(connectivity=2, metered=1), Network.DOWN),
        # The route is there though NetworkManager did not make it, or the Internet is not:
        # an update server in the same building serves well.
        (network_manager(connectivity=1, metered=0), Network.UP),
        (network_manager(connectivity=3, metered=1), Network.METERED),
    ],
    ids=lambda value: str(value.properties) if isinstance(value, FakeService) else value,
)
def test_networkmanager_tells_metered_and_captive(
    bus: Bus, service: FakeService, network: Network
) -> None:
    bus.serve(service)
    assert bus.host().look(None).network is network


def test_without_a_default_route_networkmanager_cannot_make_one(bus: Bus) -> None:
    bus.serve(network_manager())
    (bus.folder / "proc/net/route").write_text("Iface\n")
    assert bus.host().look(None).network is Network.DOWN


def test_upower_knows_better_than_the_kernels_files(bus: Bus) -> None:
    bus.serve(upower(on_battery=True))
    assert bus.host().look(None).on_ac_power is False


def test_upower_is_believed_when_it_says_ac(bus: Bus) -> None:
    _drain_a_battery(bus)
    bus.serve(upower(on_battery=False))
    assert bus.host().look(None).on_ac_power is True


def test_logind_tells_that_the_host_goes_down_and_that_it_was_called_off(bus: Bus) -> None:
    service = bus.serve(logind())
    host = bus.host()
    assert host.look(None).shutting_down is True
    service.properties["PreparingForShutdown"] = ("b", False)
    assert host.look(None).shutting_down is False


def test_a_host_that_goes_down_goes_down_though_logind_is_gone_already(bus: Bus) -> None:
    service = bus.serve(logind())
    host = bus.host()
    assert host.look(None).shutting_down is True
    service.dies = True
    assert host.look(None).shutting_down is True
    assert host.look(None).shutting_down is True


def test_one_connection_serves_all_looks(bus: Bus) -> None:
    services = [bus.serve(service) for service in (network_manager(), upower(), logind())]
    host = bus.host()
    looks = {host.look(None) for _ in range(20)}
    assert len(looks) == 1
    assert [service.asked for service in services] == [40, 20, 20]
    with open_dbus_connection(bus.address) as next_one:
        assert next_one.unique_name == f":1.{len(services) + 1}"  # they are numbered from 0


# --- when they do not


def _drain_a_battery(bus: Bus) -> None:
    for value, text in {"type": "Battery", "status": "Discharging"}.items():
        file = bus.folder / "sys/class/power_supply/BAT0" / value
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def test_a_bus_without_services_leaves_it_to_the_files(bus: Bus) -> None:
    _drain_a_battery(bus)
    facts = bus.host().look(None)
    assert (facts.network, facts.on_ac_power, facts.shutting_down) == (Network.UP, False, False)


def test_looking_starts_no_service(bus: Bus) -> None:
    started = bus.folder / "started"
    service = f"[D-BUS Service]\nName={UPOWER}\nExec=/bin/touch {started}\n"
    (bus.folder / "services" / "upower.service").write_text(service)
    bus.daemon.kill()
    bus.daemon.wait()
    (bus.folder / "bus").unlink()
    with bus_daemon(bus.folder / "bus.conf"):  # anew, so that it has read the service file
        assert bus.host().look(None).on_ac_power is True
    assert not started.exists()


def test_a_service_that_hangs_delays_no_other_answer(bus: Bus) -> None:
    _drain_a_battery(bus)
    bus.serve(network_manager(metered=1))
    hanging = bus.serve(upower(on_battery=False))
    hanging.hangs = True
    host = bus.host(patience=1.0)
    for facts in (host.look(None), host.look(None)):
        assert (facts.network, facts.on_ac_power) == (Network.METERED, False)
    assert hanging.asked == 1


def test_a_service_that_hung_is_left_alone_for_five_minutes(bus: Bus) -> None:
    service = bus.serve(upower())
    service.hangs = True
    client = bus.client(patience=1.0)
    assert client.ask([ON_BATTERY]) == {}
    service.wake_up()
    bus.now = 299
    assert client.ask([ON_BATTERY]) == {}
    assert service.asked == 1
    bus.now = 301
    assert client.ask([ON_BATTERY]) == {ON_BATTERY: True}


def test_an_answer_that_comes_too_late_is_not_taken_for_another(bus: Bus) -> None:
    service = bus.serve(upower(on_battery=True))
    bus.serve(network_manager())
    service.hangs = True
    client = bus.client(patience=1.0)
    connectivity = Property(NM, "/org/freedesktop/NetworkManager", NM, "Connectivity")
    assert client.ask([ON_BATTERY, connectivity]) == {connectivity: 4}
    service.wake_up()  # says "on battery", late
    service.properties["OnBattery"] = ("b", False)
    bus.now = 301
    assert client.ask([ON_BATTERY]) == {ON_BATTERY: False}


def test_a_service_that_dies_when_asked_is_an_absent_one(bus: Bus) -> None:
    service = bus.serve(upower(on_battery=True))
    service.dies = True
    host = bus.host()
    assert host.look(None).on_ac_power is True
    bus.serve(upower(on_battery=True))
    assert host.look(None).on_ac_power is False  # started anew by somebody, and asked again


def test_a_property_that_a_service_does_not_know_spoils_no_other(bus: Bus) -> None:
    bus.serve(upower())
    assert bus.client().ask([VERSION, ON_BATTERY]) == {ON_BATTERY: True}


def test_a_value_of_another_type_is_no_answer(bus: Bus) -> None:
    service = bus.serve(upower())
    service.properties["OnBattery"] = ("s", "yes")
    assert bus.host().look(None).on_ac_power is True


def test_a_bus_that_is_started_anew_is_found_again(bus: Bus) -> None:
    host = bus.host()
    bus.serve(upower(on_battery=True))
    assert host.look(None).on_ac_power is False
    bus.daemon.kill()
    bus.daemon.wait()
    assert host.look(None).on_ac_power is True
    (bus.folder / "bus").unlink()
    with bus_daemon(bus.folder / "bus.conf"):
        bus.serve(upower(on_battery=True))
        assert host.look(None).on_ac_power is False


OK = b"OK 0123456789abcdef0123456789abcdef\r\n"


@pytest.mark.parametrize("first_words", [b"", OK], ids=["at once", "after the greeting"])
def test_a_bus_that_hangs_is_asked_once_in_five_minutes(tmp_path: Path, first_words: bytes) -> None:
    clock = [0.0]
    with deaf_bus(tmp_path, first_words) as bus:
        client = SystemBus(bus.address, patience=0.2, monotonic=lambda: clock[0])
        for clock[0] in (0.0, 1.0, 299.0, 301.0, 400.0):
            assert client.ask([ON_BATTERY]) == {}
        deadline = time.monotonic() + 10  # who is called takes its time to hear of it
        while len(bus.callers) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(bus.callers) == 2


def test_a_bus_that_hangs_up_is_tried_again_at_the_next_look(tmp_path: Path) -> None:
    with deaf_bus(tmp_path, OK, hangs_up=True) as bus:
        client = SystemBus(bus.address, patience=10.0)
        assert client.ask([ON_BATTERY]) == client.ask([ON_BATTERY]) == {}
        assert len(bus.callers) == 2


@pytest.mark.parametrize(
    "words",
    [
        b"REJECTED EXTERNAL\r\n",
        OK + b"\xff" * 64,
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
    ids=["refuses", "babbles", "is none"],
)
def test_a_bus_that_talks_nonsense_is_no_bus(tmp_path: Path, words: bytes) -> None:
    with deaf_bus(tmp_path, words) as bus:
        assert LinuxHost(tmp_path, bus.address, patience=0.5).look(None).on_ac_power is True


@pytest.mark.parametrize("address", ["unix:path=/nowhere/bus", "tcp:host=localhost", "nonsense"])
def test_an_address_where_nobody_is_costs_nothing(tmp_path: Path, address: str) -> None:
    assert LinuxHost(tmp_path, address).look(None).on_ac_power is True


def test_without_a_bus_jeepney_is_not_even_loaded() -> None:
    code = (
        "import pathlib, sys; from guestwake.hosts.linux import LinuxHost; "
        "LinuxHost(pathlib.Path('/nowhere')).look('/'); sys.exit('jeepney' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
