"""A screen that nobody sees, on which windows are real."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_WINDOW = re.compile(r'^ +(0x[0-9a-f]+) "(.*?)": \(', re.MULTILINE)
_CLIENT_MESSAGE = 33


class _Message(ctypes.Structure):
    """Xlib's XClientMessageEvent, with the room of an XEvent."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("serial", ctypes.c_ulong),
        ("send_event", ctypes.c_int),
        ("display", ctypes.c_void_p),
        ("window", ctypes.c_ulong),
        ("message_type", ctypes.c_ulong),
        ("format", ctypes.c_int),
        ("data", ctypes.c_long * 5),
        ("room", ctypes.c_long * 12),
    )


@dataclass(frozen=True, slots=True)
class Display:
    """Use `display()`. `name`: as DISPLAY names it."""

    name: str

    def windows(self) -> dict[str, str]:
        """Titles of those that there are, by the window's number."""
        command = ["xwininfo", "-display", self.name, "-root", "-tree"]
        tree = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        return dict(_WINDOW.findall(tree.stdout))

    def titled(self, words: str) -> str | None:
        """The first window with these words in its title."""
        return next((one for one, title in self.windows().items() if words in title), None)

    def ask_to_close(self, window: str) -> None:
        """As a window manager does for who clicks on the cross: its program ends by itself."""
        x11 = ctypes.CDLL("libX11.so.6")
        x11.XOpenDisplay.restype = ctypes.c_void_p
        screen = ctypes.c_void_p(x11.XOpenDisplay(self.name.encode()))
        assert screen, f"there is no display {self.name}"
        x11.XInternAtom.restype = ctypes.c_ulong

        def atom(name: str) -> int:
            return int(x11.XInternAtom(screen, name.encode(), 0))

        number = ctypes.c_ulong(int(window, 16))
        message = _Message(type=_CLIENT_MESSAGE, window=number, format=32)
        message.message_type = atom("WM_PROTOCOLS")
        message.data[0] = atom("WM_DELETE_WINDOW")
        x11.XSendEvent(screen, number, 0, ctypes.c_long(0), ctypes.byref(message))
        x11.XCloseDisplay(screen)

    def close(self, window: str) -> None:
        """Its program loses the screen, and ends."""
        command = ["xkill", "-display", self.name, "-id", window]
        subprocess.run(command, capture_output=True, timeout=30, check=True)


@contextmanager
def display() -> Iterator[Display]:
    reads, writes = os.pipe()
    # A server that is reset when its last client goes, as xwininfo does, drops who comes meanwhile.
    options = ["-screen", "0", "1024x768x24", "-nolisten", "tcp", "-noreset"]
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writes), *options],
        pass_fds=[writes],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writes)
    try:
        with os.fdopen(reads) as numbers:
            number = numbers.readline().strip()
        assert number, "Xvfb did not start"
        yield Display(f":{number}")
    finally:
        server.terminate()
        server.wait()
