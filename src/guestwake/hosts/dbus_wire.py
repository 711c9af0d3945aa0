"""An authenticated socket to a message bus: bytes out, answers in. The only file with jeepney.

jeepney's own blocking connection waits for ever for the bus's first answer and asks one thing
after the other; this asks all and then listens, until a deadline.
"""

from __future__ import annotations

import functools
import itertools
import socket
from collections.abc import Callable, Iterable
from pathlib import Path

from jeepney import (  # type: ignore[import-untyped]  # it carries no types
    DBusAddress,
    HeaderFields,
    Message,
    MessageFlag,
    MessageType,
    Parser,
    new_method_call,
)
from jeepney.bus import get_bus  # type: ignore[import-untyped]
from jeepney.bus_messages import message_bus  # type: ignore[import-untyped]
from jeepney.fds import FileDescriptor, fds_buf_size  # type: ignore[import-untyped]
from jeepney.io.blocking import prep_socket  # type: ignore[import-untyped]

from guestwake.hosts.dbus import Answer, Call, Refusal
from guestwake.hosts.message_size import Cut


def connected(
    address: str | Path,
    deadline: float,
    monotonic: Callable[[], float],
    *,
    descriptors: bool = False,
) -> Wire:
    """`deadline`: by `monotonic`. `descriptors`: take file descriptors. Raises what jeepney and
    sockets do."""
    at = str(address) if isinstance(address, Path) else get_bus(address)
    left = max(deadline - monotonic(), 0.001)
    taken = prep_socket(at, enable_fds=descriptors, timeout=left)
    return Wire(taken, monotonic, descriptors=descriptors)


class Wire:
    def __init__(
        self,
        authenticated: socket.socket,
        monotonic: Callable[[], float],
        *,
        descriptors: bool = False,
    ) -> None:
        self._socket = authenticated
        self._monotonic = monotonic
        self._descriptors = descriptors
        self._cut = Cut(only_answers=True)
        self._parser = Parser()
        self._serials = itertools.count(1)
        self._greeting = message_bus.Hello().serialise(next(self._serials))

    def exchange(self, calls: Iterable[Call], deadline: float) -> dict[Call, Answer]:
        """What was answered. Raises TimeoutError when nobody answered."""
        waiting = {next(self._serials): one for one in calls}
        self._send(waiting, deadline)
        answers: dict[Call, Answer] = {}
        while waiting:
            try:
                message = self._receive(deadline)
            except TimeoutError:
                if not answers:
                    raise
                break
            # An answer to an earlier exchange that came too late is in nobody's way.
            one = waiting.pop(_answers_to(message), None)
            if one is not None:
                answers[one] = _answer(message)
        return answers

    def descriptor(self, call: Call, deadline: float) -> int | Refusal | None:
        """The descriptor that is the whole answer; None: the answer is another. Raises
        TimeoutError."""
        answer = self.exchange([call], deadline)[call]
        if isinstance(answer, Refusal):
            return answer
        match answer:
            case (FileDescriptor() as given,):
                return int(given.to_raw_fd())
        return None

    def close(self) -> None:
        self._socket.close()

    def _send(self, calls: dict[int, Call], deadline: float) -> None:
        data = b"".join(_message(one).serialise(serial) for serial, one in calls.items())
        self._bound(deadline)
        self._socket.sendall(self._greeting + data)
        self._greeting = b""

    def _receive(self, deadline: float) -> Message:
        while (message := self._parser.get_next_message()) is None:
            self._bound(deadline)
            data, descriptors = self._read()
            if not data:
                raise ConnectionResetError("the bus hung up")
            if not self._descriptors:  # else each has to be counted off by the parser
                data = b"".join(self._cut.feed(data))
            self._parser.add_data(data, descriptors)
        return message

    def _read(self) -> tuple[bytes, list[FileDescriptor]]:
        if not self._descriptors:
            return self._socket.recv(4096), []
        room, flags = fds_buf_size(), socket.MSG_CMSG_CLOEXEC  # none for our children
        data, beside, _, _ = self._socket.recvmsg(4096, room, flags)
        return data, FileDescriptor.from_ancdata(beside)

    def _bound(self, deadline: float) -> None:
        left = deadline - self._monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        self._socket.settimeout(left)


@functools.lru_cache(maxsize=64)
def _message(call: Call) -> Message:
    address = DBusAddress(call.path, bus_name=call.service, interface=call.interface)
    message = new_method_call(address, call.method, call.signature or None, call.body)
    message.header.flags |= MessageFlag.no_auto_start
    return message


def _answers_to(message: Message) -> int:
    """0: it is no answer. A signal may carry such a number as well, and anybody may send us one."""
    if message.header.message_type not in (MessageType.method_return, MessageType.error):
        return 0
    return int(message.header.fields.get(HeaderFields.reply_serial, 0))


def _answer(message: Message) -> Answer:
    if message.header.message_type is MessageType.method_return:
        return tuple(message.body)
    name = str(message.header.fields.get(HeaderFields.error_name, ""))
    text = message.body[0] if message.body and isinstance(message.body[0], str) else ""
    return Refusal(name, text)
