"""The channel over TCP, with guests and strangers on real sockets of this host."""

from __future__ import annotations

import base64
import hashlib
import json
import queue
import resource
import socket
import ssl
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from command_world import CommandWorld

from guestwake.channels.api import ChannelClosed, PairingError
from guestwake.channels.pairing import TOKEN_BEGINS, Pairings, place_of
from guestwake.channels.tcp import KNOCKING_MAX, TcpChannel
from guestwake.edges.exit_codes import Exit

UUID = "6f1c8c5e-1f0b-4c43-9d2f-8a6c7d9f0e11"
OTHER = "7f1c8c5e-1f0b-4c43-9d2f-8a6c7d9f0e11"
SECONDS = 20.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def parts(token: str) -> tuple[bytes, bytes]:
    """Secret and fingerprint."""
    text = token.removeprefix(TOKEN_BEGINS).partition("@")[0]
    both = base64.urlsafe_b64decode(text + "==")
    return both[:32], both[32:]


def until(true: Callable[[], object]) -> bool:
    deadline = time.monotonic() + SECONDS
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class Scene:
    def __init__(self, folder: Path) -> None:
        self.pairings = Pairings(folder / "channels")
        self.port = free_port()
        self.secret, self.fingerprint = parts(self.pairings.make(UUID, "127.0.0.1", self.port))
        self.told: queue.Queue[str] = queue.Queue()
        pairing = self.pairings.find(UUID)
        assert pairing is not None
        self.channel = TcpChannel(
            pairing, self.pairings.host_file, "web01", lambda: self.told.put("ready")
        )
        self.guests: list[ssl.SSLSocket] = []

    def is_told(self) -> bool:
        return self.told.get(timeout=SECONDS) == "ready"

    def knock(self, secret: bytes) -> ssl.SSLSocket:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        plain = socket.create_connection(("127.0.0.1", self.port), SECONDS)
        guest = tls.wrap_socket(plain)
        self.guests.append(guest)
        shown = guest.getpeercert(binary_form=True)
        assert shown is not None
        assert hashlib.sha256(shown).digest() == self.fingerprint
        guest.sendall(secret)
        return guest

    def guest(self) -> ssl.SSLSocket:
        made = self.knock(self.secret)
        assert self.is_told()
        return made

    def close(self) -> None:
        for guest in self.guests:
            guest.close()
        self.channel.close()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.close()


# -- a guest


def test_bytes_go_both_ways(scene: Scene) -> None:
    assert scene.channel.receive(100) == b""
    assert scene.channel.send(b"nobody is there") == 0
    guest = scene.guest()
    assert scene.channel.receive(100) == b""
    guest.sendall(b"hello, host")
    assert scene.is_told()
    assert scene.channel.receive(6) == b"hello,"
    assert scene.channel.receive(100) == b" host"
    assert scene.channel.send(b"hello, guest") == 12
    assert guest.recv(100) == b"hello, guest"


def test_what_came_with_the_secret_is_heard(scene: Scene) -> None:
    scene.knock(scene.secret + b"at once")
    assert scene.is_told()
    assert until(lambda: scene.channel.receive(100) == b"at once")


def test_a_flood_is_told_once_until_nothing_is_left(scene: Scene) -> None:
    guest = scene.guest()
    assert scene.channel.receive(10) == b""
    guest.sendall(b"x" * 5000)
    assert scene.is_told()
    got = 0
    while got < 5000:
        assert scene.told.empty() or got == 0
        got += len(scene.channel.receive(50))
    assert scene.channel.receive(50) == b""
    guest.sendall(b"x")
    assert scene.is_told()
    assert scene.channel.receive(50) == b"x"


def test_a_guest_that_goes_and_comes_is_heard_again(scene: Scene) -> None:
    scene.guest().close()
    assert until(lambda: scene.channel.receive(10) == b"" and scene.channel._guest is None)
    second = scene.guest()
    second.sendall(b"again")
    assert until(lambda: scene.channel.receive(10) == b"again")


def test_the_latest_counts(scene: Scene) -> None:
    """A restored guest connects anew, and its old connection never ends."""
    first, second = scene.guest(), scene.guest()
    assert first.recv(10) == b""
    second.sendall(b"new")
    assert until(lambda: scene.channel.receive(10) == b"new")


