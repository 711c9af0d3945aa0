"""A process that gives up its rights as the reader does, and then tries to do harm.

    attempts.py LAYERS UID TARGET FOLDER

LAYERS: "all", or what is left out: "no-filter", "limits-alone"; "every-call": instead of the
attempts, each system call that there is. UID: who to be before. TARGET: a process of the same user.
FOLDER: one in which that user may do anything. Writes what came of each attempt as JSON. The last
is to be another program: 0 is how it ends if it is still itself then.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import mmap
import os
import resource
import signal
import socket
import struct
import sys
import termios
import threading
from collections.abc import Callable

from guestwake.channels import rights

MEMORY_MAX = 64 << 20
PTRACE_ATTACH = 16
CLONE_NEWUSER = 0x10000000
# Of Linux; the newer ones have the same number on every machine.
IO_URING_SETUP, MEMFD_SECRET, CALLS_MAX = 425, 447, 1024


def main(layers: str, uid: int, target: int, folder: str) -> int:
    if layers in ("no-filter", "limits-alone"):
        rights._filter = lambda: None
    if layers == "limits-alone":
        rights._close_paths = lambda libc: None
    libc = ctypes.CDLL(None, use_errno=True)
    tries = every_call(libc) if layers == "every-call" else attempts(libc, target, folder)
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
    file, parent = os.path.join(folder, "file"), os.getppid()
    not_its_input = os.memfd_create("open before")
    os.write(not_its_input, b"a secret")
    ends = socket.socketpair()
    room = ctypes.create_string_buffer(128)
    part = struct.pack("PN", ctypes.addressof(room), len(room))

    def call(name: str, *arguments: object) -> None:
        if getattr(libc, name)(*arguments) < 0:
            raise OSError(ctypes.get_errno(), name)

    return {
        "read what nobody may": lambda: os.open("/etc/shadow", os.O_RDONLY),
        "read what was open before": lambda: os.pread(not_its_input, 8, 0),
        "write what was open before": lambda: os.write(not_its_input, b"x"),
        "write its input": lambda: os.write(0, b"x"),
        "pass on a descriptor": lambda: socket.send_fds(ends[0], [b"x"], [not_its_input]),
        "copy a descriptor": lambda: os.dup2(not_its_input, 1),
        "type into a terminal": lambda: fcntl.ioctl(0, termios.TIOCSTI, b"x"),
        "ptrace its parent": lambda: call("ptrace", PTRACE_ATTACH, parent, None, None),
        "kill its parent": lambda: os.kill(parent, signal.SIGURG),
        "read another's memory": lambda: call(
            "process_vm_readv", target, part, 1, part, ctypes.c_ulong(1), 0
        ),
        "use io_uring": lambda: call("syscall", IO_URING_SETUP, 1, ctypes.byref(room)),
        "have memory that is hidden": lambda: call("syscall", MEMFD_SECRET, 0),
        "mount": lambda: call("mount", b"none", folder.encode(), b"tmpfs", 0, None),
        "have a thread": lambda: threading.Thread(target=int).start(),
        "take a gigabyte": lambda: bytearray(1 << 30),
        "run before others": lambda: os.setpriority(os.PRIO_PROCESS, 0, -5),
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
        "ptrace a process": lambda: call("ptrace", PTRACE_ATTACH, target, None, None),
        "kill a process": lambda: os.kill(target, signal.SIGURG),
        "change a file's mode": lambda: os.chmod(file, 0o600),
        "look at a file": lambda: os.stat(file),
        "make memory a program": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
        # The last, as it changes who one is.
        "make a user namespace": lambda: call("unshare", CLONE_NEWUSER),
    }


def every_call(libc: ctypes.CDLL) -> dict[str, Callable[[], object]]:
    """Of Linux, but those that the reader needs. All arguments are 0."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_char_p
    here = library.seccomp_arch_native()
    names = {
        number: name.decode()
        for number in range(CALLS_MAX)
        if (name := library.seccomp_syscall_resolve_num_arch(here, number)) is not None
    }

    def trying(number: int) -> Callable[[], object]:
        def do() -> None:
            if libc.syscall(number, 0, 0, 0, 0, 0, 0) < 0:
                raise OSError(ctypes.get_errno(), names[number])

        return do

    needed = {*rights._CALLS, "read", "write", "mmap", "mprotect"}
    return {name: trying(number) for number, name in names.items() if name not in needed}


def outcome(do: Callable[[], object]) -> str:
    try:
        do()
    except OSError as err:
        return errno.errorcode.get(err.errno or 0, "?")
    except MemoryError:
        return "ENOMEM"
    except RuntimeError as err:  # no thread
        return f"EAGAIN: {err}"
    except ValueError as err:  # a hard limit, as the resource module says it
        return f"EPERM: {err}"
    return "done"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
