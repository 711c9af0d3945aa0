"""A private system bus for tests: a real dbus-daemon, and services that are scripted.

They answer with the documented properties and methods of NetworkManager, UPower, logind, systemd.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jeepney import (  # type: ignore[import-untyped]  # it carries no types
    DBusAddress,
    HeaderFields,
    Message,
    MessageType,
    new_error,
    new_method_return,
    new_signal,
)
from jeepney.bus_messages import message_bus  # type: ignore[import-untyped]
from jeepney.io.blocking import (  # type: ignore[import-untyped]
    DBusConnection,
    open_dbus_connection,
)

from guestwake.hosts.dbus import PROPERTIES, Property, SystemBus
from guestwake.hosts.linux import LinuxHost

CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={folder}/bus</listen>
  <servicedir>{folder}/services</servicedir>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""
ROUTE = "Iface\n" + "eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"

NM = "org.freedesktop.NetworkManager"
UPOWER = "org.freedesktop.UPower"
LOGIND = "org.freedesktop.login1"
SYSTEMD = "org.freedesktop.systemd1"
ON_BATTERY = Property(UPOWER, "/org/freedesktop/UPower", UPOWER, "OnBattery")
VERSION = Property(UPOWER, "/org/freedesktop/UPower", UPOWER, "DaemonVersion")

Variant = tuple[str, object]


# What a method answers: a signature and a body, or the name of an error.
Method = Callable[[tuple[Any, ...]], tuple[str, tuple[object, ...]] | str]


@dataclass
class FakeService:
    """Scripted: answers Properties.Get and methods out of tables, until it is told to hang or to
    die. `methods`: by path, interface and name."""

    name: str
    path: str
    interface: str
    properties: dict[str, Variant]
    methods: dict[tuple[str, str, str], Method] = field(default_factory=dict)
    hangs: bool = False
    dies: bool = False
    asked: int = 0
    unanswered: list[Message] = field(default_factory=list)
    connection: DBusConnection = None

    def serve(self, address: str) -> None:
        self.connection = open_dbus_connection(address, enable_fds=True)
        self.connection.send_and_get_reply(message_bus.RequestName(self.name), timeout=5)
        threading.Thread(target=self._answer_all, daemon=True).start()

    def stop(self) -> None:
        with suppress(OSError):
            self.connection.sock.shutdown(socket.SHUT_RDWR)

    def wake_up(self) -> None:
        """Answer what it left unanswered while it hung."""
        self.hangs = False
        for call in self.unanswered:
            self.connection.send(self._answer(call))

    def _answer_all(self) -> None:
        with suppress(OSError):
            while True:
                call = self.connection.receive()
                if call.header.message_type is MessageType.method_call:
                    self._take(call)

    def _take(self, call: Message) -> None:
        self.asked += 1
        if self.dies:
            self.stop()
        elif self.hangs:
            self.unanswered.append(call)
        else:
            self.connection.send(self._answer(call))

    def emit(
        self, path: str, interface: str, member: str, signature: str, body: tuple[object, ...]
    ) -> None:
        emitter = DBusAddress(path, interface=interface)
        self.connection.send(new_signal(emitter, member, signature, body))

    def _answer(self, call: Message) -> Message:
        fields = call.header.fields
        at = (fields[HeaderFields.path], fields[HeaderFields.interface])
        member = fields[HeaderFields.member]
        if (method := self.methods.get((*at, member))) is not None:
            answer = method(call.body)
            if isinstance(answer, str):
                return new_error(call, answer, "s", ("it said no",))
            return new_method_return(call, *answer)
        if (*at, member) != (self.path, PROPERTIES, "Get"):
            return new_error(call, "org.freedesktop.DBus.Error.UnknownMethod")
        interface, name = call.body
        if interface != self.interface or name not in self.properties:
            return new_error(call, "org.freedesktop.DBus.Error.InvalidArgs")
        return new_method_return(call, "v", (self.properties[name],))


def network_manager(*, connectivity: int = 4, metered: int = 4) -> FakeService:
    """NMConnectivityState: 0 unknown, 1 none, 2 portal, 3 limited, 4 full. NMMetered: 0 unknown,
    1 yes, 2 no, 3 guess yes, 4 guess no."""
    told: Mapping[str, Variant] = {"Connectivity": ("u", connectivity), "Metered": ("u", metered)}
    return FakeService(NM, "/org/freedesktop/NetworkManager", NM, {"State": ("u", 70), **told})


def upower(*, on_battery: bool = True) -> FakeService:
    return FakeService(UPOWER, ON_BATTERY.path, UPOWER, {"OnBattery": ("b", on_battery)})


def logind(*, goes_down: bool = True) -> FakeService:
    told: dict[str, Variant] = {"PreparingForShutdown": ("b", goes_down)}
    return FakeService(LOGIND, "/org/freedesktop/login1", f"{LOGIND}.Manager", told)


def systemd(state: str) -> FakeService:
    told: dict[str, Variant] = {"SystemState": ("s", state)}
    return FakeService(SYSTEMD, "/org/freedesktop/systemd1", f"{SYSTEMD}.Manager", told)


@dataclass
class Bus:
    """A private dbus-daemon and a folder that stands for /: a desktop with a default route."""

    folder: Path
    address: str
    cleanup: ExitStack
    daemon: subprocess.Popen[str]
    now: float = 0.0  # of the pretended clock

    def serve(self, service: FakeService) -> FakeService:
        service.serve(self.address)
        self.cleanup.callback(service.stop)
        return service

    def host(self, *, patience: float = 10.0) -> LinuxHost:
        """Patient unless silence is what the test is about: the machine may be busy."""
        host = LinuxHost(self.folder, self.address, patience=patience)
        self.cleanup.callback(host.close)
        return host

    def client(self, *, patience: float = 10.0) -> SystemBus:
        """By the pretended clock, which stands unless the test moves it."""
        client = SystemBus(self.address, patience=patience, monotonic=lambda: self.now)
        self.cleanup.callback(client.close)
        return client


@contextmanager
def private_bus(folder: Path) -> Iterator[Bus]:
    for path, text in {
        "bus.conf": CONFIG.format(folder=folder),
        "proc/net/route": ROUTE,
        "sys/class/net/eth0/flags": "0x1003",
        "sys/class/net/eth0/operstate": "up",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "services").mkdir()
    with ExitStack() as cleanup:
        daemon, address = cleanup.enter_context(bus_daemon(folder / "bus.conf"))
        yield Bus(folder, address, cleanup, daemon)


@contextmanager
def bus_daemon(config: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = ["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        try:
            yield daemon, daemon.stdout.readline().strip()  # printed once it listens
        finally:
            daemon.kill()


@dataclass
class DeafBus:
    """Takes connections, may say something, and then never answers again, or hangs up
    once it has heard `after`."""

    address: str
    ear: socket.socket
    first_words: bytes
    hangs_up: bool
    after: bytes
    callers: list[socket.socket] = field(default_factory=list)

    def take_callers(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self.ear.accept()
                self.callers.append(caller)
                caller.send(self.first_words)
                if self.hangs_up:
                    self._hang_up(caller)

    def _hang_up(self, caller: socket.socket) -> None:
        heard = b""
        while self.after not in heard:
            heard += caller.recv(4096)
        caller.shutdown(socket.SHUT_RDWR)


@contextmanager
def deaf_bus(
    folder: Path, first_words: bytes = b"", *, hangs_up: bool = False, after: bytes = b"Hello"
) -> Iterator[DeafBus]:
    with socket.socket(socket.AF_UNIX) as ear:
        ear.bind(str(folder / "deaf"))
        ear.listen()
        bus = DeafBus(f"unix:path={folder}/deaf", ear, first_words, hangs_up, after)
        threading.Thread(target=bus.take_callers, daemon=True).start()
        yield bus
        ear.shutdown(socket.SHUT_RDWR)
        for caller in bus.callers:
            caller.close()
