"""Which machines the remote desktop clients of this host show: who is at the far end of port 3389.

The kernel is asked over netlink (sock_diag(7)), and its files are read where that is not to be
had: with the hash tables of a big host the files cost eight times as much.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from guestwake.hosts.kernel_files import text_of

_RDP = 3389
_FAMILIES = (socket.AF_INET, socket.AF_INET6)


def peers_by_netlink() -> frozenset[str]:
    """Of this process's network namespace. Raises OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(1.0)
        return frozenset(peer for family in _FAMILIES for peer in _dumped(kernel, family))


def peers_by_files(root: Path) -> frozenset[str]:
    """Empty also where the tables cannot be read."""
    tables = (text_of(root / "proc/net" / name) for name in ("tcp", "tcp6"))
    return frozenset(peer for table in tables if table for peer in _listed(table))


def _plain(packed: bytes) -> str:
    address = ipaddress.ip_address(packed)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


# --- files

_LISTED = f":{_RDP:04X} 01 "  # remote port, and the state ESTABLISHED


def _listed(table: str) -> Iterator[str]:
    """Of `sl local_address rem_address st …`: addresses are words in the host's byte order."""
    for line in table.splitlines():
        if _LISTED in line:
            digits = line.split()[2].partition(":")[0]
            words = [int(digits[at : at + 8], 16) for at in range(0, len(digits), 8)]
            yield _plain(struct.pack(f"={len(words)}I", *words))


# --- netlink: the numbers are those of linux/netlink.h, sock_diag.h and inet_diag.h

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST_DUMP = 0x301
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_ESTABLISHED = 1 << 1
_INET_DIAG_REQ_BYTECODE, _D_GE, _D_LE = 1, 4, 5
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_FAR_END = 16 + 4 + 4 + 16  # header; family, state …; both ports; source address

# Far port ≥ and ≤ 3389: each test is two words, with where to go on when it holds and when not;
# beyond the end by one word is "no".
_FILTER = struct.pack("=BBHBBHBBHBBH", _D_GE, 8, 20, 0, 0, _RDP, _D_LE, 8, 12, 0, 0, _RDP)


def _dumped(kernel: socket.socket, family: int) -> Iterator[str]:
    kernel.send(_request(family))
    while True:
        data = kernel.recv(1 << 16)
        while data:
            length, kind, *_ = _HEADER.unpack_from(data)
            if kind == _NLMSG_DONE:
                return
            if kind == _NLMSG_ERROR:
                raise OSError(-struct.unpack_from("=i", data, _HEADER.size)[0], "sock_diag")
            size = 4 if family == socket.AF_INET else 16
            yield _plain(data[_FAR_END : _FAR_END + size])
            data = data[length + 3 & ~3 :]


def _request(family: int) -> bytes:
    query = struct.pack("=BBxxI48x", family, socket.IPPROTO_TCP, _ESTABLISHED)
    query += struct.pack("=HH", 4 + len(_FILTER), _INET_DIAG_REQ_BYTECODE) + _FILTER
    length = _HEADER.size + len(query)
    return _HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, family, 0) + query
