"""What the detectors say, dated by the elapsed clock, and remembered where they cannot tell."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable

from guestwake_guest.journal import warn
from guestwake_guest.view import Unclear
from guestwake_wire.messages import Reason, Strength


class Reasons:
    """`elapsed`: the clock. A detector has `SOURCE` and `find(view)`; where it has `SETTLES`, what
    it says counts once it has said so for as many seconds. `settling`: seconds until the next one
    counts, as of the last look; None: none is to."""

    def __init__(self, elapsed: Callable[[], float]) -> None:
        self._elapsed = elapsed
        # When each source began to say so, by the elapsed clock, and what it said last.
        self._began: dict[str, float] = {}
        self._said: dict[str, Reason] = {}
        self._failing: set[str] = set()
        self.settling: float | None = None

    def found(self, view: Any, detectors: Iterable[Any]) -> tuple[Reason, ...]:
        """Strong ones first."""
        asked = [(one, self._found(view, one)) for one in detectors]
        dated = [(one, self._dated(reason)) for one, reason in asked if reason]
        self._forget_all_but({reason.source for _, reason in dated})
        left = {reason.source: self._left(one) for one, reason in dated}
        self.settling = min((seconds for seconds in left.values() if seconds > 0), default=None)
        reasons = [reason for _, reason in dated if left[reason.source] <= 0]
        return tuple(sorted(reasons, key=lambda reason: reason.strength is Strength.WEAK))

    def _left(self, detector: Any) -> float:
        """Seconds until what it says counts; 0 or less: it does."""
        return _settles(detector) - (self._elapsed() - self._began[detector.SOURCE])

    def _found(self, view: Any, detector: Any) -> Reason | None:
        """What a source cannot tell now is what it told last. One that fails takes no other with
        it."""
        source: str = detector.SOURCE
        try:
            found = detector.find(view)
        except Exception as error:  # whatever it is: it must not silence the others
            self._warn_once(source, error)
            found = Unclear.CANNOT_TELL
        else:
            self._failing.discard(source)
        return self._said.get(source) if found is Unclear.CANNOT_TELL else found

    def _dated(self, reason: Reason) -> Reason:
        """Its age by the elapsed clock from when it was first seen: a file's own time is by the
        clock that is set when the guest is restored."""
        now = self._elapsed()
        began = self._began.setdefault(reason.source, now - (reason.since or 0))
        self._said[reason.source] = reason
        return reason._replace(since=max(0, int(now - began)))

    def _forget_all_but(self, sources: Iterable[str]) -> None:
        for source in set(self._began) - set(sources):
            del self._began[source], self._said[source]

    def _warn_once(self, source: str, error: Exception) -> None:
        if source not in self._failing:
            warn(f"'{source}' cannot tell: {type(error).__name__}: {error}, asking on")
            self._failing.add(source)


def _settles(detector: Any) -> float:
    seconds: float = getattr(detector, "SETTLES", 0.0)
    return seconds
