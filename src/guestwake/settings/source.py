"""What a source of settings hands out: raw values with their places, layer by layer.

Files are one source, the registry another. A source knows how its values are spelled and where
they lie; it judges neither types nor ranges, and does not know which layer wins.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, Protocol


class Layer(StrEnum):
    """Where a value came from, the strongest first."""

    COMMAND_LINE = "command line"
    MACHINE_POLICY = "machine policy"
    USER_POLICY = "user policy"
    MACHINE = "machine"
    USER = "user"
    DEFAULT = "default"


SEARCHED = (Layer.MACHINE_POLICY, Layer.USER_POLICY, Layer.MACHINE, Layer.USER)


class Problem(NamedTuple):
    """One thing that is wrong, for a person: where, with what, and the remedy."""

    place: str  # FILE:LINE, FILE or a registry path
    setting: str | None  # as it is spelled there; None: the file as a whole
    sentence: str
    section: str | None = None  # the workspace's section it stands in; None: concerns all

    def __str__(self) -> str:
        where = f"{self.place}: {self.setting}" if self.setting else self.place
        return f"{where}: {self.sentence}"


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
        """Equal to an earlier one as long as nothing was changed. Cheap: reads no contents."""
        ...
