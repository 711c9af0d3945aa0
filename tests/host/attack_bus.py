"""A user of the host who means no good, on the system bus. Runs in the host, as that user.

attack_bus.py call NAME UUID     every method that is introspected, on every object, with what
                                 no one should send; prints what came of each, as JSON
attack_bus.py flood              sixty connections that ask and do not wait, until it is killed
attack_bus.py huge               calls and signals of thirty MB
attack_bus.py vanish UUID        asks for what it may not, and is gone before it is decided: a
                                 polkit that was asked about nobody once said yes
attack_bus.py names              tries to be, and to overhear, the service; prints as "call"
"""

from __future__ import annotations

import itertools
import json
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any

from jeepney import (  # type: ignore[import-untyped]  # it carries no types
    DBusAddress,
    HeaderFields,
    MessageType,
    new_method_call,
    new_signal,
)
from jeepney.io.blocking import open_dbus_connection  # type: ignore[import-untyped]

SERVICE = "org.guestwake.Manager1"
MANAGER = DBusAddress("/org/guestwake/Manager1", bus_name=SERVICE, interface=SERVICE)
BUS = DBusAddress(
    "/org/freedesktop/DBus", bus_name="org.freedesktop.DBus", interface="org.freedesktop.DBus"
)
ROUNDS = 8
HUGE = 30 << 20


def texts(name: str, uuid: str) -> list[str]:
    return [
        name,
        uuid,
        "",
        "../../../../etc/passwd",
        "a\nMESSAGE=forged\x1b[2J\r\x00"[:-1],
        "%h %n %i $(touch /tmp/pwned) `id` ; [Service]\nExecStart=/bin/sh",
        "x" * 20_000,
        "\u202e\u2028\ufeff",
    ]


def values(name: str, uuid: str) -> dict[str, list[Any]]:
    """By type. A method that takes another one fails here: add values for it."""
    return {
        "s": texts(name, uuid),
        "u": [0, 1, 2**32 - 1, 60],
        "t": [0, 2**64 - 1, int(time.time()) + 3600, 1],
        "ay": [b"", b"\x89PNG\r\n\x1a\n", b"<svg onload='x'/>", b"x" * 400_000],
        "v": [("s", "x"), ("as", ["x"])],
    }


def main(how: str, *words: str) -> int:
    return {"call": call, "flood": flood, "huge": huge, "vanish": vanish, "names": names}[how](
        *words
    )


def call(name: str, uuid: str) -> int:
    came: dict[str, set[str]] = {}
    given = values(name, uuid)
    with open_dbus_connection("SYSTEM") as bus:
        for path, interface, method, types in methods(bus, "/"):
            outcomes = came.setdefault(f"{interface}.{method}", set())
            at = DBusAddress(path, bus_name=SERVICE, interface=interface)
            bodies = zip(*(itertools.cycle(given[one]) for one in types), strict=True)
            for body in itertools.islice(bodies, ROUNDS) if types else [()]:
                message = new_method_call(at, method, "".join(types) or None, body)
                outcomes.add(outcome(bus.send_and_get_reply(message, timeout=60)))
    print(json.dumps({method: sorted(outcomes) for method, outcomes in came.items()}))
    return 0


def methods(bus: Any, path: str) -> Iterator[tuple[str, str, str, list[str]]]:
    at = DBusAddress(path, bus_name=SERVICE, interface="org.freedesktop.DBus.Introspectable")
    answer = bus.send_and_get_reply(new_method_call(at, "Introspect"), timeout=60)
    node = ElementTree.fromstring(answer.body[0])
    for interface in node.iterfind("interface"):
        for method in interface.iterfind("method"):
            takes = [one for one in method.iterfind("arg") if one.get("direction") == "in"]
            types = [one.attrib["type"] for one in takes]
            yield path, interface.attrib["name"], method.attrib["name"], types
    for child in node.iterfind("node"):
        yield from methods(bus, f"{path.rstrip('/')}/{child.attrib['name']}")


def outcome(answer: Any) -> str:
    if answer.header.message_type is MessageType.method_return:
        return "returned"
    return str(answer.header.fields[HeaderFields.error_name])


def flood() -> int:
    """Within the bus's own limits: beyond them it is the bus that is busy with it."""
    buses = [open_dbus_connection("SYSTEM") for _ in range(60)]
    print("begun", flush=True)
    while True:
        for bus in buses:
            for _ in range(8):
                bus.send(new_method_call(MANAGER, "Status"))
        for bus in buses:
            left = 8
            while left:
                message = bus.receive(timeout=60)
                left -= message.header.message_type is not MessageType.signal


def huge() -> int:
    with open_dbus_connection("SYSTEM") as bus:
        owner = bus.send_and_get_reply(new_method_call(BUS, "GetNameOwner", "s", (SERVICE,)))
        lists = bytes(HUGE)  # each four of them an empty list
        for make in (
            lambda: new_method_call(MANAGER, "Plan", "aau", ([],)),
            lambda: new_signal(MANAGER, "Plan", "aau", ([],)),
        ):
            for _ in range(3):
                message = make()
                message.header.fields[HeaderFields.destination] = owner.body[0]
                data = bytearray(message.serialise(next(bus.outgoing_serial)))
                data[4:8] = (HUGE + 4).to_bytes(4, "little")
                data[-4:] = HUGE.to_bytes(4, "little")
                bus.sock.sendall(data + lists)
        # The bus has passed all of it on when it answers.
        bus.send_and_get_reply(new_method_call(BUS, "GetId"), timeout=60)
    return 0


def vanish(uuid: str) -> int:
    at = DBusAddress(
        f"/org/guestwake/Manager1/workspace/{uuid.replace('-', '_')}",
        bus_name=SERVICE,
        interface="org.guestwake.Workspace1",
    )
    for number in range(100):
        with open_dbus_connection("SYSTEM") as bus:
            bus.send(new_method_call(at, "Pause", "t", (0,)))
            time.sleep(number * 0.0002)
    with open_dbus_connection("SYSTEM") as bus:
        bus.send_and_get_reply(new_method_call(MANAGER, "Status"), timeout=60)
    return 0


def names() -> int:
    came = {}
    with open_dbus_connection("SYSTEM") as bus, open_dbus_connection("SYSTEM") as other:
        for name in (SERVICE, "org.guestwake.Agent1"):
            asked = new_method_call(BUS, "RequestName", "su", (name, 4))
            came[f"be {name}"] = [outcome(bus.send_and_get_reply(asked))]
        at = DBusAddress(
            BUS.object_path, bus_name=BUS.bus_name, interface="org.freedesktop.DBus.Monitoring"
        )
        monitor = new_method_call(at, "BecomeMonitor", "asu", ([], 0))
        came["monitor"] = [outcome(bus.send_and_get_reply(monitor))]
        for rule in (
            "type='method_call',eavesdrop='true'",
            "type='method_return',eavesdrop='true'",
        ):
            bus.send_and_get_reply(new_method_call(BUS, "AddMatch", "s", (rule,)))
        other.send_and_get_reply(new_method_call(MANAGER, "Status"), timeout=60)
        came["overheard"] = overheard(bus)
    print(json.dumps(came))
    return 0


def overheard(bus: Any) -> list[str]:
    """What was for others, of all that has come by now."""
    bus.send(new_method_call(BUS, "GetId"), serial=(last := next(bus.outgoing_serial)))
    heard = []
    while (message := bus.receive(timeout=60)).header.fields.get(HeaderFields.reply_serial) != last:
        if message.header.message_type is not MessageType.signal:
            heard.append(str(message))
    return heard


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
