"""What the agent has in its user's menu: an entry for each published application of theirs.

Pure: it gets what services tell and which entries there are, and says which text each file is to
have. An entry carries who it is of: ours are known by their names and by that, and one that a
service published goes when that same service says so, never because it is silent. Titles and names
come from outside: cut and escaped here, in the words of the Desktop Entry Specification.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar

from guestwake.edges.text import cut

RELEVANT = frozenset(("Name", "Owner", "Applications", "Icons"))
SERVICES = ("session", "system")  # the buses that they are on; of two that publish one, the first
NO_ICON = "computer"  # every theme has it

_TITLE_MAX = 80  # characters
_NAME_MAX = 60
_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ID = "[a-z0-9][a-z0-9._-]{0,63}"
_FILE = re.compile(rf"guestwake-({_UUID})-({_ID})\.desktop")
_ICON_FILE = re.compile(rf"guestwake-{_UUID}-{_ID}-[0-9a-f]{{8}}\.(?:png|svg)")
_OF_WORKSPACE = "X-Guestwake-Workspace"
_OF_SERVICE = "X-Guestwake-Service"
_RESERVED = frozenset(" \t\n\"'\\><~|&;$*?#()`")
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}

_T = TypeVar("_T")
Texts = Mapping[str, str]  # of entries, by the names of their files


@dataclass(frozen=True, slots=True)
class Entry:
    """One application. `workspace`: its name. `icon_bytes` 0: it has no icon."""

    uuid: str
    workspace: str
    id: str
    title: str
    icon_bytes: int

    @property
    def file(self) -> str:
        return f"guestwake-{self.uuid}-{self.id}.desktop"

    def icon_file(self, icon: bytes, kind: str) -> str:
        """Another icon has another name: desktops keep what they have once read."""
        return f"guestwake-{self.uuid}-{self.id}-{sha256(icon).hexdigest()[:8]}.{kind}"


@dataclass(frozen=True, slots=True)
class Changes:
    write: dict[str, str]
    remove: list[str]


def entries_of(values: Mapping[str, object], user: str) -> tuple[Entry, ...] | None:
    """`values`: properties of a workspace. None: nobody can tell, as its service is an older one.
    A workspace of nobody's or of somebody else's has no entries for `user`, who may not open it."""
    uuid, name = str(values.get("Uuid")), str(values.get("Name"))
    published = values.get("Applications")
    if values.get("Owner") != user:
        return ()
    if not isinstance(published, list) or not re.fullmatch(_UUID, uuid):
        return None
    icons = dict(_pairs(values.get("Icons"), int))
    return tuple(
        Entry(uuid, name, each, title, icons.get(each, 0))
        for each, title in _pairs(published, str)
        if re.fullmatch(_ID, each)
    )


def text(entry: Entry, service: str, program: Sequence[str], icon: str) -> str:
    """All of its file. `program`: the words that call guestwake. `icon`: a name or a path."""
    workspace = cut(entry.workspace, _NAME_MAX)
    values = {
        "Type": "Application",
        "Version": "1.0",
        "Name": f"{cut(entry.title, _TITLE_MAX)} ({workspace})",
        "Comment": f"In the virtual machine '{workspace}'",
        "Exec": " ".join(map(_argument, (*program, "open", entry.uuid, entry.id))),
        "TryExec": program[0],
        "Icon": icon,
        "Terminal": "false",
        "Categories": "System;Emulator;",
        _OF_WORKSPACE: entry.uuid,
        _OF_SERVICE: service,
    }
    lines = (f"{key}={_value(value)}\n" for key, value in values.items())
    return "".join(("[Desktop Entry]\n", *lines))


def uuid_in(file: str) -> str | None:
    """Of the workspace that an entry of that name is of; None: it is none of ours."""
    match = _FILE.fullmatch(file)
    return match[1] if match else None


def is_ours(file: str, text: str) -> bool:
    uuid = uuid_in(file)
    return uuid is not None and _said(text, _OF_WORKSPACE) == uuid


def is_icon(file: str) -> bool:
    return _ICON_FILE.fullmatch(file) is not None


def service_of(text: str) -> str:
    """Who published it."""
    return _said(text, _OF_SERVICE)


def changes(there: Texts, wanted: Mapping[str, Texts], doubtful: Collection[str]) -> Changes:
    """`there`: those of ours that there are. `wanted`: by service, of all that were heard.
    `doubtful`: files of which nobody can tell whether they are wanted."""
    all_: dict[str, str] = {}
    for service in SERVICES:
        all_ = {**wanted.get(service, {}), **all_}
    heard = {file for file, said in there.items() if service_of(said) in wanted}
    return Changes(
        {
            file: said
            for file, said in all_.items()
            if (file not in there or file in heard) and there.get(file) != said
        },
        [file for file in there if file in heard and file not in all_ and file not in doubtful],
    )


def unused_icons(files: Collection[str], there: Texts) -> list[str]:
    """Of the files beside ours, the icons that no entry shows any more."""
    shown = {_said(said, "Icon").rpartition("/")[2] for said in there.values()}
    return [file for file in files if is_icon(file) and file not in shown]


def _pairs(found: object, second: type[_T]) -> Iterator[tuple[str, _T]]:
    for each in found if isinstance(found, list) else ():
        if isinstance(each, list | tuple) and len(each) == 2:
            one, other = each
            if isinstance(one, str) and isinstance(other, second):
                yield one, other


def _said(text: str, key: str) -> str:
    """The value of that key, as it is written; empty: there is none."""
    lines = text.split("\n")
    return next((line.partition("=")[2] for line in lines if line.startswith(f"{key}=")), "")


def _argument(word: str) -> str:
    """As Exec has it, before it is written as a value."""
    word = word.replace("%", "%%")
    if _RESERVED.isdisjoint(word) and word:
        return word
    return '"' + re.sub(r'(["`$\\])', r"\\\1", word) + '"'


def _value(text: str) -> str:
    """One line, whatever is in it."""
    said = "".join(_ESCAPES.get(each, each) for each in text)
    return f"\\s{said[1:]}" if said.startswith(" ") else said
