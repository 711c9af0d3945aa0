"""Who holds the program to its promises is tested here: each wrong version of it in `mutations.py`
is noticed, by the random days or by the test that it names, and the right one is not. Where random
days have changed, or a new mutation has none yet, `tools/mutate` finds some."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from kinds import Seed
from mutations import MUTATIONS
from wrong import NIGHTS, Wrong, by_days, by_test

DAYS = 40  # that are played at the most, from the one that is named on
DAYS_FULL = 400  # from the first on
AT_LEAST = 40

BY_DAYS = [pytest.param(it, id=it.name) for it in MUTATIONS if it.by_days]
BY_TEST = [pytest.param(it, id=it.name) for it in MUTATIONS if not it.by_days]


@pytest.mark.more
@pytest.mark.parametrize("wrong", BY_DAYS)
def test_random_days_notice(wrong: Wrong, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = by_days(wrong, wrong.by, DAYS)
    assert found, f"nobody notices '{wrong.name}' from {wrong.by} on: see tools/mutate"
    right = Seed.parse(found.by)
    monkeypatch.setattr(right.kind, "nights", NIGHTS)
    right.kind.play(right.number, folder)


@pytest.mark.full
@pytest.mark.parametrize("wrong", BY_DAYS)
def test_any_random_days_notice(wrong: Wrong) -> None:
    kind = wrong.by.split(":")[0]
    assert by_days(wrong, f"{kind}:0", DAYS_FULL), f"nobody notices '{wrong.name}'"


@pytest.mark.more
@pytest.mark.parametrize("wrong", BY_TEST)
def test_a_story_notices(wrong: Wrong) -> None:
    """The right program passes it, or it would be seen to fail by itself."""
    assert by_test(wrong, wrong.by), f"{wrong.by} does not notice '{wrong.name}'"


def test_each_is_possible_and_has_its_own_name() -> None:
    for wrong in MUTATIONS:
        compile(wrong.text(), wrong.file, "exec")
    assert [name for name, times in Counter(it.name for it in MUTATIONS).items() if times > 1] == []
    assert len(MUTATIONS) >= AT_LEAST


@pytest.mark.parametrize("old", ["no such text", "from"])
def test_one_that_fits_no_more_is_told_by_its_name(old: str) -> None:
    with pytest.raises(ValueError, match=f"'{MUTATIONS[0].name}' must be renewed"):
        replace(MUTATIONS[0], old=old).text()


def test_who_does_nothing_wrong_is_not_noticed() -> None:
    nothing = replace(MUTATIONS[0], new=MUTATIONS[0].old)
    assert by_days(nothing, "faults:0", 2) is None
    assert by_test(nothing, "test_stories.py::test_a_hold_keeps_it_up") is None


def test_a_crash_is_no_broken_promise() -> None:
    crash = replace(MUTATIONS[0], new="                raise KeyError\n")
    with pytest.raises(ValueError, match="crashes: KeyError"):
        by_days(crash, "faults:0", 1)
