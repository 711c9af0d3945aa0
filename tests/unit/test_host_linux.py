"""The Linux host by the kernel's files alone: recorded shapes of them in a folder taken for /."""

from __future__ import annotations

import errno
import os
import socket
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from guestwake.hosts.api import Host, HostError, Inhibited
from guestwake.hosts.linux import LinuxHost
from guestwake.hosts.memory import MemoryHost
from guestwake.hosts.remote_desktops import peers_by_netlink
from guestwake.policy.words import HostFacts, Logon, Network

ROUTE_TITLE = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT"
V4_DEFAULT = "eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0"
V4_LINK = "eth0\t000200C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0"
V4_LOWER_HALF = "tun0\t00000000\t0101080A\t0003\t0\t0\t50\t00000080\t0\t0\t0"
V4_POINT_TO_POINT = "ppp0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0"
V4_OVER_LO = "lo\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0"
V4_UNREACHABLE = "lo\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\t0\t0"
V4_BLACKHOLE = "*\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0"

ZERO = "0" * 32
GATEWAY = "fe80000000000000021122fffe334455"
V6_DEFAULT = f"{ZERO} 00 {ZERO} 00 {GATEWAY} 00000400 00000002 00000000 00450003     eth0"
V6_LINK = f"fe80{'0' * 28} 40 {ZERO} 00 {ZERO} 00000100 00000002 00000000 00000001     eth0"
V6_NOTHING = f"{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 00000001 00000000 00200200       lo"
V6_UNREACHABLE = f"{ZERO} 00 {ZERO} 00 {ZERO} 00000400 00000001 00000000 00200201     eth0"
V6_LOWER_HALF = f"{ZERO} 01 {ZERO} 00 {GATEWAY} 00000400 00000002 00000000 00000003     tun0"

UP, DOWN, LOOPBACK = ("0x1003", "up"), ("0x1002", "down"), ("0x9", "unknown")
UNPLUGGED, TUNNEL = ("0x1003", "down"), ("0x1091", "unknown")
ALL_UP = {"eth0": UP, "ppp0": TUNNEL, "tun0": TUNNEL, "lo": LOOPBACK}


@dataclass
class Files:
    """A folder that stands for /."""

    root: Path

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")

    def interfaces(self, found: dict[str, tuple[str, str]]) -> None:
        for name, (flags, operstate) in found.items():
            self.write(f"sys/class/net/{name}/flags", flags)
            self.write(f"sys/class/net/{name}/operstate", operstate)

    def routes(self, *ipv4: str, ipv6: tuple[str, ...] = ()) -> None:
        self.write("proc/net/route", "\n".join([ROUTE_TITLE, *(line.ljust(127) for line in ipv4)]))
        self.write("proc/net/ipv6_route", "\n".join(ipv6))

    def supplies(self, found: dict[str, dict[str, str]]) -> None:
        (self.root / "sys/class/power_supply").mkdir(parents=True)
        for name, values in found.items():
            for value, text in values.items():
                self.write(f"sys/class/power_supply/{name}/{value}", text)

    def look(self, image_folder: str | None = None) -> HostFacts:
        return LinuxHost(self.root).look(image_folder)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


# --- network


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "network"),
    [
        pytest.param([V4_DEFAULT, V4_LINK], [V6_LINK, V6_NOTHING], Network.UP, id="ipv4"),
        pytest.param([], [V6_DEFAULT, V6_LINK, V6_NOTHING], Network.UP, id="ipv6 only"),
        pytest.param([V4_POINT_TO_POINT], [], Network.UP, id="a modem without a gateway"),
        pytest.param([V4_UNREACHABLE, V4_DEFAULT], [], Network.UP, id="one of two"),
        pytest.param([V4_LINK], [V6_LINK, V6_NOTHING], Network.DOWN, id="only the next cable"),
        pytest.param([], [], Network.DOWN, id="nothing"),
        pytest.param([V4_LOWER_HALF], [], Network.DOWN, id="half of a default route"),
        pytest.param([], [V6_LOWER_HALF], Network.DOWN, id="half of an IPv6 default route"),
        pytest.param([V4_OVER_LO], [], Network.DOWN, id="over loopback"),
        pytest.param([V4_UNREACHABLE], [V6_UNREACHABLE], Network.DOWN, id="unreachable"),
        pytest.param([V4_BLACKHOLE], [], Network.DOWN, id="blackhole"),
    ],
)
def test_a_default_route_is_a_network(
    files: Files, ipv4: list[str], ipv6: list[str], network: Network
) -> None:
    files.interfaces(ALL_UP)
    files.routes(*ipv4, ipv6=tuple(ipv6))
    assert files.look().network is network


