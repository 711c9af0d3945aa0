"""Which answers of the policy, and which events, a pretend world has come to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from guestwake.events import OF_WHY
from guestwake.policy.run import Why
from guestwake.reports import catalogue


@dataclass
class Reached:
    """How often each was written into the journal, and stayed there: an event by its row, as a
    standing one or as a note; a Why likewise, and by the history row of a run that ended with it.
    """

    whys: Counter[Why] = field(default_factory=Counter)
    events: Counter[int] = field(default_factory=Counter)  # by id

    def __bool__(self) -> bool:
        return bool(self.whys or self.events)

    def ended(self, why: Why) -> None:
        self.whys[why] += 1

    def told(self, why: Why) -> None:
        self.whys[why] += 1
        self.events[OF_WHY[why].id] += 1

    def noted(self, event: int) -> None:
        self.events[event] += 1

    def add(self, other: Reached) -> None:
        self.whys.update(other.whys)
        self.events.update(other.events)

    def missing(self) -> list[str]:
        """What there is, and was never reached."""
        events = [str(event.id) for event in catalogue() if not self.events[event.id]]
        return [str(why) for why in Why if not self.whys[why]] + events
