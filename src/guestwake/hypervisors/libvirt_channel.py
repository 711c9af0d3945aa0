"""The Guest Update Service's channel as libvirt opens it: a stream to the port, or a vsock.

All is heard on libvirt's event thread, which a flooding guest never keeps busy: what is ready is
told once, and then not listened to until a `receive` came back with nothing.

Seen with libvirt 9, and lived with here:

- A remote stream that cannot be written to says so only by making the whole connection wait, every
  other call on it included, until its keepalive ends it. So no more is ever sent than the buffers
  between here and a guest that reads nothing surely hold: half of what was measured, 70 messages
  of a few bytes or 11 of 4 KiB.
- Bytes that nobody receives are kept in this process without limit: who does not want them closes
  the channel.
- A stream of a connection that was lost tells nothing, and has nothing to receive for ever.
- libvirt never lets go of what a remote stream's callback was given, the stream among it.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
from collections.abc import Callable
from typing import Final
from weakref import ref

from guestwake.channels.api import PORT_NAME, VSOCK_PORT, ChannelClosed
from guestwake.channels.socket import SocketChannel
from guestwake.hypervisors.api import HypervisorError, NoChannel, VmBusy
from guestwake.hypervisors.libvirt_connection import run_event_loop
from guestwake.hypervisors.libvirt_library import libvirt

SENT_BYTES_MAX: Final = 24 << 10
SEND_COSTS: Final = 768  # bytes of those, beyond its own: the kernel counts more than that
ABORT_SECONDS: Final = 1.0
CONNECT_SECONDS: Final = 1.0
GUEST_CIDS_FROM: Final = 3  # below: the hypervisor, this host, and nobody

_EVENTS: Final = (
    libvirt.VIR_STREAM_EVENT_READABLE
    | libvirt.VIR_STREAM_EVENT_ERROR
    | libvirt.VIR_STREAM_EVENT_HANGUP
)
_WOULD_BLOCK: Final = -2


class StreamChannel:
    """Once about 30 messages, or 5 of 4 KiB, were sent it has closed: nobody can tell how much of
    that the guest has read. Another one, opened anew, takes as much again."""

    def __init__(self, stream: libvirt.virStream, on_ready: Callable[[], None]) -> None:
        """`stream` is open, and its connection hears events."""
        self._stream: libvirt.virStream | None = stream
        self._on_ready = on_ready
        self._armed = True
        self._may_send = SENT_BYTES_MAX
        stream.eventAddCallback(_EVENTS, _event, ref(self))

    def receive(self, bytes_max: int) -> bytes:
        stream = self._open()
        try:
            data = stream.recv(bytes_max)
            if data == _WOULD_BLOCK:
                return self._nothing(stream)
        except libvirt.libvirtError as err:
            raise self._lost(str(err)) from err
        if not data:
            raise self._lost("the VM has stopped, or its port is gone")
        return bytes(data)

    def send(self, data: bytes) -> int:
        stream = self._open()
        data = data[: max(0, self._may_send - SEND_COSTS)]
        if not data:
            raise self._lost("as much was sent as a guest can leave unread; open it anew")
        try:
            count = int(stream.send(data))
        except libvirt.libvirtError as err:
            raise self._lost(str(err)) from err
        if count < 0:
            return 0
        self._may_send -= count + SEND_COSTS
        return count

    def close(self) -> None:
        stream, self._stream = self._stream, None
        self._armed = False
        if stream is None:
            return
        with contextlib.suppress(libvirt.libvirtError):
            stream.eventRemoveCallback()
        # It waits for the daemon's answer, and a daemon may hang.
        end = threading.Thread(target=_end, args=(stream,), name="libvirt-end", daemon=True)
        end.start()
        end.join(ABORT_SECONDS)

    def hear(self) -> None:
        """Something has happened to it, by libvirt's word or because the connection was lost."""
        if self._armed:
            self._armed = False
            self._on_ready()

    def _nothing(self, stream: libvirt.virStream) -> bytes:
        if not stream.connect().isAlive():
            raise self._lost("the connection to libvirt was lost")
        if not self._armed:
            self._armed = True
            stream.eventUpdateCallback(_EVENTS)
        return b""

    def _open(self) -> libvirt.virStream:
        if self._stream is None:
            raise ChannelClosed("it was closed before")
        return self._stream

    def _lost(self, why: str) -> ChannelClosed:
        self.close()
        return ChannelClosed(why)


