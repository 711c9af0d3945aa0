"""A registry in memory: names in any case, keys made on the way, users who log on and off."""

from __future__ import annotations

from dataclasses import dataclass, field

from guestwake.settings.registry_keys import RegistryError, RegKey, RegValue


@dataclass
class _Node:
    name: str
    values: dict[str, RegValue] = field(default_factory=dict)
    keys: dict[str, _Node] = field(default_factory=dict)
    trouble: str | None = None

    def frozen(self) -> RegKey:
        if self.trouble:
            return RegKey(self.name, trouble=self.trouble)
        keys = tuple(each.frozen() for each in self.keys.values())
        return RegKey(self.name, tuple(self.values.values()), keys)


class MemoryRegistry:
    """`users`: to the SIDs of those whom this host knows. `away`: the SIDs of those of them who are
    not logged on."""

    def __init__(self, **users: str) -> None:
        self.users, self.away = users, set[str]()
        self.domain_answers = True
        self._top = _Node("")

    def read(self, path: str, bytes_max: int) -> RegKey | None:
        if path.split("\\")[1] in self.away:
            return None
        node = self._find(path)
        return node.frozen() if node else None

    def write(self, path: str, value: RegValue) -> None:
        node = self._top
        for name in path.split("\\"):
            node = node.keys.setdefault(name.lower(), _Node(name))
            if node.trouble:
                raise RegistryError(node.trouble)
        node.values[value.name.lower()] = value

    def delete(self, path: str, name: str) -> None:
        if node := self._find(path):
            node.values.pop(name.lower(), None)

    def delete_empty(self, path: str) -> None:
        above, _, name = path.rpartition("\\")
        node, parent = self._find(path), self._find(above)
        if node and parent and not node.values and not node.keys:
            del parent.keys[name.lower()]

    def hive_of(self, user: str) -> str | None:
        if not self.domain_answers:
            raise RegistryError("this user cannot be looked up now: the domain is silent")
        return f"HKU\\{self.users[user]}" if user in self.users else None

    def is_loaded(self, hive: str) -> bool:
        return hive.rpartition("\\")[2] not in self.away

    # what tests do to it

    def forbid(self, path: str, why: str = "this process is not allowed to have it read") -> None:
        node = self._find(path)
        assert node, path
        node.trouble = why

    def allow(self, path: str) -> None:
        node = self._find(path)
        assert node, path
        node.trouble = None

    def remove(self, path: str) -> None:
        above, _, name = path.rpartition("\\")
        parent = self._find(above)
        assert parent, path
        del parent.keys[name.lower()]

    def _find(self, path: str) -> _Node | None:
        node: _Node | None = self._top
        for name in path.lower().split("\\"):
            node = node.keys.get(name) if node else None
        return node
