"""Random days that once broke a promise, each with what its failure needed. A day stays what it
was as long as its kind draws its plan as it did: what is to happen besides belongs into another
kind."""

from __future__ import annotations

from pathlib import Path

import pytest
from kinds import Seed

ONCE_FAILED = {
    "faults:200330:1,beta@330.000/1,beta@350.000/9,0": "what somebody started within ten seconds "
    "of the record of a manager that died was taken for ours",
    "guests:20261212:5,6": "a guest whose hello was lost among its nonsense was never heard again",
    "crowd:20261341:2": "who had waited longest did not go first where a hypervisor was back",
    "people:20261365:0,1,5": "what somebody resumed, as we would have but for the journal, was "
    "taken for ours",
    "faults:7000018:3,1": "a hypervisor that refused to tell who watches a VM told of nobody",
}


@pytest.mark.parametrize("seed", ONCE_FAILED)
def test_a_day_that_once_failed_keeps_every_promise(seed: str, folder: Path) -> None:
    it = Seed.parse(seed)
    played = it.kind.play(it.number, folder, it.kept)
    assert len(played.done) == len(it.kept or []), "not all of its plan happens any more"
