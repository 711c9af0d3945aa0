"""Messages of dbus-fast as bytes, by jeepney: for the versions that get them wrong.

dbus-fast 1.84, Debian 12's, counts characters where D-Bus counts bytes: it loses its connection
over the first letter that is not ASCII, such as in the name of a VM. It also sends the newest of
several messages first.
"""

from __future__ import annotations

from typing import Any

from dbus_fast import Message, SignatureTree, SignatureType
from jeepney import (  # type: ignore[import-untyped]  # it carries no types
    Endianness,
    Header,
    HeaderFields,
    MessageFlag,
    MessageType,
)
from jeepney import Message as Bytes


def is_wrong() -> bool:
    """Of the dbus-fast that is installed."""
    message = Message(path="/", interface="a.b", member="C", signature="s", body=["ä"], serial=1)
    data = message._marshall(False)  # noqa: FBT003  compiled, it takes no names
    return data[-7] != 2  # the length of that string


def marshalled(message: Message) -> bytes:
    """Without file descriptors."""
    known = {
        HeaderFields.path: message.path,
        HeaderFields.interface: message.interface,
        HeaderFields.member: message.member,
        HeaderFields.error_name: message.error_name,
        HeaderFields.reply_serial: message.reply_serial,
        HeaderFields.destination: message.destination,
        HeaderFields.signature: message.signature,
    }
    header = Header(
        Endianness.little,
        MessageType(message.message_type.value),
        MessageFlag(message.flags.value),
        1,  # of the protocol
        -1,  # the length of the body, which jeepney knows
        message.serial,
        {field: value for field, value in known.items() if value},
    )
    types = SignatureTree(message.signature).types
    body = tuple(_plain(*one) for one in zip(types, message.body, strict=True))
    data: bytes = Bytes(header, body).serialise(message.serial)
    return data


def _plain(kind: SignatureType, value: Any) -> Any:
    """As jeepney has it: a structure is a tuple, a variant its signature and its value."""
    match kind.token, kind.children:
        case "v", _:
            (inner,) = SignatureTree(value.signature).types
            return value.signature, _plain(inner, value.value)
        case "(", parts:
            return tuple(_plain(*one) for one in zip(parts, value, strict=True))
        case "a", [SignatureType(token="{", children=[_, each])]:
            return {key: _plain(each, one) for key, one in value.items()}
        case "a", [each]:
            return [_plain(each, one) for one in value]
    return value
