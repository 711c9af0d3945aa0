"""The files of one workspace's timer: read, written, taken away. One instance at a time.

Inside the folders of units no link is followed. What somebody else has put there is never lost
unseen: its text goes into the log, and it itself is renamed to `NAME.found`, which systemd does not
read. Nothing here talks to systemd.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from guestwake.policy.words import Drift, Timer
from guestwake.schedulers.systemd_text import (
    TARGET,
    TEXT_BYTES_MAX,
    is_as_written,
    rendered,
    service_name,
    timer_name,
    workspace_of,
)

log = logging.getLogger(__name__)

_MASK = "/dev/null"
_WANTS = f"{TARGET}.wants"
_FOUND = ".found"


@dataclass(frozen=True, slots=True)
class UnitFolders:
    """`home`: where timers are written; made if it is not there. `others`: where somebody may mask
    or override them as well."""

    home: Path
    others: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Traces:
    """What is there of one timer. `text` None: no file, or nothing that could be its text.
    `is_edited`: there is something in its place that we have not written, and no mask."""

    text: str | None
    is_edited: bool
    drifts: tuple[Drift, ...]


def known(folders: UnitFolders) -> frozenset[str]:
    """UUIDs of all of which there is a file or a link that enables it. Raises OSError."""
    names: set[str] = set()
    for folder in (folders.home, folders.home / _WANTS):
        with suppress(FileNotFoundError):
            names.update(os.listdir(folder))
    return frozenset(uuid for name in names if (uuid := workspace_of(name)) is not None)


def traces(folders: UnitFolders, workspace: str) -> Traces | None:
    """None: there is nothing at all. Raises OSError."""
    name = timer_name(workspace)
    masks = {_is_mask(*each) for each in _strangers(folders, workspace)}
    drifts = [
        *([Drift.MASKED] if True in masks else []),
        *([Drift.OVERRIDDEN] if False in masks else []),
    ]
    is_enabled = _mode(folders.home / _WANTS, name) is not None
    if _mode(folders.home, name) is None:
        gone = Traces(None, is_edited=False, drifts=(Drift.DELETED, *drifts))
        return gone if drifts or is_enabled else None
    if not is_enabled:
        drifts.append(Drift.DISABLED)
    text = _text(folders.home, name)
    is_ours = _is_mask(folders.home, name) or (text is not None and is_as_written(text))
    return Traces(text, not is_ours, tuple(drifts))


def put(folders: UnitFolders, timer: Timer) -> None:
    """Written and enabled, with nothing that masks or overrides it. Raises OSError."""
    name, found = timer_name(timer.workspace), traces(folders, timer.workspace)
    _make(folders.home)
    _make(folders.home / _WANTS)
    with _folder(folders.home) as home:
        _sweep(home, name)
        temporary = _written(home, name, rendered(timer))
        for folder, each in _strangers(folders, timer.workspace):
            _set_aside(folder, each)
        if found is not None and found.is_edited:
            _set_aside(folders.home, name)
        os.rename(temporary, name, src_dir_fd=home, dst_dir_fd=home)
        os.fsync(home)
    with _folder(folders.home / _WANTS) as wants:
        _link(wants, name)
        os.fsync(wants)


def take_away(folders: UnitFolders, workspace: str) -> None:
    """The undo of `put`; what was set aside stays. Raises OSError."""
    name, found = timer_name(workspace), traces(folders, workspace)
    if found is None:
        return
    for folder, each in _strangers(folders, workspace):
        _set_aside(folder, each)
    if found.is_edited:
        _set_aside(folders.home, name)
    for folder in (folders.home / _WANTS, folders.home):
        with suppress(FileNotFoundError), _folder(folder) as opened:
            os.unlink(name, dir_fd=opened)
            os.fsync(opened)


def _strangers(folders: UnitFolders, workspace: str) -> Iterator[tuple[Path, str]]:
    """All that is there of this instance and is not the timer's own file, each as a folder and a
    name in it; that file too where it is a mask."""
    timer, service = timer_name(workspace), service_name(workspace)
    for folder in (folders.home, *folders.others):
        for name in (timer, f"{timer}.d", service, f"{service}.d"):
            is_own = folder == folders.home and name == timer and not _is_mask(folder, name)
            if not is_own and _mode(folder, name) is not None:
                yield folder, name


def _set_aside(folder: Path, name: str) -> None:
    """Its text into the log, and out of systemd's sight."""
    path = folder / name
    if _is_mask(folder, name):
        log.warning("'%s' was a mask: it is removed", path)
        os.unlink(path)
        return
    for line in _lines(folder, name):
        log.warning("found in %s", line)
    aside = folder / f"{name}{_FOUND}"
    with suppress(FileNotFoundError):
        shutil.rmtree(aside) if _is_folder(folder, aside.name) else os.unlink(aside)
    os.rename(path, aside)
    log.warning("'%s' is not ours and is now '%s'", path, aside)


def _lines(folder: Path, name: str) -> Iterator[str]:
    inside = sorted(os.listdir(folder / name)) if _is_folder(folder, name) else None
    for each in [name] if inside is None else [f"{name}/{one}" for one in inside]:
        text = _text(folder, each)
        what = ["(neither a file nor short text)"] if text is None else text.splitlines()
        yield from (f"'{folder / each}': {_printable(line)}" for line in what)


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


# files, never through a link


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield opened
    finally:
        os.close(opened)


def _make(folder: Path) -> None:
    """As readable as systemd would have made it: who looks at timers may not be who writes."""
    os.makedirs(folder.parent, exist_ok=True)
    with suppress(FileExistsError):
        os.mkdir(folder)
        os.chmod(folder, 0o755)


def _sweep(folder: int, name: str) -> None:
    """What a process left behind that died while it wrote."""
    for each in os.listdir(folder):
        if each.startswith(f".{name}."):
            with suppress(FileNotFoundError):
                os.unlink(each, dir_fd=folder)


def _written(folder: int, name: str, text: str) -> str:
    """The name of a file with that text, on the disk, which is not `name` yet."""
    temporary = f".{name}.{os.getpid()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(temporary, flags, 0o644, dir_fd=folder), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return temporary


def _link(folder: int, name: str) -> None:
    _sweep(folder, name)
    temporary = f".{name}.{os.getpid()}"
    os.symlink(f"../{name}", temporary, dir_fd=folder)
    os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)


def _mode(folder: Path, name: str) -> int | None:
    """Of the thing itself, be it a link. None: it is not there."""
    try:
        return os.lstat(folder / name).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_folder(folder: Path, name: str) -> bool:
    return stat.S_ISDIR(_mode(folder, name) or 0)


def _is_mask(folder: Path, name: str) -> bool:
    """A link to /dev/null or, what systemd takes for one too, an empty file."""
    try:
        found = os.lstat(folder / name)
        if stat.S_ISLNK(found.st_mode):
            return os.readlink(folder / name) == _MASK
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == 0


def _text(folder: Path, name: str) -> str | None:
    """None: no plain file of a length that one can look at."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with open(os.open(folder / name, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            data = file.read(TEXT_BYTES_MAX + 1)
    except OSError:  # a link, a folder, or gone since it was seen
        return None
    too_long = len(data) > TEXT_BYTES_MAX
    return None if too_long else data.decode("utf-8", "surrogateescape")
