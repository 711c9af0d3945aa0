"""docs/protocol.md is the truth: its bytes, its tables and its example program are tried out."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from guestwake.channels import api, parser
from guestwake_wire import framing, messages, strict
from guestwake_wire.framing import Framer
from guestwake_wire.messages import (
    Client,
    ClientState,
    Hello,
    Installed,
    Message,
    Nudge,
    Reason,
    Report,
    RestartNotice,
    Session,
    SessionKind,
    Strength,
    Window,
    WindowOver,
    decode,
    encode,
)

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")

MEANT: dict[str, Message] = {
    "hello of a guest": Hello((1,), "guestwake-guest 0.1.0"),
    "hello of a host": Hello((1,), "guestwake 0.1.0"),
    "report": Report(
        number=7,
        time=1795575600,
        boot_id="2f1c9b1e-6f0d-4a53-9a51-0c1d8a3c7f42",
        agent="guestwake-guest 0.1.0",
        os="Debian GNU/Linux 12 (bookworm)",
        kernel="6.1.0-28-amd64",
        busy=False,
        restart=(
            Reason("reboot-required", Strength.STRONG, 95, "linux-image-6.1.0-29-amd64"),
            Reason("kernel-modules", Strength.WEAK, None, ""),
        ),
        clients=(
            Client(
                *("apt", ClientState.NOTHING_LEFT),
                *((Installed("guestwake-example", "2.0", 1795575505),), 12),
            ),
        ),
        sessions=(
            Session("zoë", SessionKind.GRAPHICAL, 3600, -1),
            Session("root", SessionKind.REMOTE, 60, 2),
        ),
    ),
    "the shortest report": Report(1, 0, "b", "", "", "", busy=None),
    "window": Window(14400, 3),
    "nudge": Nudge(),
    "restart notice": RestartNotice(600),
    "window over": WindowOver(),
}
NOT_CANONICAL = {"the shortest report"}

LIMITS = {
    "bytes of a frame, RS and LF among them": framing.FRAME_BYTES_MAX,
    "nesting": strict.DEPTH_MAX,
    "characters of a number": strict.DIGITS_MAX,
    "characters of names, versions of software, users, words": messages.NAME_MAX,
    "characters of sentences": messages.TEXT_MAX,
    "entries of `versions`": messages.VERSIONS_MAX,
    "entries of `restart`": messages.REASONS_MAX,
    "entries of `clients`": messages.CLIENTS_MAX,
    "entries of `installed`, for each client": messages.INSTALLED_MAX,
    "entries of `sessions`": messages.SESSIONS_MAX,
    "seconds, counts, versions of the protocol": messages.SECONDS_MAX,
    "unix seconds": messages.TIME_MAX,
    "messages at once": parser.MESSAGES_BURST,
    "messages a second, in the long run": int(parser.MESSAGES_EACH_SECOND),
}
OF_TYPE: dict[str, tuple[type, ...]] = {
    "hello": (Hello,),
    "report": (Report, Reason, Client, Installed, Session),
    "window": (Window,),
    "nudge": (Nudge,),
    "restart-notice": (RestartNotice,),
    "window-over": (WindowOver,),
}


class Example(NamedTuple):
    dump: list[str]
    data: bytes
    json: str | None


def _examples() -> Iterator[tuple[str, Example]]:
    for part in PAGE.split("\n### Example: ")[1:]:
        part = re.split(r"\n##+ ", part)[0]
        dump = _block(part, "hexdump").splitlines()
        data = bytes.fromhex("".join(line[10:58] for line in dump))
        yield part.splitlines()[0], Example(dump, data, _block(part, "json") or None)


def _block(text: str, language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)\n```", text, re.DOTALL)
    return found[1] if found else ""


EXAMPLES = dict(_examples())


def test_every_kind_of_message_has_an_example() -> None:
    assert set(EXAMPLES) == set(MEANT)
    assert {type(message) for message in MEANT.values()} == set(messages._NAMES)


@pytest.mark.parametrize("name", MEANT)
def test_an_example_means_what_the_page_says(name: str) -> None:
    (text,) = Framer().feed(EXAMPLES[name].data)
    assert decode(text) == MEANT[name]


@pytest.mark.parametrize("name", sorted(set(MEANT) - NOT_CANONICAL))
def test_an_example_is_what_we_write(name: str) -> None:
    assert encode(MEANT[name]) == EXAMPLES[name].data


@pytest.mark.parametrize("name", MEANT)
def test_a_hexdump_is_whole(name: str) -> None:
    _, data, text = EXAMPLES[name]
    for number, line in enumerate(EXAMPLES[name].dump):
        part = data[16 * number : 16 * number + 16]
        assert line.startswith(f"{16 * number:08x}  ")
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        assert line.endswith(f"  |{shown}|")
    if text is not None:
        assert json.loads(text) == json.loads(data[1:-1])


def test_the_limits_are_those_of_the_code() -> None:
    table = PAGE.partition("\n## Limits\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+) \| (\d+) \|$", table, re.MULTILINE)
    assert {name: int(value) for name, value in rows} == LIMITS


def test_the_ports_are_those_of_the_code() -> None:
    assert f"port `{api.PORT_NAME}`" in PAGE
    assert f"port 0x{api.VSOCK_PORT:x} ({api.VSOCK_PORT})" in PAGE


@pytest.mark.parametrize("kind", OF_TYPE)
def test_every_type_and_field_is_on_the_page(kind: str) -> None:
    assert f"`{kind}`" in PAGE
    fields = {name for each in OF_TYPE[kind] for name in getattr(each, "_fields", ())}
    assert [name for name in fields if f"`{name}`" not in PAGE] == []


@pytest.mark.parametrize("words", [Strength, ClientState, SessionKind])
def test_every_word_is_on_the_page(words: type[Strength]) -> None:
    assert ", ".join(f"`{word.value}`" for word in words) in PAGE


# -- the program


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """The host's end of what the page's own guest talks to."""
    program = tmp_path / "small_guest.py"
    program.write_text(_block(PAGE.partition("\n## A small guest\n")[2], "python"))
    host, guest = os.openpty()
    tty.setraw(guest)
    process = subprocess.Popen([sys.executable, "-I", program, os.ttyname(guest)])
    try:
        yield host
    finally:
        process.kill()
        process.wait()
        os.close(host)
        os.close(guest)


def test_the_pages_own_guest_is_understood(port: int) -> None:
    hello = encode(Hello((1,), "test"))
    os.write(port, b'\x1e{"type":"hel' + hello)  # a half one first
    os.write(port, b"\x1e]\n" + encode(Nudge()))  # and what it must pass over
    said = _listen(port, 2)
    assert said[0] == Hello((1,), "small 1")
    assert isinstance(said[1], Report)
    assert (said[1].number, said[1].busy) == (1, None)


def _listen(port: int, most: int) -> list[Message]:
    framer, said = Framer(), list[Message]()
    while len(said) < most:
        assert select.select([port], [], [], 20)[0], "the guest says nothing"
        said += [decode(text) for text in framer.feed(os.read(port, 4096))]
    return said
