"""What `guestwake open` says on the desktop where nobody sees its terminal: that it takes long, and
that nothing came of it.

Over the session's bus, to whatever shows notifications there. Where nothing does, or it is silent,
nothing is said. What is shown comes from outside in part: cut and escaped here.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from contextlib import ExitStack
from html import escape
from typing import TYPE_CHECKING, Protocol

from guestwake.edges.agent import addresses
from guestwake.edges.text import cut, is_terminal, printable

if TYPE_CHECKING:
    from guestwake.edges.remote_wire import Wire

log = logging.getLogger(__name__)

_SILENT_FOR = 2.0  # seconds that may pass without a word
_PATIENCE = 2.0  # seconds for each answer
_TITLE_MAX = 80  # characters
_BODY_MAX = 500
_AS_EVER, _UNTIL_CLOSED = -1, 0  # how long it is shown, as the specification has it
_NORMAL = 1
_NOTIFICATIONS = ("org.freedesktop.Notifications", "/org/freedesktop/Notifications")


class Notice(Protocol):
    def is_about(self, title: str) -> None:
        """What is opened, as its user knows it."""
        ...

    def waits(self, sentence: str) -> None:
        """Called again and again while it is waited for."""
        ...

    def is_shown(self) -> None:
        """There is no more to wait for, whatever came of it."""
        ...

    def failed(self, sentence: str) -> None: ...


def notice(title: str) -> Notice:
    """`title`: until more is known."""
    _, session = addresses(os.environ)
    if session is None or is_terminal(sys.stderr):
        return Silence()
    return DesktopNotice(title, session)


class Silence:
    """The terminal tells."""

    def is_about(self, title: str) -> None: ...
    def waits(self, sentence: str) -> None: ...
    def is_shown(self) -> None: ...
    def failed(self, sentence: str) -> None: ...


class DesktopNotice:
    """One notification, which changes. `bus`: the address of the session's."""

    def __init__(self, title: str, bus: str) -> None:
        self._title = title
        self._bus = bus
        self._began = time.monotonic()
        self._said = ""
        self._number = 0  # of the notification; 0: there is none
        self._open = ExitStack()
        self._wire: Wire | None = None
        self._takes_markup = False
        self._is_gone = False  # the server, or the bus: not asked again

    def is_about(self, title: str) -> None:
        self._title = title

    def waits(self, sentence: str) -> None:
        if sentence != self._said and time.monotonic() - self._began >= _SILENT_FOR:
            self._said = sentence
            self._show(f"Opening {self._title}", sentence, "computer", _AS_EVER)

    def is_shown(self) -> None:
        if self._number:
            self._call("CloseNotification", "u", (self._number,))
        self._number = 0
        self._open.close()
        self._wire = None

    def failed(self, sentence: str) -> None:
        self._show(f"{self._title} cannot be shown", sentence, "dialog-error", _UNTIL_CLOSED)
        self._number = 0  # it stays

    def _show(self, summary: str, body: str, icon: str, lasts: int) -> None:
        if self._wire is None and not self._is_gone:
            self._connect()
        said = cut(body, _BODY_MAX)
        said = escape(said, quote=False) if self._takes_markup else said
        title, hints = cut(summary, _TITLE_MAX), {"urgency": ("y", _NORMAL)}
        words: tuple[object, ...] = ("Guestwake", self._number, icon, title, said, [], hints, lasts)
        answer = self._call("Notify", "susssasa{sv}i", words)
        if answer and isinstance(answer[0], int):
            self._number = answer[0]

    def _connect(self) -> None:
        from guestwake.edges.remote_wire import Silent, connected

        try:
            deadline = time.monotonic() + _PATIENCE
            self._wire = self._open.enter_context(connected(deadline, self._bus))
        except Silent as err:
            self._gives_up(err)
            return
        can = self._call("GetCapabilities", "", ())
        self._takes_markup = bool(can and isinstance(can[0], list) and "body-markup" in can[0])

    def _call(self, name: str, signature: str, body: tuple[object, ...]) -> tuple[object, ...]:
        """Empty: there was no answer, or none is to be had any more."""
        if self._wire is None or self._is_gone:
            return ()
        from guestwake.edges.remote_wire import ErrorAnswer, Silent, method_call

        message = method_call(*_NOTIFICATIONS, _NOTIFICATIONS[0], name, signature, body)
        try:
            return self._wire.ask(message, time.monotonic() + _PATIENCE)
        except (ErrorAnswer, Silent) as err:
            self._gives_up(err)
            return ()

    def _gives_up(self, err: Exception) -> None:
        self._is_gone = True
        log.debug("nothing shows notifications here: %s", printable(str(err)))
