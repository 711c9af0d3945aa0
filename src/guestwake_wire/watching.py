"""A thread that waits until a socket can be read: for who has no loop of its own to do that."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

# A poll needs no file of its own; Windows has none, and its select counts sockets, not numbers.
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)


class ThreadWatch:
    """`on_ready` runs in its thread, once for each `arm`: the socket can be read, or has closed."""

    def __init__(self, connected: socket.socket, on_ready: Callable[[], None]) -> None:
        self._socket, self._on_ready = connected, on_ready
        self._wanted = threading.Event()
        self._is_over = False
        threading.Thread(target=self._watch, daemon=True).start()

    def arm(self) -> None:
        self._wanted.set()

    def end(self) -> None:
        """No word after this. The socket is cut off, for whoever is at its other end, too; its
        closing is not ours."""
        self._is_over = True
        cut(self._socket)
        self._wanted.set()

    def _watch(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if self._is_over:
                return
            with suppress(OSError, ValueError):  # it was closed just now
                readable(self._socket)
            if self._is_over:
                return
            self._on_ready()


def readable(*ends: socket.socket) -> list[socket.socket]:
    """Those of them that can be read, once there is one. However many files the process has open,
    where `select` would know a thousand, and though it may open no more. Raises OSError,
    ValueError."""
    with _Selector() as selector:
        for end in ends:
            selector.register(end, selectors.EVENT_READ)
        ready = {key.fileobj for key, _ in selector.select()}
        return [end for end in ends if end in ready]


def cut(connected: socket.socket) -> None:
    """Whoever waits for it hears its end. Past TLS, whose own state is another thread's."""
    with suppress(OSError):
        socket.socket.shutdown(connected, socket.SHUT_RDWR)
