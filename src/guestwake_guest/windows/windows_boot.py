"""What belongs to one boot of this Windows: its id, and a signal that was given in it."""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import winreg

from guestwake_wire import windows_boot

_KEY = r"SOFTWARE\Guestwake\Guest of this boot"
_SIGNAL = "SignalAt"
_VIEW = winreg.KEY_READ | winreg.KEY_WOW64_64KEY


def boot_id() -> str:
    """Raises OSError."""
    return windows_boot.boot_id(_KEY)


class KeptSignal:
    """A Kept. Any user may read it."""

    def read(self) -> float | None:
        try:
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _KEY, 0, _VIEW) as key:
                return float(winreg.QueryValueEx(key, _SIGNAL)[0])
        except (FileNotFoundError, ValueError):
            return None

    def write(self, at: float) -> None:
        with windows_boot.volatile(winreg.HKEY_LOCAL_MACHINE, _KEY) as key:
            winreg.SetValueEx(key, _SIGNAL, 0, winreg.REG_SZ, repr(at))
