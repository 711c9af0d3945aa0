"""How much of the D-Bus API somebody may have at once.

Who calls is a connection at first, and a user once the bus has said whose it is. A user may have
hundreds of connections, so what counts is the user; the connection bounds what waits until then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from dbus_fast import Message

from guestwake.edges.dbus_guard import Refused
from guestwake.edges.dbus_words import BAD_ARGUMENT, TOO_MANY_CALLS

OF_ONE_CONNECTION = 8
OF_ONE_USER = 16
ALTOGETHER = 64  # with a user known
TEXT_MAX = 16 << 10  # characters
BYTES_OF_ONE = 512 << 10  # of texts, whose characters count for one, and icons
BYTES_ALTOGETHER = 64 << 20

_T = TypeVar("_T")


class OpenCalls:
    """Raises Refused for one too many. Every call that began must end."""

    def __init__(self) -> None:
        self._connections: Counter[str] = Counter()
        self._users: Counter[int] = Counter()
        self._bytes = 0

    def begin(self, message: Message, uid: int | None) -> None:
        """As it comes in. `uid`: the caller's user, None: nobody has asked the bus yet. A flood is
        refused here, at once: what others ask waits behind it."""
        if uid is not None:
            self._check_user(uid)
        size, caller = _size(message), message.sender or ""
        if size > BYTES_OF_ONE or any(len(text) > TEXT_MAX for text in _texts(message)):
            raise Refused(BAD_ARGUMENT, "An argument is too long by far.")
        if self._connections[caller] >= OF_ONE_CONNECTION:
            raise _too_many()
        if self._bytes + size > BYTES_ALTOGETHER:
            raise _too_many()
        self._connections[caller] += 1
        self._bytes += size

    def end(self, message: Message) -> None:
        _less(self._connections, message.sender or "")
        self._bytes -= _size(message)

    @contextmanager
    def of_user(self, uid: int) -> Iterator[None]:
        """While it is answered."""
        self._check_user(uid)
        self._users[uid] += 1
        try:
            yield
        finally:
            _less(self._users, uid)

    def _check_user(self, uid: int) -> None:
        if self._users[uid] >= OF_ONE_USER or self._users.total() >= ALTOGETHER:
            raise _too_many()


def _too_many() -> Refused:
    return Refused(TOO_MANY_CALLS, "Too many calls are open; wait until some are answered.")


def _less(counter: Counter[_T], key: _T) -> None:
    counter[key] -= 1
    if not counter[key]:  # names of connections never come back
        del counter[key]


def _texts(message: Message) -> Iterator[str]:
    return (one for one in message.body if isinstance(one, str))


def _size(message: Message) -> int:
    return sum(len(one) for one in message.body if isinstance(one, (str, bytes)))
