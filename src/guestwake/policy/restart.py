"""The restart mark: what the host remembers of a restart that a guest needs (contract, section 6).

Pure. A mark survives hibernation, crashes and restarts of the host; only a new boot of the guest,
with a fresh report after it, clears it. Boot times are no evidence: they move when the clock of a
restored guest is set. Whether and when to restart is `hold.py`'s to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

SURVIVES = 2  # restarts after which a reason is only told any more
REASONS_MAX = 16  # a guest may name new ones for ever


@dataclass(frozen=True, slots=True)
class MarkedReason:
    """`source`: the guest's word for where it comes from, which makes it the same reason again;
    `survived`: boots of the guest since it was first reported, with it still there."""

    source: str
    text: str
    survived: int = 0


@dataclass(frozen=True, slots=True)
class RestartMark:
    """`since`: when the oldest of the reasons was first reported. `boot_id`: the boot of the
    guest in which they were reported last."""

    reasons: tuple[MarkedReason, ...]
    since: datetime
    boot_id: str

    @property
    def is_in_vain(self) -> bool:
        """Every reason has survived restarts: another would not help."""
        return all(reason.survived >= SURVIVES for reason in self.reasons)


def marked(
    mark: RestartMark | None, boot_id: str, reasons: Iterable[MarkedReason], at: datetime
) -> RestartMark | None:
    """The mark after a fresh report; `reasons`: the strong ones of it. None: no restart needed."""
    found = {reason.source: reason for reason in reasons}
    if mark is None:
        return RestartMark(_bounded(found), at, boot_id) if found else None
    if boot_id == mark.boot_id:  # what was said in this boot is not unsaid in it
        known = {reason.source: reason for reason in mark.reasons}
        still = {
            source: replace(reason, survived=_survived(known, source))
            for source, reason in found.items()
        }
        return replace(mark, reasons=_bounded(known | still))
    before = {reason.source: reason for reason in mark.reasons}
    left = {
        source: replace(reason, survived=_after_a_boot(before, source))
        for source, reason in found.items()
    }
    if not left:
        return None
    since = mark.since if left.keys() & before.keys() else at
    return RestartMark(_bounded(left), since, boot_id)


def _survived(known: dict[str, MarkedReason], source: str) -> int:
    return known[source].survived if source in known else 0


def _after_a_boot(before: dict[str, MarkedReason], source: str) -> int:
    return before[source].survived + 1 if source in before else 0


def _bounded(reasons: dict[str, MarkedReason]) -> tuple[MarkedReason, ...]:
    return tuple(reasons.values())[:REASONS_MAX]
