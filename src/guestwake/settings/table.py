"""The one table of settings: name, registry key, type and range, help.

It feeds the files, the registry, the command line and the documentation. Defaults stand in
`policy/limits.py`. To add a setting: one entry here, one field there, one use.

Named tuples, here and in `source.py`: every command imports this, and a frozen dataclass takes
ten times as long to define.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import fields
from datetime import time, timedelta
from enum import StrEnum
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

from guestwake.policy.limits import (
    EVERY_DAY,
    CatchUp,
    CloseAction,
    Limits,
    RestartInWindow,
    ReturnState,
)

INT_MAX = 2147483647


class BadValue(ValueError):
    """Why a raw value will not do, and what to write instead: the rest of a sentence that
    begins with the setting's name."""


class Kind(Protocol):
    """A type with its range: from raw (text, number, list) to what `Limits` holds, and back."""

    @property
    def registry(self) -> str:
        """The registry type: REG_SZ, REG_DWORD or REG_MULTI_SZ."""
        ...

    def expects(self) -> str:
        """What may be written, as "must be ..." goes on."""
        ...

    def parse(self, raw: object) -> object:
        """Raises BadValue."""
        ...

    def from_text(self, text: str) -> object:
        """The raw value that a person meant who had no quotes to write (command line)."""
        ...

    def plain(self, value: object) -> object:
        """A value of `Limits` as JSON has it, which `parse` accepts (None: not set)."""
        ...

    def text(self, value: object) -> str:
        """A value of `Limits` for a person."""
        ...


class Number(NamedTuple):
    """A whole number. With `unit` it becomes a span of time, else `make` takes it."""

    low: int
    high: int
    noun: str = ""  # "minutes", "MiB"; empty: a bare number
    unit: timedelta | None = None
    make: Callable[[int], object] = int
    registry: str = "REG_DWORD"

    def expects(self) -> str:
        what = f"a whole number of {self.noun}" if self.noun else "a whole number"
        return f"{what} from {self.low} to {self.high}"

    def parse(self, raw: object) -> object:
        if isinstance(raw, str) and _is_number(raw):
            raise BadValue(f"{shown(raw)} is text; write {raw} without quotes")
        if isinstance(raw, bool) or not isinstance(raw, int):
            raise BadValue(f"{shown(raw)} will not do; it must be {self.expects()}")
        if not self.low <= raw <= self.high:
            raise BadValue(f"{shown(raw)} is out of range; it must be {self.expects()}")
        return raw * self.unit if self.unit else self.make(raw)

    def from_text(self, text: str) -> object:
        return int(text) if _is_number(text) else text

    def plain(self, value: object) -> object:
        return value // self.unit if isinstance(value, timedelta) and self.unit else value

    def text(self, value: object) -> str:
        return f"{self.plain(value)!s} {self.noun}".rstrip()


class Switch:
    """0 or 1; files may also say false or true."""

    registry = "REG_DWORD"

    def expects(self) -> str:
        return "0 or 1"

    def parse(self, raw: object) -> object:
        if isinstance(raw, bool | int) and raw in (0, 1):
            return bool(raw)
        remedy = ", without quotes" if isinstance(raw, str) else ""
        raise BadValue(f"{shown(raw)} will not do; it must be {self.expects()}{remedy}")

    def from_text(self, text: str) -> object:
        return {"0": 0, "1": 1, "false": False, "true": True}.get(text.lower(), text)

    def plain(self, value: object) -> object:
        return int(bool(value))

    def text(self, value: object) -> str:
        return str(self.plain(value))


class Choice(NamedTuple):
    """One word of a closed set, in any case."""

    words: type[StrEnum]
    registry: str = "REG_SZ"

    def expects(self) -> str:
        return f"one of {', '.join(self.words)}"

    def parse(self, raw: object) -> object:
        for word in self.words:
            if isinstance(raw, str) and raw.lower() == word.lower():
                return word
        raise BadValue(f"{shown(raw)} will not do; it must be {self.expects()}")

    def from_text(self, text: str) -> object:
        return text

    def plain(self, value: object) -> object:
        return str(value)

    def text(self, value: object) -> str:
        return str(value)


