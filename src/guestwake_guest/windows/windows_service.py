"""The Guest Update Service as Windows' service manager starts it."""

from __future__ import annotations

import sys

assert sys.platform == "win32"

from contextlib import suppress
from typing import Any, Optional

import pywintypes
import servicemanager
import win32service
import win32serviceutil

from guestwake_guest import journal
from guestwake_guest.windows.windows_parts import Parts
from guestwake_wire.windows_services import Known

# As LocalSystem: it makes a global event and reads everybody's sessions.
SERVICE = Known(
    "GuestwakeGuest",
    "Guest Update Service (Guestwake)",
    "Tells the host of this virtual machine when a restart is required, whether updates are being "
    "installed, and who is using it.",
)


class GuestService(win32serviceutil.ServiceFramework):  # type: ignore[misc]  # pywin32 is untyped
    _svc_name_ = SERVICE.name
    _svc_display_name_ = SERVICE.title

    def __init__(self, words: Any) -> None:
        super().__init__(words)
        self._parts: Optional[Parts] = None
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
    servicemanager.Initialize(SERVICE.name, None)
    servicemanager.PrepareToHostSingle(GuestService)
    servicemanager.StartServiceCtrlDispatcher()


def _log(priority: int, text: str) -> None:
    with suppress(pywintypes.error):
        (servicemanager.LogWarningMsg if priority < 6 else servicemanager.LogInfoMsg)(text)
