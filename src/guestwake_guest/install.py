"""Puts the running zipapp and its units into a system, and takes them out again.

`root` may be a system that is being built: enabling a unit is a link, so nothing has to run there.
Doing it twice does it once. Files lie where a package's would, so that an administrator's own
units and masks in /etc stand above them.
"""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
from contextlib import suppress

from guestwake_guest.esd_signal import fifo, state
from guestwake_guest.exit_codes import Exit

SERVICE = "guestwake-guest.service"
SOCKET = "guestwake-guest.socket"
PROGRAM = "/usr/lib/guestwake/guestwake-guest.pyz"
COMMAND = "/usr/bin/guestwake-guest"
_PACKAGE = "/var/lib/dpkg/info/guestwake-guest.list"
_OF_PACKAGE = "its files are those of the package guestwake-guest; "
_UNITS = "/usr/lib/systemd/system"
_ENABLED = {
    f"/etc/systemd/system/multi-user.target.wants/{SERVICE}": f"{_UNITS}/{SERVICE}",
    f"/etc/systemd/system/sockets.target.wants/{SOCKET}": f"{_UNITS}/{SOCKET}",
}


def install(root: str, *, start: bool) -> int:
    if _is_packaged(root):
        return _failed(f"cannot be installed: {_OF_PACKAGE}upgrade that instead")
    try:
        changed = list(filter(None, _put_all(root)))
    except (OSError, _NotAZipapp) as error:
        return _failed(f"cannot be installed: {error}")
    _say(changed or ["nothing to do: it is installed as it is here"])
    if start and _is_running(root):
        return _start("restart" if changed else "start")
    return Exit.DONE


def uninstall(root: str) -> int:
    if _is_packaged(root):
        return _failed(f"cannot be uninstalled: {_OF_PACKAGE}'apt remove guestwake-guest' does it")
    if _is_running(root):
        _systemctl("stop", SERVICE, SOCKET)
    try:
        gone = [file for file in _files() if _removed(root, file)]
    except OSError as error:
        return _failed(f"cannot be uninstalled: {error}")
    if _is_running(root):
        _systemctl("daemon-reload")
    _say([f"removed {file}" for file in gone] or ["nothing to do: it is not installed"])
    return Exit.DONE


def _is_packaged(root: str) -> bool:
    return os.path.exists(_path(root, _PACKAGE))


class _NotAZipapp(Exception):
    """This runs from somewhere that cannot be copied as one file."""


def _put_all(root: str) -> list[str | None]:
    units = {f"{_UNITS}/{name}": _unit(name) for name in (SERVICE, SOCKET)}
    return [
        _put(root, PROGRAM, _own_bytes(), 0o755),
        *(_put(root, file, text, 0o644) for file, text in units.items()),
        _link(root, COMMAND, f"..{PROGRAM[len('/usr') :]}"),
        *(_link(root, link, unit) for link, unit in _ENABLED.items()),
    ]


def _own_bytes() -> bytes:
    file = os.path.realpath(sys.argv[0])  # it may have been called by its link
    if not os.path.isfile(file) or not file.endswith(".pyz"):
        raise _NotAZipapp("this is no zipapp; build one with `make guest`")
    with open(file, "rb") as program:
        return program.read()


def _unit(name: str) -> bytes:
    data = pkgutil.get_data("guestwake_guest", f"units/{name}")
    if data is None:
        raise _NotAZipapp(f"the zipapp has no '{name}'")
    return data


def _put(root: str, file: str, data: bytes, mode: int) -> str | None:
    """Whole or not at all. What was done; None: it was so already."""
    path = _path(root, file)
    if _content(path) == data and os.stat(path).st_mode & 0o777 == mode:
        return None
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    new = f"{path}.new"
    with open(new, "wb") as made:
        os.fchmod(made.fileno(), mode)
        made.write(data)
        made.flush()
        os.fsync(made.fileno())
    os.rename(new, path)
    return f"wrote {file}"


def _link(root: str, link: str, target: str) -> str | None:
    path = _path(root, link)
    if os.path.islink(path) and os.readlink(path) == target:
        return None
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    if os.path.lexists(f"{path}.new"):
        os.unlink(f"{path}.new")
    os.symlink(target, f"{path}.new")
    os.rename(f"{path}.new", path)
    return f"linked {link}"


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def _files() -> tuple[str, ...]:
    units = (f"{_UNITS}/{SERVICE}", f"{_UNITS}/{SOCKET}")
    return (*_ENABLED, *units, COMMAND, PROGRAM, fifo.PATH, state.FILE)


def _removed(root: str, file: str) -> bool:
    path = _path(root, file)
    if not os.path.lexists(path):
        return False
    os.unlink(path)
    with suppress(OSError):  # a folder of ours that holds something else
        if os.path.basename(os.path.dirname(path)) == "guestwake":
            os.rmdir(os.path.dirname(path))
    return True


def _path(root: str, file: str) -> str:
    return root.rstrip("/") + file


# --- where systemd runs ---


def _is_running(root: str) -> bool:
    return os.path.realpath(root) == "/" and os.path.isdir("/run/systemd/system")


def _start(verb: str) -> int:
    good = _systemctl("daemon-reload") and _systemctl("start", SOCKET)
    if not (good and _systemctl(verb, SERVICE)):
        return _failed(f"is installed but does not start: see `systemctl status {SERVICE}`")
    _say([f"{SERVICE} is started"])
    return Exit.DONE


def _systemctl(*words: str) -> bool:
    return subprocess.run(["systemctl", *words], check=False).returncode == 0


def _say(lines: list[str]) -> None:
    print("\n".join(lines))


def _failed(text: str) -> int:
    print(f"guestwake-guest: {text}", file=sys.stderr)
    return Exit.NOT_INSTALLED
