"""What one look at a Windows guest sees with: handed to every detector."""

from __future__ import annotations

from typing import NamedTuple, Union

from guestwake_guest.view import Unclear
from guestwake_guest.windows.registry import Registry


class WindowsView(NamedTuple):
    """`signal`: when the first ESD signal of this boot came, by the clock of `elapsed`; None: none
    did."""

    registry: Registry
    elapsed: float
    signal: Union[float, Unclear, None] = None
