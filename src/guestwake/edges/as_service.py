"""Root, where a service is installed, becomes the service's own user before it touches a file.

Else root would make the journal, locks and workspaces, and the service could not write them. What
root keeps is the one capability that the service has too: to read the settings of workspaces'
owners in homes that are closed to others.
"""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from guestwake.paths import SERVICE_USER, Paths

if TYPE_CHECKING:
    import pwd

_PR_SET_KEEPCAPS = 8
_VERSION = 0x20080522
_CAP_DAC_READ_SEARCH = 1 << 2
_ENVIRONMENT = ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR")


class Switch(Protocol):
    """Becomes that user, for good. Raises OSError."""

    def __call__(self, account: pwd.struct_passwd) -> None: ...


def as_service(paths: Paths, switch: Switch | None = None) -> Paths:
    """`switch` is given by tests alone. Raises OSError where it is not to be had: then nothing may
    be touched."""
    account = service_account(paths)
    if account is None:
        return paths
    (switch or become)(account)
    return replace(paths, euid=account.pw_uid)


def service_account(paths: Paths) -> pwd.struct_passwd | None:
    """Whose the state is. None: no reason to become somebody else."""
    if paths.euid != 0 or paths.root is not None or sys.platform == "win32":
        return None
    import pwd

    try:
        account = pwd.getpwnam(SERVICE_USER)
        return account if paths.state.stat().st_uid == account.pw_uid != 0 else None
    except (KeyError, OSError):
        return None


def become(account: pwd.struct_passwd) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    os.initgroups(account.pw_name, account.pw_gid)
    os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
    if libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    # effective, permitted, inheritable; then each of the higher ones
    kept = (ctypes.c_uint32 * 6)(_CAP_DAC_READ_SEARCH, _CAP_DAC_READ_SEARCH)
    if libc.capset((ctypes.c_uint32 * 2)(_VERSION, 0), kept):  # root itself may not have it
        libc.capset((ctypes.c_uint32 * 2)(_VERSION, 0), (ctypes.c_uint32 * 6)())
    os.umask(0o077)
    os.environ.update(HOME=account.pw_dir, USER=account.pw_name, LOGNAME=account.pw_name)
    for name in _ENVIRONMENT:
        os.environ.pop(name, None)
