"""How this guest knows its host, and is known by it, over TCP: a token that a person brought.

    guestwake1:SECRET-AND-FINGERPRINT@ADDRESS:PORT

The host prints it ('guestwake workspace channel add VM --tcp ADDRESS:PORT').
"""

from __future__ import annotations

import base64
import binascii
from ipaddress import ip_address
from typing import NamedTuple

_BEGINS = "guestwake1:"
_PART_BYTES = 32
_CHARACTERS_MAX = 300


class BadToken(Exception):
    """A sentence."""


class Token(NamedTuple):
    """`fingerprint`: SHA-256 of the host's certificate."""

    secret: bytes
    fingerprint: bytes
    address: str
    port: int

    def written(self) -> str:
        text = base64.urlsafe_b64encode(self.secret + self.fingerprint).decode().rstrip("=")
        place = f"[{self.address}]" if ":" in self.address else self.address
        return f"{_BEGINS}{text}@{place}:{self.port}"


def token(text: str) -> Token:
    """Raises BadToken."""
    text = text.strip()
    both, _, place = text.removeprefix(_BEGINS).partition("@")
    address, _, port = place.rpartition(":")
    if not text.startswith(_BEGINS) or len(text) > _CHARACTERS_MAX:
        raise BadToken(f"that is no token: one begins with '{_BEGINS}'")
    try:
        data = base64.b64decode(both + "=" * (-len(both) % 4), altchars=b"-_", validate=True)
        ip = ip_address(address.removeprefix("[").removesuffix("]"))
        number = int(port)
    except (ValueError, binascii.Error) as error:
        raise BadToken("the token is damaged: copy it whole, from the first letter on") from error
    if len(data) != 2 * _PART_BYTES or not 0 < number <= 65535:
        raise BadToken("the token is damaged: copy it whole, from the first letter on")
    return Token(data[:_PART_BYTES], data[_PART_BYTES:], str(ip), number)
