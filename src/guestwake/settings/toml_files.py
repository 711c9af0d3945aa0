"""Settings in TOML files: which files make up a layer, who may write them, on which line what is.

Values for all workspaces stand at the top of a file, those for one in `[workspace.NAME]` (name
or UUID of the VM). A file that cannot be read as a whole is reported and never half taken.
Judges no value: that is the table's.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from datetime import time
from pathlib import Path
from typing import NamedTuple

from guestwake.paths import Administrators, Paths, PathsError
from guestwake.settings.source import Entry, Layer, Part, Problem
from guestwake.settings.table import BY_TOML, printable, shown, unknown

# All files of one layer together; what an ordinary user wrote is also read by root's service.
BYTES_MAX = 1024 * 1024
USER_BYTES_MAX = 64 * 1024
LINE_CHARS_MAX = 4096  # a key of thousands of dotted parts would keep the parser busy for seconds


class _Place(NamedTuple):
    """The files of one layer and whose they must be."""

    folders: tuple[Path, ...]  # that others must not be able to write to, outermost first
    file: Path | None  # read first; need not exist
    drop_ins: Path  # *.toml in it, in lexical order, the later wins; need not exist
    owners: Administrators  # or the user alone
    bytes_max: int = BYTES_MAX


class TomlFiles:
    """The layers of one workspace owner (None: a system workspace, which has no user layers).

    The owner is looked up once. Files are opened without following a symbolic link and without
    waiting, so that neither a link nor a pipe in a user's folder leads or holds the service.
    """

    def __init__(self, paths: Paths, owner: str | None) -> None:
        self._paths, self._owner = paths, owner
        self._user_config: Path | None = None
        self._trouble: Problem | None = None
        if owner is not None:
            try:
                self._user_config = paths.user_config_dir(owner)
            except PathsError as err:
                self._trouble, self._owner = Problem("owner", None, str(err)), None
            else:
                if self._user_config is None:
                    sentence = "this host has no such user; no settings of this user are read"
                    self._trouble = Problem(f"owner {shown(owner)}", None, sentence)

    def parts(self, layer: Layer) -> list[Part]:
        trouble = layer is Layer.USER and self._trouble
        parts = [Part("owner", problems=(trouble,))] if trouble else []
        place = self._place(layer)
        return parts + (_read_layer(place) if place else [])

    def signature(self) -> object:
        places = [self._place(layer) for layer in Layer]
        return [_signature(place) for place in places if place]

    def _place(self, layer: Layer) -> _Place | None:
        paths, owner = self._paths, self._owner
        match layer:
            case Layer.MACHINE_POLICY:
                return self._admins(None, paths.policy_dir)
            case Layer.USER_POLICY if owner is not None:
                return self._admins(None, paths.user_policy_dir(owner))
            case Layer.MACHINE:
                folder = paths.config / "guestwake.toml.d"
                return self._admins(paths.config / "guestwake.toml", folder)
            case Layer.USER if self._user_config is not None:
                return self._users(self._user_config)
            case _:
                return None

    def _admins(self, file: Path | None, drop_ins: Path) -> _Place:
        config = self._paths.config
        above = [folder for folder in drop_ins.parents if folder.is_relative_to(config)]
        folders = (*reversed(above), drop_ins)
        return _Place(folders, file, drop_ins, self._paths.administrators())

    def _users(self, config: Path) -> _Place:
        """A user's settings must be the user's own: a link to somebody else's file would show
        its contents in our messages. Whom a home belongs to, its folder says."""
        home = config.parent if config == self._paths.own_config else config.parents[1]
        try:
            uids = frozenset({home.stat().st_uid})
        except OSError:
            uids = frozenset()
        owners = Administrators(uids, frozenset())
        file, drop_ins = config / "guestwake.toml", config / "guestwake.toml.d"
        return _Place((), file, drop_ins, owners, USER_BYTES_MAX)


def _read_layer(place: _Place) -> list[Part]:
    parts: list[Part] = []
    left = place.bytes_max
    try:
        for folder in place.folders:
            _check_folder(folder, place.owners)
        files = _files(place)
    except _UnreadableError as err:
        return [broken(str(err.path), err.sentence)]
    for file in files:
        try:
            data = _read(file, place, left)
        except FileNotFoundError:
            continue  # never there, or gone since the listing
        except _UnreadableError as err:
            parts.append(broken(str(file), err.sentence))
            continue
        left -= len(data)
        parts.append(parse(str(file), data))
    return parts


class _UnreadableError(Exception):
    def __init__(self, path: Path, sentence: str) -> None:
        super().__init__(sentence)
        self.path, self.sentence = path, sentence


def _check_folder(folder: Path, owners: Administrators) -> None:
    try:
        status = folder.stat()
    except FileNotFoundError:
        return
    except OSError as err:
        raise _UnreadableError(folder, _why(err)) from err
    if not stat.S_ISDIR(status.st_mode):
        raise _UnreadableError(folder, "this must be a folder")
    _check_writers(folder, status, owners)


def _check_writers(path: Path, status: os.stat_result, owners: Administrators) -> None:
    if status.st_uid not in owners.uids:
        sentence = f"not read: it belongs to user id {status.st_uid}; it must belong to root"
        raise _UnreadableError(path, f"{sentence} (chown root)")
    by_group = status.st_mode & stat.S_IWGRP and status.st_gid not in owners.gids
    if by_group or status.st_mode & stat.S_IWOTH:
        sentence = "not read: others than its owner may write to it (remedy: chmod go-w)"
        raise _UnreadableError(path, sentence)


def _files(place: _Place) -> list[Path]:
    """Hidden files (an editor's locks) and other endings are not settings."""
    try:
        names = os.listdir(place.drop_ins)
    except FileNotFoundError:
        names = []
    except OSError as err:
        raise _UnreadableError(place.drop_ins, _why(err)) from err
    names = sorted(n for n in names if n.endswith(".toml") and not n.startswith("."))
    return ([place.file] if place.file else []) + [place.drop_ins / name for name in names]


def _read(file: Path, place: _Place, bytes_left: int) -> bytes:
    """Raises FileNotFoundError, _UnreadableError."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _check_file(file, os.fstat(descriptor), place)
            with open(descriptor, "rb", closefd=False) as stream:
                data = stream.read(bytes_left + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise
    except OSError as err:
        raise _UnreadableError(file, _why(err)) from err
    if len(data) > bytes_left:
        limit = f"{place.bytes_max // 1024} KiB"
        raise _UnreadableError(file, f"not read: the files here may have {limit} in all")
    return data


def _check_file(file: Path, status: os.stat_result, place: _Place) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _UnreadableError(file, "not read: this must be a plain file")
    if place.folders:
        _check_writers(file, status, place.owners)
    elif status.st_uid not in place.owners.uids:
        raise _UnreadableError(file, "not read: it must belong to the user in whose home it is")


def _why(err: OSError) -> str:
    match err.errno:
        case errno.ELOOP:
            return "not read: this is a symbolic link; put the file itself here"
        case errno.EACCES | errno.EPERM:
            return "this process is not allowed to read it"
        case errno.ENOTDIR:
            return "this must be a folder"
    return f"it cannot be read: {err.strerror}"


def _signature(place: _Place) -> object:
    try:
        files = _files(place)
    except _UnreadableError:
        files = []
    return [(path, _stamp(path)) for path in (*place.folders, place.drop_ins, *files)]


def _stamp(path: str | Path) -> object:
    try:
        status = os.lstat(path)
    except OSError as err:
        return err.errno
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size


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
    for number, statement in _statements(text):
        keys = list(_keys(tomllib.loads(statement), 3))
        if statement.lstrip().startswith("["):
            header = keys[-1]
            lines.setdefault(header, number)
        else:
            for key in keys:
                lines.setdefault(header + key, number)
    return lines


def _statements(text: str) -> Iterator[tuple[int, str]]:
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
