"""Streams that a thread listens to, because Windows has no one thing to wait for all of them."""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
from contextlib import suppress
from typing import Callable

from guestwake_guest.transports.api import StreamClosed

_NOT_NOW = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError)


class SocketStream:
    """A Stream over a connected socket, which it takes over, with TLS or without. `hurry` is called
    from a thread when there is something to receive."""

    def __init__(self, connected: socket.socket, hurry: Callable[[], None]) -> None:
        connected.settimeout(0)
        self._socket, self._hurry = connected, hurry
        self._wanted = threading.Event()
        self._is_over = False
        threading.Thread(target=self._watch, daemon=True).start()

    def fileno(self) -> int:
        return self._socket.fileno()

    def connected(self) -> bool:
        return True

    def receive(self, bytes_max: int) -> bytes:
        try:
            data = self._socket.recv(bytes_max)
        except _NOT_NOW:
            self._wanted.set()
            return b""
        except OSError as error:
            raise StreamClosed(str(error)) from error
        if not data:
            raise StreamClosed("the host has closed it")
        return data

    def send(self, data: bytes) -> int:
        try:
            return self._socket.send(data)
        except _NOT_NOW:
            return 0
        except OSError as error:
            raise StreamClosed(str(error)) from error

    def close(self) -> None:
        self._is_over = True
        with suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        self._wanted.set()
        self._socket.close()

    def _watch(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if self._is_over:
                return
            with suppress(OSError, ValueError):  # it was closed just now
                self._until_readable()
            if self._is_over:
                return
            self._hurry()

    def _until_readable(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.select()
