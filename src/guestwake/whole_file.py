"""A small file that is there whole or as it was before, whatever dies meanwhile."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Its folder is there. `mode`: of the file, before the umask; on Windows its folder counts.
    Another process may be at it too: the last one's stands. Raises OSError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)  # of a dead process that had this number
    try:
        with open(draft, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # an empty one is there after a crash otherwise
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink()
        raise
