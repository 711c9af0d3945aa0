"""Gives up what a process may do, for good, but to compute and to use what it has open.

In layers, because not each is to be had everywhere: the user `nobody` where we are root; no
capabilities; limits that forbid new files, sockets and processes and bound the memory; no new
rights by any program; where the kernel has Landlock, nothing by a path and, from Linux 6.12 on, no
signals; and, where libseccomp is installed, a filter that refuses every system call but a dozen.
"""

from __future__ import annotations

import ctypes
import os
import resource

_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT, _CLEAR_ALL = 47, 4
_CAPABILITY_VERSION = 0x20080522
_NOBODY = 65534
_PROT_EXEC = 4
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001  # the latter answers EPERM
_EQUAL, _MASKED_EQUAL = 4, 7

_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # Landlock's; the same numbers on every machine
_VERSION = 1

# What Python needs to compute, to take memory and to give it back, and to end.
_CALLS = (
    *("brk", "munmap", "mremap", "madvise", "futex", "getrandom", "clock_gettime"),
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "exit", "exit_group"),
)


def give_up_rights(memory_max: int) -> None:
    """`memory_max`: bytes of address space, in all. Raises OSError where even the plain limits
    cannot be set: then nothing may be parsed here."""
    os.umask(0o777)
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    for option, value in ((_PR_SET_NO_NEW_PRIVS, 1), (_PR_SET_DUMPABLE, 0)):
        if libc.prctl(option, value, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
    _drop_capabilities(libc)
    made = _filter()  # from a library, which is a file
    _close_paths(libc)
    limits = {
        resource.RLIMIT_AS: memory_max,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NPROC: 0,
        # Neither a file nor a socket can be opened; those that are open stay so.
        resource.RLIMIT_NOFILE: 0,
    }
    for limit, most in limits.items():
        resource.setrlimit(limit, (most, most))
    if made is not None:
        made.load()


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    """Those that a service's unit has given its processes."""
    libc.prctl(_PR_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0)
    none = (ctypes.c_uint32 * 6)()
    if libc.capset((ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), none):
        raise OSError(ctypes.get_errno(), "capset")


class _Ruleset(ctypes.Structure):
    """Landlock's `struct landlock_ruleset_attr`: a bit for each thing that is refused."""

    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scopes", ctypes.c_uint64),
    )


def _close_paths(libc: ctypes.CDLL) -> None:
    """Nothing where the kernel has no Landlock: it came with Linux 5.13, and may be off."""
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)
    if version < 1:
        return
    files = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)
    asked = _Ruleset((1 << files) - 1, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = ctypes.c_size_t(8 if version < 4 else 16 if version < 6 else 24)
    ruleset = libc.syscall(_CREATE_RULESET, ctypes.byref(asked), size, 0)
    if ruleset < 0 or libc.syscall(_RESTRICT_SELF, ruleset, 0):
        raise OSError(ctypes.get_errno(), "landlock")
    os.close(ruleset)


class _Argument(ctypes.Structure):
    """libseccomp's `struct scmp_arg_cmp`."""

    _fields_ = (
        ("number", ctypes.c_uint),
        ("compare", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


class Filter:
    """Of libseccomp, through its C interface: the binding on PyPI is not kept, and runs a
    compiler to find the library. Raises OSError where the library is not installed."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libseccomp.so.2")
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._made = ctypes.c_void_p(self._library.seccomp_init(_REFUSE))

    def allow(self, call: str, *arguments: _Argument) -> None:
        number = self._library.seccomp_syscall_resolve_name(call.encode())
        given = (_Argument * max(1, len(arguments)))(*arguments)
        done = self._library.seccomp_rule_add_array(
            self._made, ctypes.c_uint32(_ALLOW), number, len(arguments), given
        )
        if done:
            raise OSError(-done, f"seccomp: {call}")

    def load(self) -> None:
        if done := self._library.seccomp_load(self._made):
            raise OSError(-done, "seccomp")


def _filter() -> Filter | None:
    """None: there is no libseccomp here, and the other layers must do."""
    try:
        made = Filter()
    except OSError:
        return None
    for call in _CALLS:
        made.allow(call)
    made.allow("read", _Argument(0, _EQUAL, 0))
    for descriptor in (1, 2):
        made.allow("write", _Argument(0, _EQUAL, descriptor))
    for call in ("mmap", "mprotect"):
        made.allow(call, _Argument(2, _MASKED_EQUAL, _PROT_EXEC, 0))
    return made
