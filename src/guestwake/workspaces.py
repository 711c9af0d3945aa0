"""The VMs that Guestwake has been told to look after: one small file each (opt-in).

Apart from the journal, so that a damaged journal forgets nobody. Files are written whole to a
temporary name, synced and renamed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from guestwake.whole_file import write_whole

if TYPE_CHECKING:  # what only reports needs no word of a hypervisor's
    from guestwake.hypervisors.api import Vm


@dataclass(frozen=True, slots=True)
class Workspace:
    """`owner`: a host user, whose settings and logon count; None: the system.
    `removing`: to be taken off once its run has put it back."""

    name: str
    uuid: str
    uri: str
    owner: str | None
    added: datetime
    memory: int  # MiB
    image_folder: str | None
    removing: bool = False

    @property
    def vm(self) -> Vm:
        return _vm(self.uuid, self.name)


class WorkspaceError(Exception):
    """A sentence with its remedy."""


class UnknownWorkspace(WorkspaceError):
    pass


class Workspaces:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read_last: tuple[object, bool] = (None, False)  # of `is_removing`: as of, its answer

    def all(self) -> list[Workspace]:
        """By name. A file that cannot be read raises WorkspaceError that names it."""
        known, damaged = self._read_all()
        if damaged:
            raise damaged[0]
        return known

    def readable(self) -> tuple[list[Workspace], list[WorkspaceError]]:
        """By name, and what is wrong with the files that cannot be read."""
        return self._read_all()

    def is_known(self, uuid: str) -> bool:
        """Whether there is a file of it, be it one that cannot be read."""
        return self._path(uuid).exists()

    def find(self, name_or_uuid: str) -> Workspace:
        """Another workspace's file that cannot be read is no hindrance. Raises UnknownWorkspace;
        where it may be the one in such a file, the WorkspaceError that names it."""
        known, damaged = self._read_all()
        for workspace in known:
            if name_or_uuid in (workspace.name, workspace.uuid):
                return workspace
        raise damaged[0] if damaged else UnknownWorkspace(_unknown(name_or_uuid, known))

    def is_removing(self, workspace: Workspace) -> bool:
        """Whether it is being taken off, or its file is gone. Asked at each pass, so the file is
        read again only where it is another one: its two answers differ in their length too."""
        path, last = f"{self._folder}/{workspace.uuid}.json", self._read_last
        try:
            file = os.stat(path)
            as_of = path, file.st_ino, file.st_mtime_ns, file.st_size
            if as_of != last[0]:
                self._read_last = last = as_of, self._read(Path(path)).removing
            return last[1]
        except FileNotFoundError:
            return True
        except (OSError, WorkspaceError):  # nobody knows: it is looked at again
            return False

    def write(self, workspace: Workspace) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        values = asdict(workspace) | {"added": workspace.added.isoformat()}
        write_whole(self._path(workspace.uuid), json.dumps(values, indent=1).encode())

    def forget(self, workspace: Workspace) -> None:
        self._path(workspace.uuid).unlink(missing_ok=True)

    def _path(self, uuid: str) -> Path:
        return self._folder / f"{uuid}.json"

    def _read_all(self) -> tuple[list[Workspace], list[WorkspaceError]]:
        """By name, and what is wrong with the files that cannot be read."""
        known, damaged = [], []
        for path in sorted(self._folder.glob("*.json")) if self._folder.is_dir() else ():
            try:
                known.append(self._read(path))
            except WorkspaceError as err:
                if not isinstance(err.__cause__, FileNotFoundError):  # just taken off
                    damaged.append(err)
        return sorted(known, key=lambda workspace: workspace.name), damaged

    def _read(self, path: Path) -> Workspace:
        try:
            values = json.loads(path.read_text())
            values["added"] = datetime.fromisoformat(values["added"])
            return Workspace(**values)
        except (OSError, ValueError, KeyError, TypeError) as err:
            raise WorkspaceError(
                f"{path}: cannot be read as a workspace: {err}. "
                "Put it right, or delete it and add the workspace again."
            ) from err


@lru_cache(maxsize=64)
def _vm(uuid: str, name: str) -> Vm:
    """Asked for at each turn; the import costs more than the value."""
    from guestwake.hypervisors.api import Vm

    return Vm(uuid, name)


def _unknown(name: str, known: Iterable[Workspace]) -> str:
    import difflib

    names = [workspace.name for workspace in known]
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"there is no workspace '{name}'. Did you mean '{close[0]}'?"
    if names:
        return f"there is no workspace '{name}'. There are: {', '.join(names)}."
    return (
        f"there is no workspace '{name}', nor any other yet. "
        f"'guestwake workspace add {name}' adds the VM of that name."
    )