def test_one_is_not_closed_while_it_is_used(scene: Scene) -> None:
    """Who knocks is let in by another thread than the one that reads."""
    scene.guest()
    first = scene.channel._guest
    assert first is not None
    with first.alone:
        scene.knock(scene.secret)
        assert until(lambda: scene.channel._guest is not first)
        assert first.stream.fileno() != -1
    assert scene.is_told()
    assert first.stream.fileno() == -1
    with pytest.raises(OSError, match="descriptor"):
        first.receive(10)


def test_a_guest_that_reads_nothing_holds_nobody_up(scene: Scene) -> None:
    scene.guest()
    for _ in range(10_000):
        if scene.channel.send(b"x" * 16384) == 0:
            break
    else:
        pytest.fail("it took all")


# -- strangers


def test_a_wrong_secret_is_cut_off_and_told_once(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    guest = scene.guest()
    for _ in range(3):
        stranger = scene.knock(b"\0" * 32)
        assert stranger.recv(10) == b""
    assert scene.channel.receive(10) == b""
    guest.sendall(b"still here")
    assert until(lambda: scene.channel.receive(10) == b"still here")
    assert len(caplog.records) == 1
    assert "web01" in caplog.text


def test_no_tls_is_no_guest(scene: Scene) -> None:
    with socket.create_connection(("127.0.0.1", scene.port), SECONDS) as plain:
        plain.sendall(scene.secret * 100)
        with suppress(OSError):
            while plain.recv(1000):
                pass
    scene.guest()


def test_those_who_say_nothing_are_few_and_are_cut_off(scene: Scene) -> None:
    def knock(times: int) -> list[socket.socket]:
        return [socket.create_connection(("127.0.0.1", scene.port), SECONDS) for _ in range(times)]

    before = threading.active_count()
    silent = knock(KNOCKING_MAX)
    assert until(lambda: scene.channel._knocking == KNOCKING_MAX)
    silent += knock(2 * KNOCKING_MAX)
    assert threading.active_count() <= before + 2 * KNOCKING_MAX  # each with its watchdog
    for one in silent:  # each hears its end, at once or after a few seconds
        with suppress(ConnectionResetError):
            assert one.recv(10) == b""
        one.close()
    assert until(lambda: scene.channel._knocking == 0)
    scene.guest()


def test_where_no_file_is_left_the_next_guest_is_let_in_once_there_is_one(scene: Scene) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    guest = socket.socket()
    resource.setrlimit(resource.RLIMIT_NOFILE, (guest.fileno() + 1, hard))
    try:
        guest.connect(("127.0.0.1", scene.port))
        time.sleep(0.1)  # it is refused as often as it is tried
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        guest.close()
    scene.guest()


def test_where_no_thread_is_left_the_next_guest_is_let_in_once_there_is_one(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", cannot)
        for _ in range(KNOCKING_MAX + 1):
            with socket.create_connection(("127.0.0.1", scene.port), SECONDS) as refused:
                assert refused.recv(10) == b""
    scene.guest()


def test_an_older_tls_is_refused(scene: Scene) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    plain = socket.create_connection(("127.0.0.1", scene.port), SECONDS)
    with plain, pytest.raises((ssl.SSLError, OSError)):
        tls.wrap_socket(plain)


# -- its end


def test_a_closed_one_listens_no_more(scene: Scene) -> None:
    guest = scene.guest()
    scene.channel.close()
    scene.channel.close()
    assert guest.recv(10) == b""
    with pytest.raises(ChannelClosed):
        scene.channel.receive(10)
    with pytest.raises(ChannelClosed):
        scene.channel.send(b"x")

    socket.create_server(("127.0.0.1", scene.port)).close()


def test_a_port_that_is_taken_is_told(scene: Scene) -> None:
    pairing = scene.pairings.find(UUID)
    assert pairing is not None
    with pytest.raises(OSError, match="in use"):
        TcpChannel(pairing, scene.pairings.host_file, "web01", lambda: None)


# -- pairings


def test_only_a_hash_is_kept_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    pairings = Pairings(tmp_path / "channels")
    secret, _ = parts(pairings.make(UUID, "127.0.0.1", 26487))
    for file in (tmp_path / "channels").iterdir():
        data = file.read_bytes()
        assert secret not in data
        assert base64.b64encode(secret)[:20] not in data
        assert secret.hex().encode() not in data
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "channels").stat().st_mode) == 0o700


