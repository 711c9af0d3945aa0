"""The messages, and their strict decoding (docs/protocol.md; contract, section 11).

A guest says hello and reports; a host says hello, tells of the window, nudges, gives notice. No
message executes anything, names a VM, a path or a command. What a guest sends is advice.

Named tuples, because dataclasses cost the guest's service two of its fifteen megabytes. Ages are
whole seconds before the message was made, by the sender's clock that nobody sets; None is "could
not be told", never "no".
"""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple, Union

from guestwake_wire.framing import frame
from guestwake_wire.strict import BadMessage, Fields, parsed

__all__ = ["BadMessage", "decode", "encode"]

VERSIONS = (1,)  # that this code speaks; both sides use the highest that both named

REASONS_MAX = 8
CLIENTS_MAX = 8
SESSIONS_MAX = 16
INSTALLED_MAX = 32  # for each client
VERSIONS_MAX = 16
NAME_MAX = 64  # characters: users, packages, sources, versions
TEXT_MAX = 200  # characters: sentences
SECONDS_MAX = 2**31 - 1
TIME_MAX = 2**36  # unix seconds, the year 4147: a calendar of any zone still holds it


class Strength(str, Enum):
    """A weak sign is shown and never restarts anything."""

    STRONG = "strong"
    WEAK = "weak"


class ClientState(str, Enum):
    IDLE = "idle"
    BUSY = "busy"  # looking, downloading or installing
    NOTHING_LEFT = "nothing-left"  # it has looked since it last could know of more
    UNKNOWN = "unknown"


class SessionKind(str, Enum):
    GRAPHICAL = "graphical"
    TEXT = "text"
    REMOTE = "remote"


class Hello(NamedTuple):
    """The first message of either side, and again whenever a side wants to hear all of the other.
    `agent`: who speaks and in which version, for people."""

    versions: tuple[int, ...]
    agent: str


class Reason(NamedTuple):
    """Why the guest needs a restart. `source`: which detector says so, a stable word; `since`:
    seconds ago."""

    source: str
    strength: Strength
    since: int | None
    text: str


class Installed(NamedTuple):
    """`at`: unix seconds of the guest's own log."""

    name: str
    version: str
    at: int


class Client(NamedTuple):
    """One update client of the guest. `installed`: the newest first; `more`: how many others of
    the same days were left out."""

    name: str
    state: ClientState
    installed: tuple[Installed, ...] = ()
    more: int = 0


class Session(NamedTuple):
    """An interactive session. `since`: its age in seconds. `input`: seconds since its last input;
    -1: none since it began; None: cannot be told."""

    user: str
    kind: SessionKind
    since: int
    input: int | None


class Report(NamedTuple):
    """The whole snapshot; what is not in it is not so. `number`: counts up from 1 while the
    service lives. `time`: unix seconds, by the guest's clock. `busy` None: cannot be told."""

    number: int
    time: int
    boot_id: str
    agent: str
    os: str
    kernel: str
    busy: bool | None
    restart: tuple[Reason, ...] = ()
    clients: tuple[Client, ...] = ()
    sessions: tuple[Session, ...] = ()


class Window(NamedTuple):
    """The window is open for so many more seconds, and the guest has been awake for it for `since`
    seconds, restarts among them; sent again when its end changes."""

    left: int
    since: int


class Nudge(NamedTuple):
    """Let your update clients look now, as their own timers would. Asks for no particular act."""


class RestartNotice(NamedTuple):
    """The host is about to restart the guest, in so many seconds; 0: now."""

    seconds: int


class WindowOver(NamedTuple):
    """The window has ended; the guest may be put to rest at any time."""


Message = Union[Hello, Report, Window, Nudge, RestartNotice, WindowOver]


def encode(message: Message) -> bytes:
    """One whole frame. Raises FrameTooLong; the sender leaves something out and tries again."""
    text = json.dumps({"type": _NAMES[type(message)], **_plain(message)}, separators=(",", ":"))
    return frame(text.encode("ascii"))


