"""One connection to libvirt: opened when first asked, again after it was lost; errors translated.

Embedded libvirt (`qemu:///embed?root=DIR`) lives inside this process: it needs the event loop
before it is opened, and from then on DIR belongs to this process, and this process to DIR, until
the process ends; closing the connection does not change that.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from guestwake.hypervisors.api import (
    AgentSilent,
    HypervisorError,
    InUseByAnotherProcess,
    Unreachable,
)
from guestwake.hypervisors.libvirt_library import libvirt
from guestwake.hypervisors.libvirt_local import is_locked
from guestwake.hypervisors.libvirt_tables import ERRORS, EVENTS, NO_AGENT

KEEPALIVE_SECONDS: Final = 5
KEEPALIVES_MISSED_MAX: Final = 3


class Connection:
    """Not for two threads at once. `uri` as libvirt reads it."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.on_lost: Callable[[], None] = _nothing  # runs on libvirt's event thread
        self._open: libvirt.virConnect | None = None
        self._hears = False
        self._changed: Callable[[], None] | None = None
        self._events: list[int] = []

    def get(self) -> libvirt.virConnect:
        """Raises Unreachable."""
        if self._open is not None and not self._alive():
            self.close()
        if self._open is None:
            self._open = self._opened()
        return self._open

    def is_qemu(self) -> bool:
        return bool(self.get().getType() == "QEMU")

    def hear(self) -> None:
        """From now on events and streams come: for a connection opened without the loop they would
        not."""
        run_event_loop()
        if not self._hears:
            self.close()

    def on_change(self, call: Callable[[], None]) -> None:
        run_event_loop()
        self.close()
        self._changed = call

    def close(self) -> None:
        connection, self._open = self._open, None
        if connection is None:
            return
        # What still listens would hold the connection open.
        for event in self._events:
            with contextlib.suppress(libvirt.libvirtError):
                connection.domainEventDeregisterAny(event)
        self._events.clear()
        for end in (connection.unregisterCloseCallback, connection.close):
            with contextlib.suppress(libvirt.libvirtError):
                end()

    @contextlib.contextmanager
    def translated(self, what: str, *, agent: bool = False) -> Iterator[None]:
        """`what` completes "cannot ..."; `agent`: the guest's agent takes part."""
        try:
            yield
        except libvirt.libvirtError as err:
            kind = self.kind(err, agent=agent)
            if kind is Unreachable:
                self.close()
            raise kind(f"cannot {what} on {self.uri}: {err}") from err
        except UnicodeDecodeError as err:  # libvirt's binding; a guest's agent may answer anything
            raise HypervisorError(f"cannot {what} on {self.uri}: the answer is no text") from err

    def kind(self, err: libvirt.libvirtError, *, agent: bool = False) -> type[HypervisorError]:
        if err.get_error_domain() == libvirt.VIR_FROM_RPC or not self._alive():
            return Unreachable
        code = err.get_error_code()
        return AgentSilent if agent and code in NO_AGENT else ERRORS.get(code, HypervisorError)

    def _alive(self) -> bool:
        try:
            return self._open is not None and bool(self._open.isAlive())
        except libvirt.libvirtError:
            return False

    def _opened(self) -> libvirt.virConnect:
        if is_embedded(self.uri):
            run_event_loop()
            self._look_for_another_process()
        try:
            connection = libvirt.open(self.uri)
        except libvirt.libvirtError as err:
            if is_embedded(self.uri) and "driver.pid" in str(err):
                raise in_use(self.uri) from err
            raise Unreachable(f"cannot reach {self.uri}: {err}") from err
        self._hears = _loop is not None
        if self._hears:
            self._look_after(connection)
        if self._changed is not None:
            self._events = _listen(connection, self._changed)
        return connection

    def _look_after(self, connection: libvirt.virConnect) -> None:
        with contextlib.suppress(libvirt.libvirtError):  # only a daemon can be lost
            connection.setKeepAlive(KEEPALIVE_SECONDS, KEEPALIVES_MISSED_MAX)
        with contextlib.suppress(libvirt.libvirtError):
            connection.registerCloseCallback(self._lost, None)

    def _lost(self, *_: object) -> None:
        self.on_lost()
        if self._changed is not None:
            self._changed()

    def _look_for_another_process(self) -> None:
        # libvirt would find out by itself, but a process in which it failed to open an embedded
        # driver can never open one again.
        root = embedded_root(self.uri)
        if root is not None and is_locked(root / "run/qemu/driver.pid"):
            raise in_use(self.uri)


def in_use(uri: str) -> InUseByAnotherProcess:
    return InUseByAnotherProcess(
        f"another process has {uri} open: embedded libvirt serves one process at a time"
    )


def is_local_qemu(uri: str) -> bool:
    parts = urlsplit(uri)
    return parts.scheme.partition("+")[0] == "qemu" and not parts.netloc


def is_embedded(uri: str) -> bool:
    return urlsplit(uri).path == "/embed"


def embedded_root(uri: str) -> Path | None:
    roots = parse_qs(urlsplit(uri).query).get("root")
    return Path(roots[0]) if roots else None


def image_folder(uri: str) -> Path | None:
    """Where libvirt keeps the images of managed save. None: not on this machine."""
    if not is_local_qemu(uri):
        return None
    if is_embedded(uri):
        root = embedded_root(uri)
        return None if root is None else root / "lib/qemu/save"
    if urlsplit(uri).path == "/session":
        configuration = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        return Path(configuration, "libvirt/qemu/save")
    return Path("/var/lib/libvirt/qemu/save")


def run_event_loop() -> None:
    """One daemon thread for the whole process, started before the connection that needs it."""
    global _loop
    with _loop_lock:
        if _loop is None:
            libvirt.virEventRegisterDefaultImpl()
            _loop = threading.Thread(target=_turn, name="libvirt-events", daemon=True)
            _loop.start()


def _turn() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


def _listen(connection: libvirt.virConnect, changed: Callable[[], None]) -> list[int]:
    """What to deregister in the end."""

    def tell(*_: object) -> None:
        changed()

    registered = []
    for event in EVENTS:
        with contextlib.suppress(libvirt.libvirtError):  # a driver need not have them all
            registered.append(connection.domainEventRegisterAny(None, event, tell, None))
    return registered


def _nothing() -> None:
    """For who need not know."""


_loop: threading.Thread | None = None
_loop_lock = threading.Lock()
