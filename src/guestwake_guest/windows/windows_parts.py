"""What the service is built of on this Windows, and where its token lies."""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import platform
import winreg
from typing import Callable

import pywintypes
import win32api
import win32con
import win32security

from guestwake_guest.report import Identity
from guestwake_guest.service import Service
from guestwake_guest.windows.detectors import DETECTORS
from guestwake_guest.windows.hvsocket import HvSocket
from guestwake_guest.windows.pairing import BadToken, Token, token
from guestwake_guest.windows.signal import WindowsSignal
from guestwake_guest.windows.tcp import Tcp
from guestwake_guest.windows.update_client import Asks, UpdateClient
from guestwake_guest.windows.waits import HurriedWaits
from guestwake_guest.windows.windows_boot import KeptSignal, boot_id
from guestwake_guest.windows.windows_event import NAME
from guestwake_guest.windows.windows_guest import WindowsGuest
from guestwake_guest.windows.windows_port import Port
from guestwake_guest.windows.windows_registry import WindowsRegistry
from guestwake_guest.windows.windows_watch import Watch
from guestwake_wire.windows_sessions import told

# Users may not write below SOFTWARE, and this key they may not read.
_KEY = r"SOFTWARE\Guestwake\Guest"
_VALUE = "Token"
_SDDL = "O:BAG:BAD:P(A;CI;KA;;;SY)(A;CI;KA;;;BA)"


class Parts:
    """`event_name`: another one for tests. Raises OSError."""

    def __init__(self, event_name: str = NAME) -> None:
        self.waits = HurriedWaits()
        kept = KeptSignal()
        self.guest = guest(self.waits.hurry)
        self.signal = WindowsSignal(kept, self.guest.elapsed)
        transports = (
            Port(self.waits.hurry),
            HvSocket(self.waits.hurry),
            Tcp(paired, self.waits.hurry),
        )
        self.service = Service(self.guest, self.waits, transports, self.signal)
        keys = {key for detector in DETECTORS for key in detector.WATCHED}
        self._watch = Watch(
            sorted(keys),
            self._and_hurry(self.signal.heard),
            self._and_hurry(self.guest.changed),
            event_name,
        )

    def stop(self) -> None:
        """From any thread."""
        self.service.is_told_to_stop = True
        self._watch.close()
        self.waits.hurry()

    def _and_hurry(self, then: Callable[[], None]) -> Callable[[], None]:
        def both() -> None:
            then()
            self.waits.hurry()

        return both


def guest(hurry: Callable[[], None]) -> WindowsGuest:
    """Raises OSError."""
    import time

    updates = UpdateClient(_agent, time.monotonic, hurry)
    return WindowsGuest(identity(), WindowsRegistry(), told, KeptSignal().read, updates)


def identity() -> Identity:
    edition = platform.win32_edition() or ""
    name = f"Windows {platform.release()} {edition}".strip()
    return Identity(boot_id(), name, platform.version())


def paired() -> Token | None:
    """None also for a token that is damaged, which `pair` would not have kept."""
    try:
        with winreg.OpenKey(
            winreg.HKEY_LOCAL_MACHINE, _KEY, 0, winreg.KEY_READ | winreg.KEY_WOW64_64KEY
        ) as key:
            return token(str(winreg.QueryValueEx(key, _VALUE)[0]))
    except (FileNotFoundError, BadToken):
        return None


def pair(new: Token) -> None:
    """The host that is known from now on. Needs an administrator; raises OSError."""
    attributes = pywintypes.SECURITY_ATTRIBUTES()
    attributes.SECURITY_DESCRIPTOR = (
        win32security.ConvertStringSecurityDescriptorToSecurityDescriptor(
            _SDDL, win32security.SDDL_REVISION_1
        )
    )
    access = win32con.KEY_SET_VALUE | winreg.KEY_WOW64_64KEY
    try:
        key, _ = win32api.RegCreateKeyEx(
            win32con.HKEY_LOCAL_MACHINE, _KEY, access, None, 0, attributes
        )
        win32api.RegSetValueEx(key, _VALUE, 0, win32con.REG_SZ, new.written())
        key.Close()
    except pywintypes.error as error:
        raise OSError(0, error.strerror, _KEY, error.winerror) from error


def unpair() -> bool:
    """Whether it was paired. Raises OSError."""
    access = winreg.KEY_SET_VALUE | winreg.KEY_WOW64_64KEY
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _KEY, 0, access) as key:
            winreg.DeleteValue(key, _VALUE)
    except FileNotFoundError:
        return False
    return True


def _agent() -> Asks:
    from guestwake_guest.windows.windows_update_agent import Agent

    return Agent()
