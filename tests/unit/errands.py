"""The other end of an errand, for tests: as systemd starts it, a connection after the other."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def listening(path: Path, answered: Callable[[socket.socket], Mapping[str, str]]) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as listens:
        listens.bind(str(path))
        listens.listen()

        def serve() -> None:
            while True:
                try:
                    taken = listens.accept()[0]
                except OSError:
                    return
                with taken:
                    taken.sendall(json.dumps(answered(taken)).encode() + b"\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        listens.shutdown(socket.SHUT_RDWR)
        thread.join()
