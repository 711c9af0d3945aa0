"""A hostile guest: runs inside one, as its root, in the place of the Guest Update Service and,
where it is asked to, of qemu-guest-agent.

    attacker.py '{"port": [["endless-line", 5], ["storm", 3]], "then": "busy", "agent": "silent"}'

`port`: attacks on the host's end of the Guest Update Service's port, each for so many seconds,
the first as soon as a host is there; `then`: the lie that is told for ever after them. `agent`:
how the other port's questions are answered; null: the agent is left alone. What it does it tells
on the serial console, with the bytes that the port has taken.

Standard library only; nothing of Guestwake's is in it but what anybody can read in its protocol.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

PORT = "/dev/virtio-ports/org.guestwake.update.0"
AGENT = "/dev/virtio-ports/org.qemu.guest_agent.0"
CONSOLE = "/dev/ttyS0"
RS, LF = b"\x1e", b"\n"
MUCH = b"x" * 65536

# Each tries to begin a line of its own, to steer a terminal, or to hide what stands beside it.
EVIL = (
    "a\nFORGED: all well",
    "a\r\nFORGED: all well",
    "\x1b[2J\x1b[1;31mred\x1b]0;title\x07",
    "\x9b31m",
    "txt.\u202egpj\u2066\u200b",
    "a\u2028FORGED\u2029FORGED\x85FORGED\x0bFORGED\x0cFORGED",
    "\ud800\udc80",
    "good\b\b\b\bevil\x7f\x00",
)
# And these are plain characters, so that a reader may take them.
ODD = (
    "guestwake: error: FORGED",
    "%s%n{0}{self}",
    "'; rm -rf /; '",
    "<b>FORGED</b>",
    "\\n\\x1b[2J",
)


class Port:
    """Whatever the host's end does, it goes on."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.taken = 0  # bytes
        self._file = -1
        self.open()

    def open(self) -> None:
        self.close()
        self._file = os.open(self._path, os.O_RDWR | os.O_NONBLOCK)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def is_heard(self, seconds: float = 0.0) -> bool:
        """Whether a host is there by now, or comes in time."""
        until = time.monotonic() + seconds
        while self._events(0) & select.POLLHUP:
            if time.monotonic() >= until:
                return False
            time.sleep(0.02)
        return True

    def push(self, data: bytes, until: float) -> None:
        """All of it, or what can be written by then. With no host there the rest is nobody's."""
        while data and time.monotonic() < until:
            if not self.is_heard(max(0.0, until - time.monotonic())):
                return
            if self._events(100) & select.POLLOUT:
                with suppress(BlockingIOError):
                    count = os.write(self._file, data)
                    data, self.taken = data[count:], self.taken + count

    def read(self) -> bytes:
        with suppress(BlockingIOError):
            return os.read(self._file, 65536)
        return b""

    def wait(self, seconds: float) -> None:
        """For something to read."""
        if not self._events(int(seconds * 1000), select.POLLIN) & select.POLLIN:
            return
        if self._events(0) & select.POLLHUP:  # it is end of file that can be read
            time.sleep(min(seconds, 0.05))

    def _events(self, milliseconds: int, what: int = select.POLLOUT) -> int:
        poll = select.poll()
        poll.register(self._file, what)
        return sum(events for _, events in poll.poll(milliseconds))


# --- messages ---


def frame(value: object) -> bytes:
    return RS + json.dumps(value).encode() + LF


def hello(agent: str = "attacker") -> bytes:
    return frame({"type": "hello", "versions": [1], "agent": agent})


_numbers = itertools.count(1)


def report(**fields: Any) -> dict[str, Any]:
    """A well-formed one; `fields` replace what stands in it."""
    return {
        "type": "report",
        "number": next(_numbers),
        "time": int(time.time()),
        "boot_id": boot_id(),
        "agent": "attacker",
        "os": "Debian",
        "kernel": "6.1",
        "busy": False,
        "restart": [],
        "clients": [],
        "sessions": [],
        **fields,
    }


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def reason(text: str, source: str = "attacker") -> dict[str, Any]:
    return {"source": source, "strength": "strong", "since": 1, "text": text}


def session(user: str, seconds: int = 0) -> dict[str, Any]:
    """That looks like somebody at work, who was there before anybody woke this guest."""
    return {"user": user, "kind": "graphical", "since": 10**6, "input": seconds}


def client(name: str, *packages: str) -> dict[str, Any]:
    now = int(time.time())
    found = [{"name": each, "version": "1", "at": now} for each in packages]
    return {"name": name, "state": "busy", "installed": found, "more": 2**31 - 1}


# --- attacks on the port: what is sent next, as fast as it is taken ---


def endless_line(port: Port) -> Iterator[bytes]:
    yield RS + b'{"type":"report","os":"'
    yield from itertools.repeat(MUCH)


