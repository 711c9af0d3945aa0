"""Messages there and back, and every rule by which one is refused (docs/protocol.md)."""

from __future__ import annotations

import ast
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import every_message, guest_words, host_words
from recorded_v1 import VALUES

import guestwake_wire
from guestwake.channels.parser import Parser
from guestwake_wire import messages
from guestwake_wire.framing import FRAME_BYTES_MAX, Framer, FrameTooLong
from guestwake_wire.messages import (
    VERSIONS,
    BadMessage,
    Client,
    ClientState,
    Hello,
    Installed,
    Message,
    Report,
    Window,
    clean,
    common_version,
    decode,
    encode,
)

FULL = VALUES["report-busy"]


def fields(message: Message = FULL) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(encode(message)[1:-1])
    return found


def with_(path: str, value: object) -> bytes:
    """The full report with one thing changed; `path` such as `clients.0.name`."""
    changed = fields()
    *way, last = path.split(".")
    at: Any = changed
    for step in way:
        at = at[int(step) if step.isdigit() else step]
    at[last] = value
    return json.dumps(changed).encode("ascii")


def without(path: str) -> bytes:
    changed = fields()
    *way, last = path.split(".")
    at: Any = changed
    for step in way:
        at = at[int(step) if step.isdigit() else step]
    del at[last]
    return json.dumps(changed).encode("ascii")


# -- there and back


@settings(max_examples=25)
@given(every_message)
def test_what_is_written_is_read(message: Message) -> None:
    written = encode(message)
    assert len(written) <= FRAME_BYTES_MAX
    assert written.isascii()
    (text,) = Framer().feed(written)
    assert decode(text) == message
    assert type(decode(text)) is type(message)


@settings(max_examples=12)
@given(st.lists(guest_words, max_size=3), st.integers(0, 2**32))
def test_both_ends_joined_in_memory(said: list[Message], seed: int) -> None:
    wire, cut = b"".join(map(encode, said)), random.Random(seed)
    parser = Parser(clock=lambda: 0.0)
    hello, report = None, None
    while wire:
        size = cut.randint(1, 5000)
        heard = parser.feed(wire[:size])
        wire = wire[size:]
        assert (heard.refused, heard.dropped, heard.junk) == (0, 0, 0)
        hello, report = heard.hello or hello, heard.report or (None if heard.hello else report)
    begins = max((at for at, each in enumerate(said) if isinstance(each, Hello)), default=0)
    last = [each for each in said[begins:] if isinstance(each, Report)]
    assert hello == next((each for each in reversed(said) if isinstance(each, Hello)), None)
    assert report == (last[-1] if last else None)


@settings(max_examples=12)
@given(host_words)
def test_the_host_hears_no_host(message: Message) -> None:
    heard = Parser().feed(encode(message))
    assert (heard.hello, heard.report, heard.refused) == (None, None, 1)


def test_versions_are_agreed_on() -> None:
    assert common_version((1,), (1,)) == 1
    assert common_version((1, 2, 4), (3, 2, 1)) == 2
    assert common_version((1,), (2, 3)) is None
    assert common_version((1,), ()) is None
    assert VERSIONS == (1,)


def test_what_does_not_fit_is_not_sent() -> None:
    entry = Installed("n" * 64, "v" * 64, 1)
    report = VALUES["report-quiet"]
    assert isinstance(report, Report)
    full = report._replace(clients=(Client("apt", ClientState.IDLE, (entry,) * 32),))
    with pytest.raises(FrameTooLong):
        encode(full)


@given(st.text(max_size=300), st.integers(1, 250))
def test_cleaned_text_may_be_sent(text: str, most: int) -> None:
    shown = clean(text, most)
    assert len(shown) <= most
    assert shown.isprintable()
    if text.isprintable() and len(text) <= most:
        assert shown == text


# -- refused

GOOD = fields()
TEXTS = [
    *("boot_id", "agent", "os", "kernel", "restart.0.source", "restart.0.text", "clients.0.name"),
    *("clients.0.installed.0.name", "clients.0.installed.0.version", "sessions.0.user"),
]
NOT_EMPTY = ["boot_id", "restart.0.source", "clients.0.name", "clients.0.installed.0.name"]
LONG = {"os": 200, "kernel": 200, "restart.0.text": 200}
INTEGERS = {
    "number": (1, 2**31 - 1),
    "time": (0, 2**36),
    "restart.0.since": (0, 2**31 - 1),
    "clients.0.more": (0, 2**31 - 1),
    "clients.0.installed.0.at": (0, 2**36),
    "sessions.0.since": (0, 2**31 - 1),
    "sessions.0.input": (-1, 2**31 - 1),
}
WORDS = ["type", "restart.0.strength", "clients.0.state", "sessions.0.kind"]
LISTS = {"restart": 8, "clients": 8, "clients.0.installed": 32, "sessions": 16}
MAY_BE_NULL = ["busy", "restart.0.since", "sessions.0.input"]
UNSHOWN = {
    "line feed": "\n",
    "escape": "\x1b[31m",
    "nul": "\0",
    "delete": "\x7f",
    "next line": "\x85",
    "line separator": "\u2028",
    "right to left": "\u202e",
    "no-break space": "\u00a0",
    "zero width": "\u200b",
    "byte order mark": "\ufeff",
    "tag": "\U000e0041",
    "lone high surrogate": "\ud800",
    "lone low surrogate": "\udfff",
    "surrogates the wrong way round": "\udc00\ud800",
    "private use": "\ue000",
    "unassigned": "\U000e0fff",
}


