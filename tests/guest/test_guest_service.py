"""The service and a host on a socket pair: who says what, when, and what it costs."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from guest_scene import BOOT, Guest

from guestwake_guest.esd_signal import fifo
from guestwake_guest.linux_guest import LinuxGuest
from guestwake_guest.linux_waits import LinuxWaits
from guestwake_guest.replaced import Replaced
from guestwake_guest.service import Ended, Service
from guestwake_guest.transports.api import TransportDenied
from guestwake_guest.transports.connection import Connection
from guestwake_guest.transports.virtio_serial import PORT, Port, VirtioSerial
from guestwake_guest.transports.vsock import Vsock, is_the_host
from guestwake_wire.framing import FRAME_BYTES_MAX, Framer
from guestwake_wire.messages import (
    Client,
    Hello,
    Message,
    Nudge,
    Report,
    RestartNotice,
    Window,
    WindowOver,
    decode,
    encode,
)

GREETING = Hello((1,), "a host")


class FakePort:
    """A transport with one stream; `plugged` says whether a host is at its other end."""

    def __init__(self, stream: socket.socket) -> None:
        self.plugged = True
        self._connection = Connection(stream)
        self._given = False

    def look(self) -> FakePort | None:
        given, self._given = self._given, True
        return None if given else self

    def waits_on(self) -> int | None:
        return None

    def lost(self) -> None:
        pass

    def fileno(self) -> int:
        return self._connection.fileno()

    def connected(self) -> bool:
        return self.plugged

    def receive(self, bytes_max: int) -> bytes:
        return self._connection.receive(bytes_max)

    def send(self, data: bytes) -> int:
        return self._connection.send(data)

    def close(self) -> None:
        self._connection.close()


class Host:
    """What happens on the host, and one guest whose time passes only when it says so."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.end, theirs = socket.socketpair()
        self.end.setblocking(False)
        self.port = FakePort(theirs)
        self.service = Service(LinuxGuest(guest.system), LinuxWaits(), (self.port,))
        self._framer = Framer()

    def says(self, *messages: Message) -> None:
        self.end.sendall(b"".join(map(encode, messages)))

    def hears(self) -> list[Message]:
        """What the guest has to say now."""
        assert self.service.turn() is None
        data = b""
        try:
            while more := self.end.recv(65536):
                data += more
        except BlockingIOError:
            pass
        return [decode(text) for text in self._framer.feed(data)]

    def reports(self) -> list[Report]:
        return [message for message in self.hears() if isinstance(message, Report)]

    def over(self, seconds: float) -> list[Message]:
        """What it says while they pass; it sleeps as long as it wants to."""
        heard = self.hears()
        until = self.guest.elapsed + seconds
        self.turns = 0
        while (pause := self.service.pause()) <= until - self.guest.elapsed:
            self.guest.passes(pause)
            heard += self.hears()
            self.turns += 1
            assert self.turns < 10000, "it does not sleep"
        self.guest.passes(until - self.guest.elapsed)
        return heard


@pytest.fixture
def host(guest: Guest) -> Iterator[Host]:
    made = Host(guest)
    yield made
    made.end.close()


def kinds(messages: list[Message]) -> list[type]:
    return [type(message) for message in messages]


# --- hello and reports ---


def test_a_host_that_connects_hears_all(host: Host) -> None:
    hello, report = host.hears()
    assert isinstance(hello, Hello)
    assert isinstance(report, Report)
    assert (report.number, report.boot_id, report.os) == (1, BOOT, "Debian 12")


def test_a_host_that_says_hello_hears_all_again(host: Host) -> None:
    host.hears()
    host.guest.passes(2)
    host.says(GREETING)
    assert kinds(host.hears()) == [Hello, Report]


def test_hellos_without_end_are_answered_once_a_second(host: Host) -> None:
    heard = []
    for _ in range(100):
        host.says(GREETING)
        heard += host.hears()
        host.guest.passes(0.1)
    assert len(heard) <= 24


def test_after_a_restore_it_is_there_at_once(host: Host) -> None:
    """The guest saw no disconnection: it was not running then. Its clock stands far behind."""
    host.over(100)
    host.guest.clock_is_set(8 * 3600)
    host.says(GREETING)
    assert kinds(host.hears()) == [Hello, Report]


def test_a_report_each_two_minutes_is_all_that_a_quiet_guest_says(host: Host) -> None:
    host.hears()
    assert kinds(host.over(600)) == [Report] * 5
    assert host.turns <= 41


