"""systemd's notifications: ready, stopping, alive (sd_notify(3)). Silent where nobody asked."""

from __future__ import annotations

import asyncio
import os
import socket


def notify(state: str) -> None:
    """Never raises: without systemd there is nobody to tell."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as told:
            told.sendto(state.encode(), address)
    except OSError:
        return


async def watchdog() -> None:
    """Says that the event loop is alive, as often as the unit asks for (WatchdogSec), until
    cancelled."""
    asked = os.environ.get("WATCHDOG_USEC", "")
    if not asked.isdigit() or int(asked) == 0:
        return
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(int(asked) / 1_000_000 / 2)