def deep(levels: int) -> bytes:
    """A report with a new field, nested so that there are `levels` with the report itself."""
    value: object = 1
    for _ in range(levels - 1):
        value = [value]
    return with_("new", value)


def refused() -> Iterator[tuple[str, bytes]]:
    good = json.dumps(GOOD).encode()
    yield "an empty frame", b""
    yield "only spaces", b"   "
    yield "no JSON", b"hello"
    yield "half of it", good[: len(good) // 2]
    yield "trailing data", good + b"{}"
    yield "trailing comma", good[:-1] + b",}"
    yield "two at once", good + b" " + good
    yield "a comment", good + b"/**/"
    yield "single quotes", b"{'type':'nudge'}"
    yield "more than a frame", good + b" " * FRAME_BYTES_MAX
    for text in (b"[]", b"1", b"null", b'"nudge"', b"true"):
        yield f"no object: {text!r}", text
    yield "not ASCII", '{"type":"hello","versions":[1],"agent":"é"}'.encode()
    yield "a byte order mark", b"\xef\xbb\xbf" + good
    yield "UTF-16", '{"type":"nudge"}'.encode("utf-16")
    yield "a raw control character", good.replace(b"amd64", b"\x01", 1)
    yield "nested too deep", deep(7)
    yield "nested too deep, in objects", b'{"type":"nudge","a":' + b'{"a":' * 9 + b"1" + b"}" * 10
    yield "nothing but brackets", b"[" * 4000
    yield "brackets never closed", b'{"type":' + b"[{" * 1000
    yield "a field twice", good[:-1] + b',"number":1}'
    yield "a new field twice", good[:-1] + b',"new":1,"new":1}'
    yield "a field twice, escaped once", good[:-1] + b',"n\\u0075mber":7}'
    yield "a field twice, below", good[:-1] + b',"new":[{"a":1,"a":1}]}'
    for number in (b"NaN", b"Infinity", b"-Infinity", b"1.0", b"1e3", b"1E400", b"-1.5", b"0.1e1"):
        yield f"number {number.decode()}", good.replace(b'"number": 12', b'"number": ' + number)
        yield f"new field {number.decode()}", good[:-1] + b',"new":' + number + b"}"
    for number in (b"01", b"+1", b".5", b"1.", b"0x1", b"1_0", b"--1"):
        yield f"number {number.decode()}", good.replace(b'"number": 12', b'"number": ' + number)
    for digits in (17, 400, 3000):
        yield f"number of {digits} digits", good[:-1] + b',"new":' + b"9" * digits + b"}"
    for path, (low, high) in INTEGERS.items():
        for value in (low - 1, high + 1, str(low), True, False, [], {}, [low]):
            yield f"{path}: {value!r}", with_(path, value)
    for path in TEXTS:
        for value in (1, True, None, [], ["a"], {}):
            yield f"{path}: {value!r}", with_(path, value)
        yield f"{path}: too long", with_(path, "x" * (LONG.get(path, 64) + 1))
        for name, text in UNSHOWN.items():
            yield f"{path}: {name}", with_(path, f"a{text}b")
    for path in NOT_EMPTY:
        yield f"{path}: empty", with_(path, "")
    for path in WORDS:
        for value in ("", "exec", "STRONG", " idle", 1, None, ["idle"], {}):
            yield f"{path}: {value!r}", with_(path, value)
    for path, most in LISTS.items():
        for value in (None, {}, "", 1, [1], [None], [[]], ["a"]):
            yield f"{path}: {value!r}", with_(path, value)
        yield f"{path}: too many", with_(path, [{}] * (most + 1))
    for value in (0, 1, "true", "", [], {}):
        yield f"busy: {value!r}", with_("busy", value)
    needed = [*INTEGERS, *TEXTS, *WORDS]
    for path in needed:
        if path not in MAY_BE_NULL:
            yield f"{path}: missing", without(path)
            yield f"{path}: null", with_(path, None)
    for versions in (
        "[1.0]",
        "[true]",
        '["1"]',
        "[-1]",
        "[[1]]",
        "1",
        "null",
        "{}",
        "[2147483648]",
    ):
        yield (
            f"versions: {versions}",
            b'{"type":"hello","agent":"","versions":%s}' % (versions.encode()),
        )
    yield (
        "versions: too many",
        b'{"type":"hello","agent":"","versions":[%s]}' % b",".join([b"1"] * 17),
    )
    yield "versions: missing", b'{"type":"hello","agent":""}'
    for kind, name, rest in (
        ("window", "left", ',"since":1'),
        ("window", "since", ',"left":1'),
        ("restart-notice", "seconds", ""),
    ):
        yield f"{kind}: {name} is missing", f'{{"type":"{kind}"{rest}}}'.encode()
        for value in ("-1", "2147483648", "1.5", "null", '"1"', "true", "[1]"):
            told = f'{{"type":"{kind}","{name}":{value}{rest}}}'
            yield f"{kind}: {name} {value}", told.encode()


REFUSED = dict(refused())


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(name: str) -> None:
    with pytest.raises(BadMessage) as caught:
        decode(REFUSED[name])
    assert str(caught.value).isprintable()
    assert "exec" not in str(caught.value)
    # It costs no more than itself.
    good = encode(FULL)
    heard = Parser().feed(good + b"\x1e" + REFUSED[name] + b"\n" + good)
    assert heard.report == FULL
    assert heard.refused == 1 or heard.junk > FRAME_BYTES_MAX  # too long for a frame


# -- accepted


@pytest.mark.parametrize("path", INTEGERS)
def test_the_bounds_themselves_are_within(path: str) -> None:
    for value in INTEGERS[path]:
        decode(with_(path, value))


@pytest.mark.parametrize("path", MAY_BE_NULL)
def test_null_and_missing_are_the_same_where_it_may_be(path: str) -> None:
    assert decode(with_(path, None)) == decode(without(path))


@pytest.mark.parametrize("path", LISTS)
def test_a_list_that_is_missing_is_empty(path: str) -> None:
    assert decode(without(path)) == decode(with_(path, []))


def test_as_deep_as_may_be() -> None:
    assert decode(deep(6)) == FULL


def test_brackets_in_texts_are_no_nesting() -> None:
    assert decode(with_("os", '[[[[[[[{{{{{{"[[[\\"[[['))


@pytest.mark.parametrize("value", [1, "new", None, True, [], {}, {"exec": "sh"}, "\ud800", "\n"])
@pytest.mark.parametrize("where", ["", "restart.0.", "clients.0.", "clients.0.installed.0."])
def test_new_fields_are_ignored(where: str, value: object) -> None:
    assert decode(with_(f"{where}new", value)) == FULL


@pytest.mark.parametrize("name", VALUES)
def test_every_message_may_have_new_fields_in_any_order(name: str) -> None:
    more = {"zz": 1, **dict(reversed(fields(VALUES[name]).items())), "aa": [None]}
    assert decode(json.dumps(more, indent=None).encode()) == VALUES[name]


def test_what_would_be_longer_as_we_write_it_is_refused_by_the_reader() -> None:
    report = {**fields(VALUES["report-knows-nothing"]), "os": "x" * 200, "kernel": "y" * 200}
    report["sessions"] = [{"user": "u" * 64, "kind": "remote", "since": 0}] * 16
    report["restart"] = [{"source": "s" * 64, "strength": "weak", "text": "t" * 121}] * 8
    report["clients"] = [{"name": "a", "state": "idle", "more": 0}] * 1
    text = json.dumps(report, separators=(",", ":")).encode()
    assert len(text) <= FRAME_BYTES_MAX - 2
    with pytest.raises(FrameTooLong):
        encode(decode(text))
    assert Parser().feed(b"\x1e" + text + b"\n").refused == 1


# -- what the guest's Python can run


@pytest.mark.parametrize(
    "file", sorted(Path(guestwake_wire.__file__).parent.glob("*.py")), ids=lambda file: file.name
)
def test_the_wire_is_written_for_python_3_9(file: Path) -> None:
    ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 9))


def test_no_message_executes_names_a_path_or_a_vm() -> None:
    kinds = {"hello", "report", "window", "nudge", "restart-notice", "window-over"}
    assert set(messages._READERS) == kinds
    assert Window._fields == ("left", "since")
    names = {name for kind in (*messages._NAMES, Client, Installed) for name in kind._fields}
    assert names.isdisjoint({"vm", "uuid", "domain", "path", "command", "exec", "arguments", "url"})
