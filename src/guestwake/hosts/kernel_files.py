"""Small text files of the kernel, of which any may be missing. Nothing is judged here."""

from __future__ import annotations

from pathlib import Path


def text_of(path: Path) -> str | None:
    """The whole file, without the last newline. None: it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").rstrip("\n")
    except OSError:
        return None
