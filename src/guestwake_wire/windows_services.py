"""A program of ours as Windows' service manager knows it: installed, started, stopped, removed."""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import os
import subprocess
from contextlib import contextmanager, suppress
from time import monotonic, sleep
from typing import Any, Iterator, NamedTuple

import pywintypes
import win32service
import win32serviceutil
import winerror

_RESTARTS = [(win32service.SC_ACTION_RESTART, 5000)] * 3
_DAY = 86400
_STOPS_WITHIN = 60.0  # seconds


class Known(NamedTuple):
    """How the service manager, and who looks at it there, names a service."""

    name: str
    title: str
    about: str


def install(known: Known, command: str) -> str:
    """`command`: the line that starts it, as LocalSystem. What was done, as a sentence. Raises
    OSError."""
    with _translated(known):
        manager = win32service.OpenSCManager(None, None, win32service.SC_MANAGER_ALL_ACCESS)
        try:
            service = win32service.CreateService(
                manager,
                known.name,
                known.title,
                win32service.SERVICE_ALL_ACCESS,
                win32service.SERVICE_WIN32_OWN_PROCESS,
                win32service.SERVICE_AUTO_START,
                win32service.SERVICE_ERROR_NORMAL,
                command,
                None,
                0,
                None,
                None,
                None,
            )
            done = f"installed the service {known.name}"
        except pywintypes.error as error:
            if error.winerror != winerror.ERROR_SERVICE_EXISTS:
                raise
            service = win32service.OpenService(manager, known.name, win32service.SERVICE_ALL_ACCESS)
            keep = win32service.SERVICE_NO_CHANGE
            same = (None, 0, None, None, None, None)  # group, tag, dependencies, account, title
            win32service.ChangeServiceConfig(
                service, keep, win32service.SERVICE_AUTO_START, keep, command, *same
            )
            done = f"the service {known.name} was there; it starts this program now"
        _describe(service, known)
        return done


def _describe(service: Any, known: Known) -> None:
    """Wine has not all of it, and the service runs without."""
    for what, value in (
        (win32service.SERVICE_CONFIG_DESCRIPTION, known.about),
        (
            win32service.SERVICE_CONFIG_FAILURE_ACTIONS,
            {"ResetPeriod": _DAY, "RebootMsg": "", "Command": "", "Actions": _RESTARTS},
        ),
        # Also where it ends in order, with an error.
        (win32service.SERVICE_CONFIG_FAILURE_ACTIONS_FLAG, True),
    ):
        with suppress(pywintypes.error, NotImplementedError):
            win32service.ChangeServiceConfig2(service, what, value)


def start(known: Known) -> None:
    """Anew, where another program of that name is running. Raises OSError."""
    with _translated(known):
        _stop(known)
        win32serviceutil.StartService(known.name)


def uninstall(known: Known) -> bool:
    """Whether there was one. It is stopped first. Raises OSError."""
    with _translated(known):
        try:
            win32serviceutil.QueryServiceStatus(known.name)
        except pywintypes.error as error:
            if error.winerror == winerror.ERROR_SERVICE_DOES_NOT_EXIST:
                return False
            raise
        _stop(known)
        win32serviceutil.RemoveService(known.name)
        return True


def _stop(known: Known) -> None:
    """And wait until it has: what is removed while it runs is there until it ends, and what it had
    begun would come after. Raises pywintypes.error, OSError."""
    until = monotonic() + _STOPS_WITHIN
    while win32serviceutil.QueryServiceStatus(known.name)[1] != win32service.SERVICE_STOPPED:
        if monotonic() > until:
            raise OSError(f"{known.name} does not stop: end its process, and call again")
        with suppress(pywintypes.error):  # it is just starting, or was told already
            win32serviceutil.StopService(known.name)
        sleep(0.2)


def command_of(program: str, *words: str) -> str:
    """A command line; the program by its full path."""
    return subprocess.list2cmdline((os.path.abspath(program), *words))


@contextmanager
def _translated(known: Known) -> Iterator[None]:
    try:
        yield
    except pywintypes.error as error:
        raise OSError(0, error.strerror, known.name, error.winerror) from error
