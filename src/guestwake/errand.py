"""An errand: one request of one line to a part of Guestwake that is root, and its answer.

systemd starts such a part for each connection to its socket. It reads, does it, answers one line
and ends. Who asks must be root or the user `guestwake`, by the kernel's word. What may be asked,
and how strictly that is looked at, is each part's own.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

from guestwake.paths import SERVICE_USER

log = logging.getLogger(__name__)

REQUEST_BYTES_MAX = 4096
PATIENCE = 5.0  # seconds for the whole request
_PATIENCE_OF_ASKERS = 120.0  # longer than all that the part may wait for
_ANSWER_BYTES_MAX = 16 * 1024


class RefusedError(Exception):
    """What was asked is nothing that is done there, or not for this one to ask: a sentence."""


class ErrandError(Exception):
    """It was not done: a sentence that says why not."""


# the part that is root


def served(do: Callable[[object], None], failures: type[Exception]) -> int:
    """One errand, for the connection that is this process's stdin. `do` raises RefusedError for
    what it does not do, `failures` for what went wrong."""
    os.umask(0o022)
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    with socket.socket(fileno=0) as asker:
        answer = answered(asker, do, failures)
        asker.sendall(json.dumps(answer).encode() + b"\n")
    return 0


def answered(
    asker: socket.socket, do: Callable[[object], None], failures: type[Exception]
) -> dict[str, str]:
    """One request, done or not, and what to say to it. Never raises for what came in."""
    try:
        check(asker)
        do(request(asker))
    except RefusedError as err:
        log.warning("refused: %s", err)
        return {"refused": str(err)}
    except failures as err:
        log.error("%s", err)
        return {"failed": str(err)}
    return {"done": "yes"}


def check(asker: socket.socket) -> None:
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", asker.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    if uid not in (0, service_uid()):
        raise RefusedError(f"user {uid} may not ask")


def request(asker: socket.socket) -> object:
    """As JSON tells it, up to the end of the line."""
    data, deadline = b"", time.monotonic() + PATIENCE
    try:
        while not data.endswith(b"\n"):
            asker.settimeout(max(0.001, deadline - time.monotonic()))
            more = asker.recv(REQUEST_BYTES_MAX + 1 - len(data))
            data += more
            if not more or len(data) > REQUEST_BYTES_MAX:
                raise RefusedError("no line, or one that is too long")
        asker.settimeout(None)
        return json.loads(data)
    except (OSError, ValueError, RecursionError) as err:
        raise RefusedError("no request that one can read") from err


def service_uid() -> int:
    import pwd

    try:
        return pwd.getpwnam(SERVICE_USER).pw_uid
    except KeyError:
        return 0


# who asks


def ask(path: Path, what: object) -> None:
    """Raises ErrandError."""
    try:
        with socket.socket(socket.AF_UNIX) as helper:
            helper.settimeout(_PATIENCE_OF_ASKERS)
            helper.connect(str(path))
            helper.sendall(json.dumps(what).encode() + b"\n")
            with helper.makefile("rb") as answers:
                said = json.loads(answers.readline(_ANSWER_BYTES_MAX))
    except (OSError, ValueError) as err:
        raise ErrandError(f"'{path}' does not answer: {err}") from err
    if said != {"done": "yes"}:
        raise ErrandError(f"'{path}': {' '.join(map(str, said.values()))}")
