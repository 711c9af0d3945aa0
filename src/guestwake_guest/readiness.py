"""Tells systemd that the service is up (sd_notify(3))."""

from __future__ import annotations

import socket
from collections.abc import Mapping


def ready(environment: Mapping[str, str]) -> None:
    """Nothing where nobody asked."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # an abstract name
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"READY=1", address)
    except OSError:
        pass  # systemd will say that it heard nothing