def decode(text: bytes) -> Message:
    """What one frame holds. Raises BadMessage, with a sentence that quotes none of it."""
    fields = Fields(parsed(text))
    read = _READERS.get(fields.text("type", NAME_MAX))
    if read is None:
        raise BadMessage("'type' is none that is known")
    return read(fields)


def common_version(ours: tuple[int, ...], theirs: tuple[int, ...]) -> int | None:
    """None: the two have no version in common."""
    return max(set(ours) & set(theirs), default=None)


def clean(text: str, characters_max: int = TEXT_MAX) -> str:
    """`text` as a message may hold it: without control characters and lone surrogates, cut."""
    shown = "".join(each if each.isprintable() else "?" for each in text[: characters_max + 1])
    return shown if len(shown) <= characters_max else shown[: characters_max - 1] + "…"


def _plain(named: Any) -> dict[str, object]:
    return {name: _value(value) for name, value in named._asdict().items()}


def _value(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if hasattr(value, "_asdict"):
        return _plain(value)
    return [_value(each) for each in value] if isinstance(value, tuple) else value


# --- reading ---


def _hello(fields: Fields) -> Hello:
    versions = fields.integers("versions", VERSIONS_MAX, 0, SECONDS_MAX)
    return Hello(versions, fields.text("agent", NAME_MAX))


def _report(fields: Fields) -> Report:
    return Report(
        number=fields.integer("number", 1, SECONDS_MAX),
        time=fields.integer("time", 0, TIME_MAX),
        boot_id=fields.text("boot_id", NAME_MAX, least=1),
        agent=fields.text("agent", NAME_MAX),
        os=fields.text("os", TEXT_MAX),
        kernel=fields.text("kernel", TEXT_MAX),
        busy=fields.truth("busy"),
        restart=fields.each("restart", REASONS_MAX, _reason),
        clients=fields.each("clients", CLIENTS_MAX, _client),
        sessions=fields.each("sessions", SESSIONS_MAX, _session),
    )


def _reason(fields: Fields) -> Reason:
    return Reason(
        source=fields.text("source", NAME_MAX, least=1),
        strength=fields.choice("strength", Strength),
        since=fields.optional_integer("since", 0, SECONDS_MAX),
        text=fields.text("text", TEXT_MAX),
    )


def _client(fields: Fields) -> Client:
    return Client(
        name=fields.text("name", NAME_MAX, least=1),
        state=fields.choice("state", ClientState),
        installed=fields.each("installed", INSTALLED_MAX, _installed),
        more=fields.integer("more", 0, SECONDS_MAX),
    )


def _installed(fields: Fields) -> Installed:
    return Installed(
        name=fields.text("name", NAME_MAX, least=1),
        version=fields.text("version", NAME_MAX),
        at=fields.integer("at", 0, TIME_MAX),
    )


def _session(fields: Fields) -> Session:
    return Session(
        user=fields.text("user", NAME_MAX),
        kind=fields.choice("kind", SessionKind),
        since=fields.integer("since", 0, SECONDS_MAX),
        input=fields.optional_integer("input", -1, SECONDS_MAX),
    )


_READERS: dict[str, Callable[[Fields], Message]] = {
    "hello": _hello,
    "report": _report,
    "window": lambda fields: Window(
        fields.integer("left", 0, SECONDS_MAX), fields.integer("since", 0, SECONDS_MAX)
    ),
    "nudge": lambda fields: Nudge(),
    "restart-notice": lambda fields: RestartNotice(fields.integer("seconds", 0, SECONDS_MAX)),
    "window-over": lambda fields: WindowOver(),
}
_NAMES: dict[type, str] = {
    Hello: "hello",
    Report: "report",
    Window: "window",
    Nudge: "nudge",
    RestartNotice: "restart-notice",
    WindowOver: "window-over",
}