class TimeOfDay:
    """HH:MM, as text."""

    registry = "REG_SZ"

    def expects(self) -> str:
        return "a time of day from 00:00 to 23:59"

    def parse(self, raw: object) -> object:
        match = re.fullmatch(r"([0-9]{1,2}):([0-9]{2})", raw) if isinstance(raw, str) else None
        if match and int(match[1]) < 24 and int(match[2]) < 60:
            return time(int(match[1]), int(match[2]))
        raise BadValue(
            f"{shown(raw)} will not do; it must be {self.expects()}, "
            'hours and two digits of minutes, such as "03:30"'
        )

    def from_text(self, text: str) -> object:
        return text

    def plain(self, value: object) -> object:
        return self.text(value)

    def text(self, value: object) -> str:
        return f"{value:%H:%M}"


DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_DAYS = {name.lower()[:n]: day for day, name in enumerate(DAY_NAMES) for n in (3, None)}


class Days:
    """A set of days of the week; Monday is 0."""

    registry = "REG_MULTI_SZ"

    def expects(self) -> str:
        return '"all" or a list of days, such as ["Monday", "Thu"]'

    def parse(self, raw: object) -> object:
        alone = raw[0] if isinstance(raw, list) and len(raw) == 1 else raw
        if isinstance(alone, str) and alone.lower() == "all":
            return EVERY_DAY
        if not isinstance(raw, list):
            raise BadValue(f"{shown(raw)} will not do; it must be {self.expects()}")
        if not raw:
            raise BadValue(
                "the list is empty; to have no window at all, set GuestUpdateDuration to 0"
            )
        return frozenset(map(self._day, raw))

    def _day(self, raw: object) -> int:
        if isinstance(raw, str) and raw.lower() in _DAYS:
            return _DAYS[raw.lower()]
        raise BadValue(f"{shown(raw)} is no day of the week; it must be {self.expects()}")

    def from_text(self, text: str) -> object:
        if text.lower() == "all":
            return text
        return [day.strip() for day in text.split(",") if day.strip()]

    def plain(self, value: object) -> object:
        days = _days(value)
        return "all" if days == list(range(7)) else [DAY_NAMES[day] for day in days]

    def text(self, value: object) -> str:
        days = _days(value)
        return "all" if days == list(range(7)) else ", ".join(DAY_NAMES[day] for day in days)


class Zone:
    """A time zone by its IANA name."""

    registry = "REG_SZ"

    def expects(self) -> str:
        return 'the IANA name of a time zone, such as "Europe/Berlin"'

    def parse(self, raw: object) -> object:
        # The zone folder also holds "localtime" and "right/…", which count leap seconds and
        # are not zones; all IANA names begin with a capital letter.
        if isinstance(raw, str) and raw[:1].isascii() and raw[:1].isupper():
            try:
                return ZoneInfo(raw)
            except (ValueError, LookupError, OSError):
                pass
        raise BadValue(f"{shown(raw)} will not do; it must be {self.expects()}{_guess_zone(raw)}")

    def from_text(self, text: str) -> object:
        return text

    def plain(self, value: object) -> object:
        return None if value is None else str(value)

    def text(self, value: object) -> str:
        return "the host's" if value is None else str(value)


class CommandLine(NamedTuple):
    """A command of this host, split into words as a shell would, and run without one. `places`:
    what is filled in, each inside one word, so that a value never becomes two."""

    places: tuple[str, ...]
    registry: str = "REG_SZ"

    def expects(self) -> str:
        places = ", ".join(f"{{{place}}}" for place in self.places)
        return f"a command with its arguments, in which {places} are filled in"

    def parse(self, raw: object) -> object:
        if not isinstance(raw, str) or not raw.isprintable() or len(raw) > COMMAND_LINE_MAX:
            raise BadValue(
                f"{shown(raw)} will not do; it must be {self.expects()}, on one line of at most "
                f"{COMMAND_LINE_MAX} characters"
            )
        words = _words(raw)
        if not words:
            raise BadValue(f"no program is named; it must be {self.expects()}")
        if re.search(_PLACE, words[0]):
            raise BadValue(
                "its first word names a program of this host; nothing is filled in there"
            )
        for place in re.findall(_PLACE, raw):
            if place not in self.places:
                known = ", ".join(f"{{{one}}}" for one in self.places)
                raise BadValue(f"nothing is filled in for {shown(f'{{{place}}}')}; known: {known}")
        return raw

    def from_text(self, text: str) -> object:
        return text

    def plain(self, value: object) -> object:
        return str(value)

    def text(self, value: object) -> str:
        return str(value)


COMMAND_LINE_MAX = 500  # characters
_PLACE = r"\{([^{}]*)\}"


def _words(raw: str) -> list[str]:
    import shlex  # only where such a setting is set

    try:
        return shlex.split(raw)
    except ValueError as err:
        raise BadValue(f"{shown(raw)} cannot be split into words ({err})") from err