@pytest.mark.parametrize("state", [DOWN, UNPLUGGED])
def test_a_default_route_over_an_interface_that_is_down_is_none(
    files: Files, state: tuple[str, str]
) -> None:
    files.interfaces({"eth0": state})
    files.routes(V4_DEFAULT, ipv6=(V6_DEFAULT,))
    assert files.look().network is Network.DOWN


def test_a_host_with_ipv6_switched_off_still_has_its_ipv4_route(files: Files) -> None:
    files.interfaces(ALL_UP)
    files.write("proc/net/route", f"{ROUTE_TITLE}\n{V4_DEFAULT}")
    assert files.look().network is Network.UP


def test_nobody_can_tell_the_network_without_the_kernels_tables(files: Files) -> None:
    assert files.look().network is None


# --- power

MAINS_ON = {"type": "Mains", "online": "1"}
MAINS_OFF = {"type": "Mains", "online": "0"}
PORT_OFF = {"type": "USB", "online": "0", "usb_type": "[C] PD PD_PPS"}
PORT_ON = {"type": "USB", "online": "1", "usb_type": "C [PD] PD_PPS"}
PORT_FEEDS_A_PHONE = {"type": "USB", "online": "1", "scope": "Device"}
CHARGER_WITH_VOLTAGE = {"type": "USB", "online": "2", "usb_type": "C PD [PD_PPS]"}
MOUSE = {"type": "Battery", "scope": "Device", "status": "Discharging", "present": "1"}


def battery(status: str, **more: str) -> dict[str, str]:
    return {"type": "Battery", "status": status, "present": "1"} | more


def ups(status: str, present: str = "1") -> dict[str, str]:
    return {"type": "UPS", "status": status, "present": present, "scope": "System"}