def endless_noise(port: Port) -> Iterator[bytes]:
    yield from itertools.repeat(MUCH)


def flood_of_reports(port: Port) -> Iterator[bytes]:
    yield hello()
    while True:
        yield b"".join(frame(report(busy=bool(each % 2))) for each in range(64))


def flood_of_hellos(port: Port) -> Iterator[bytes]:
    yield from itertools.repeat(hello() * 512)


def flood_of_empty_frames(port: Port) -> Iterator[bytes]:
    yield from itertools.repeat((RS + b"{}" + LF) * 8192)


def flood_of_beginnings(port: Port) -> Iterator[bytes]:
    yield from itertools.repeat(RS * 65536)


def deep(port: Port) -> Iterator[bytes]:
    yield hello()
    while True:
        yield slowly(RS + b"[" * 4000 + LF)
        yield slowly(RS + b'{"a":' * 800 + LF)
        yield slowly(RS + b'{"type":"report","restart":' + b"[" * 2000 + b"]" * 2000 + b"}" + LF)


def half_frames(port: Port) -> Iterator[bytes]:
    """Begun and never finished, also over the end of a connection."""
    whole = hello() + frame(report(os="whole"))
    while True:
        for cut in range(1, len(whole), 7):
            yield slowly(whole[:cut], 0.02)
        port.open()
        yield whole[len(whole) // 2 :]


def nonsense(port: Port) -> Iterator[bytes]:
    """What JSON lets through, and its decoders take for values."""
    honest = json.dumps(report()).encode()
    while True:
        yield hello()
        for bad in (
            honest.replace(b'"busy": false', b'"busy": false, "busy": true'),
            b'{"type":"report","type":"report"}',
            honest.replace(b'"busy": false', b'"busy": NaN'),
            honest.replace(b'"busy": false', b'"busy": Infinity'),
            honest.replace(b'"kernel": "6.1"', b'"kernel": "\\ud800"'),
            honest.replace(b'"kernel": "6.1"', b'"kernel": "\xff\xfe"'),
            honest.replace(b'"number": ', b'"number": ' + b"9" * 3000),
            honest.replace(b'"number": ', b'"number": 1e999, "n": '),
            honest.replace(b'"number": ', b'"number": -'),
            honest.replace(b'"busy": false', b'"busy": "yes"'),
            honest.replace(b'"sessions": []', b'"sessions": {}'),
            honest.replace(b'"sessions": []', b'"sessions": [1]'),
            honest.replace(b'"clients": []', b'"clients": [' + b"{}," * 900 + b"{}]"),
            b"null",
            b"[]",
            b'"report"',
            b"\x00" * 100,
        ):
            yield slowly(RS + bad + LF, 0.1)


def boots(port: Port) -> Iterator[bytes]:
    """Another boot each time, and the first again; with a reason to restart, and without."""
    yield hello()
    first = boot_id()
    while True:
        yield slowly(frame(report(boot_id=first, restart=[reason("libc6")])), 0.5)
        yield slowly(frame(report(boot_id=str(uuid.uuid4()))), 0.5)
        yield slowly(frame(report(boot_id=str(uuid.uuid4()), restart=[reason("x")])), 0.5)


def others(port: Port) -> Iterator[bytes]:
    """In the name of other VMs, and in that of the host."""
    names = ("workspace", "uuid", "vm", "domain", "name", "stream", "path", "command", "exec")
    claims = dict.fromkeys(names, "honest")
    claims["path"], claims["command"] = "/var/lib/guestwake/journal.db", "reboot"
    while True:
        yield hello("honest")
        yield slowly(frame(report(restart=[reason("for 'honest'")], **claims)), 0.5)
        for word in ("wake", "restart", "exec", "shutdown", "window", "nudge", "window-over"):
            yield slowly(frame({"type": word, "left": 10**9, "since": 0, **claims}), 0.1)


def forgery(port: Port) -> Iterator[bytes]:
    """In every text that is shown to anybody, one kind after the other, so that each is heard."""
    for shift in itertools.count():
        evil = EVIL[shift % len(EVIL) :] + EVIL[: shift % len(EVIL)]
        yield hello()
        for lie in (
            *({"os": evil[0]}, {"kernel": evil[1]}, {"agent": evil[2]}, {"boot_id": evil[3]}),
            {"restart": [reason("x", source=each) for each in evil]},
            {"restart": [reason(each, source=f"s{at}") for at, each in enumerate(evil)]},
            {"clients": [client(each) for each in evil]},
            {"clients": [client("apt", *evil)]},
            {"sessions": [session(each) for each in evil]},
        ):
            yield slowly(frame(report(**lie)), 1.1)
        yield slowly(hello(evil[4]))


def storm(port: Port) -> Iterator[bytes]:
    """The port is closed and opened as fast as it goes."""
    for each in itertools.count():
        port.open()
        yield hello() if each % 4 == 0 else b""


def deaf(port: Port) -> Iterator[bytes]:
    """Asks to be told all, and reads nothing of it."""
    while True:
        yield slowly(hello(), 0.3)


def unheard(port: Port) -> Iterator[bytes]:
    """Says nothing and reads nothing."""
    while True:
        yield slowly(b"", 1.0)


# --- lies, told for ever ---


def telling(*lies: Callable[[], dict[str, Any]]) -> Callable[[Port], Iterator[bytes]]:
    """One after the other, twice in three seconds, to whoever comes to listen."""

    def tell(port: Port) -> Iterator[bytes]:
        for each in itertools.count():
            port.read()
            lie = lies[each % len(lies)]()
            yield slowly(hello() + frame(lie) if each % 8 == 0 else frame(lie), 1.5)

    return tell


def all_at_once() -> dict[str, Any]:
    """As large as a frame allows."""
    word = ODD[next(_numbers) % len(ODD)]
    packages = [f"{word[:20]} {next(_numbers)}" for _ in range(24)]
    return report(
        os=(word + " ") * 7,
        busy=True,
        restart=[reason(word, source=f"s{next(_numbers)}")],
        clients=[client(word, *packages)],
        sessions=[session(word[:30], 10**6)],
    )


def busy_installing() -> dict[str, Any]:
    return report(busy=True, clients=[client("apt")])


def in_use() -> dict[str, Any]:
    return report(sessions=[session("eve")])


def needs_a_restart() -> dict[str, Any]:
    return report(restart=[reason("libc6", source=f"source {next(_numbers) // 50}")])


def idle() -> dict[str, Any]:
    return report()


def slowly(data: bytes, seconds: float = 0.05) -> bytes:
    time.sleep(seconds)
    return data


ATTACKS: dict[str, Callable[[Port], Iterator[bytes]]] = {
    "endless-line": endless_line,
    "endless-noise": endless_noise,
    "flood-of-reports": flood_of_reports,
    "flood-of-hellos": flood_of_hellos,
    "flood-of-empty-frames": flood_of_empty_frames,
    "flood-of-beginnings": flood_of_beginnings,
    "deep": deep,
    "half-frames": half_frames,
    "nonsense": nonsense,
    "boots": boots,
    "others": others,
    "forgery": forgery,
    "storm": storm,
    "deaf": deaf,
}
LIES: dict[str, Callable[[Port], Iterator[bytes]]] = {
    "all": telling(all_at_once),
    "busy": telling(busy_installing),
    "used": telling(in_use),
    "restart": telling(needs_a_restart),
    "idle": telling(idle),
    "nothing": unheard,
}


def attack_port(attacks: list[tuple[str, float]], then: str) -> None:
    port = Port(PORT)
    say("here")
    while not port.is_heard(10):
        pass
    for name, seconds in attacks:
        port.is_heard(60)  # after a flood the host hangs up, and comes back
        play(port, name, ATTACKS[name], time.monotonic() + seconds)
    say("all played")
    play(port, then, LIES[then], float("inf"))


def play(port: Port, name: str, attack: Callable[[Port], Iterator[bytes]], until: float) -> None:
    say(f"plays {name}")
    before = port.taken
    for data in attack(port):
        port.push(data, until)
        if time.monotonic() >= until:
            break
    say(f"played {name}, {port.taken - before} bytes")
    port.open()
    port.push(LF, time.monotonic() + 1)


# --- the agent's port ---

MALFORMED = (
    *(b"", b" ", b"nonsense", b"null", b"true", b"1", b'"return"', b"[]", b"{}", b'{"return"'),
    *(b'{"return":{}', b'{"error":{}}', b'{"error":1}', b'{"return":{},"return":{}}', b"\x00"),
    *(b'{"return":' + b"[" * 3000, b'{"return":NaN}', b'{"return":"\xff\xfe"}', b"[" * 3000),
    *(b'{"return":' + b"9" * 4000 + b"}", b'{"return":"\\ud800"}', b'{"QMP":{}}', b"\xff" * 50),
)


class Agent:
    """`mode` is a method of this class: an answer to one question; `loop` answers them all."""

    def __init__(self, mode: str) -> None:
        self._port = Port(AGENT)
        self._mode = mode
        self._asked = 0
        self._opened: dict[int, str] = {}

    def loop(self) -> None:
        say(f"answers as {self._mode}")
        begun = b""
        while True:
            self._port.wait(0.01 if self._mode == "storm" else 1.0)
            if self._mode == "deaf":
                time.sleep(1.0)
                continue
            if self._mode == "storm":
                self._port.open()
                continue
            *lines, begun = (begun + self._port.read()).split(LF)
            for line in lines:
                with suppress(ValueError):
                    self._answer(json.loads(line.replace(b"\xff", b"")))

    def _answer(self, question: dict[str, Any]) -> None:
        self._asked += 1
        command = question.get("execute", "")
        syncs = command.startswith("guest-sync")
        if syncs and self._mode not in ("silent", "another_sync", "endless_from_the_first"):
            value = question["arguments"]["id"]
            mark = b"\xff" if command.endswith("delimited") else b""
            self._send(mark + json.dumps({"return": value}).encode() + LF)
        else:
            getattr(self, self._mode)(command, question.get("arguments", {}))

    def _send(self, data: bytes) -> None:
        self._port.push(data, time.monotonic() + 5)

    def _returns(self, value: object) -> None:
        self._send(json.dumps({"return": value}).encode() + LF)

    def silent(self, command: str, arguments: dict[str, Any]) -> None:
        pass

    def silent_after_sync(self, command: str, arguments: dict[str, Any]) -> None:
        pass

    def slow(self, command: str, arguments: dict[str, Any]) -> None:
        """Each reply in time, and none before."""
        time.sleep(4)
        self.lies(command, arguments)

    def another_sync(self, command: str, arguments: dict[str, Any]) -> None:
        """The reply to a question that nobody has asked."""
        self._returns(self._asked)

    def malformed(self, command: str, arguments: dict[str, Any]) -> None:
        self._send(MALFORMED[self._asked % len(MALFORMED)] + LF)

    def endless(self, command: str, arguments: dict[str, Any]) -> None:
        """A reply without an end, for as long as anybody takes it."""
        self._send(b'{"return":"')
        until = time.monotonic() + 20
        while self._port.is_heard() and time.monotonic() < until:
            self._port.push(MUCH, until)
        self._send(LF)

    def endless_from_the_first(self, command: str, arguments: dict[str, Any]) -> None:
        self.endless(command, arguments)

    def large(self, command: str, arguments: dict[str, Any]) -> None:
        self._returns("x" * (8 << 20))

    def another_question(self, command: str, arguments: dict[str, Any]) -> None:
        """A reply, well formed, to what was not asked."""
        replies: tuple[object, ...] = (
            [{"user": "eve", "login-time": 1}],
            {"pid": 1},
            7,
            {},
            "x",
            {"exited": True},
        )
        self._returns(replies[self._asked % len(replies)])

    def twice(self, command: str, arguments: dict[str, Any]) -> None:
        """A second one, which may be taken for the reply to the next question."""
        self._returns({})
        self._returns({"version": "1", "supported_commands": []})

    def errors(self, command: str, arguments: dict[str, Any]) -> None:
        text = EVIL[self._asked % len(EVIL)] * 500
        said = {"error": {"class": text, "desc": text}}
        self._send(json.dumps(said).encode() + LF)

    def lies(self, command: str, arguments: dict[str, Any]) -> None:
        text = (EVIL + ODD)[self._asked % len(EVIL + ODD)]
        values: dict[str, object] = {
            "guest-info": {"version": text, "supported_commands": _commands()},
            "guest-get-osinfo": {"id": "debian", "pretty-name": text, "kernel-release": text},
            "guest-get-users": [{"user": text, "login-time": 1.5}] * 1000,
            "guest-get-time": time.time_ns(),
            "guest-file-open": self._asked,
            "guest-file-close": {},
            "guest-exec": {"pid": 2**62},
            "guest-exec-status": {"exited": True, "exitcode": 0, "out-data": ""},
        }
        if command == "guest-file-open":
            self._opened[self._asked] = arguments["path"]
        if command == "guest-file-read":
            values[command] = self._content(self._opened.pop(arguments["handle"], ""))
        self._returns(values.get(command, {}))

    def _content(self, path: str) -> dict[str, object]:
        """Another boot at each question, and a restart required for ever."""
        texts = {
            "boot_id": f"{uuid.uuid4()}\n",
            "utmp": "x",
            "reboot-required.pkgs": "\n".join(EVIL),
        }
        text = texts.get(path.rpartition("/")[2], "")
        data = base64.b64encode(text.encode(errors="replace")).decode()
        return {"count": len(text), "buf-b64": data, "eof": True}


def _commands() -> list[dict[str, object]]:
    names = ("guest-get-osinfo", "guest-get-users", "guest-get-time", "guest-exec")
    files = ("guest-file-open", "guest-file-read", "guest-file-close", "guest-exec-status")
    return [{"name": name, "enabled": True} for name in names + files]


def say(text: str) -> None:
    with open(CONSOLE, "w") as console:
        console.write(f"\nattacker: {text}\n")


def main() -> None:
    plan = json.loads(sys.argv[1])
    if plan["agent"] is not None:
        threading.Thread(target=Agent(plan["agent"]).loop, daemon=True).start()
    attack_port(plan["port"], plan["then"])


if __name__ == "__main__":
    main()
