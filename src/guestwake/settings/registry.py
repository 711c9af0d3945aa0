"""Settings in Windows' registry: which keys make up a layer, and what their values say.

| layer | below |
|---|---|
| machine policy | HKLM\\SOFTWARE\\Policies\\Microsoft\\MEDV\\v2 |
| user policy | HKCU\\SOFTWARE\\Policies\\Microsoft\\MEDV\\v2 |
| machine | HKLM\\SOFTWARE\\Microsoft\\MEDV\\v2 |
| user | HKCU\\SOFTWARE\\Microsoft\\MEDV\\v2 |

General values stand there in the keys VM, UserExperience and Diagnostics, those of one workspace in
a subkey of these with the name or the UUID of its VM. Names count in any case, as everywhere in a
registry. Judges no value but for its registry type: the rest is the table's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from guestwake.paths import Paths
from guestwake.settings import registry_users
from guestwake.settings.registry_keys import (
    MACHINE,
    OURS,
    POLICIES,
    TYPES,
    WHO_CALLS,
    Registry,
    RegistryError,
    RegKey,
    RegValue,
)
from guestwake.settings.source import (
    BYTES_MAX,
    NO_SUCH_USER,
    USER_BYTES_MAX,
    Entry,
    Layer,
    Part,
    Problem,
    Unfit,
)
from guestwake.settings.table import BY_NAME, Key, Setting, printable, shown, unknown

BELOW = {
    Layer.MACHINE_POLICY: POLICIES,
    Layer.USER_POLICY: POLICIES,
    Layer.MACHINE: OURS,
    Layer.USER: OURS,
}
_USERS = (Layer.USER_POLICY, Layer.USER)
_KEYS = {key.lower(): key for key in Key}
_SETTINGS = {name.lower(): setting for name, setting in BY_NAME.items()}


class RegistrySource:
    """The layers of one workspace owner (None: a system workspace, which has no user layers).

    The registry of a user who is not logged on is not there: what it said when it was last seen
    counts until it is (`registry_users.py`).
    """

    def __init__(self, paths: Paths, owner: str | None, registry: Registry) -> None:
        self._paths, self._owner, self._registry = paths, owner, registry
        self._found: str | None = None  # where the owner's keys are

    def parts(self, layer: Layer) -> list[Part]:
        try:
            hive = self._hive(layer)
            if hive is None:
                return []
            root, tree = f"{hive}\\{BELOW[layer]}", self._tree(layer, hive)
        except RegistryError as err:
            trouble = Problem(f"owner {shown(self._owner)}", None, str(err))
            return [Part("owner", problems=(trouble,))] if layer is Layer.USER else []
        return [] if tree is None else parts(root, tree)

    def roots(self) -> list[str]:
        """The keys below which all of it lies."""
        try:
            hives = {layer: self._hive(layer) for layer in BELOW}
        except RegistryError:  # which is told by `parts`
            hives = {layer: MACHINE for layer in BELOW if layer not in _USERS}
        return [f"{hive}\\{BELOW[layer]}" for layer, hive in hives.items() if hive is not None]

    def signature(self) -> object:
        """All that is there: it is little, and a key's own time is too coarse to tell two changes
        apart."""
        return [self.parts(layer) for layer in BELOW]

    def section_of(self, name: str) -> str:
        return name.lower()

    def remember(self) -> tuple[Problem, ...]:
        """What the user layers say, for when they are not there."""
        try:
            hive = self._hive(Layer.USER)
            if hive is None or hive == WHO_CALLS:
                return ()
            if not self._registry.is_loaded(hive):
                return ()
            trees = {layer: self._read(layer, hive) for layer in _USERS}
            if not self._registry.is_loaded(hive):  # a logoff meanwhile
                return ()
        except RegistryError:
            return ()
        return registry_users.write(self._paths.state, str(self._owner), trees)

    def _hive(self, layer: Layer) -> str | None:
        """None: this owner has no such layer. Raises RegistryError."""
        if layer not in _USERS:
            return MACHINE
        if self._owner is None:
            return None
        if self._owner == self._paths.user:
            return WHO_CALLS
        self._found = self._found or self._registry.hive_of(self._owner)
        if self._found is None:
            raise RegistryError(NO_SUCH_USER)
        return self._found

    def _tree(self, layer: Layer, hive: str) -> RegKey | None:
        if layer not in _USERS:
            return self._read(layer, hive)
        if self._registry.is_loaded(hive):
            tree = self._read(layer, hive)
            if self._registry.is_loaded(hive):  # no logoff meanwhile
                return tree
        return registry_users.read(self._paths.state, str(self._owner)).get(layer)

    def _read(self, layer: Layer, hive: str) -> RegKey | None:
        most = USER_BYTES_MAX if layer is Layer.USER else BYTES_MAX
        return self._registry.read(f"{hive}\\{BELOW[layer]}", most)


def parts(root: str, tree: RegKey) -> list[Part]:
    """Of one layer: a part for each key that may hold values, and one for what has no business
    there."""
    if tree.trouble is not None:
        return [_broken(root, tree.trouble)]
    found: list[Part] = []
    strays = list(_values_elsewhere(root, tree))
    for key in tree.keys:
        known = _KEYS.get(key.name.lower())
        if known is None:
            sentence = f"there is no key of this name; values stand in {', '.join(Key)}"
            strays.append(_problem(root, key.name, sentence))
        else:
            found += _of_key(f"{root}\\{known}", known, key)
    return [Part(root, problems=tuple(strays)), *found] if strays else found


def _of_key(path: str, known: Key, key: RegKey) -> Iterator[Part]:
    """The general values, then those of each workspace."""
    yield _part(path, known, key, None)
    for below in key.keys:
        yield _part(f"{path}\\{below.name}", known, below, below.name.lower())


def _part(path: str, known: Key, key: RegKey, section: str | None) -> Part:
    if key.trouble is not None:
        return _broken(path, key.trouble)
    found = [_value(path, known, value, section) for value in key.values]
    if section is not None:
        sentence = "nothing is read so far below; values of a workspace stand in its own key"
        found += [_problem(path, below.name, sentence, section) for below in key.keys]
    return Part(
        path,
        entries=tuple(one for one in found if isinstance(one, Entry)),
        problems=tuple(one for one in found if isinstance(one, Problem)),
    )


def _broken(path: str, trouble: str) -> Part:
    return Part(path, problems=(_problem(path, None, trouble),), broken=True)


def _value(path: str, known: Key, value: RegValue, section: str | None) -> Entry | Problem:
    setting = _SETTINGS.get(value.name.lower())
    if setting is None or setting.key is not known:
        return _problem(path, value.name or "(Default)", _stray(value, setting), section)
    return Entry(section, setting.name, raw(value, setting), printable(path), setting.name)


def _values_elsewhere(root: str, tree: RegKey) -> Iterator[Problem]:
    for value in tree.values:
        sentence = _stray(value, _SETTINGS.get(value.name.lower()))
        yield _problem(root, value.name or "(Default)", sentence)


def _stray(value: RegValue, setting: Setting | None) -> str:
    if setting is None:
        return printable(unknown(value.name, BY_NAME))
    return f"its place is the key {setting.key}"


def _problem(path: str, name: str | None, sentence: str, section: str | None = None) -> Problem:
    return Problem(printable(path), name and printable(name[:60]), sentence, section)


# what a value says


def raw(value: RegValue, setting: Setting) -> object:
    """As the table's kinds take it; Unfit where not even its form will do."""
    wanted, is_ = setting.kind.registry, TYPES.get(value.type, f"value of type {value.type}")
    if is_ != wanted:
        return Unfit(f"it is a {is_}; it must be a {wanted}, {setting.kind.expects()}")
    try:
        return _READ[wanted](value.data)
    except ValueError as err:
        return Unfit(f"{err}; it must be {setting.kind.expects()}")


def _dword(data: bytes) -> int:
    if len(data) != 4:
        raise ValueError(f"it is a REG_DWORD of {len(data)} bytes instead of 4")
    return int.from_bytes(data, "little")


def _text(data: bytes) -> str:
    words = _decoded(data).rstrip("\0")
    if "\0" in words:
        raise ValueError("it goes on after a NUL, where other programs see its end")
    return words


def _texts(data: bytes) -> list[str]:
    words = _decoded(data).rstrip("\0")
    if "\0\0" in words or words.startswith("\0"):
        raise ValueError("it goes on after an empty text, where other programs see its end")
    return words.split("\0") if words else []


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-16-le")
    except UnicodeDecodeError:
        raise ValueError("it is no valid text (UTF-16)") from None


_READ: Mapping[str, Callable[[bytes], object]] = {
    "REG_DWORD": _dword,
    "REG_SZ": _text,
    "REG_MULTI_SZ": _texts,
}
