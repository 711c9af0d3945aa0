"""Shell completion: scripts made from the parser by `make docs`, and shipped as they are."""

from __future__ import annotations

from pathlib import Path

from guestwake.edges.exit_codes import Exit
from guestwake.edges.text import say

FOLDER = Path(__file__).parent / "completions"


def completion(shell: str) -> Exit:
    say((FOLDER / f"guestwake.{shell}").read_text(encoding="utf-8").rstrip("\n"))
    return Exit.DONE