def test_news_are_told_at_the_next_look(host: Host) -> None:
    host.over(20)
    host.guest.write("/run/reboot-required")
    reports = [message for message in host.over(11) if isinstance(message, Report)]
    assert [report.restart[0].source for report in reports] == ["reboot-required"]


def test_no_host_no_looks(host: Host) -> None:
    host.port.plugged = False
    host.hears()
    host.guest.program("/usr/bin/zypper", "")
    assert host.over(3600) == []
    assert host.turns <= 121


def test_a_host_that_goes_and_comes_hears_all(host: Host) -> None:
    host.hears()
    host.port.plugged = False
    host.guest.passes(2)
    assert host.hears() == []
    host.port.plugged = True
    assert kinds(host.hears()) == [Hello, Report]


def test_nobody_is_missing_in_the_first_report(host: Host) -> None:
    """Who is here takes a moment to find out, and what a report does not name is not so."""
    host.guest.says("/usr/bin/loginctl", "show-session.txt")
    host.guest.write("/run/systemd/sessions/1")
    assert host.hears() == []
    assert host.service.pause() > 0
    answers(host)
    (report,) = host.reports()
    assert [session.user for session in report.sessions] == ["anna"]


def test_a_logind_that_hangs_silences_nobody(host: Host) -> None:
    host.guest.program("/usr/bin/loginctl", "exec sleep 60")
    host.guest.write("/run/systemd/sessions/1")
    host.hears()
    assert len([one for one in host.over(60) if isinstance(one, Report)]) == 1


def answers(host: Host) -> None:
    """Waits for the commands that are under way."""
    until = time.monotonic() + 10
    while host.service._guest._children.outputs() and time.monotonic() < until:
        host.service._guest._children.tend(host.guest.elapsed)
    host.service._look_now = True


def test_numbers_count_up(host: Host) -> None:
    host.hears()
    numbers = [message.number for message in host.over(600) if isinstance(message, Report)]
    assert numbers == [2, 3, 4, 5, 6]


def test_a_host_of_another_version_hears_hello_and_nothing_more(host: Host) -> None:
    host.says(Hello((7, 8), "from the future"))
    assert kinds(host.hears()) == [Hello]
    assert host.over(600) == []
    host.guest.passes(2)
    host.says(GREETING)
    assert kinds(host.hears()) == [Hello, Report]


# --- the window ---


def test_in_the_window_it_looks_each_five_seconds(host: Host) -> None:
    host.hears()
    host.says(Window(60, 0))
    host.hears()
    host.guest.write("/run/reboot-required")
    assert len([one for one in host.over(6) if isinstance(one, Report)]) == 1


@pytest.mark.parametrize("ends", [[WindowOver()], [Window(0, 0)], []])
def test_the_window_ends(host: Host, ends: list[Message]) -> None:
    host.hears()
    host.says(Window(60, 0), *ends)
    host.over(60)
    host.over(30)
    host.over(60)
    assert host.turns <= 6


def test_after_its_own_restart_it_knows_since_when_the_window_is_open(host: Host) -> None:
    host.hears()
    host.says(Window(3600, 400))
    host.hears()
    since = host.service._guest._looker.window_since
    assert since == pytest.approx(host.guest.system.wall() - 400, abs=2)


# --- nudge ---


@pytest.fixture
def apt(host: Host) -> Guest:
    host.guest.program("/usr/bin/apt-get", "")
    host.guest.write("/usr/lib/systemd/system/apt-daily.service", "[Service]\n")
    calls = host.guest.path("/calls")
    host.guest.program("/usr/bin/systemctl", f'echo "$@" >>"{calls}"')
    return host.guest


def started(host: Host) -> list[str]:
    until = time.monotonic() + 10
    calls = host.guest.path("/calls")
    while host.service._guest._children.outputs() and time.monotonic() < until:
        host.hears()
    return calls.read_text().splitlines() if calls.exists() else []


def test_a_nudge_starts_the_clients_own_unit(host: Host, apt: Guest) -> None:
    host.says(Nudge())
    host.hears()
    assert started(host) == ["start --no-block apt-daily.service"]


def test_nudges_without_end_are_heeded_every_ten_minutes(host: Host, apt: Guest) -> None:
    for _ in range(130):
        host.says(Nudge())
        host.hears()
        started(host)
        host.guest.passes(10)
    assert len(started(host)) == 3


def test_a_nudge_where_nobody_can_be_nudged(host: Host) -> None:
    host.says(Nudge())
    assert kinds(host.hears()) == [Hello, Report]


