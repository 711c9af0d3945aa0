"""What one look at a Windows guest sees with: handed to every detector."""

from __future__ import annotations

from typing import NamedTuple, Union

from guestwake_guest.view import Unclear
from guestwake_guest.windows.registry import Registry


class Given(NamedTuple):
    """An ESD signal of this boot. `at`: the elapsed clock of the first time."""

    at: float
    text: str


class WindowsView(NamedTuple):
    registry: Registry
    elapsed: float
    signal: Union[Given, Unclear, None] = None
