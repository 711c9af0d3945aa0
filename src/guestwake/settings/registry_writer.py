"""Writes settings into Windows' registry, where and as they are read.

One value after the other: what is refused in the middle leaves those before it.
"""

from __future__ import annotations

from collections.abc import Sequence

from guestwake.paths import Paths
from guestwake.settings.registry import BELOW, parts
from guestwake.settings.registry_keys import (
    MACHINE,
    NAME_CHARS_MAX,
    WHO_CALLS,
    Registry,
    RegistryError,
    RegKey,
    RegValue,
    dword,
    text,
    texts,
)
from guestwake.settings.source import BYTES_MAX, Edit, Entry, Layer, NotWritten
from guestwake.settings.table import Setting, printable


class RegistryWriter:
    """Of one layer: all its keys. That of a user is written by the user alone."""

    def __init__(self, paths: Paths, layer: Layer, owner: str | None, registry: Registry) -> None:
        if layer is Layer.USER and owner != paths.user:
            raise NotWritten(f"the settings of '{owner}' are theirs to change, where they log on")
        self._registry = registry
        self._root = f"{WHO_CALLS if layer is Layer.USER else MACHINE}\\{BELOW[layer]}"

    @property
    def place(self) -> str:
        return self._root

    def holds(self, place: str) -> bool:
        return f"{place}\\".startswith(f"{printable(self._root)}\\")

    def entries(self) -> list[Entry]:
        return [entry for part in parts(self._root, self._tree()) for entry in part.entries]

    def sections(self) -> list[str]:
        return list(dict.fromkeys(each.name for key in self._tree().keys for each in key.keys))

    def section_of(self, name: str) -> str:
        return name.lower()

    def can_name(self, section: str) -> bool:
        """Whether it can be the name of a key."""
        return 0 < len(section) <= NAME_CHARS_MAX and not {"\\", "\0"} & set(section)

    def write(self, edits: Sequence[Edit]) -> None:
        for edit in edits:
            path = f"{self._root}\\{edit.setting.key}"
            if edit.section is not None:
                path += f"\\{edit.section}"
            try:
                if edit.value is None:
                    self._registry.delete(path, edit.setting.name)
                    if edit.section is not None:
                        self._registry.delete_empty(path)
                else:
                    self._registry.write(path, value(edit.setting, edit.value))
            except RegistryError as err:
                raise NotWritten(f"{printable(path)}: {err}") from err

    def _tree(self) -> RegKey:
        """Raises NotWritten where a part of it would not be read."""
        tree = self._registry.read(self._root, BYTES_MAX) or RegKey("")
        for part in parts(self._root, tree):
            if part.broken:
                raise NotWritten(f"{part.problems[0]}; nothing was written")
        return tree


def value(setting: Setting, plain: object) -> RegValue:
    """`plain`: as JSON has it, one that the table has passed."""
    match setting.kind.registry, plain:
        case "REG_DWORD", int():
            return dword(setting.name, plain)
        case "REG_SZ", str():
            return text(setting.name, plain)
        case "REG_MULTI_SZ", str():
            return texts(setting.name, [plain])
        case "REG_MULTI_SZ", list():
            return texts(setting.name, plain)
    raise AssertionError(f"{setting.name}: {plain!r}")
