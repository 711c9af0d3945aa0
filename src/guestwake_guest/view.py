"""What one look sees with: handed to every detector and update client."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Optional, Union

from guestwake_guest.questions import Questions
from guestwake_guest.system import System
from guestwake_wire.messages import Reason


class Unclear(Enum):
    CANNOT_TELL = "cannot tell"


# None: this source asks for no restart. Unclear: what it said before still counts.
Finding = Union[Reason, None, Unclear]


class View(NamedTuple):
    """`window_since`: by the guest's wall clock, when the window was opened that is open now."""

    system: System
    questions: Questions
    window_since: Optional[float] = None

    def in_window(self, at: float | None) -> bool:
        """Was that, by the wall clock, since the window that is open now was opened?"""
        if at is None or self.window_since is None:
            return False
        return self.window_since <= at <= self.system.wall()
