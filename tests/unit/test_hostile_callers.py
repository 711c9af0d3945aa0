"""Who calls, or writes to us, over the bus and means no good: floods, huge messages, answers that
nobody was asked for."""

from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from dbus_world import CALLER, ME, UUID, DbusWorld, FakePolkit, dbus_world
from jeepney import (  # type: ignore[import-untyped]  # it carries no types
    DBusAddress,
    HeaderFields,
    Message,
    MessageType,
    new_error,
    new_method_call,
    new_method_return,
    new_signal,
)
from jeepney.io.blocking import open_dbus_connection  # type: ignore[import-untyped]

from guestwake.edges import remote_wire
from guestwake.edges.dbus_limits import BYTES_OF_ONE, OF_ONE_CONNECTION, OF_ONE_USER, TEXT_MAX
from guestwake.edges.dbus_words import MANAGER, MANAGER_PATH, SERVICE, WORKSPACE, path_of
from guestwake.hosts import dbus_wire, message_bus
from guestwake.hosts.dbus import Call, Refusal
from guestwake.hosts.message_bus import connected
from guestwake.hosts.message_size import BODY_BYTES_MAX, HEADER_BYTES_MAX, Cut

AT = DBusAddress(MANAGER_PATH, bus_name=SERVICE, interface=MANAGER.name)
ABSENT = "org.freedesktop.DBus.Error.ServiceUnknown"


@pytest.fixture
def world() -> Iterator[DbusWorld]:
    with dbus_world() as made:
        yield made


# floods


@pytest.mark.skipif(ME != "root", reason="only root can call as another")
def test_a_user_of_many_connections_is_one_user(world: DbusWorld) -> None:
    """Each busctl is a connection of its own."""
    world.workspace(owner="anna")
    fake = FakePolkit().service()
    fake.hangs = True
    world.fake(fake)
    world.serve(polkit=False, patience=(30.0, 30.0))
    command = ["busctl", f"--address={world.address}", "--timeout=60", "call", SERVICE]
    command += [path_of(UUID), WORKSPACE.name, "Release"]
    many = [
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, user=CALLER, cwd="/")
        for _ in range(OF_ONE_USER + 4)
    ]
    try:
        while sum(one.poll() is not None for one in many) < 4:
            time.sleep(0.01)
        refused = [one.stderr.read() for one in many if one.poll() is not None and one.stderr]
        assert len(refused) == 4
        assert all("Too many calls" in each for each in refused)
        assert world.call("Status", user=None).code == 0  # another is served
    finally:
        for one in many:
            one.kill()
            one.wait()
            assert one.stderr is not None
            one.stderr.close()


def test_a_connection_that_asks_on_is_refused_and_served_again(world: DbusWorld) -> None:
    world.workspace()
    world.serve()
    with open_dbus_connection(world.address) as client:
        serials = set()
        for _ in range(5 * OF_ONE_CONNECTION):
            message = new_method_call(AT, "Status")
            client.send(message, serial := next(client.outgoing_serial))
            serials.add(serial)
        answers = [_answered(client, serials) for _ in range(len(serials))]
        kinds = [one.header.message_type for one in answers]
        assert kinds.count(MessageType.method_return) >= OF_ONE_CONNECTION
        assert world.call("Status").code == 0
        client.send(new_method_call(AT, "Status"), last := next(client.outgoing_serial))
        assert _answered(client, {last}).header.message_type is MessageType.method_return


def _answered(client: Any, serials: set[int]) -> Any:
    while True:
        message = client.receive(timeout=20)
        serial = message.header.fields.get(HeaderFields.reply_serial)
        if serial in serials:
            serials.discard(serial)
            return message


# huge


