"""What a source of settings hands out: raw values with their places, layer by layer.

Files are one source, the registry another. A source knows how its values are spelled and where
they lie; it judges neither types nor ranges, and does not know which layer wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from guestwake.settings.table import Setting


class Layer(StrEnum):
    """Where a value came from, the strongest first."""

    COMMAND_LINE = "command line"
    MACHINE_POLICY = "machine policy"
    USER_POLICY = "user policy"
    MACHINE = "machine"
    USER = "user"
    DEFAULT = "default"


# All of one layer together; what an ordinary user wrote is also read by the host's service.
BYTES_MAX = 1024 * 1024
USER_BYTES_MAX = 64 * 1024

NO_SUCH_USER = "this host has no such user; no settings of this user are read"

SEARCHED = (Layer.MACHINE_POLICY, Layer.USER_POLICY, Layer.MACHINE, Layer.USER)


def section_of(name: str) -> str:
    """UUIDs are the same in capitals; names are not."""
    return name.lower() if is_uuid(name.lower()) else name


def is_uuid(text: str) -> bool:
    """In the one way in which it is written here."""
    return re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text) is not None


class Problem(NamedTuple):
    """One thing that is wrong, for a person: where, with what, and the remedy."""

    place: str  # FILE:LINE, FILE or a registry path
    setting: str | None  # as it is spelled there; None: the file as a whole
    sentence: str
    section: str | None = None  # the workspace's section it stands in; None: concerns all

    def __str__(self) -> str:
        where = f"{self.place}: {self.setting}" if self.setting else self.place
        return f"{where}: {self.sentence}"


class Unfit(NamedTuple):
    """What stands in the place of a raw value that the source itself refuses, such as a wrong type
    of the registry. The rest of a sentence that begins with the setting's name."""

    sentence: str


class NotWritten(Exception):
    """It stays as it was: a sentence that names the place, with the remedy."""


class Edit(NamedTuple):
    """One value to be changed. `section`: of a workspace; None: the general value. `value`: as JSON
    has it; None: take it out."""

    section: str | None
    setting: Setting
    value: object | None


class Entry(NamedTuple):
    """One value as it was found. `section` None: for all workspaces."""

    section: str | None
    name: str  # CamelCase, one that the table has
    raw: object
    place: str
    spelling: str  # how this source spells the name


class Part(NamedTuple):
    """One file of a layer, or one key of the registry."""

    name: str  # its path: stable from one look to the next
    entries: tuple[Entry, ...] = ()
    problems: tuple[Problem, ...] = ()
    broken: bool = False  # it is there, and what it says could not be read at all


class Source(Protocol):
    def parts(self, layer: Layer) -> list[Part]:
        """Weakest first: a later part's value wins inside the layer. Never raises for what is in
        the files; a part that is not there is left out."""
        ...

    def signature(self) -> object:
        """Equal to an earlier one as long as nothing was changed. Cheap."""
        ...

    def section_of(self, name: str) -> str:
        """The name or UUID of a VM as it is compared with sections."""
        ...

    def remember(self) -> tuple[Problem, ...]:
        """Keep what cannot be looked at when its user is not there. Returns why it could not."""
        ...


class Watch(Protocol):
    """Tells when settings change, from a thread of its own. Never what."""

    def keep(self, owners: Iterable[str]) -> None:
        """Of the machine and of these users, from now on."""
        ...

    def close(self) -> None: ...


class Writer(Protocol):
    """Of the one place of a layer that is written to. Raises NotWritten where it is not to be
    changed."""

    @property
    def place(self) -> str:
        """Of all that it writes: a file, a key of the registry."""
        ...

    def holds(self, place: str) -> bool:
        """Whether the place of a value is this one."""
        ...

    def entries(self) -> Iterable[Entry]: ...

    def sections(self) -> Sequence[str]:
        """Of workspaces, as they are spelled there."""
        ...

    def section_of(self, name: str) -> str:
        """As the source has it."""
        ...

    def can_name(self, section: str) -> bool:
        """Whether a new section may have this name; else it gets the UUID."""
        ...

    def write(self, edits: Sequence[Edit]) -> None: ...
