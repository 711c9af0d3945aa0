"""The Guest Update Service's channel as libvirt opens it: a stream to the port, or a vsock.

All is heard on libvirt's event thread, which a guest that floods never keeps: one fetch at a time,
between those for everybody else, and so much in all. Seen with libvirt 9, and lived with here:

- A remote stream that cannot be written to says so only by making the whole connection wait, every
  other call on it included, until its keepalive ends it. So no more is ever sent than the buffers
  between here and a guest that reads nothing surely hold: half of what was measured, 70 messages
  of a few bytes or 11 of 4 KiB.
- What nobody fetches from a remote stream is kept in this process without limit, 100 MiB of it in a
  second. So it is always fetched, and where nobody takes it from here the channel closes.
- A stream of a connection that was lost tells nothing, and has nothing to fetch for ever.
- libvirt never lets go of what a remote stream's callback was given, the stream among it.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable
from threading import Lock, Thread
from typing import Final
from weakref import ref

from guestwake.channels.api import PORT_NAME, VSOCK_PORT, ChannelClosed
from guestwake.channels.socket import SocketChannel
from guestwake.hypervisors.api import HypervisorError, NoChannel, VmBusy
from guestwake.hypervisors.libvirt_connection import run_event_loop
from guestwake.hypervisors.libvirt_library import libvirt

SENT_BYTES_MAX: Final = 24 << 10
SEND_COSTS: Final = 768  # bytes of those, beyond its own: the kernel counts more than that
UNREAD_BYTES_MAX: Final = 256 << 10
FETCHED_BYTES_MAX: Final = 64 << 10  # at once
END_SECONDS: Final = 1.0
CONNECT_SECONDS: Final = 1.0
GUEST_CIDS_FROM: Final = 3  # below: the hypervisor, this host, and nobody

_EVENTS: Final = (
    libvirt.VIR_STREAM_EVENT_READABLE
    | libvirt.VIR_STREAM_EVENT_ERROR
    | libvirt.VIR_STREAM_EVENT_HANGUP
)


class StreamChannel:
    """Closes where more than `UNREAD_BYTES_MAX` wait to be received, and once about 30 messages, or
    5 of 4 KiB, were sent: nobody can tell how much of that the guest has read. Another one, opened
    anew, takes as much again."""

    def __init__(self, stream: libvirt.virStream, on_ready: Callable[[], None]) -> None:
        """`stream` is open, and its connection hears events."""
        self._stream: libvirt.virStream | None = stream
        self._on_ready = on_ready
        self._lock = Lock()  # what follows is changed on the event thread too
        self._unread = bytearray()
        self._armed = True
        self._why: str | None = None  # it has closed
        self._may_send = SENT_BYTES_MAX
        stream.eventAddCallback(_EVENTS, _event, ref(self))

    def receive(self, bytes_max: int) -> bytes:
        with self._lock:
            data = bytes(self._unread[:bytes_max])
            del self._unread[:bytes_max]
            self._armed = self._armed or not data
        if not data:
            self._open()
        return data

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
        with self._lock:
            self._armed = False
            self._unread.clear()
        self._let_go("it was closed before", wait=True)

    def hear(self) -> None:
        """Something has happened to it, by libvirt's word or because the connection was lost."""
        with self._lock:
            tell, self._armed = self._armed, False
        if tell:
            self._on_ready()

    def fetch(self) -> None:
        """On the event thread, when the stream is ready."""
        stream = self._stream
        if stream is None:
            return
        try:
            data = stream.recv(FETCHED_BYTES_MAX)
        except libvirt.libvirtError as err:
            self._let_go(str(err))
        else:
            self._take(data)
        self.hear()

    def _take(self, data: bytes | int) -> None:
        if isinstance(data, int):  # it would block
            return
        with self._lock:
            self._unread += data
            floods = len(self._unread) > UNREAD_BYTES_MAX
            if floods:
                self._unread.clear()
        if floods:
            self._let_go("the guest sends faster than anybody here reads")
        elif not data:
            self._let_go("the VM has stopped, or its port is gone")

    def _open(self) -> libvirt.virStream:
        """Raises ChannelClosed."""
        stream = self._stream
        if stream is None:
            raise ChannelClosed(self._why)
        if not _is_connected(stream):
            raise self._lost("the connection to libvirt was lost")
        return stream

    def _lost(self, why: str) -> ChannelClosed:
        self._let_go(why, wait=True)
        return ChannelClosed(self._why)

    def _let_go(self, why: str, *, wait: bool = False) -> None:
        with self._lock:
            stream, self._stream = self._stream, None
            self._why = self._why or why
        if stream is None:
            return
        with contextlib.suppress(libvirt.libvirtError):
            stream.eventRemoveCallback()
        # It waits for the daemon's answer, and a daemon may hang.
        end = Thread(target=_end, args=(stream,), name="libvirt-end", daemon=True)
        end.start()
        if wait:
            end.join(END_SECONDS)


class HandleWatch:
    """Any descriptor, on libvirt's event thread."""

    def __init__(self, descriptor: int, on_ready: Callable[[], None]) -> None:
        run_event_loop()
        self._on_ready = on_ready
        self._handle: int | None = None  # the first event may come before the next line has ended
        self._handle = libvirt.virEventAddHandle(
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
    try:
        connected = _connected(cid)
    except PermissionError as err:
        raise HypervisorError(
            f"cannot open the channel of '{name}': over vsock only root can"
        ) from err
    except OSError as err:
        raise VmBusy(f"nobody answers on the vsock of '{name}' (yet): {err}") from err
    return SocketChannel(connected, HandleWatch(connected.fileno(), on_ready))


def _connected(cid: int) -> socket.socket:
    """Raises OSError, also where this host has no vsock."""
    made = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    try:
        made.settimeout(CONNECT_SECONDS)
        _bind_low(made)
        made.connect((cid, VSOCK_PORT))
    except OSError:
        made.close()
        raise
    return made


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
    told = channel()
    if told is not None:
        told.fetch()
    else:  # nobody has closed it
        stream.eventUpdateCallback(0)


def _is_connected(stream: libvirt.virStream) -> bool:
    connection = stream.connect()  # None: the stream has just been let go of
    try:
        return connection is not None and bool(connection.isAlive())
    except libvirt.libvirtError:  # it was lost, and the driver has closed it since
        return False


def _end(stream: libvirt.virStream) -> None:
    with contextlib.suppress(libvirt.libvirtError):  # then the other end knows already
        stream.abort()
    # Python will never do this, as libvirt keeps a reference.
    del stream.cb
    stream.__del__()
    stream._conn = None
