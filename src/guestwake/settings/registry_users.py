"""What a user's registry last said, for the time in which it is not there.

Windows loads a user's keys at logon and takes them away at logoff. Loading them ourselves would
stand in the way of the next logon, so what was last seen is kept, a file for each user in the
state folder. A damaged one counts as empty until the user is there again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from guestwake.settings.registry_keys import RegKey, RegValue
from guestwake.settings.source import Layer, Problem
from guestwake.whole_file import write_whole

FOLDER = "users-registry"
_VERSION = 1

Trees = Mapping[Layer, RegKey | None]  # None: there was no such key


def read(state: Path, user: str) -> Trees:
    """Nothing where that user was never seen."""
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        stored = json.loads(_file(state, user).read_bytes())
        if stored["version"] == _VERSION:
            return {Layer(layer): _key(tree) for layer, tree in stored["layers"].items()}
    return {}


def write(state: Path, user: str, trees: Trees) -> tuple[Problem, ...]:
    """Whole or not at all; nothing where nothing is new. Returns why it could not."""
    if read(state, user) == trees:
        return ()
    file = _file(state, user)
    layers = {str(layer): tree and _plain(tree) for layer, tree in trees.items()}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        stored = {"version": _VERSION, "layers": layers}
        write_whole(file, json.dumps(stored, indent=1).encode())
    except OSError as err:
        sentence = f"what this user has set cannot be kept: {err.strerror}; free or repair it"
        return (Problem(str(file), None, sentence),)
    return ()


def _file(state: Path, user: str) -> Path:
    return state / FOLDER / f"{quote(user, safe='')}.json"


def _plain(key: RegKey) -> object:
    values = [[value.name, value.type, value.data.hex()] for value in key.values]
    return [key.name, values, [_plain(each) for each in key.keys], key.trouble]


def _key(plain: Any) -> RegKey | None:
    if plain is None:
        return None
    name, values, keys, trouble = plain
    if not isinstance(name, str) or not isinstance(trouble, str | None):
        raise TypeError("not text")
    return RegKey(name, tuple(map(_value, values)), tuple(filter(None, map(_key, keys))), trouble)


def _value(plain: Any) -> RegValue:
    name, type_, data = plain
    if not isinstance(name, str) or not isinstance(type_, int):
        raise TypeError("not the name and the type of a value")
    return RegValue(name, type_, bytes.fromhex(data))
