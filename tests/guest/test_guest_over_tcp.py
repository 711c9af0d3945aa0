"""The guest's service as it runs on Windows, over TCP to the host's own channel, both real, on a
pretend Windows."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from windows_scene import Scene, until

from guestwake.channels.pairing import Pairings
from guestwake.channels.tcp import TcpChannel
from guestwake_guest.service import Ended, Service
from guestwake_guest.windows.pairing import BadToken, Token, token
from guestwake_guest.windows.signal import WindowsSignal
from guestwake_guest.windows.tcp import Tcp, connect
from guestwake_guest.windows.waits import HurriedWaits
from guestwake_wire.framing import Framer
from guestwake_wire.messages import Hello, Message, Report, Window, decode, encode

UUID = "6f1c8c5e-1f0b-4c43-9d2f-8a6c7d9f0e11"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Both:
    def __init__(self, folder: Path) -> None:
        self.pairings = Pairings(folder)
        self.port = free_port()
        self.token: Token | None = token(self.pairings.make(UUID, "127.0.0.1", self.port))
        self.waits = HurriedWaits()
        self.scene = Scene(self.waits.hurry)
        self.signal = WindowsSignal(self.scene.kept, self.scene.elapsed)
        tcp = Tcp(lambda: self.token, self.waits.hurry, try_again=0.05)
        self.service = Service(self.scene.guest, self.waits, (tcp,), self.signal)
        self.ended: list[Ended] = []
        self.thread = threading.Thread(target=lambda: self.ended.append(self.service.run()))
        self.channel: TcpChannel | None = None
        self.heard: list[Message] = []
        self.framer = Framer()
        self.thread.start()

    def listen(self) -> None:
        pairing = self.pairings.find(UUID)
        assert pairing is not None
        self.channel = TcpChannel(pairing, self.pairings.host_file, "web01", lambda: None)

    def hears(self, kind: type) -> bool:
        return until(lambda: any(isinstance(one, kind) for one in self._taken_in()))

    def report(self) -> Report:
        """The last one."""
        reports = [one for one in self._taken_in() if isinstance(one, Report)]
        return reports[-1]

    def says(self, message: Message) -> None:
        assert self.channel is not None
        data = encode(message)
        assert until(lambda: self.channel.send(data) == len(data))

    def _taken_in(self) -> list[Message]:
        assert self.channel is not None
        while data := self.channel.receive(4096):
            self.heard += [decode(text) for text in self.framer.feed(data)]
        return self.heard

    def close(self) -> None:
        self.service.is_told_to_stop = True
        self.waits.hurry()
        self.thread.join(20)
        if self.channel is not None:
            self.channel.close()


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    made = Both(tmp_path)
    yield made
    made.close()
    assert made.ended == [Ended.STOPPED]


def test_it_greets_and_reports(both: Both) -> None:
    both.listen()
    assert both.hears(Hello)
    assert both.hears(Report)
    assert both.report().boot_id == "boot-7"
    assert both.report().os == "Windows 11"


def test_a_signal_is_reported_at_once(both: Both) -> None:
    both.listen()
    assert both.hears(Report)
    assert both.report().restart == ()
    both.scene.now += 5
    both.signal.heard()
    both.waits.hurry()
    assert until(lambda: [one.source for one in both.report().restart] == ["esd-signal"])


def test_a_window_lets_windows_update_be_asked(both: Both) -> None:
    both.listen()
    assert both.hears(Report)
    asked = both.scene.agent.asked
    both.scene.now += 5
    both.says(Window(600, 0))
    assert until(lambda: both.scene.agent.asked > asked)


def test_a_host_that_listens_later_and_again_is_found(both: Both) -> None:
    for _ in range(2):
        both.listen()
        both.heard.clear()
        assert both.hears(Report)
        assert both.channel is not None
        both.channel.close()
        both.scene.now += 200


def test_who_is_not_the_host_hears_no_secret(
    both: Both, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another one at the same place, with a certificate of its own."""
    other = Pairings(tmp_path / "other")
    other.make(UUID, "127.0.0.1", both.port)
    pairing = other.find(UUID)
    assert pairing is not None
    stranger = TcpChannel(pairing, other.host_file, "web01", lambda: None)
    said = ""

    def warned() -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return "is not the host of the token" in said

    assert until(warned)
    assert stranger._guest is None
    stranger.close()
    both.listen()
    assert both.hears(Report)


def test_a_guest_that_is_not_paired_tries_nobody(both: Both) -> None:
    both.token = None
    both.listen()
    assert both.channel is not None
    assert not both.channel.receive(10)
    pairing = both.pairings.make(UUID, "127.0.0.1", both.port)
    both.channel.close()
    both.listen()
    both.token = token(pairing)
    assert both.hears(Report)


def test_the_system_asks_by_itself_whether_the_host_is_still_there(both: Both) -> None:
    """After a restore it is not, and nothing that was on its way says so."""
    both.listen()
    assert both.hears(Report)
    assert both.token is not None
    with closing(connect(both.token)) as stream:
        assert stream.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10


# -- the token


def test_a_token_is_written_as_it_was_read(tmp_path: Path) -> None:
    pairings = Pairings(tmp_path)
    for address in ("127.0.0.1", "2001:db8::1"):
        text = pairings.make(UUID, address, 26487)
        assert token(f"  {text}\r\n").written() == text


WRONG = [
    "",
    "guestwake1:",
    "guestwake1:AAAA@127.0.0.1:26487",
    "guestwake1:" + "A" * 86 + "@host:26487",
    "guestwake1:" + "A" * 86 + "@127.0.0.1:0",
    "guestwake1:" + "A" * 86 + "@127.0.0.1:66000",
    "guestwake1:" + "!" * 86 + "@127.0.0.1:26487",
    "guestwake2:" + "A" * 86 + "@127.0.0.1:26487",
    "guestwake1:" + "A" * 85,
    "x" * 100_000,
]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(BadToken):
        token(text)
