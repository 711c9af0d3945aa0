"""The manual of the guest's command names each command, option and exit code that there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from guestwake_guest.cli import _OPTIONS
from guestwake_guest.exit_codes import MEANINGS

MANUAL = Path(__file__).resolve().parents[2] / "man" / "guestwake-guest.8"
TEXT = MANUAL.read_text(encoding="utf-8").replace("\\-", "-")


@pytest.mark.parametrize("command", _OPTIONS)
def test_every_command_is_there_with_its_options(command: str) -> None:
    assert f".B {command}\n" in TEXT
    assert [name for name in _OPTIONS[command] if name not in TEXT] == []


@pytest.mark.parametrize("code", MEANINGS)
def test_every_exit_code_is_there(code: int) -> None:
    plain = TEXT.replace("\\fB", "`").replace("\\fR", "`")
    assert f".B {int(code)}\n{MEANINGS[code]}\n" in plain  # type: ignore[index]