def test_a_second_pairing_makes_the_first_secret_nothing(tmp_path: Path) -> None:
    pairings = Pairings(tmp_path / "channels")
    first, fingerprint = parts(pairings.make(UUID, "127.0.0.1", 26487))
    second, same = parts(pairings.make(UUID, "127.0.0.1", 26487))
    assert fingerprint == same
    found = pairings.find(UUID)
    assert found is not None
    assert found.is_of(second)
    assert not found.is_of(first)
    assert not found.is_of(second[:-1])
    assert pairings.remove(UUID)
    assert not pairings.remove(UUID)
    assert pairings.find(UUID) is None


def test_one_place_is_one_workspaces(tmp_path: Path) -> None:
    pairings = Pairings(tmp_path / "channels")
    pairings.make(UUID, "127.0.0.1", 26487)
    with pytest.raises(PairingError, match=r"127\.0\.0\.1:26487"):
        pairings.make(OTHER, "127.0.0.1", 26487)
    assert pairings.make(OTHER, "::1", 26487).endswith("@[::1]:26487")


DAMAGES = [
    *(("address", "example.org"), ("address", ""), ("address", None), ("address", [])),
    *(("port", 70000), ("port", -1), ("port", 22), ("port", "x"), ("port", None)),
    ("port", float("inf")),
    *(("secret_hash", ""), ("secret_hash", "ä" * 64), ("secret_hash", None)),
]


def test_a_damaged_pairing_names_its_file(tmp_path: Path) -> None:
    pairings = Pairings(tmp_path)
    pairings.make(UUID, "127.0.0.1", 26487)
    path = tmp_path / f"{UUID}.json"
    whole = json.loads(path.read_text())
    for key, wrong in DAMAGES:
        path.write_text(json.dumps(whole | {key: wrong}))
        with pytest.raises(PairingError, match=UUID):
            pairings.find(UUID)
    for text in ("", "[]", "null", '{"address": "127.0.0.1"}', "\0", "[" * 100000):
        path.write_text(text)
        with pytest.raises(PairingError, match=UUID):
            pairings.find(UUID)


PLACES = [
    ("192.0.2.1:26487", ("192.0.2.1", 26487)),
    ("[2001:db8::1]:1024", ("2001:db8::1", 1024)),
    ("127.0.0.1:65535", ("127.0.0.1", 65535)),
]


@pytest.mark.parametrize(("text", "place"), PLACES)
def test_a_place_is_an_address_and_a_port(text: str, place: tuple[str, int]) -> None:
    assert place_of(text) == place


WRONG = [
    *("", "host", "example.org:26487", "192.0.2.1", "192.0.2.1:80", "192.0.2.1:65536"),
    *("192.0.2.1:x", "0.0.0.0:26487", "[::]:26487", "224.0.0.1:26487", "300.1.1.1:26487"),
]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(PairingError):
        place_of(text)


# -- the command


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CommandWorld:
    made = CommandWorld(tmp_path / "gw", capsys)
    made.vm("web01")
    made.vm("web02")
    return made


def test_a_guest_is_paired_and_unpaired(world: CommandWorld) -> None:
    add = ("workspace", "channel", "add")
    assert world.run(*add, "web01", "--tcp", "127.0.0.1:26487") == Exit.DONE
    secret, _ = parts(world.out.strip())
    assert len(secret) == 32
    assert "guestwake-guest pair" in world.err
    assert world.run(*add, "web02", "--tcp", "127.0.0.1:26487") == Exit.USAGE
    assert "another port" in world.err
    assert world.run(*add, "web02", "--tcp", "here") == Exit.USAGE
    assert world.run("workspace", "channel", "remove", "web01") == Exit.DONE
    assert "not heard over TCP" in world.out
    assert world.run(*add, "web02", "--tcp", "127.0.0.1:26487") == Exit.DONE
    assert world.run("workspace", "remove", "web02") == Exit.DONE
    assert not list((world.root / "var/lib/guestwake/channels").glob("*.json"))
