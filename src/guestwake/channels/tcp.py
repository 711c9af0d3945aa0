"""A channel over TCP, for guests whose hypervisor gives no better way: TLS, and a paired secret.

The host listens for as long as the channel is open, and the guest connects. Nothing that comes is
looked at before TLS is up and the secret of this workspace has come; whoever has not said it within
a few seconds is cut off, and no more than a few are waited for at once. The latest guest that knew
it counts: one that was restored does not know that its old connection is gone.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from guestwake.channels.api import ChannelClosed
from guestwake.channels.pairing import SECRET_BYTES, Pairing
from guestwake_wire.watching import ThreadWatch, cut, readable

log = logging.getLogger(__name__)

KNOCKING_MAX: Final = 4  # that have not said the secret yet
KNOCKS_SECONDS: Final = 5.0
_TROUBLE_SECONDS = 0.5
_NOT_NOW = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError)


class TcpChannel:
    """Raises OSError where nobody can listen there. `name`: of the VM, for the log."""

    def __init__(
        self, pairing: Pairing, host_file: Path, name: str, on_ready: Callable[[], None]
    ) -> None:
        self._pairing, self._name, self._on_ready = pairing, name, on_ready
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_3
        self._tls.load_cert_chain(host_file)
        family = socket.AF_INET6 if ":" in pairing.address else socket.AF_INET
        self._listener = socket.create_server(
            (pairing.address, pairing.port), family=family, backlog=KNOCKING_MAX
        )
        self._wakes, self._woken = socket.socketpair()
        self._lock = threading.Lock()
        self._knocking = 0
        self._guest: _Guest | None = None
        self._closed = self._told = False
        self._accepts = threading.Thread(target=self._accept, name="guestwake-tcp", daemon=True)
        self._accepts.start()

    def receive(self, bytes_max: int) -> bytes:
        guest = self._now()
        if guest is None:
            return b""
        try:
            data = guest.receive(bytes_max)
        except _NOT_NOW:
            guest.arm()
            return b""
        except OSError:
            data = b""
        if not data:
            self._lose(guest)
        return data

    def send(self, data: bytes) -> int:
        guest = self._now()
        if guest is None:
            return 0
        try:
            return guest.send(data)
        except _NOT_NOW:
            return 0
        except OSError:
            self._lose(guest)
            return 0

    def close(self) -> None:
        with self._lock:
            self._closed, guest, self._guest = True, self._guest, None
        with suppress(OSError):
            self._wakes.send(b"\0")
        if guest is not None:
            guest.end()
        self._accepts.join()  # it waits for nothing but that; the port is free again then

    def _now(self) -> _Guest | None:
        with self._lock:
            if self._closed:
                raise ChannelClosed("it was closed before")
            return self._guest

    def _lose(self, guest: _Guest) -> None:
        with self._lock:
            if self._guest is guest:
                self._guest = None
        guest.end()

    # who knocks; in threads of their own

    def _accept(self) -> None:
        with self._listener, self._woken, self._wakes:
            while self._woken not in readable(self._listener, self._woken):
                try:
                    self._let_knock(self._listener.accept()[0])
                except ConnectionError:  # it has gone again
                    continue
                except (OSError, RuntimeError) as err:  # no file or no thread is left
                    log.debug("nobody can be let in to '%s' just now: %s", self._name, err)
                    time.sleep(_TROUBLE_SECONDS)

    def _let_knock(self, connection: socket.socket) -> None:
        with self._lock:
            if self._knocking >= KNOCKING_MAX:
                connection.close()
                return
            self._knocking += 1
        try:
            threading.Thread(target=self._knock, args=(connection,), daemon=True).start()
        except RuntimeError:
            with self._lock:
                self._knocking -= 1
            connection.close()
            raise

    def _knock(self, connection: socket.socket) -> None:
        try:
            stream = self._let_in(connection)
            guest = None if stream is None else _Guest(stream, self._on_ready)
        except (OSError, RuntimeError):  # it has gone, or no thread is left
            guest = None
        finally:
            with self._lock:
                self._knocking -= 1
        if guest is not None:
            self._take(guest)

    def _let_in(self, connection: socket.socket) -> ssl.SSLSocket | None:
        """Raises OSError. None: it was no guest."""
        stream = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        # A time limit of the socket would begin anew with each byte.
        watchdog = threading.Timer(KNOCKS_SECONDS, cut, (stream,))
        watchdog.daemon = True
        secret = b""
        try:
            watchdog.start()
            stream.do_handshake()
            while len(secret) < SECRET_BYTES:
                more = stream.recv(SECRET_BYTES - len(secret))
                if not more:
                    raise ConnectionResetError
                secret += more
        except (OSError, RuntimeError):
            stream.close()
            raise
        finally:
            watchdog.cancel()
        if self._pairing.is_of(secret):
            stream.settimeout(0)
            return stream
        if not self._told:
            self._told = True
            log.warning(
                "somebody at %s:%d did not know the secret of '%s': it is not heard",
                *(self._pairing.address, self._pairing.port, self._name),
            )
        stream.close()
        return None

    def _take(self, guest: _Guest) -> None:
        with self._lock:
            before, is_late = self._guest, self._closed
            if not is_late:
                self._guest = guest
        if is_late:
            guest.end()
            return
        if before is not None:
            before.end()
        self._on_ready()


class _Guest:
    """A connection that was let in. It is ended by who knocks next, while it may just be used."""

    def __init__(self, stream: ssl.SSLSocket, on_ready: Callable[[], None]) -> None:
        self.stream = stream
        self.alone = threading.Lock()  # TLS is for one thread at a time, its end too
        try:
            self._watch = ThreadWatch(stream, on_ready)
        except RuntimeError:
            stream.close()
            raise
        self.arm = self._watch.arm

    def receive(self, bytes_max: int) -> bytes:
        """Raises OSError, also where it was ended before."""
        with self.alone:
            return self.stream.recv(bytes_max)

    def send(self, data: bytes) -> int:
        """Raises as `receive` does."""
        with self.alone:
            return self.stream.send(data)

    def end(self) -> None:
        self._watch.end()
        with self.alone:
            self.stream.close()
