"""The way to the host over TCP: TLS, the host known by its certificate, the guest by its secret.

The guest connects, in a thread of its own, and tries again for as long as nobody listens: the host
does so while it wants to hear. The secret is not said before the certificate is the one of the
token.
"""

from __future__ import annotations

import hashlib
import hmac
import socket
import ssl
import threading
from contextlib import suppress
from typing import Callable, Optional

from guestwake_guest.journal import warn
from guestwake_guest.windows.pairing import Token
from guestwake_guest.windows.streams import Latest, SocketStream

TRY_AGAIN = 10.0  # seconds
PATIENCE = 10.0
# A guest that was restored does not know that its connection is gone, and says little by itself.
_KEEPS_ALIVE = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4))


class Refused(Exception):
    """Somebody listens there, and it is not our host: a sentence."""


class Tcp:
    """A Transport. `paired`: the token as it is now; None: this guest is not paired."""

    def __init__(
        self,
        paired: Callable[[], Optional[Token]],
        hurry: Callable[[], None],
        *,
        try_again: float = TRY_AGAIN,
    ) -> None:
        self._paired, self._latest, self._try_again = paired, Latest(hurry), try_again
        self._wanted = threading.Event()
        self._wanted.set()
        self._warned = ""
        threading.Thread(target=self._keep_trying, daemon=True).start()

    def look(self) -> Optional[SocketStream]:
        return self._latest.take()

    def waits_on(self) -> Optional[int]:
        return None

    def lost(self) -> None:
        self._wanted.set()

    def _keep_trying(self) -> None:
        pause = threading.Event()
        while True:
            self._wanted.wait()
            connected = self._tried()
            if connected is None:
                pause.wait(self._try_again)
                continue
            self._wanted.clear()
            self._latest.put(connected)

    def _tried(self) -> Optional[ssl.SSLSocket]:
        try:
            token = self._paired()
            return connect(token) if token else None
        except Refused as error:
            if str(error) != self._warned:
                self._warned = str(error)
                warn(f"{error}; trying on")
        except OSError:
            pass  # nobody listens: the host does not want to hear now
        return None


def connect(token: Token) -> ssl.SSLSocket:
    """Raises OSError, Refused."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Its certificate says nothing of itself: it is known by its fingerprint, below.
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    tls.minimum_version = ssl.TLSVersion.TLSv1_3
    plain = socket.create_connection((token.address, token.port), PATIENCE)
    try:
        _keep_alive(plain)
        stream = tls.wrap_socket(plain)
    except BaseException:
        plain.close()
        raise
    try:
        shown = stream.getpeercert(binary_form=True) or b""
        if not hmac.compare_digest(hashlib.sha256(shown).digest(), token.fingerprint):
            raise Refused(
                f"who listens at {token.address}, port {token.port}, is not the host of the token"
            )
        stream.sendall(token.secret)
    except BaseException:
        stream.close()
        raise
    return stream


def _keep_alive(plain: socket.socket) -> None:
    """Raises OSError."""
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPS_ALIVE:
        option = getattr(socket, name, None)
        if option is not None:
            with suppress(OSError):  # Windows has them since 10, version 1709
                plain.setsockopt(socket.IPPROTO_TCP, option, value)
