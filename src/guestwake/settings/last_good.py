"""What the machine policy last said that was good: it holds while the policy is broken.

Kept by file, as raw values, in the state folder. Reading never writes; `write` is for the wake
run, which may. A damaged store is reported and counts as empty.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from guestwake.settings.source import Entry, Problem
from guestwake.settings.table import BY_NAME, BadValue
from guestwake.whole_file import write_whole

FILE = "policy-last-good.json"
_VERSION = 1

Kept = Mapping[str, tuple[Entry, ...]]  # by the name of the part: a file, a registry key


def read(state: Path) -> tuple[Kept | None, tuple[Problem, ...]]:
    """None: there is something, and it is damaged."""
    file = state / FILE
    if not os.path.lexists(file):
        return {}, ()
    import json  # 5 ms: only where there is a machine policy

    try:
        return _decoded(json.loads(file.read_bytes())), ()
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as err:
        why = err.strerror if isinstance(err, OSError) else "it is damaged"
        sentence = f"the last good policy cannot be read ({why}); broken policies have none"
        return None, (Problem(str(file), None, sentence),)


def write(state: Path, kept: Kept) -> tuple[Problem, ...]:
    """Whole or not at all, also when the host dies meanwhile."""
    import json

    file = state / FILE
    try:
        state.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(_encoded(kept), indent=1).encode())
    except OSError as err:
        sentence = f"the last good policy cannot be kept: {err.strerror}; free or repair this place"
        return (Problem(str(file), None, sentence),)
    return ()


def _encoded(kept: Kept) -> object:
    return {
        "version": _VERSION,
        "files": {name: list(kept[name]) for name in kept},
    }


def _decoded(stored: Any) -> Kept:
    if stored["version"] != _VERSION:
        return {}
    files = stored["files"].items()
    kept = {name: tuple(_entry(*entry) for entry in entries) for name, entries in files}
    return {name: tuple(filter(_is_good, entries)) for name, entries in kept.items()}


def _entry(section: str | None, name: str, raw: object, place: str, spelling: str) -> Entry:
    texts = (name, place, spelling) if section is None else (section, name, place, spelling)
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("not text")
    return Entry(section, name, raw, place, spelling)


def _is_good(entry: Entry) -> bool:
    """The store may come from another version of Guestwake."""
    try:
        BY_NAME[entry.name].kind.parse(entry.raw)
    except (BadValue, KeyError):
        return False
    return True
