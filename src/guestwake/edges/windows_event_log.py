"""Events in Windows' own event log, under the source "Guestwake" of the log "Application".

Each is its id (with its severity in the upper bits, as the message file has it) and two strings:
the workspace and the detail. The texts are in a DLL that `tools/windows_messages` builds.
https://learn.microsoft.com/windows/win32/eventlog/event-sources
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Any, Final

from guestwake.edges.text import printable
from guestwake.events import Level

SOURCE: Final = "Guestwake"
KEY: Final = rf"SYSTEM\CurrentControlSet\Services\EventLog\Application\{SOURCE}"
_STRING_CHARACTERS_MAX = 4000  # Windows takes 31,839
# Event type (error, warning, information) and severity.
_TYPES = {
    Level.ERROR: (1, 3),
    Level.WARNING: (2, 2),
    Level.INFORMATION: (4, 1),
    Level.DEBUG: (4, 1),
}
_ALL_TYPES = 7
_NOT_HERE = "only Windows has such a log"


class WindowsEventLog(logging.Handler):
    """Keeps what `event_log.write` records, and nothing else of the log. `win32evtlog`: pywin32's
    module; given by tests alone."""

    def __init__(self, win32evtlog: Any = None) -> None:
        super().__init__()
        self._api = win32evtlog
        self._source: Any = None

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", None)
        if event is None:
            return
        try:
            self._report(event.id, event.level, record.__dict__)
        except Exception:  # the run goes on, and the log's other handlers have it
            self.handleError(record)

    def _report(self, number: int, level: Level, said: dict[str, Any]) -> None:
        if self._source is None:
            if self._api is None:
                import win32evtlog

                self._api = win32evtlog
            self._source = self._api.RegisterEventSource(None, SOURCE)
        kind, severity = _TYPES[level]
        strings = [_string(said[name]) for name in ("workspace", "detail")]
        self._api.ReportEvent(self._source, kind, 0, severity << 30 | number, None, strings, None)


def _string(text: str) -> str:
    """Windows puts strings into strings too: a %1 in one would be another of them.
    https://learn.microsoft.com/windows/win32/api/winbase/nf-winbase-reporteventw"""
    return re.sub(r"%(?=\d)", "% ", printable(text)[:_STRING_CHARACTERS_MAX])


def register(messages: str) -> None:
    """Tell Windows where the texts are. `messages`: the DLL's full path. Needs an administrator;
    raises OSError."""
    if sys.platform != "win32":
        raise OSError(_NOT_HERE)
    import winreg

    with winreg.CreateKeyEx(winreg.HKEY_LOCAL_MACHINE, KEY) as key:
        winreg.SetValueEx(key, "EventMessageFile", 0, winreg.REG_EXPAND_SZ, messages)
        winreg.SetValueEx(key, "TypesSupported", 0, winreg.REG_DWORD, _ALL_TYPES)


def unregister() -> None:
    """One that is gone is fine. Raises OSError."""
    if sys.platform != "win32":
        raise OSError(_NOT_HERE)
    import contextlib
    import winreg

    with contextlib.suppress(FileNotFoundError):
        winreg.DeleteKey(winreg.HKEY_LOCAL_MACHINE, KEY)
