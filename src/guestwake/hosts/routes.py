"""Is there a way out of this host: a default route over an interface that is up.

Reads the kernel's main tables, `/proc/net/route` and `/proc/net/ipv6_route`. It does not try
whether anybody answers: an update server may well live in a network without the Internet.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from guestwake.hosts.kernel_files import text_of

_RTF_UP = 0x0001
_RTF_REJECT = 0x0200  # unreachable, prohibit; for IPv6 blackhole too
_IFF_UP = 0x1
_IFF_LOOPBACK = 0x8
# Tunnels and some virtual interfaces never say more than "unknown".
_CARRYING = ("up", "unknown")


def has_default_route(root: Path) -> bool | None:
    """None: the kernel's tables cannot be read."""
    ipv4 = text_of(root / "proc/net/route")
    ipv6 = text_of(root / "proc/net/ipv6_route")  # missing where IPv6 is switched off
    if ipv4 is None and ipv6 is None:
        return None
    interfaces = {*_default_ipv4(ipv4 or ""), *_default_ipv6(ipv6 or "")}
    return any(_carries(root / "sys/class/net" / name) for name in interfaces)


def _default_ipv4(table: str) -> Iterator[str]:
    """Interfaces of `Iface Destination Gateway Flags RefCnt Use Metric Mask …`, after a title."""
    for line in table.splitlines()[1:]:
        match line.split():
            case [interface, "00000000", _, flags, _, _, _, "00000000", *_] if _leads(flags):
                yield interface


def _default_ipv6(table: str) -> Iterator[str]:
    """Interfaces of `destination /len source /len gateway metric refs use flags interface`."""
    for line in table.splitlines():
        match line.split():
            case [_, "00", _, _, _, _, _, _, flags, interface] if _leads(flags):
                yield interface


def _leads(flags: str) -> bool:
    return int(flags, 16) & (_RTF_UP | _RTF_REJECT) == _RTF_UP


def _carries(interface: Path) -> bool:
    """A blackhole route has the interface `*`, which is none, and so does not count."""
    flags = int(text_of(interface / "flags") or "0", 16)
    is_up = flags & (_IFF_UP | _IFF_LOOPBACK) == _IFF_UP
    return is_up and text_of(interface / "operstate") in _CARRYING
