"""A run that the journal has forgotten, taken up from the VM's own metadata. Pure.

The second witness of "woken by us" (contract, section 4.6). It counts only for the very start of
the VM that it names: a mark that came back with a saved image tells of an earlier one.
"""

from __future__ import annotations

from dataclasses import replace

from guestwake.policy.run import Facts, Phase, WakeRun
from guestwake.policy.words import Power

_IN_MEMORY = (Power.PAUSED, Power.SUSPENDED)  # parked so, its mark stays on it: somebody resumed it


def is_behind(run: WakeRun, facts: Facts) -> bool:
    """Whether the journal's `run` is from before the wake that the mark tells of: the journal was
    cut, or an older copy has been put in its place."""
    mark, start = facts.mark, facts.start
    if mark is None or mark.another or start is None or mark.start_id != start.id:
        return False
    match run.phase:
        case Phase.WAITING:
            return facts.power is Power.RUNNING and run.parked not in _IN_MEMORY
        case Phase.WAKING:
            return mark.token != run.token or run.start not in (None, start.id)
        case _:
            return run.start != start.id


def adopted(run: WakeRun, start_id: str, facts: Facts, *, known: bool) -> WakeRun | None:
    """`run` and `start_id` as the metadata has them. `known`: the journal has that run as
    finished, so the mark is a leftover. None: not ours.

    What happened since the mark was written is forgotten. So its memory is taken for one with
    somebody's work in it: it may be saved, and is not shut down unseen.
    """
    if known or facts.start is None or facts.start.id != start_id:
        return None
    return replace(
        run,
        phase=Phase.HOLDING,
        start=start_id,
        woke=run.since,
        first_awake=run.first_awake or run.since,
        parked=None,
        kept_memory=True,
    )
