"""`Global\\MedvGuestRebootRequiredEvent`, by which other software says "restart required" (the
page; contract, section 7).

Anybody may open it to set it, and to nothing else. It resets itself when it is heard; one that does
not, because somebody else made it first, is reset by hand, and heard once a second at most.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"

from contextlib import suppress
from typing import Any

import pywintypes
import win32api
import win32con
import win32event
import win32security
import winerror

NAME = r"Global\MedvGuestRebootRequiredEvent"
# Owner and group are named, as Wine takes the protection for less without them. Everybody may
# modify its state (EVENT_MODIFY_STATE), an administrator too; the system may do all.
SDDL = "O:SYG:SYD:P(A;;0x2;;;WD)(A;;0x1f0003;;;SY)"
_OURS = ("S-1-5-18", "S-1-5-32-544")  # the system, administrators


class Squatted(Exception):
    """Somebody else has made it, so that it does what that one wants: a sentence."""


class RestartEvent:
    """`handle`: to be waited for. `squatted`: why it is not to be trusted for long; None: it is
    ours. Raises Squatted where it cannot even be waited for."""

    def __init__(self, name: str = NAME) -> None:
        self._name = name
        self.squatted: str | None = None
        self.handle: Any = self._made()

    def reset(self) -> None:
        """What was heard is not to be heard again. One that may only be waited for stays as it is:
        the pause between two looks must do."""
        with suppress(pywintypes.error):
            win32event.ResetEvent(self.handle)

    def close(self) -> None:
        """The name is free again, where nobody else holds it."""
        self.handle.Close()

    def _made(self) -> Any:
        try:
            handle = win32event.CreateEvent(_attributes(), 0, 0, self._name)
            came_first = win32api.GetLastError() == winerror.ERROR_ALREADY_EXISTS
        except pywintypes.error as error:
            if error.winerror not in (winerror.ERROR_ACCESS_DENIED, winerror.ERROR_INVALID_HANDLE):
                raise
            return self._only_heard(error)
        if came_first and not _is_ours(handle):
            self.squatted = (
                f"somebody else had made '{self._name}' before: it is heard all the same"
            )
        return handle

    def _only_heard(self, error: Any) -> Any:
        self.squatted = (
            f"somebody else keeps '{self._name}': it is heard as far as that one lets it"
        )
        try:
            return win32event.OpenEvent(win32con.SYNCHRONIZE, 0, self._name)
        except pywintypes.error:
            raise Squatted(f"'{self._name}' is somebody else's: {error.strerror}") from error


def _attributes() -> Any:
    attributes = pywintypes.SECURITY_ATTRIBUTES()
    attributes.SECURITY_DESCRIPTOR = (
        win32security.ConvertStringSecurityDescriptorToSecurityDescriptor(
            SDDL, win32security.SDDL_REVISION_1
        )
    )
    return attributes


def _is_ours(handle: Any) -> bool:
    """Made by an administrator or the system, as an older run of ours would have been."""
    try:
        told = win32security.GetSecurityInfo(
            handle, win32security.SE_KERNEL_OBJECT, win32security.OWNER_SECURITY_INFORMATION
        )
        owner = told.GetSecurityDescriptorOwner()
        return owner is not None and win32security.ConvertSidToStringSid(owner) in _OURS
    except pywintypes.error:
        return False


def set_event(name: str = NAME) -> None:
    """As the page tells ESD systems to: opened with the right to modify alone. Raises
    pywintypes.error."""
    handle = win32event.OpenEvent(win32event.EVENT_MODIFY_STATE, 0, name)
    try:
        win32event.SetEvent(handle)
    finally:
        handle.Close()
