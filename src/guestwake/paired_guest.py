"""The way to a guest that was paired: over TCP, whatever hypervisor it runs on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from guestwake.hypervisors.api import HypervisorError, Vm, VmBusy

if TYPE_CHECKING:
    from guestwake.channels.api import Channel
    from guestwake.channels.pairing import Pairing, Pairings


class PairedGuest:
    """An OpensChannel."""

    def __init__(self, pairings: Pairings, pairing: Pairing) -> None:
        self._pairings, self._pairing = pairings, pairing

    def open_channel(self, vm: Vm, on_ready: Callable[[], None]) -> Channel:
        """Listens, whether or not the guest comes. Raises VmBusy where another process does, and
        HypervisorError where this host cannot."""
        import errno

        from guestwake.channels.tcp import TcpChannel

        where = f"cannot listen for the guest of '{vm.name}' at {self._pairing.address}"
        try:
            return TcpChannel(self._pairing, self._pairings.host_file, vm.name, on_ready)
        except OSError as err:
            kind = VmBusy if err.errno == errno.EADDRINUSE else HypervisorError
            raise kind(f"{where}, port {self._pairing.port}: {err.strerror or err}") from err