@pytest.mark.parametrize(
    ("supplies", "on_ac_power"),
    [
        pytest.param({}, True, id="desktop"),
        pytest.param({"hidpp_battery_0": MOUSE}, True, id="desktop with a mouse"),
        pytest.param({"ucsi-source-psy-1": PORT_OFF}, True, id="desktop with a USB-C port"),
        pytest.param({"AC": MAINS_OFF}, True, id="desktop whose firmware knows no adapter"),
        pytest.param({"AC": MAINS_ON, "BAT0": battery("Charging")}, True, id="laptop on AC"),
        pytest.param(
            {"AC": MAINS_ON, "BAT0": battery("Discharging")}, True, id="laptop, weak adapter"
        ),
        pytest.param({"AC": MAINS_ON, "BAT0": battery("Not charging")}, True, id="at threshold"),
        pytest.param({"AC": MAINS_OFF, "BAT0": battery("Discharging")}, False, id="unplugged"),
        pytest.param({"AC": MAINS_OFF, "BAT0": battery("Unknown")}, False, id="unplugged, mute"),
        pytest.param({"AC": MAINS_ON, "BAT0": battery("Unknown")}, True, id="plugged, mute"),
        pytest.param({"BAT0": battery("Discharging")}, False, id="no adapter known, draining"),
        pytest.param({"BAT0": battery("Full")}, True, id="no adapter known, full"),
        pytest.param({"BAT0": battery("Not charging")}, True, id="no adapter known, at threshold"),
        pytest.param({"BAT0": battery("Unknown")}, True, id="no adapter known, mute"),
        pytest.param(
            {"ucsi-1": PORT_ON, "BAT0": battery("Discharging")}, True, id="weak USB-C charger"
        ),
        pytest.param(
            {"BAT0": battery("Not charging"), "BAT1": battery("Discharging")},
            False,
            id="two batteries, the second draining",
        ),
        pytest.param(
            {"AC": MAINS_OFF, "BAT0": battery("Discharging", present="0")},
            True,
            id="battery taken out",
        ),
        pytest.param(
            {"AC": MAINS_OFF, "ucsi-1": PORT_OFF, "ucsi-2": PORT_ON, "BAT0": battery("Charging")},
            True,
            id="USB-C laptop, charger in the second port",
        ),
        pytest.param(
            {"AC": MAINS_OFF, "ucsi-1": PORT_OFF, "BAT0": battery("Discharging")},
            False,
            id="USB-C laptop, unplugged",
        ),
        pytest.param(
            {"AC": MAINS_OFF, "ucsi-1": CHARGER_WITH_VOLTAGE, "BAT0": battery("Discharging")},
            True,
            id="USB-C laptop, weak programmable charger",
        ),
        pytest.param(
            {"ucsi-1": PORT_FEEDS_A_PHONE, "BAT0": battery("Discharging")},
            False,
            id="USB-C laptop that charges a phone",
        ),
        pytest.param(
            {
                "CROS_USBPD_CHARGER0": {"type": "USB_PD", "online": "1", "status": "Charging"},
                "CROS_USBPD_CHARGER1": {"type": "Unknown", "online": "0"},
                "sbs-9-000b": battery("Full"),
            },
            True,
            id="Chromebook, charging",
        ),
        pytest.param(
            {
                "CROS_USBPD_CHARGER0": {"type": "Unknown", "online": "0"},
                "PCHG0": {"type": "Battery", "scope": "Device", "status": "Charging"},
                "sbs-9-000b": battery("Discharging"),
            },
            False,
            id="Chromebook, unplugged, its pen charging",
        ),
        pytest.param({"UPS0": ups("Full")}, True, id="UPS at rest"),
        pytest.param({"UPS0": ups("Discharging")}, False, id="UPS feeding"),
        pytest.param({"AC": MAINS_ON, "UPS0": ups("Discharging")}, False, id="adapter behind UPS"),
        pytest.param({"UPS0": ups("Discharging", present="0")}, True, id="UPS absent"),
    ],
)
def test_what_feeds_the_host(
    files: Files, supplies: dict[str, dict[str, str]], on_ac_power: bool
) -> None:
    files.supplies(supplies)
    assert files.look().on_ac_power is on_ac_power


def test_a_kernel_without_power_supplies_is_a_desktop(files: Files) -> None:
    assert files.look().on_ac_power is True


def test_nobody_can_tell_power_when_the_folder_is_something_else(files: Files) -> None:
    files.write("sys/class/power_supply", "")
    assert files.look().on_ac_power is None


# --- memory and disk


def test_memory_is_what_the_kernel_would_give_without_swapping(files: Files) -> None:
    files.write(
        "proc/meminfo",
        "MemTotal:       16315208 kB\nMemFree:          623128 kB\nMemAvailable:    9437695 kB",
    )
    assert files.look().memory_available == 9216


def test_nobody_can_tell_memory_of_an_old_kernel(files: Files) -> None:
    files.write("proc/meminfo", "MemTotal:       16315208 kB\nMemFree:          623128 kB")
    assert files.look().memory_available is None


def test_disk_room_is_what_is_left_for_others_than_root() -> None:
    host = LinuxHost()
    looks = ((_room("/"), host.look("/").disk_available, _room("/")) for _ in range(100))
    # Others write to this disk too: only a look with the same figure on both sides counts.
    assert next(told == before for before, told, after in looks if before == after)


def _room(place: str) -> int:
    room = os.statvfs(place)
    return room.f_bavail * room.f_frsize // 1024**2


def test_a_folder_that_does_not_exist_yet_is_as_roomy_as_its_parent() -> None:
    assert LinuxHost().look("/proc/not/made/yet").disk_available == 0


def test_no_image_on_this_host_no_disk_figure(files: Files) -> None:
    assert files.look(None).disk_available is None


def test_without_logind_nothing_says_that_the_host_goes_down(files: Files) -> None:
    assert files.look().shutting_down is False


# --- remote desktops

