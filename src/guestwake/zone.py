"""The host's own time zone. Asked anew each time: it may be changed under us."""

from __future__ import annotations

import os
from pathlib import Path
from zoneinfo import ZoneInfo


def host_zone() -> ZoneInfo:
    """UTC where the host does not tell."""
    return told_zone() or ZoneInfo("UTC")


def told_zone() -> ZoneInfo | None:
    """From TZ, /etc/localtime or /etc/timezone. None: the host does not tell."""
    name = os.environ.get("TZ", "").lstrip(":")
    try:
        if name:
            return ZoneInfo(name)
        link = os.path.realpath("/etc/localtime")
        if "/zoneinfo/" in link:
            return ZoneInfo(link.partition("/zoneinfo/")[2])
        return ZoneInfo(Path("/etc/timezone").read_text().strip())
    except (OSError, ValueError, KeyError):
        return None