def test_a_restart_notice_is_a_line_in_the_journal(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.says(RestartNotice(600))
    host.hears()
    assert "<6>the host restarts this guest in 600 s\n" in capsys.readouterr().err


# --- hostile and broken hosts ---


@pytest.mark.parametrize(
    "data",
    [
        b"\x1e\n",
        b"\x1e{}\n",
        b"\x1e" + b"[" * 4000 + b"\n",
        b'\x1e{"type":"window","left":-1}\n',
        b'\x1e{"type":"window","left":1e9}\n',
        b'\x1e{"type":"window","left":NaN}\n',
        b'\x1e{"type":"hello","versions":"1","agent":"\\ud800"}\n',
        b'\x1e{"type":"exec","command":"reboot"}\n',
        b'\x1e{"type":"nudge","type":"nudge"}\n',
        b"\x00\xff" * 10000,
        b"\x1e" + b"x" * 100000,
    ],
)
def test_what_is_no_message_is_left(host: Host, data: bytes) -> None:
    host.hears()
    host.guest.passes(2)
    host.end.setblocking(True)
    host.end.sendall(data) if len(data) < 60000 else pour(host, data)
    host.end.setblocking(False)
    assert host.hears() == []
    host.says(GREETING)
    assert kinds(host.hears()) == [Hello, Report]


def pour(host: Host, data: bytes) -> None:
    for at in range(0, len(data), 20000):
        host.end.sendall(data[at : at + 20000])
        host.service.turn()


def test_bad_messages_make_one_line_in_the_journal(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(50):
        host.end.sendall(b"\x1e<script>\x1b]0;owned\x07\n")
        host.hears()
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "owned" not in err


def test_what_a_guest_would_say_is_not_heeded(host: Host) -> None:
    host.hears()
    host.guest.passes(2)
    host.says(Report(1, 1, "boot", "a", "b", "c", None))
    assert host.hears() == []


def test_a_host_that_never_reads_costs_no_memory(host: Host) -> None:
    host.end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    for n in range(500):
        host.guest.write("/run/reboot-required.pkgs", f"package{n}")
        host.guest.write("/run/reboot-required")
        host.service.turn()
        host.guest.passes(30)
    (conversation,) = host.service._conversations.values()
    kept = (conversation._under_way, conversation._hello, conversation._report)
    assert sum(map(len, kept)) <= 3 * FRAME_BYTES_MAX
    assert host.reports()[-1].number <= 500
    host.guest.passes(1)
    assert host.reports()[-1].restart[0].text == "asked for by package499"


def test_a_host_that_hangs_up(host: Host) -> None:
    host.hears()
    host.end.close()
    for _ in range(3):
        assert host.service.turn() is None
        host.guest.passes(60)


# --- transports ---


def test_a_port_that_comes_later(guest: Guest) -> None:
    transport = VirtioSerial(guest.system)
    assert transport.look() is None
    guest.path(PORT).parent.mkdir(parents=True)
    os.mkfifo(guest.path(PORT))
    port = transport.look()
    assert port
    assert transport.look() is None  # one at a time
    port.close()
    transport.lost()
    again = transport.look()
    assert again
    again.close()


def test_a_port_that_may_not_be_opened_ends_the_service(
    guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd settled at the start which devices it may open."""

    def denied(path: str) -> Port:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("guestwake_guest.transports.virtio_serial.Port", denied)
    transport = VirtioSerial(guest.system)
    guest.write(PORT)
    with pytest.raises(TransportDenied):
        transport.look()
    as_it_came = VirtioSerial(guest.system)  # while this process began
    with pytest.raises(TransportDenied):
        as_it_came.look()
    assert Service(LinuxGuest(guest.system), LinuxWaits(), (transport,)).turn() is Ended.DENIED


def test_a_port_that_it_may_never_open_is_let_be(
    guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was there long before the start: another start would change nothing."""

    def denied(path: str) -> Port:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("guestwake_guest.transports.virtio_serial.Port", denied)
    guest.write(PORT)
    os.utime(guest.path(PORT), (0, 0))
    assert (
        Service(LinuxGuest(guest.system), LinuxWaits(), (VirtioSerial(guest.system),)).turn()
        is None
    )


def test_a_real_port_is_read_and_written_like_a_terminal(guest: Guest) -> None:
    far, near = os.openpty()
    path = guest.path(PORT)
    path.parent.mkdir(parents=True)
    path.symlink_to(os.ttyname(near))
    port = Port(str(path))
    assert port.connected()
    assert port.receive(100) == b""
    assert port.send(b"hello\n") == 6
    assert os.read(far, 100).startswith(b"hello")
    os.close(far)
    assert not port.connected()
    port.close()
    os.close(near)


@pytest.mark.parametrize(
    ("peer", "let_in"),
    [
        ((2, 600), True),
        ((2, 1023), True),
        ((2, 1024), False),  # any user of the host may have that port
        ((1, 600), False),  # the guest itself
        ((3, 600), False),
        ("", False),
    ],
)
def test_who_may_speak_on_vsock(peer: object, let_in: bool) -> None:
    assert is_the_host(peer) is let_in


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "vsock"))
        made.listen()
        yield made


def call(listener: socket.socket) -> socket.socket:
    caller = socket.socket(socket.AF_UNIX)
    caller.connect(listener.getsockname())
    return caller


def test_a_host_on_vsock(guest: Guest, listener: socket.socket) -> None:
    service = Service(
        LinuxGuest(guest.system), LinuxWaits(), (Vsock(lambda: listener, lambda peer: True),)
    )
    service.turn()
    with call(listener) as first:
        service.wait(5)  # its call is what ends the waiting
        service.turn()
        assert first.recv(65536).startswith(b'\x1e{"type":"hello"')
        with call(listener) as second:  # the latest counts
            service.turn()
            assert second.recv(65536).startswith(b'\x1e{"type":"hello"')
            first.settimeout(5)
            while first.recv(65536):
                pass


def test_a_stranger_on_vsock(guest: Guest, listener: socket.socket) -> None:
    service = Service(LinuxGuest(guest.system), LinuxWaits(), (Vsock(lambda: listener),))
    with call(listener) as caller:
        service.turn()
        caller.settimeout(5)
        assert caller.recv(100) == b""


def test_without_vsock_nothing_listens(guest: Guest) -> None:
    service = Service(LinuxGuest(guest.system), LinuxWaits(), (Vsock(lambda: None),))
    assert service.turn() is None
    service.wait(0)


# --- the FIFO, its own successor, waiting ---


def test_a_signal_is_told_at_once(guest: Guest) -> None:
    path = guest.path(fifo.PATH)
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    host = Host(guest)
    end = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    host.service = Service(
        LinuxGuest(guest.system), LinuxWaits(), (host.port,), fifo.Fifo(guest.system, end)
    )
    host.hears()
    guest.passes(5)
    fifo.give(guest.system, "please")
    host.service.wait(5)  # it ends the waiting
    (report,) = host.reports()
    assert [reason.text for reason in report.restart] == ["please"]
    assert host.service.pause() <= fifo.PAUSE
    guest.passes(2)
    host.service.wait(0)
    os.close(end)


def test_it_ends_when_its_file_was_replaced_and_has_settled(guest: Guest, tmp_path: Path) -> None:
    file = tmp_path / "program.pyz"
    file.write_bytes(b"old")
    service = Service(LinuxGuest(guest.system), LinuxWaits(), (), None, Replaced(str(file)))
    service.turn()
    file.unlink()
    guest.passes(60)
    assert service.turn() is None  # being replaced
    file.write_bytes(b"new")
    guest.passes(60)
    assert service.turn() is None  # seen for the first time
    assert service.pause() == 10
    guest.passes(10)
    assert service.turn() is Ended.REPLACED


def test_it_sleeps(guest: Guest) -> None:
    host = Host(guest)
    host.hears()
    host.service.wait(0)  # takes the edges that there are
    began = time.thread_time()
    host.service.wait(0.2)
    assert time.thread_time() - began < 0.1
    host.end.close()


def test_an_edge_wakes_it(guest: Guest) -> None:
    host = Host(guest)
    host.hears()
    host.service.wait(0)
    host.says(GREETING)
    host.service.wait(30)
    host.guest.passes(2)
    assert kinds(host.hears()) == [Hello, Report]
    host.end.close()


def test_clients_that_are_not_here_are_not_reported(host: Host) -> None:
    assert host.reports()[0].clients == ()
    host.guest.program("/usr/bin/dnf", "exit 1")
    host.guest.passes(60)
    clients: tuple[Client, ...] = host.reports()[0].clients
    assert [client.name for client in clients] == ["dnf"]


def test_edges_are_what_a_port_is_waited_on_with(guest: Guest) -> None:
    """A port without a host says EPOLLHUP all the time; so does a pipe whose writer is gone."""
    readable, writer = os.pipe()
    os.close(writer)
    epoll = select.epoll()
    epoll.register(readable, select.EPOLLIN | select.EPOLLET)
    assert epoll.poll(1)
    assert epoll.poll(0) == []
    os.close(readable)
