"""What cron, su or sudo calls for a user belongs to that user's session all the same.

Without XDG_RUNTIME_DIR libvirt would start a second daemon for `qemu:///session`, which knows
nothing of what runs in the first, and our locks would lie where nobody else looks.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path


def join(environ: MutableMapping[str, str], euid: int, root: Path = Path("/")) -> None:
    """Nothing for root, and for whom no session is there."""
    if euid == 0 or environ.get("XDG_RUNTIME_DIR"):
        return
    folder = root / f"run/user/{euid}"
    try:
        is_ones_own = folder.stat().st_uid == euid
    except OSError:
        return
    if is_ones_own:
        environ["XDG_RUNTIME_DIR"] = str(folder)