TCP_TITLE = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid"
REST = "00000000:00000000 00:00000000 00000000  1000        0 637 1 000000005f853067 100 0 0 10 0"
TCP_LINES = [
    f"   0: 00000000:0D3D 00000000:0000 0A {REST}",  # this host's own server listens
    f"   1: 017AA8C0:C350 0A7AA8C0:0D3D 01 {REST}",  # a client here, guest 192.168.122.10
    f"   2: 017AA8C0:C351 0B7AA8C0:0D3D 06 {REST}",  # hung up: TIME_WAIT
    f"   3: 017AA8C0:0D3D 0C7AA8C0:C352 01 {REST}",  # somebody else's client, to us
    f"   4: 017AA8C0:C353 0D7AA8C0:01BB 01 {REST}",  # a web page
]
GUEST_V6 = "000080FE00000000FF005452563412FE"
MAPPED = "0000000000000000FFFF00000E7AA8C0"
TCP6_LINES = [
    f"   0: {ZERO}:0D3D {ZERO}:0000 0A {REST}",
    f"   1: {GUEST_V6}:C350 {GUEST_V6}:0D3D 01 {REST}",
    f"   2: {MAPPED}:C350 {MAPPED}:0D3D 01 {REST}",
]


def test_remote_desktop_clients_name_the_guests_they_show(files: Files) -> None:
    files.write("proc/net/tcp", "\n".join([TCP_TITLE, *(line.ljust(149) for line in TCP_LINES)]))
    files.write("proc/net/tcp6", "\n".join([TCP_TITLE, *TCP6_LINES]))
    assert LinuxHost(files.root).rdp_peers() == {
        "192.168.122.10",
        "192.168.122.14",  # over an IPv6 socket
        "fe80::5254:ff:fe12:3456",
    }


def test_no_tables_no_remote_desktops(files: Files) -> None:
    assert LinuxHost(files.root).rdp_peers() == frozenset()


@pytest.mark.parametrize(
    ("family", "address", "peer"),
    [
        (socket.AF_INET, "127.33.89.1", "127.33.89.1"),
        (socket.AF_INET6, "::1", "::1"),
        (socket.AF_INET6, "::ffff:127.33.89.2", "127.33.89.2"),
    ],
)
def test_a_real_connection_is_seen_while_it_stands(
    family: socket.AddressFamily, address: str, peer: str
) -> None:
    def seen() -> set[bool]:
        files_only = LinuxHost(Path("/proc/.."))
        told = (LinuxHost().rdp_peers(), files_only.rdp_peers(), peers_by_netlink())
        return {peer in peers for peers in told}

    with _server(family, address) as server, socket.socket(family) as client:
        assert seen() == {False}
        client.connect(server.getsockname())
        assert seen() == {True}
        client.close()
        assert seen() == {False}


