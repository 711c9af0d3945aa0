"""`rights.py` on Windows: what a process there can give up for good.

Its privileges; writing to anything of its user's (it goes down to the lowest integrity level);
other processes; memory beyond a limit. What it cannot give up is to read what its user may read,
and the network: docs/security.md says so.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import ctypes

import pywintypes
import win32api
import win32con
import win32job
import win32security

_UNTRUSTED = "S-1-16-0"
_NO_CHILDREN = 13  # ProcessChildProcessPolicy


def give_up_rights(memory_max: int) -> None:
    """`memory_max`: bytes that it may commit, in all. Raises OSError where even that limit cannot
    be set: then nothing may be parsed here."""
    try:
        _bound(memory_max)
        _drop_privileges()
    except pywintypes.error as error:
        raise OSError(0, error.strerror, None, error.winerror) from error
    _sink()
    forbid = getattr(ctypes.windll.kernel32, "SetProcessMitigationPolicy", None)
    if forbid is not None:  # Windows 10 and newer
        policy = ctypes.c_uint32(1)
        forbid(_NO_CHILDREN, ctypes.byref(policy), ctypes.sizeof(policy))


def _bound(memory_max: int) -> None:
    """By a job of its own, which ends with it. Nobody keeps a handle to it, who could lift its
    limits by that: they hold without one."""
    job = win32job.CreateJobObject(None, "")
    limits = win32job.QueryInformationJobObject(job, win32job.JobObjectExtendedLimitInformation)
    limits["ProcessMemoryLimit"] = memory_max
    limits["BasicLimitInformation"]["ActiveProcessLimit"] = 1
    limits["BasicLimitInformation"]["LimitFlags"] = (
        win32job.JOB_OBJECT_LIMIT_PROCESS_MEMORY | win32job.JOB_OBJECT_LIMIT_ACTIVE_PROCESS
    )
    win32job.SetInformationJobObject(job, win32job.JobObjectExtendedLimitInformation, limits)
    win32job.AssignProcessToJobObject(job, win32api.GetCurrentProcess())
    job.Close()


def _drop_privileges() -> None:
    token = win32security.OpenProcessToken(
        win32api.GetCurrentProcess(), win32con.TOKEN_ADJUST_PRIVILEGES | win32con.TOKEN_QUERY
    )
    held = win32security.GetTokenInformation(token, win32security.TokenPrivileges)
    gone = [(luid, win32security.SE_PRIVILEGE_REMOVED) for luid, _ in held]
    win32security.AdjustTokenPrivileges(token, 0, gone)


def _sink() -> None:
    """Wine has no integrity levels: there it stays as it is."""
    try:
        token = win32security.OpenProcessToken(
            win32api.GetCurrentProcess(), win32con.TOKEN_ADJUST_DEFAULT
        )
        lowest = win32security.ConvertStringSidToSid(_UNTRUSTED)
        win32security.SetTokenInformation(
            token, win32security.TokenIntegrityLevel, (lowest, win32security.SE_GROUP_INTEGRITY)
        )
    except pywintypes.error:
        return
