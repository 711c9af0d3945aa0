"""A small file that is there whole or as it was before, whatever dies meanwhile."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from time import time

_LONG_AGO = 3600.0  # seconds; one that is being written is written in a moment


def write_whole(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Its folder is there. `mode`: of the file, before the umask; on Windows its folder counts.
    Another process may be at it too: the last one's stands. Raises OSError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _sweep(path, draft)
        with open(draft, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # an empty one is there after a crash otherwise
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink()
        raise


def _sweep(path: Path, draft: Path) -> None:
    """What dead processes have left: one of this number, and those of long ago. Of those whatever
    can be: another process may just be done with its own."""
    draft.unlink(missing_ok=True)
    for name in os.listdir(path.parent):
        left = path.with_name(name)
        if name.startswith(f".{path.name}."):
            with suppress(OSError):
                if time() - left.lstat().st_mtime > _LONG_AGO:
                    left.unlink()
