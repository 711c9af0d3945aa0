"""A process that gives up its rights as the reader does, and then tries to do harm.

    attempts.py LAYERS UID TARGET FOLDER

LAYERS: "all", or what is left out: "no-filter", "limits-alone". UID: who to be before. TARGET: a
process of the same user. FOLDER: one in which that user may do anything. Writes what came of each
attempt as JSON. The last is to be another program: 0 is how it ends if it is still itself then.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import mmap
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable

from guestwake.channels import rights

MEMORY_MAX = 64 << 20
PTRACE_ATTACH = 16


def main(layers: str, uid: int, target: int, folder: str) -> int:
    if layers != "all":
        rights._filter = lambda: None
    if layers == "limits-alone":
        rights._close_paths = lambda libc: None
    libc = ctypes.CDLL(None, use_errno=True)
    tries = attempts(libc, target, folder)
    if uid != os.geteuid():
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    rights.give_up_rights(MEMORY_MAX)
    os.write(1, json.dumps({name: outcome(do) for name, do in tries.items()}).encode())
    with contextlib.suppress(OSError):
        os.execv("/bin/true", ["true"])
    return 0


def attempts(libc: ctypes.CDLL, target: int, folder: str) -> dict[str, Callable[[], object]]:
    file = os.path.join(folder, "file")

    def ptrace() -> None:
        if libc.ptrace(PTRACE_ATTACH, target, None, None):
            raise OSError(ctypes.get_errno(), "ptrace")

    return {
        "read a file": lambda: os.open(file, os.O_RDONLY),
        "make a file": lambda: os.open(f"{file}2", os.O_CREAT | os.O_WRONLY, 0o600),
        "use a network": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        "use a UNIX socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
        "make a pipe": os.pipe,
        "fork": lambda: os.fork() or os._exit(0),
        "start a program": lambda: os.posix_spawn("/bin/true", ["true"], {}),
        "take memory": lambda: bytearray(MEMORY_MAX),
        "raise a limit": lambda: resource.setrlimit(resource.RLIMIT_AS, (2**40, 2**40)),
        "be root": lambda: os.setresuid(0, 0, 0),
        "make a folder": lambda: os.mkdir(f"{file}3"),
        "rename a file": lambda: os.rename(file, f"{file}4"),
        "remove a file": lambda: os.unlink(file),
        "ptrace a process": ptrace,
        "kill a process": lambda: os.kill(target, signal.SIGURG),
        "change a file's mode": lambda: os.chmod(file, 0o600),
        "look at a file": lambda: os.stat(file),
        "make memory a program": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
    }


def outcome(do: Callable[[], object]) -> str:
    try:
        do()
    except OSError as err:
        return errno.errorcode.get(err.errno or 0, "?")
    except MemoryError:
        return "ENOMEM"
    except ValueError as err:  # a hard limit, as the resource module says it
        return f"EPERM: {err}"
    return "done"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
