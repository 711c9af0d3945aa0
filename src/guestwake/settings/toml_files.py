"""Settings in TOML files: which files make up a layer, and who may write them.

A file that may not count or cannot be read is reported and never half taken. What stands in one
is `toml_text.py`'s to tell.
"""

from __future__ import annotations

import errno
import os
import stat
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

from guestwake.paths import Administrators, Paths, PathsError
from guestwake.settings.source import (
    BYTES_MAX,
    NO_SUCH_USER,
    USER_BYTES_MAX,
    Layer,
    Part,
    Problem,
    section_of,
)
from guestwake.settings.table import shown
from guestwake.settings.toml_text import broken, parse

_NOT_THE_USERS = "not read: it must belong to the user in whose home it is"


class Place(NamedTuple):
    """The files of one layer and whose they must be."""

    folders: tuple[Path, ...]  # that others must not be able to write to, outermost first
    file: Path | None  # read first; need not exist
    drop_ins: Path  # *.toml in it, in lexical order, the later wins; need not exist
    owners: Administrators  # or the user alone
    bytes_max: int = BYTES_MAX


class TomlFiles:
    """The layers of one workspace owner (None: a system workspace, which has no user layers).

    The owner is looked up once, and one whom nobody knows again for each signature: a service may
    start before the users are known (LDAP). Files are opened without following a symbolic link
    and without waiting, so that neither a link nor a pipe in a user's folder leads or holds the
    service.
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
                    self._trouble = Problem(f"owner {shown(owner)}", None, NO_SUCH_USER)

    def parts(self, layer: Layer) -> list[Part]:
        trouble = layer is Layer.USER and self._trouble
        parts = [Part("owner", problems=(trouble,))] if trouble else []
        place = self.place(layer)
        return parts + (_read_layer(place) if place else [])

    def signature(self) -> object:
        return [*map(_signature, self._places), self._is_unknown()]

    def section_of(self, name: str) -> str:
        return section_of(name)

    def remember(self) -> tuple[Problem, ...]:
        return ()  # files are there whoever is logged on

    def _is_unknown(self) -> bool:
        """Whether the owner is no user of this host, and is still not one."""
        if self._owner is None or self._user_config is not None:
            return False
        return self._paths.user_config_dir(self._owner) is None

    @cached_property
    def _places(self) -> list[Place]:
        """For where they are, which stays so; whose they must be is asked anew by who reads."""
        places = (self.place(layer) for layer in Layer)
        return [place for place in places if place]

    def place(self, layer: Layer) -> Place | None:
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

    def _admins(self, file: Path | None, drop_ins: Path) -> Place:
        folders = _down_to(drop_ins, self._paths.config)
        return Place(folders, file, drop_ins, self._paths.administrators())

    def _users(self, config: Path) -> Place:
        """A user's settings must be the user's own: a link to somebody else's file would show
        its contents in our messages. Whom a home belongs to, its folder says."""
        home = config.parent if config == self._paths.own_config else config.parents[1]
        try:
            uids = frozenset({home.stat().st_uid})
        except OSError:
            uids = frozenset()
        owners = Administrators(uids, frozenset())
        file, drop_ins = config / "guestwake.toml", config / "guestwake.toml.d"
        return Place((), file, drop_ins, owners, USER_BYTES_MAX)


@lru_cache(maxsize=256)
def _down_to(folder: Path, top: Path) -> tuple[Path, ...]:
    """Outermost first."""
    above = [each for each in folder.parents if each.is_relative_to(top)]
    return (*reversed(above), folder)


def _read_layer(place: Place) -> list[Part]:
    parts: list[Part] = []
    left = place.bytes_max
    try:
        for folder in place.folders:
            check_folder(folder, place.owners)
        files = _files(place)
    except UnreadableError as err:
        return [broken(str(err.path), err.sentence)]
    for file in files:
        try:
            data = read(file, place, left)
        except FileNotFoundError:
            continue  # never there, or gone since the listing
        except UnreadableError as err:
            parts.append(broken(str(file), err.sentence))
            continue
        left -= len(data)
        parts.append(parse(str(file), data))
    return parts


class UnreadableError(Exception):
    def __init__(self, path: Path, sentence: str) -> None:
        super().__init__(sentence)
        self.path, self.sentence = path, sentence


def check_folder(folder: Path, owners: Administrators) -> None:
    try:
        status = folder.stat()
    except FileNotFoundError:
        return
    except OSError as err:
        raise UnreadableError(folder, _why(err)) from err
    if not stat.S_ISDIR(status.st_mode):
        raise UnreadableError(folder, "this must be a folder")
    _check_writers(folder, status, owners)


def _check_writers(path: Path, status: os.stat_result, owners: Administrators) -> None:
    if status.st_uid not in owners.uids:
        sentence = f"not read: it belongs to user id {status.st_uid}; it must belong to root"
        raise UnreadableError(path, f"{sentence} (chown root)")
    by_group = status.st_mode & stat.S_IWGRP and status.st_gid not in owners.gids
    if by_group or status.st_mode & stat.S_IWOTH:
        sentence = "not read: others than its owner may write to it (remedy: chmod go-w)"
        raise UnreadableError(path, sentence)


def _files(place: Place) -> list[Path]:
    """Hidden files (an editor's locks) and other endings are not settings."""
    try:
        names = _names(place)
    except FileNotFoundError:
        names = []
    except OSError as err:
        raise UnreadableError(place.drop_ins, _why(err)) from err
    names = sorted(n for n in names if n.endswith(".toml") and not n.startswith("."))
    return ([place.file] if place.file else []) + [place.drop_ins / name for name in names]


def _names(place: Place) -> list[str]:
    """What a user's files are called is nobody else's to learn either, as by a link to a folder."""
    folder = os.open(place.drop_ins, os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not place.folders and os.fstat(folder).st_uid not in place.owners.uids:
            raise UnreadableError(place.drop_ins, _NOT_THE_USERS)
        return os.listdir(folder)
    finally:
        os.close(folder)


def read(file: Path, place: Place, bytes_left: int) -> bytes:
    """Raises FileNotFoundError, UnreadableError."""
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
        raise UnreadableError(file, _why(err)) from err
    if len(data) > bytes_left:
        limit = f"{place.bytes_max // 1024} KiB"
        raise UnreadableError(file, f"not read: the files here may have {limit} in all")
    return data


def _check_file(file: Path, status: os.stat_result, place: Place) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableError(file, "not read: this must be a plain file")
    if place.folders:
        _check_writers(file, status, place.owners)
    elif status.st_uid not in place.owners.uids:
        raise UnreadableError(file, _NOT_THE_USERS)


def _why(err: OSError) -> str:
    match err.errno:
        case errno.ELOOP:
            return "not read: this is a symbolic link; put the file itself here"
        case errno.EACCES | errno.EPERM:
            return "this process is not allowed to read it"
        case errno.ENOTDIR:
            return "this must be a folder"
    return f"it cannot be read: {err.strerror}"


def _signature(place: Place) -> object:
    try:
        files = _files(place)
    except UnreadableError:
        files = []
    return [(path, _stamp(path)) for path in (*place.folders, place.drop_ins, *files)]


def _stamp(path: str | Path) -> object:
    try:
        status = os.lstat(path)
    except OSError as err:
        return err.errno
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size
