"""What this host's files tell of who else starts and stops VMs, and of the way to libvirt.

libvirt-guests, libvirt's own shutdown policy (11.2 and later), /dev/kvm, the daemons' sockets.
Reads files only, and judges none of it; what cannot be read is None.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from guestwake.hosts.kernel_files import text_of

# The distributions' places for the same file.
_GUESTS = ("etc/default/libvirt-guests", "etc/sysconfig/libvirt-guests")
_ASSIGNED = re.compile(r"""^\s*(\w+)\s*=\s*["']?([^"'#\n]*?)["']?\s*(?:#.*)?$""", re.MULTILINE)


def libvirt_guests(root: Path = Path("/")) -> Mapping[str, str]:
    """What is set for libvirt-guests, by name; empty: all as it comes."""
    texts = (text_of(root / name) for name in _GUESTS)
    return next((assigned(text) for text in texts if text is not None), {})


def qemu_conf(*, session: bool, root: Path = Path("/")) -> Mapping[str, str] | None:
    """What is set for libvirt's QEMU driver, by name. None: not ours to read. `session`: of this
    user's own."""
    if session:
        config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        path = Path(config, "libvirt/qemu.conf")
    else:
        path = root / "etc/libvirt/qemu.conf"
    try:
        return assigned(path.read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        return {}
    except OSError:
        return None


def assigned(text: str) -> dict[str, str]:
    """NAME=VALUE of a file of assignments; the last one counts."""
    return {match[1]: match[2] for match in _ASSIGNED.finditer(text)}


def kvm(root: Path = Path("/")) -> bool | None:
    """Whether this process may use /dev/kvm. None: there is none. It is not opened."""
    device = root / "dev/kvm"
    return os.access(device, os.R_OK | os.W_OK) if device.exists() else None


def daemon(root: Path = Path("/")) -> str | None:
    """libvirt's for QEMU, as systemd would call it. None: none is installed."""
    found = (name for name in ("libvirtd", "virtqemud") if (root / "usr/sbin" / name).exists())
    return next(found, None)


def libvirt_socket(root: Path = Path("/")) -> bool | None:
    """Whether this process may connect to the system's libvirt. None: no daemon has a socket."""
    folder = root / "run/libvirt"
    sockets = [folder / name for name in ("libvirt-sock", "virtqemud-sock")]
    there = [socket for socket in sockets if socket.exists()]
    return any(os.access(socket, os.R_OK | os.W_OK) for socket in there) if there else None
