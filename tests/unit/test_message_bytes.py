"""dbus-fast's messages as bytes: the same as it makes itself where it can, and right where not."""

from __future__ import annotations

import io

import pytest
from dbus_fast import Message, MessageFlag, Variant
from dbus_fast._private.unmarshaller import Unmarshaller

from guestwake.hosts.message_bytes import marshalled

BODIES = [
    ("", []),
    ("su", ["web01", 7]),
    ("as", [["a", "bc", ""]]),
    ("susssasa{sv}i", ["G", 1, "i", "s", "b", ["k", "l"], {"urgency": Variant("y", 2)}, -1]),
    ("a{oa{sa{sv}}}", [{"/a/b": {"i.j": {"N": Variant("s", "x"), "A": Variant("as", ["r"])}}}]),
    ("(sa{sv})sa{ss}us", [["k", {"name": Variant("s", ":1.1")}], "a", {"b": "c"}, 1, "d"]),
    ("v", [Variant("a{st}", {"a": 2**63})]),
    ("bdxt", [True, 0.5, -1, 2**64 - 1]),
]


@pytest.mark.parametrize(("signature", "body"), BODIES)
@pytest.mark.parametrize("flags", [MessageFlag.NONE, MessageFlag.ALLOW_INTERACTIVE_AUTHORIZATION])
def test_it_is_what_dbus_fast_makes(signature: str, body: list[object], flags: MessageFlag) -> None:
    message = Message(
        "a.b", "/a", "a.b", "C", flags=flags, signature=signature, body=body, serial=3
    )
    assert _understood(marshalled(message)) == _understood(bytes(message._marshall(False)))


def test_answers_and_signals_too() -> None:
    call = Message("a.b", "/a", "a.b", "C", serial=9)
    call.sender = ":1.5"
    messages = [
        Message.new_method_return(call, "s", ["x"]),
        Message.new_error(call, "a.b.E", "said"),
        Message.new_signal("/a", "a.b", "S", "u", [1]),
    ]
    for message in messages:
        message.serial = 4
        assert _understood(marshalled(message)) == _understood(bytes(message._marshall(False)))


@pytest.mark.parametrize("text", ["ä", "日本", "…" * 1000, "🙂"])
def test_letters_are_counted_in_bytes(text: str) -> None:
    message = Message("a.b", "/a", "a.b", "C", signature="sus", body=[text, 7, text], serial=3)
    assert _understood(marshalled(message))[-1] == [text, 7, text]


def _understood(data: bytes) -> tuple[object, ...]:
    found = Unmarshaller(io.BytesIO(data)).unmarshall()
    assert found is not None
    addressed = (found.path, found.interface, found.member, found.destination, found.error_name)
    how = (found.message_type, found.flags, found.serial, found.reply_serial)
    return (*addressed, *how, found.signature, found.body)