@pytest.mark.parametrize(
    ("method", "signature", "body"),
    [
        ("Plan", "s", ("x" * (TEXT_MAX + 1),)),
        ("Plan", "s", ("x" * (BODY_BYTES_MAX + 1),)),
        ("Plan", "ay", (b"x" * (BYTES_OF_ONE + 1),)),
        ("Plan", "aau", ([[]] * (BODY_BYTES_MAX // 4 + 1),)),  # twenty times that in Python
        ("Plan", "aau", ([[]] * (BODY_BYTES_MAX // 8),)),
    ],
    ids=["a long text", "a huge text", "bytes", "huge lists", "lists"],
)
def test_what_is_too_large_is_refused_at_once(
    world: DbusWorld, method: str, signature: str, body: tuple[object, ...]
) -> None:
    world.workspace()
    world.serve()
    with open_dbus_connection(world.address) as client:
        answer = client.send_and_get_reply(new_method_call(AT, method, signature, body), timeout=20)
    assert answer.header.message_type is MessageType.error
    assert len(answer.body[0]) < 200
    assert world.call("Status").code == 0


def test_texts_of_strangers_do_not_come_back_at_length(world: DbusWorld) -> None:
    world.serve()
    at = DBusAddress(f"{MANAGER_PATH}/{'x' * 5000}", bus_name=SERVICE, interface=MANAGER.name)
    with open_dbus_connection(world.address) as client:
        answer = client.send_and_get_reply(new_method_call(at, "Status"), timeout=20)
    assert len(answer.body[0]) < 200


CALL = new_method_call(AT, "Plan", "s", ("web01",)).serialise(7)
HUGE = new_method_call(AT, "Plan", "s", ("x" * (BODY_BYTES_MAX + 9),)).serialise(8)


@pytest.mark.parametrize("chunk", [1 << 30, 4096, 7])
def test_a_message_is_cut_wherever_it_comes_in_parts(chunk: int) -> None:
    """All but the huge call comes through as it was; of that its header."""
    stream = CALL + HUGE + CALL + CALL
    cut = Cut()
    parts = (stream[at : at + chunk] for at in range(0, len(stream), chunk))
    found = [message for part in parts for message in cut.feed(part)]
    body = len(HUGE) - BODY_BYTES_MAX - 9 - 5  # the length before the text, and its end
    assert [found[0], *found[2:]] == [CALL] * 3
    assert found[1] == HUGE[:4] + bytes(4) + HUGE[8:body]


def test_an_answer_may_be_as_long_as_it_is() -> None:
    whole = _reply(new_method_return(_call(), "s", ("x" * (BODY_BYTES_MAX + 9),)))
    assert list(Cut().feed(whole)) == [whole]
    assert list(Cut(only_answers=True).feed(CALL + whole + HUGE + CALL)) == [whole]


def test_a_huge_header_did_not_come() -> None:
    far = DBusAddress("/" + "x" * HEADER_BYTES_MAX, bus_name=SERVICE, interface=MANAGER.name)
    cut = Cut()
    assert list(cut.feed(new_method_call(far, "Plan").serialise(1) + CALL)) == [CALL]


@pytest.mark.parametrize("order", ["<", ">"])
def test_lengths_are_in_either_order_of_bytes(order: str) -> None:
    mark = b"l" if order == "<" else b"B"
    head = struct.pack(f"{order}cBBBIII", mark, 1, 0, 1, BODY_BYTES_MAX + 1, 1, 0)
    assert [len(one) for one in Cut().feed(head + bytes(BODY_BYTES_MAX + 1))] == [16]


def test_what_is_no_message_is_said() -> None:
    with pytest.raises(ValueError, match="no message"):
        list(Cut().feed(b"HTTP/1.1 200 OK\r\n\r\n"))


def test_a_connection_that_was_given_up_keeps_no_name(world: DbusWorld) -> None:
    async def tripped_over() -> str | None:
        async with connected(world.address) as bus:
            bus._finalize(ValueError("a message that it trips over"))
            with suppress(ValueError):
                await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        kept.append(bus)
        return bus.unique_name

    kept: list[object] = []
    name = asyncio.run(tripped_over())
    has_owner = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
    answer = world.busctl("call", *has_owner, "NameHasOwner", "s", str(name))
    assert answer.data == [False]


def test_a_bus_that_takes_no_answers_is_waited_for(world: DbusWorld) -> None:
    """Its socket is full: dbus-fast would take that for the end of the connection."""
    serving = world.serve()
    assert serving.exported is not None
    bus: Any = serving.exported._bus
    full, deaf = socket.socketpair()
    with full, deaf:
        full.setblocking(False)
        with suppress(BlockingIOError):
            while full.send(b"x" * 65536):
                pass
        patient, bus._writer.sock._socket = bus._writer.sock._socket, full
        with open_dbus_connection(world.address) as client:
            client.send(new_method_call(AT, "Status"), first := next(client.outgoing_serial))
            while bus._writer.buf is None:
                time.sleep(0.01)
            bus._writer.sock._socket = patient
            assert _answered(client, {first}).header.message_type is MessageType.method_return


def test_what_a_message_trips_over_ends_no_connection(
    world: DbusWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.serve()
    process = message_bus._Bus._process_message

    def trips(bus: Any, message: Any) -> None:
        if message.path == "/elsewhere":
            raise LookupError(message)
        process(bus, message)

    monkeypatch.setattr(message_bus._Bus, "_process_message", trips)
    at = DBusAddress("/elsewhere", bus_name=SERVICE, interface="a.b")
    with open_dbus_connection(world.address) as client:
        client.send(new_method_call(at, "C"))
        last = next(client.outgoing_serial)
        client.send(new_method_call(AT, "Status"), last)
        assert _answered(client, {last}).header.message_type is MessageType.method_return


def test_whose_machine_it_is_is_answered_by_us(world: DbusWorld) -> None:
    """dbus-fast 1.84 looks in a place of its own, and answers nothing where there is nothing."""
    world.serve()
    peer = ("org.freedesktop.DBus.Peer", "GetMachineId")
    answer = world.busctl("call", SERVICE, MANAGER_PATH, *peer)
    assert answer.data == [Path("/etc/machine-id").read_text().strip()]
    assert world.busctl("call", SERVICE, MANAGER_PATH, peer[0], "Ping").code == 0


# answers that nobody was asked for

ASKED = Call("a.b", "/a", "a.b", "C")


def forged(kind: str) -> bytes:
    """A signal that says that it answers the second message, which anybody may send."""
    body = {"an error": ("s", ("forged",)), "nothing": (None, ())}[kind]
    message = new_signal(DBusAddress("/a", interface="a.b"), "C", *body)
    message.header.fields[HeaderFields.reply_serial] = 2
    message.header.fields[HeaderFields.error_name] = ABSENT
    data: bytes = message.serialise(1)
    return data


def real() -> bytes:
    return _reply(new_method_return(_call(), "s", ("real",)))


def refusal() -> bytes:
    return _reply(new_error(_call(), "a.b.No", "s", ("no",)))


def _call() -> Message:
    call = new_method_call(DBusAddress("/a", bus_name="a.b", interface="a.b"), "C")
    call.header.serial = 2
    call.header.fields[HeaderFields.sender] = ":1.1"
    return call


def _reply(message: Message) -> bytes:
    data: bytes = message.serialise(9)
    return data


@contextmanager
def told(*data: bytes) -> Iterator[socket.socket]:
    """Our end of a connection on which that has come in."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"".join(data))
        yield ours


@pytest.mark.parametrize("kind", ["an error", "nothing"])
def test_a_signal_is_no_answer(kind: str) -> None:
    soon = time.monotonic() + 20
    with told(forged(kind), real()) as ours:
        wire = dbus_wire.Wire(ours, time.monotonic)
        assert wire.exchange([ASKED], soon) == {ASKED: ("real",)}
    with told(forged(kind), refusal()) as ours:
        wire = dbus_wire.Wire(ours, time.monotonic, descriptors=True)
        assert wire.exchange([ASKED], soon) == {ASKED: Refusal("a.b.No", "no")}
    with told(forged(kind), real()) as ours:
        call = new_method_call(DBusAddress("/a", bus_name="a.b", interface="a.b"), "C")
        assert remote_wire.Wire(ours).ask(call, soon) == ("real",)
