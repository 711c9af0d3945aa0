"""The service as Windows' service manager knows it: installed, started, stopped."""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import os
import subprocess
from contextlib import suppress
from typing import Any

import pywintypes
import servicemanager
import win32service
import win32serviceutil
import winerror

from guestwake_guest import journal
from guestwake_guest.windows.windows_parts import Parts

NAME = "GuestwakeGuest"
TITLE = "Guest Update Service (Guestwake)"
ABOUT = (
    "Tells the host of this virtual machine when a restart is required, whether updates are being "
    "installed, and who is using it."
)
_RESTARTS = [(win32service.SC_ACTION_RESTART, 5000)] * 3
_DAY = 86400


class GuestService(win32serviceutil.ServiceFramework):  # type: ignore[misc]  # pywin32 is untyped
    _svc_name_ = NAME
    _svc_display_name_ = TITLE

    def __init__(self, words: Any) -> None:
        super().__init__(words)
        self._parts: Parts | None = None
        self._is_told = False

    def SvcStop(self) -> None:
        self.ReportServiceStatus(win32service.SERVICE_STOP_PENDING)
        self._is_told = True
        if self._parts is not None:
            self._parts.stop()

    SvcShutdown = SvcStop

    def SvcDoRun(self) -> None:
        journal.write_to(_log)
        self._parts = Parts()
        if self._is_told:
            self._parts.stop()
        journal.tell(self._parts.service.run().value)


def serve() -> None:
    """What the service manager starts. Raises pywintypes.error where a person does."""
    servicemanager.Initialize(NAME, None)
    servicemanager.PrepareToHostSingle(GuestService)
    servicemanager.StartServiceCtrlDispatcher()


def install(command: str) -> str:
    """`command`: the line that starts `serve`. What was done, as a sentence. Raises OSError."""
    with _translated():
        manager = win32service.OpenSCManager(None, None, win32service.SC_MANAGER_ALL_ACCESS)
        try:
            service = win32service.CreateService(
                manager,
                NAME,
                TITLE,
                win32service.SERVICE_ALL_ACCESS,
                win32service.SERVICE_WIN32_OWN_PROCESS,
                win32service.SERVICE_AUTO_START,
                win32service.SERVICE_ERROR_NORMAL,
                command,
                None,
                0,
                None,
                None,  # LocalSystem: it makes a global event and reads everybody's sessions
                None,
            )
            done = f"installed the service {NAME}"
        except pywintypes.error as error:
            if error.winerror != winerror.ERROR_SERVICE_EXISTS:
                raise
            service = win32service.OpenService(manager, NAME, win32service.SERVICE_ALL_ACCESS)
            keep = win32service.SERVICE_NO_CHANGE
            same = (None, 0, None, None, None, None)  # group, tag, dependencies, account, title
            win32service.ChangeServiceConfig(
                service, keep, win32service.SERVICE_AUTO_START, keep, command, *same
            )
            done = f"the service {NAME} was there; it starts this program now"
        _describe(service)
        return done


def _describe(service: Any) -> None:
    """Wine has not all of it, and the service runs without."""
    for what, value in (
        (win32service.SERVICE_CONFIG_DESCRIPTION, ABOUT),
        (
            win32service.SERVICE_CONFIG_FAILURE_ACTIONS,
            {"ResetPeriod": _DAY, "RebootMsg": "", "Command": "", "Actions": _RESTARTS},
        ),
        # Also where it ends in order, with an error.
        (win32service.SERVICE_CONFIG_FAILURE_ACTIONS_FLAG, True),
    ):
        with suppress(pywintypes.error, NotImplementedError):
            win32service.ChangeServiceConfig2(service, what, value)


def start() -> None:
    """Anew, where another program of that name is running. Raises OSError."""
    with _translated():
        win32serviceutil.RestartService(NAME)


def uninstall() -> bool:
    """Whether there was one. It is stopped first. Raises OSError."""
    with _translated():
        try:
            win32serviceutil.QueryServiceStatus(NAME)
        except pywintypes.error as error:
            if error.winerror == winerror.ERROR_SERVICE_DOES_NOT_EXIST:
                return False
            raise
        with suppress(pywintypes.error):  # it does not run
            win32serviceutil.StopService(NAME)
        win32serviceutil.RemoveService(NAME)
        return True


def command_of(program: str, script: str | None) -> str:
    """`script`: what Python is to run; None: the program is one of its own."""
    words = (program, script, "service") if script else (program, "service")
    return subprocess.list2cmdline(tuple(map(os.path.abspath, words[:-1])) + words[-1:])


class _translated:
    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, pywintypes.error):
            raise OSError(0, error.strerror, NAME, error.winerror) from error


def _log(priority: int, text: str) -> None:
    with suppress(pywintypes.error):
        (servicemanager.LogWarningMsg if priority < 6 else servicemanager.LogInfoMsg)(text)
