"""`guestwake serve` as Windows' service manager starts it, and what installs that.

The service manager tells of logons, logoffs and of a host that was asleep, which a console does
not hear of.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pywintypes
import servicemanager
import win32service
import win32serviceutil
import winerror

from guestwake.application import Application
from guestwake.edges import windows_event_log
from guestwake.edges.exit_codes import Exit
from guestwake.edges.serve import Controls
from guestwake.schedulers.api import Done, SchedulerError
from guestwake_wire import windows_services as services
from guestwake_wire.windows_services import Known

SERVICE = Known(
    "Guestwake",
    "Guest Restart Management Service (Guestwake)",
    "Keeps a scheduled task for each virtual machine that is to be woken for its updates, finishes "
    "what was begun, and asks about the restarts that updates need.",
)
_MESSAGES = "guestwake-events.dll"
_ACCEPTED: int = win32service.SERVICE_ACCEPT_SESSIONCHANGE | win32service.SERVICE_ACCEPT_POWEREVENT
_HEARD = (win32service.SERVICE_CONTROL_SESSIONCHANGE, win32service.SERVICE_CONTROL_POWEREVENT)


class _Host(win32serviceutil.ServiceFramework):  # type: ignore[misc]  # pywin32 is untyped
    _svc_name_ = SERVICE.name
    _svc_display_name_ = SERVICE.title
    run: ClassVar[Callable[[Controls], Exit]]

    def __init__(self, words: Any) -> None:
        super().__init__(words)
        # What pywin32 itself has to say would have the texts of our own source replaced by its own.
        servicemanager.SetEventSourceName(f"{SERVICE.name} service")
        self._is_told = False
        self._stop: Callable[[], None] | None = None
        self._hear: Callable[[], None] | None = None

    def GetAcceptedControls(self) -> int:
        accepted: int = super().GetAcceptedControls()
        return accepted | _ACCEPTED

    def SvcStop(self) -> None:
        self.ReportServiceStatus(win32service.SERVICE_STOP_PENDING)
        self._is_told = True
        if self._stop is not None:
            self._stop()

    SvcShutdown = SvcStop

    def SvcOtherEx(self, control: int, kind: int, data: object) -> None:
        if control in _HEARD and self._hear is not None:
            self._hear()

    def SvcDoRun(self) -> None:
        code = type(self).run(self._listen)
        if code is not Exit.DONE:  # the service manager starts it anew
            raise SystemExit(code)

    def _listen(self, stop: Callable[[], None], hear: Callable[[], None]) -> None:
        self._stop, self._hear = stop, hear
        if self._is_told:
            stop()


def hosted(run: Callable[[Controls], Exit]) -> bool:
    """Whether it was the service manager that started this process; then it has run to its end."""
    _Host.run = staticmethod(run)
    servicemanager.Initialize(SERVICE.name, None)
    servicemanager.PrepareToHostSingle(_Host)
    try:
        servicemanager.StartServiceCtrlDispatcher()
    except pywintypes.error as error:
        if error.winerror != winerror.ERROR_FAILED_SERVICE_CONTROLLER_CONNECT:
            raise OSError(0, error.strerror, SERVICE.name, error.winerror) from error
        return False
    return True


class WindowsInstallation:
    """As `systemd_install.Installation`. Raises OSError, SchedulerError."""

    def __init__(self, application: Application) -> None:
        if application.paths.root is not None:
            raise SchedulerError(
                "a service is for the real system: leave out --root, and unset GUESTWAKE_ROOT"
            )
        if application.paths.user is not None:
            raise SchedulerError(
                "the service is an administrator's: open an elevated prompt, and call again"
            )
        self._application = application

    def install(self, *, linger: bool = False) -> Done:
        """`linger`: of systemd; nothing here ends at a logoff."""
        told = Done()
        serve = services.command_of(sys.executable, "-P", "-m", "guestwake.edges.cli", "serve")
        told.done.append(services.install(SERVICE, serve))
        if (messages := _messages()) is not None:
            windows_event_log.register(str(messages))
            told.done.append(f"the event log has the texts of {messages}")
        else:
            told.next.append(
                f"The event log shows numbers without a text: lay {_MESSAGES} beside "
                f"{sys.executable}, and call again."
            )
        services.start(SERVICE)
        told.done.append(f"started the service {SERVICE.name}")
        return told

    def remove(self) -> Done:
        told = Done()
        if services.uninstall(SERVICE):
            told.done.append(f"removed the service {SERVICE.name}")
        if (scheduler := self._application.scheduler()) is not None:
            for uuid in sorted(scheduler.workspaces()):
                scheduler.remove(uuid)
                told.done.append(f"removed the task {uuid}")
        windows_event_log.unregister()
        told.next.append("A run that is under way goes on, and puts back at its window's end.")
        return told


def _messages() -> Path | None:
    beside = Path(sys.executable).with_name(_MESSAGES)
    return beside if beside.exists() else None
