"""The text of one TOML file with values changed; all else in it stays as somebody wrote it.

The file is cut where its tables begin, and only the piece that the value stands in is given to
tomlkit, which keeps comments and layout. Afterwards the whole is read again: what does not say
exactly what was wanted, and all else as before, is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from guestwake.settings.source import Edit
from guestwake.settings.toml_text import statements

_HEADER = r"\[[^#\n]*\]\s*"  # without a comment


class CannotEdit(ValueError):
    """It is written in a way that can only be changed by hand."""


def edited(text: str, edits: Iterable[Edit]) -> str:
    """`text` is valid TOML with plain line ends; sections are spelled as there. Raises
    CannotEdit."""
    for edit in edits:
        wanted, new = _wanted(text, edit), _edited(text, edit)
        if _read(new) != wanted:
            raise CannotEdit(edit.setting.toml)
        text = new
    return text


def sections(text: str) -> list[str]:
    """Of workspaces, as they are spelled there."""
    found = _plain(text).get("workspace")
    tables = found.items() if isinstance(found, dict) else ()
    return [name for name, one in tables if isinstance(one, dict)]


def _table(edit: Edit) -> tuple[str, ...]:
    return () if edit.section is None else ("workspace", edit.section)


def _edited(text: str, edit: Edit) -> str:
    pieces = [*_pieces(text)]
    holds = [(*_table(edit), edit.setting.toml)]
    if edit.value is not None:
        holds.append(_table(edit))
    at = next((n for path in holds for n, one in enumerate(pieces) if _has(one, path)), None)
    if at is None and edit.value is None:
        return text
    if at is None:
        while pieces[-1] and not pieces[-1][-1].strip():
            pieces[-1].pop()
        if text.strip():
            pieces[-1].append("")
        pieces.append([f"[workspace.{_key(edit.section or '')}]", _line(edit), ""])
    else:
        is_new = not any(line.strip() for line in pieces[at])
        pieces[at] = _changed(pieces[at], edit)
        if is_new and pieces[at][-1].strip() and at + 1 < len(pieces):
            pieces[at].append("")
    lines = [line for piece in pieces for line in piece]
    return "\n".join(lines if not lines or not lines[-1].strip() else [*lines, ""])


# pieces: the lines of the top, and of each table with the comment right above it


def _pieces(text: str) -> Iterator[list[str]]:
    piece: list[str] = []
    for _, statement in statements(text):
        if statement.lstrip().startswith("["):
            above: list[str] = []
            while piece and piece[-1].lstrip().startswith("#"):
                above.insert(0, piece.pop())
            yield piece
            piece = above
        piece.append(statement)
    yield piece


def _has(piece: list[str], path: tuple[str, ...]) -> bool:
    """Whether that value or table is written in this piece. The top has the general values."""
    at: object = _plain("\n".join(piece))
    if not path:
        return not any(line.lstrip().startswith("[") for line in piece)
    for name in path:
        if not isinstance(at, dict) or name not in at:
            return False
        at = at[name]
    return True


def _changed(piece: list[str], edit: Edit) -> list[str]:
    """Empty: nothing is left of it but its header."""
    import tomlkit  # 30 ms: only where something is changed

    end = len(piece)
    while end and not piece[end - 1].strip():
        end -= 1
    document = tomlkit.parse("".join(f"{line}\n" for line in piece[:end]))
    table: Any = document
    for name in _table(edit):
        table = table[name]
    if edit.value is None:
        del table[edit.setting.toml]
    else:
        table[edit.setting.toml] = edit.value
    lines = tomlkit.dumps(document).rstrip("\n").split("\n")
    if edit.value is None and edit.section is not None and re.fullmatch(_HEADER, "\n".join(lines)):
        return []
    return [*(lines if lines != [""] else []), *piece[end:]]


def _line(edit: Edit) -> str:
    import tomlkit

    return f"{edit.setting.toml} = {tomlkit.item(edit.value).as_string()}"


def _key(name: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_-]+", name):
        return name
    return json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")


# what it says


def _plain(text: str) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(text)


def _read(text: str) -> dict[str, Any] | None:
    """Without tables that are empty. None: it is no TOML any more."""
    try:
        return _pruned(_plain(text))
    except ValueError:
        return None


def _wanted(text: str, edit: Edit) -> dict[str, Any]:
    """Raises CannotEdit where something else stands in the place of a table."""
    whole = _plain(text)
    table = whole
    for name in _table(edit):
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise CannotEdit(edit.setting.toml)
    if edit.value is None:
        table.pop(edit.setting.toml, None)
    else:
        table[edit.setting.toml] = edit.value
    return _pruned(whole)


def _pruned(table: dict[str, Any]) -> dict[str, Any]:
    values = {k: _pruned(v) if isinstance(v, dict) else v for k, v in table.items()}
    return {name: value for name, value in values.items() if value != {}}
