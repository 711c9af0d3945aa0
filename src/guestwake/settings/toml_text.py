"""The text of one TOML file: its values with their lines, and what is wrong with its form.

Values for all workspaces stand at the top, those for one in `[workspace.NAME]` (name or UUID of
the VM). Judges no value: that is the table's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import time
from typing import NamedTuple

from guestwake.settings.source import Entry, Part, Problem
from guestwake.settings.table import BY_TOML, printable, unknown

LINE_CHARS_MAX = 4096  # a key of thousands of dotted parts would keep the parser busy for seconds


def broken(file: str, sentence: str, line: int | None = None) -> Part:
    return Part(file, problems=(Problem(_at(file, line), None, sentence),), broken=True)


def _at(file: str, line: int | None) -> str:
    return f"{printable(file)}:{line}" if line else printable(file)


def parse(file: str, data: bytes) -> Part:
    """One file. Its name serves only for the places."""
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as err:
        line = data.count(b"\n", 0, err.start) + 1
        return broken(file, "the file is not UTF-8; save it as UTF-8", line)
    for line, content in enumerate(text.split("\n"), 1):
        if len(content) > LINE_CHARS_MAX:
            return broken(file, f"the line is longer than {LINE_CHARS_MAX} characters", line)
    import tomllib  # 20 ms: only where there is a file at all

    try:
        document = tomllib.loads(text)
    except RecursionError:
        return broken(file, "the brackets are nested too deeply")
    except ValueError as err:
        return broken(file, f"this is not valid TOML: {_reason(err)}", _error_line(err, text))
    return _Document(file, key_lines(text)).part(document)


def _reason(err: ValueError) -> str:
    """tomllib's words without its position, which the place already says."""
    return printable(re.sub(r" \(at [^)]*\)$", "", str(err)))[:200]


def _error_line(err: ValueError, text: str) -> int | None:
    if found := re.search(r"\(at line (\d+), column \d+\)$", str(err)):
        return int(found[1])
    if str(err).endswith("(at end of document)"):
        return text.rstrip("\n").count("\n") + 1
    return None


class _Document(NamedTuple):
    file: str
    lines: dict[tuple[str, ...], int]

    def part(self, document: dict[str, object]) -> Part:
        found = list(self._top(document))
        return Part(
            self.file,
            entries=tuple(one for one in found if isinstance(one, Entry)),
            problems=tuple(one for one in found if isinstance(one, Problem)),
        )

    def _top(self, document: dict[str, object]) -> Iterator[Entry | Problem]:
        for name, raw in document.items():
            if name == "workspace":
                yield from self._workspaces(raw)
            elif isinstance(raw, dict | list) and name not in BY_TOML and _is_table(raw):
                sentence = "there is no table of this name; write [workspace.NAME]"
                yield self._problem((name,), name, sentence)
            else:
                yield self._value(None, name, raw, (name,))

    def _workspaces(self, raw: object) -> Iterator[Entry | Problem]:
        path = ("workspace",)
        if not isinstance(raw, dict):
            yield self._problem(path, "workspace", "must be a table; write [workspace.NAME]")
            return
        for section, values in raw.items():
            if not isinstance(values, dict):
                sentence = "name the workspace first: write [workspace.NAME] above this line"
                problem = self._problem((*path, section), section, sentence)
                yield problem if section in BY_TOML else problem._replace(section=section)
                continue
            for name, value in values.items():
                yield self._value(section, name, value, (*path, section, name))

    def _value(
        self, section: str | None, name: str, raw: object, path: tuple[str, ...]
    ) -> Entry | Problem:
        setting = BY_TOML.get(name)
        if setting:
            raw = _as_text(raw) if isinstance(raw, time) else raw
            return Entry(section, setting.name, raw, self._place(path), name)
        sentence = unknown(name, BY_TOML)
        if section is not None and isinstance(raw, dict):
            whole = f"{section}.{name}"
            sentence = f'no such table; if the workspace is called {whole}, quote it: "{whole}"'
        return self._problem(path, name, printable(sentence))._replace(section=section)

    def _problem(self, path: tuple[str, ...], name: str, sentence: str) -> Problem:
        return Problem(self._place(path), printable(name[:60]), sentence)

    def _place(self, path: tuple[str, ...]) -> str:
        return _at(self.file, self.lines.get(path))


def _is_table(raw: object) -> bool:
    return isinstance(raw, dict) or (isinstance(raw, list) and any(map(_is_table, raw[:1])))


def _as_text(raw: time) -> str:
    """TOML's own 07:05:00 is as good as "07:05"; one with seconds stays one, for the table to
    refuse."""
    return raw.isoformat("minutes" if not raw.second and not raw.microsecond else "auto")


# What matters for where a statement of *valid* TOML ends: strings and comments, which may hold
# brackets, then brackets, within which a line's end does not count.
_TOKENS = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'"
    r"|#[^\n]*"
    r"|[\[{]|[\]}]|\n",
    re.DOTALL,
)


def key_lines(text: str) -> dict[tuple[str, ...], int]:
    """On which line each key stands (tomllib does not tell), down to three levels.

    `text` is valid TOML with plain line ends. Each statement is cut out and given to tomllib by
    itself, so that spellings of keys are its business alone.
    """
    import tomllib

    lines: dict[tuple[str, ...], int] = {}
    header: tuple[str, ...] = ()
    for number, statement in statements(text):
        keys = list(_keys(tomllib.loads(statement), 3))
        if statement.lstrip().startswith("["):
            header = keys[-1]
            lines.setdefault(header, number)
        else:
            for key in keys:
                lines.setdefault(header + key, number)
    return lines


def statements(text: str) -> Iterator[tuple[int, str]]:
    """Each statement with the number of its first line; blank lines and comments count too."""
    start = depth = 0
    number = 1
    for token in _TOKENS.finditer(text + "\n"):
        match token[0]:
            case "[" | "{":
                depth += 1
            case "]" | "}":
                depth -= 1
            case "\n" if depth == 0:
                statement = text[start : token.start()]
                yield number, statement
                number += statement.count("\n") + 1
                start = token.end()


def _keys(table: dict[str, object], levels: int) -> Iterator[tuple[str, ...]]:
    for key, value in table.items():
        yield (key,)
        if isinstance(value, dict) and levels > 1:
            yield from ((key, *rest) for rest in _keys(value, levels - 1))
