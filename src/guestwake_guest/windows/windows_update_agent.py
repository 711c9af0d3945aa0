"""Windows Update, asked through its COM interface (wuapi.idl). Not usable under Wine.

Each answer may take minutes: `update_client.py` asks in a thread of its own.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pythoncom
import win32com.client

from guestwake_guest.windows.update_client import Answer, Entry

# Optional ones are left until a person wants them.
_WANTED = "IsInstalled=0 and IsHidden=0 and BrowseOnly=0"
_INSTALLATION, _SUCCEEDED = 1, 2
_ENTRIES_MAX = 32


class Agent:
    """What `update_client.py` asks. Made and used in one thread. Each raises OSError."""

    def __init__(self) -> None:
        pythoncom.CoInitialize()

    def ask(self) -> Answer:
        try:
            session = win32com.client.Dispatch("Microsoft.Update.Session")
            session.ClientApplicationID = "Guestwake"
            busy = bool(session.CreateUpdateInstaller().IsBusy)
            searcher = session.CreateUpdateSearcher()
            searcher.Online = False  # as of Windows' own last look
            left = None if busy else int(searcher.Search(_WANTED).Updates.Count)
        except pythoncom.com_error as error:
            raise OSError(0, error.strerror) from error
        installed: list[Entry] = []
        looked_at = None
        # What is busy counts without these two.
        with suppress(pythoncom.com_error, OSError, ValueError):
            installed = _entries(searcher)
        with suppress(pythoncom.com_error, OSError, ValueError):
            looked_at = _looked_at()
        return Answer(busy, left, tuple(installed), looked_at)

    def nudge(self) -> None:
        """Windows' own program lets its own client look, under its own configuration."""
        root = os.environ.get("SYSTEMROOT", r"C:\Windows")
        program = Path(root) / "System32" / "UsoClient.exe"
        subprocess.Popen(
            (str(program), "StartScan"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def _entries(searcher: Any) -> list[Entry]:
    """The latest first, those that were installed well."""
    number = min(int(searcher.GetTotalHistoryCount()), _ENTRIES_MAX)
    if not number:
        return []
    return [
        Entry(str(one.Title), int(one.Date.timestamp()))
        for one in searcher.QueryHistory(0, number)
        if one.Operation == _INSTALLATION and one.ResultCode == _SUCCEEDED
    ]


def _looked_at() -> float | None:
    """When Windows' own client last looked and was answered; our looks do not count."""
    results = win32com.client.Dispatch("Microsoft.Update.AutoUpdate").Results
    date = results.LastSearchSuccessDate  # in UTC; empty where it never was
    return float(date.timestamp()) if date else None