class HandleWatch:
    """Any descriptor, on libvirt's event thread."""

    def __init__(self, descriptor: int, on_ready: Callable[[], None]) -> None:
        run_event_loop()
        self._on_ready = on_ready
        self._handle: int | None = libvirt.virEventAddHandle(
            descriptor, libvirt.VIR_EVENT_HANDLE_READABLE, self._event, None
        )

    def arm(self) -> None:
        if self._handle is not None:
            libvirt.virEventUpdateHandle(self._handle, libvirt.VIR_EVENT_HANDLE_READABLE)

    def end(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            libvirt.virEventRemoveHandle(handle)

    def _event(self, handle: int, descriptor: int, events: int, opaque: object) -> None:
        if self._handle is not None:
            libvirt.virEventUpdateHandle(handle, 0)
            self._on_ready()


def open_port(
    domain: libvirt.virDomain, stream: libvirt.virStream, on_ready: Callable[[], None]
) -> StreamChannel:
    """Of a VM that runs and has the port. `stream`: new, non-blocking."""
    try:
        domain.openChannel(PORT_NAME, stream, 0)
    except libvirt.libvirtError as err:
        if err.get_error_code() == libvirt.VIR_ERR_OPERATION_FAILED:
            raise VmBusy(
                f"cannot open the channel of '{domain.name()}': another process has it open"
            ) from err
        raise
    return StreamChannel(stream, on_ready)


def open_vsock(name: str, cid: int, on_ready: Callable[[], None]) -> SocketChannel:
    """From a port below 1024, which only root can have: so the guest knows that it is the host's
    administrator who speaks. `name` of the VM. Not run against a real vsock device so far: on the
    machines where this was made the CIDs that answer are not guests of theirs."""
    if cid < GUEST_CIDS_FROM:
        raise NoChannel(f"the vsock device of '{name}' has no CID of its own")
    connected = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    try:
        connected.settimeout(CONNECT_SECONDS)
        _bind_low(connected)
        connected.connect((cid, VSOCK_PORT))
        return SocketChannel(connected, HandleWatch(connected.fileno(), on_ready))
    except PermissionError as err:
        connected.close()
        raise HypervisorError(
            f"cannot open the channel of '{name}': over vsock only root can"
        ) from err
    except OSError as err:
        connected.close()
        raise VmBusy(f"nobody answers on the vsock of '{name}' (yet): {err}") from err


def _bind_low(unbound: socket.socket) -> None:
    for port in range(1023, 511, -1):
        try:
            unbound.bind((socket.VMADDR_CID_ANY, port))
        except OSError as err:
            if err.errno != errno.EADDRINUSE:
                raise
        else:
            return
    raise OSError(errno.EADDRINUSE, "no source port below 1024 is free")


def _event(stream: libvirt.virStream, events: int, channel: ref[StreamChannel]) -> None:
    # First this: whoever is told may arm it again at once.
    with contextlib.suppress(libvirt.libvirtError):  # it is being closed
        stream.eventUpdateCallback(0)
    told = channel()
    if told is not None:
        told.hear()


def _end(stream: libvirt.virStream) -> None:
    with contextlib.suppress(libvirt.libvirtError):  # then the other end knows already
        stream.abort()
    # Python will never do this, as libvirt keeps a reference.
    del stream.cb
    stream.__del__()
    stream._conn = None