def _minutes(low: int, high: int) -> Number:
    return Number(low, high, "minutes", timedelta(minutes=1))


class Key(StrEnum):
    """The registry key, below …\\MEDV\\v2, that holds the value."""

    VM = "VM"
    USER_EXPERIENCE = "UserExperience"
    DIAGNOSTICS = "Diagnostics"


class Setting(NamedTuple):
    name: str  # as MED-V's registry value is called
    kind: Kind
    help: str
    key: Key = Key.VM

    @property
    def toml(self) -> str:
        """The name in files, and of the field of `Limits`."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", self.name).lower()

    @property
    def default(self) -> object:
        return getattr(_DEFAULTS, self.toml)


_DEFAULTS = Limits()
_PLACES = ("name", "uuid", "uri", "user", "address")

SETTINGS: tuple[Setting, ...] = (
    Setting(
        "GuestUpdateTime",
        TimeOfDay(),
        "When the window opens each day, in local time on the 24-hour clock.",
    ),
    Setting(
        "GuestUpdateDuration",
        _minutes(0, 1440),
        "How long the window is. 0 disables the wake-up policy; 1440 lasts until the next opening.",
    ),
    Setting(
        "CloseAction",
        Choice(CloseAction),
        "What happens to a VM when its use has ended. TURN-OFF pulls the cord and loses "
        "whatever the guest had not written.",
    ),
    Setting(
        "TaskTimeout",
        Number(1, INT_MAX, "seconds", timedelta(seconds=1)),
        "How long one task may take: a wake, a restart, a shutdown, a hibernation.",
    ),
    Setting(
        "MultiUserEnabled",
        Switch(),
        "1: several users of the host share the workspace.",
    ),
    Setting(
        "LogonStartEnabled",
        Switch(),
        "1: Fast Start, the workspace starts when its owner logs on. 0: Normal Start, it starts "
        "with the first application. Only for workspaces with published applications.",
        Key.USER_EXPERIENCE,
    ),
    Setting(
        "RebootAbsoluteDelayTimeout",
        _minutes(0, INT_MAX),
        "How long a user may postpone a required restart, counted from the first prompt that "
        "a logged-on user saw.",
        Key.USER_EXPERIENCE,
    ),
    Setting(
        "DesktopCommand",
        CommandLine(_PLACES),
        "What 'guestwake open WORKSPACE' runs, as the user who calls it, to show the desktop of "
        "the guest. It must not end before its window does.",
        Key.USER_EXPERIENCE,
    ),
    Setting(
        "LinuxApplicationCommand",
        CommandLine((*_PLACES, "application")),
        "What 'guestwake open WORKSPACE APPLICATION' runs, likewise, where the application was "
        "published for a Linux guest. {application} is the command that was published.",
        Key.USER_EXPERIENCE,
    ),
    Setting(
        "WindowsApplicationCommand",
        CommandLine((*_PLACES, "application")),
        "Likewise, where it was published for a Windows guest.",
        Key.USER_EXPERIENCE,
    ),
    Setting(
        "EventLogLevel",
        Number(0, 4),
        "Which events are recorded: 0 none, 1 errors, 2 also warnings, 3 also information, "
        "4 also debug.",
        Key.DIAGNOSTICS,
    ),
    Setting(
        "GuestUpdateDays",
        Days(),
        "On which days of the week a window opens.",
    ),
    Setting(
        "ReturnState",
        Choice(ReturnState),
        "Where a VM that nobody used goes at the end of the window: back to its previous state, "
        "or always to hibernation, or always shut down.",
    ),
    Setting(
        "MaxExtension",
        _minutes(0, 1440),
        "How far a guest that is still installing at the end may stretch the window.",
    ),
    Setting(
        "EarlyFinish",
        Switch(),
        "1: put the VM back before the end, once its update clients say that nothing is left to "
        "do. MinAwake still counts.",
    ),
    Setting(
        "MinAwake",
        _minutes(0, 1440),
        "With EarlyFinish: how long the VM stays awake at least.",
    ),
    Setting(
        "RestartInWindow",
        Number(0, 2, make=RestartInWindow),
        "Whether a guest that needs a restart gets it inside the window: 0 never, 1 when nobody "
        "is signed in in the guest, 2 also over idle sessions (unsaved work there is lost).",
    ),
    Setting(
        "NudgeUpdateClients",
        Switch(),
        "1: at the opening, ask the guest's update clients to check now, under their own "
        "configuration.",
    ),
    Setting(
        "AskGuestAgent",
        Switch(),
        "1: where only qemu-guest-agent runs in the guest, ask it which boot this is, whether a "
        "restart is required and who is signed in. 0: never ask it for these; the guest's clock "
        "is set and its update clients are nudged all the same.",
    ),
    Setting(
        "RequireNetwork",
        Switch(),
        "1: no wake while the host has no network.",
    ),
    Setting(
        "RequireACPower",
        Switch(),
        "1: no wake while the host runs on battery.",
    ),
    Setting(
        "AllowMetered",
        Switch(),
        "1: wake also on a network that is metered (paid by volume).",
    ),
    Setting(
        "TimeZone",
        Zone(),
        "The time zone that GuestUpdateTime is meant in.",
    ),
    Setting(
        "Splay",
        _minutes(0, 1440),
        "Shift each workspace's window by an amount of its own, up to this, so that many do not "
        "wake at once. The length stays the same.",
    ),
    Setting(
        "MaxConcurrentStarts",
        Number(1, INT_MAX),
        "How many workspaces may be waking or being saved at the same time.",
    ),
    Setting(
        "MaxAwake",
        Number(0, INT_MAX),
        "How many workspaces may be awake for updates at the same time. 0: as many as memory "
        "allows.",
    ),
    Setting(
        "MemoryReserve",
        Number(0, INT_MAX, "MiB"),
        "Memory of the host that a wake must leave free.",
    ),
    Setting(
        "DiskReserve",
        Number(0, INT_MAX, "MiB"),
        "Disk space of the host that must stay free once the VM is saved again.",
    ),
    Setting(
        "GuestUseLimit",
        _minutes(0, INT_MAX),
        "How long the guest's own word that somebody uses it keeps it awake past the end.",
    ),
    Setting(
        "WakeHost",
        Switch(),
        "1: wake a sleeping host for the window, and let it sleep again after.",
    ),
    Setting(
        "CatchUp",
        Choice(CatchUp),
        "What happens after a window was missed altogether: never, make it up at the next-start "
        "of the host, or only once the last one is stale (CatchUpDays ago).",
    ),
    Setting(
        "CatchUpDays",
        Number(0, 3650, "days"),
        "After how many days without a window a workspace is stale, and status says so loudly.",
    ),
)

BY_NAME = {setting.name: setting for setting in SETTINGS}
BY_TOML = {setting.toml: setting for setting in SETTINGS}


def limits(values: dict[str, object]) -> Limits:
    """`Limits` from parsed values by their names in files; what is missing has its default."""
    known = {field.name for field in fields(Limits)}
    assert values.keys() <= known, values.keys() - known
    return Limits(**values)  # type: ignore[arg-type]  # the table's kinds hold the types


def unknown(name: str, spellings: Iterable[str]) -> str:
    """Why `name` is no setting, and which of `spellings` was probably meant."""
    right = BY_NAME.get(name) or BY_TOML.get(name) or BY_TOML.get(name.replace("-", "_").lower())
    near = [right.name, right.toml] if right else []
    near = [spelling for spelling in spellings if spelling in near] or _near(name, spellings)
    meant = f"; write {near[0]}" if near else "; `guestwake settings show` lists them all"
    return f"there is no setting of this name{meant}"


def _near(name: str, spellings: Iterable[str]) -> list[str]:
    from difflib import get_close_matches  # only when something is wrong: it costs 10 ms

    by_lower = {spelling.lower(): spelling for spelling in spellings}
    return [by_lower[hit] for hit in get_close_matches(name[:80].lower(), by_lower, n=1)]


def _guess_zone(raw: object) -> str:
    from zoneinfo import available_timezones

    near = _near(raw, available_timezones()) if isinstance(raw, str) else []
    return f"; did you mean {near[0]}?" if near else ""


def shown(raw: object) -> str:
    """A raw value for a sentence: cut, and nothing in it can break a log line or a terminal."""
    match raw:
        case str():
            return f'"{printable(raw[:60])}{"…" if len(raw) > 60 else ""}"'
        case bool():
            return str(raw).lower()
        case int() | float():
            # Python refuses to write out a number of thousands of digits.
            return "a number this large" if abs(raw) >= 10**15 else str(raw)
        case list():
            return "a list"
        case dict():
            return "a table"
    return printable(str(raw))[:60]


def printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?[0-9]{1,18}", text) is not None


def _days(value: object) -> list[int]:
    assert isinstance(value, frozenset)
    return sorted(value)
