"""Where Guestwake keeps its files: configuration, state, runtime.

Three ways to run, one value: under a folder of one's own (GUESTWAKE_ROOT or --root), for the whole
host as root or as the service's own user, or as an ordinary user. Nothing here creates or reads a
file. On Windows root is an administrator (`own_id`), and settings are in the registry.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

SYSTEM_CONFIG = Path("/etc/guestwake")
SERVICE_USER = "guestwake"  # an installed service runs as that user
# Not /run/guestwake: a host may be a VM itself, and there the guest's service has its own things,
# which all others reach.
SYSTEM_RUNTIME = Path("/run/guestwake-host")


class PathsError(Exception):
    """The folders cannot be told; a sentence with the remedy."""


class Administrators(NamedTuple):
    """Whose files count as the administrator's."""

    uids: frozenset[int]
    gids: frozenset[int]  # groups that may write to them


@dataclass(frozen=True, slots=True)
class Paths:
    """All folders of one way to run. `root` None: the real system."""

    config: Path  # policy and machine settings: /etc/guestwake
    state: Path  # survives a restart of the host
    runtime: Path  # does not: locks, sockets
    euid: int
    root: Path | None = None
    user: str | None = None  # the ordinary user who runs this; None: root, or under `root`
    own_config: Path | None = None  # that user's settings folder

    @classmethod
    def here(cls, root: Path | None, environ: Mapping[str, str], euid: int) -> Paths:
        """`root` is --root and beats GUESTWAKE_ROOT. Raises PathsError."""
        if root is None and "GUESTWAKE_ROOT" in environ:
            if not environ["GUESTWAKE_ROOT"]:
                raise PathsError("GUESTWAKE_ROOT is empty: name a folder, or unset it")
            root = Path(environ["GUESTWAKE_ROOT"])
        if root is not None:
            return cls.under(root.absolute(), euid)
        if sys.platform == "win32":
            return cls._on_windows(environ, euid)
        return cls.system(euid) if acts_for_host(euid) else cls._of_user(environ, euid)

    @classmethod
    def system(cls, euid: int = 0) -> Paths:
        return cls(SYSTEM_CONFIG, Path("/var/lib/guestwake"), SYSTEM_RUNTIME, euid=euid)

    @classmethod
    def under(cls, root: Path, euid: int) -> Paths:
        return cls(
            config=root / "etc/guestwake",
            state=root / "var/lib/guestwake",
            runtime=root / "run/guestwake",
            euid=euid,
            root=root,
        )

    @classmethod
    def _of_user(cls, environ: Mapping[str, str], euid: int) -> Paths:
        name, home = _account(environ, euid)
        state = _xdg(environ, "XDG_STATE_HOME", home / ".local/state") / "guestwake"
        return cls(
            config=SYSTEM_CONFIG,
            state=state,
            # Without a runtime folder of the session, not /tmp: others could be there first.
            runtime=_xdg(environ, "XDG_RUNTIME_DIR", state / "run") / "guestwake",
            euid=euid,
            user=name,
            own_config=_xdg(environ, "XDG_CONFIG_HOME", home / ".config") / "guestwake",
        )

    @classmethod
    def _on_windows(cls, environ: Mapping[str, str], euid: int) -> Paths:
        folder = None
        if sys.platform == "win32":
            from guestwake.paths_windows import data_folder

            folder = data_folder(environ, administrator=euid == 0)
        if folder is None:
            raise PathsError("Windows names no folder for it: name one with GUESTWAKE_ROOT")
        user = None if euid == 0 else account_name(euid)
        return cls(folder, folder / "state", folder / "run", euid, user=user, own_config=folder)

    @property
    def policy_dir(self) -> Path:
        return self.config / "policy.d"

    def user_policy_dir(self, owner: str) -> Path:
        return self.policy_dir / "users" / _plain(owner)

    def home(self, owner: str) -> Path | None:
        """None: this host knows no such user."""
        if self.root is not None:
            return self.root / "home" / _plain(owner)
        if sys.platform == "win32":
            from guestwake.paths_windows import profile

            return profile(_plain(owner))
        import pwd

        try:
            return Path(pwd.getpwnam(_plain(owner)).pw_dir)
        except KeyError:
            return None

    def user_config_dir(self, owner: str) -> Path | None:
        """The folder of a workspace owner's own settings; None: this host knows no such user."""
        if owner == self.user:
            return self.own_config
        home = self.home(owner)
        return home / ".config/guestwake" if home else None

    def administrators(self) -> Administrators:
        """Root and who runs this; under `root` the owner and the group of that folder, so that a
        user whose files are group-writable from birth (umask 002) can try everything there."""
        try:
            folder = self.root.stat() if self.root else None
        except OSError:
            folder = None
        if folder is None:
            return Administrators(frozenset({0, self.euid}), frozenset())
        return Administrators(frozenset({0, folder.st_uid}), frozenset({folder.st_gid}))


def _account(environ: Mapping[str, str], euid: int) -> tuple[str, Path]:
    """Name and home; a user id without an account (a container's) goes by HOME and its number."""
    import pwd

    try:
        home = pwd.getpwuid(euid).pw_dir
    except KeyError:
        home = ""
    home = environ.get("HOME") or home
    if not os.path.isabs(home):
        raise PathsError("HOME is not set: set it, or name a folder with GUESTWAKE_ROOT")
    return account_name(euid), Path(home)


def own_id() -> int:
    """Of the user whom this process acts as; 0 is root. On Windows, where users have no numbers: 0
    for an administrator, 1 for all others."""
    if sys.platform == "win32":
        from guestwake.paths_windows import is_administrator

        return 0 if is_administrator() else 1
    return os.geteuid()


def acts_for_host(euid: int) -> bool:
    """Not for an ordinary user."""
    if sys.platform == "win32":
        return euid == 0
    return euid == 0 or account_name(euid) == SERVICE_USER


def account_name(euid: int) -> str:
    """Of this host's users; the number itself where it has no account. On Windows of who runs
    this, which is whose number it is."""
    if sys.platform == "win32":
        from guestwake import paths_windows

        return paths_windows.account_name()
    import pwd

    try:
        return pwd.getpwuid(euid).pw_name
    except KeyError:
        return str(euid)


def _xdg(environ: Mapping[str, str], variable: str, default: Path) -> Path:
    """The specification: a value that is not absolute is to be ignored."""
    value = environ.get(variable, "")
    return Path(value) if os.path.isabs(value) else default


def _plain(owner: str) -> str:
    """A user's name becomes part of a path: it must not lead anywhere else."""
    if owner in ("", ".", "..") or "/" in owner or "\0" in owner:
        raise PathsError(f"{owner!a} is not the name of a user")
    return owner