def _server(family: socket.AddressFamily, address: str) -> socket.socket:
    try:
        dual = "ffff" in address
        return socket.create_server((address, 3389), family=family, dualstack_ipv6=dual)
    except OSError as err:
        if err.errno not in (errno.EADDRINUSE, errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            raise
        pytest.skip(f"a remote desktop server cannot be tried at {address}: {err}")


@pytest.mark.parametrize("port", [3388, 3390])
def test_another_port_is_no_remote_desktop(port: int) -> None:
    address = ("127.33.89.3", port)
    with socket.create_server(address), socket.create_connection(address):
        assert "127.33.89.3" not in LinuxHost().rdp_peers()


# --- who is logged on, where there is no logind

UTMP = struct.Struct("=hxxi32s4s32s256s4xiIi16s20x")
EPOCH = 1_795_597_200  # 2026-11-25 09:00 UTC
HERE = os.getpid()


def _entry(
    line: str, *, user: str = "anna", host: str = "", process: int = HERE, kind: int = 7
) -> bytes:
    named = [text.encode() for text in (line, line[-4:], user, host)]
    return UTMP.pack(kind, process, *named, 0, EPOCH, 0, b"")


def _utmp(files: Files, *entries: bytes) -> tuple[Logon, ...] | None:
    files.write(f"proc/{HERE}/stat", "")
    (files.root / "run").mkdir(exist_ok=True)
    (files.root / "run/utmp").write_bytes(b"".join(entries))
    return LinuxHost(files.root).logons()


@pytest.mark.parametrize(
    ("line", "host"), [("tty1", ""), ("ttyS0", ""), ("console", ""), (":0", ":0"), ("tty2", ":0")]
)
def test_utmp_names_who_sits_at_the_host(files: Files, line: str, host: str) -> None:
    found = _utmp(files, _entry(line, host=host), _entry("pts/3", user="ben"))
    assert found == (Logon("anna", datetime(2026, 11, 25, 9, tzinfo=UTC), session=line),)


@pytest.mark.parametrize(
    "entry",
    [
        _entry("pts/0", host="192.0.2.7"),  # ssh
        _entry("pts/1", host=":pts/0:S.0"),  # screen, in ssh
        _entry("tty1", host="192.0.2.7"),
        _entry("tty1", kind=8),  # dead
        _entry("tty1", kind=6, user="LOGIN"),  # waits for a login
        _entry("~", kind=2, user="reboot"),
        _entry("tty1", user=""),
        _entry("tty1", process=2**22 + 1),  # was killed
    ],
)
def test_utmp_is_read_for_logons_at_the_host_alone(files: Files, entry: bytes) -> None:
    assert _utmp(files, entry) == ()


def test_a_logind_that_is_silent_is_not_contradicted(files: Files) -> None:
    """Not every display manager writes utmp: whom it does not name may be logged on."""
    (files.root / "run/systemd/seats").mkdir(parents=True)
    assert _utmp(files, _entry("tty1")) is None


def test_without_logind_and_utmp_nobody_can_tell_who_is_logged_on(files: Files) -> None:
    assert LinuxHost(files.root).logons() is None


def test_utmp_that_is_laid_out_otherwise_tells_nothing(files: Files) -> None:
    assert _utmp(files, _entry("tty1") + bytes(16)) is None


# --- what ended the last sleep

INTERRUPTS = """            CPU0       CPU1
   8:          0          1  IR-IO-APIC    8-edge      rtc0
   9:         12          0  IR-IO-APIC    9-fasteoi   acpi
 NMI:          0          0   Non-maskable interrupts"""


@pytest.mark.parametrize(
    ("number", "said"), [("8", True), ("9", None), ("88", None), ("", None), (None, None)]
)
def test_the_clocks_own_interrupt_is_an_alarm_and_no_other_says_no(
    files: Files, number: str | None, said: bool | None
) -> None:
    files.write("proc/interrupts", INTERRUPTS)
    if number is not None:
        files.write("sys/power/pm_wakeup_irq", number)
    assert LinuxHost(files.root).woken_by_alarm() is said


# --- the real machine and the pretended one


def test_a_real_host_can_tell_everything() -> None:
    facts = LinuxHost().look("/var/lib/guestwake")
    assert facts.network is not None
    assert facts.on_ac_power is not None
    assert (facts.memory_available or 0) > 0
    assert facts.disk_available is not None


def test_a_real_host_is_asked_who_is_logged_on_and_does_not_stumble() -> None:
    assert LinuxHost().logons() is None or all(logon.user for logon in LinuxHost().logons() or ())
    assert LinuxHost().woken_by_alarm() in (None, True)


def test_the_pretended_host_is_as_it_was_set() -> None:
    host = MemoryHost(disk_available=7)
    seen: Host = host
    assert seen.look("/images").disk_available == 7
    assert seen.look(None).disk_available is None
    host.network, host.on_ac_power, host.shutting_down = Network.METERED, False, True
    host.memory_available, host.peers = None, frozenset({"192.0.2.1"})
    assert seen.look(None) == HostFacts(Network.METERED, False, True, None, None)
    assert seen.rdp_peers() == {"192.0.2.1"}


def test_the_pretended_host_sleeps_and_waits_as_it_is_told() -> None:
    anna = Logon("anna", datetime(2026, 11, 25, 9, tzinfo=UTC))
    host = MemoryHost(logged_on=(anna,), by_alarm=True)
    seen: Host = host
    assert (seen.logons(), seen.woken_by_alarm()) == ((anna,), True)
    with seen.inhibit(wait := Inhibited("sleep", "Guestwake", "a test")):
        assert host.inhibited == [wait]
    assert host.inhibited == []
    seen.suspend()
    host.may_sleep = False
    with pytest.raises(HostError):
        seen.suspend()
    assert host.suspended == 1
