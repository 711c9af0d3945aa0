"""The restart mark: what sets it, and the little that clears it (contract, section 6)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestwake.policy.restart import REASONS_MAX, SURVIVES, MarkedReason, RestartMark, marked

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(hours=3)


def reasons(*sources: str) -> list[MarkedReason]:
    return [MarkedReason(source, f"because of {source}") for source in sources]


def after(mark: RestartMark | None, boot_id: str, *sources: str) -> RestartMark | None:
    return marked(mark, boot_id, reasons(*sources), LATER)


def sources(mark: RestartMark | None) -> list[str]:
    return [] if mark is None else [reason.source for reason in mark.reasons]


MARK = marked(None, "boot-1", reasons("apt"), NOON)


def test_a_strong_reason_sets_it() -> None:
    assert RestartMark((MarkedReason("apt", "because of apt"),), NOON, "boot-1") == MARK
    assert marked(None, "boot-1", [], NOON) is None


def test_what_was_said_in_one_boot_is_not_unsaid_in_it() -> None:
    assert after(MARK, "boot-1") == MARK
    assert sources(after(MARK, "boot-1", "kernel")) == ["apt", "kernel"]


def test_a_new_boot_with_nothing_to_say_clears_it() -> None:
    assert after(MARK, "boot-2") is None


def test_a_new_boot_keeps_what_is_still_there_and_counts_it() -> None:
    then = after(MARK, "boot-2", "apt", "esd-signal")
    assert then is not None
    assert [(each.source, each.survived) for each in then.reasons] == [
        ("apt", 1),
        ("esd-signal", 0),
    ]
    assert (then.since, then.boot_id) == (NOON, "boot-2")


def test_only_other_reasons_after_a_boot_are_a_new_mark() -> None:
    then = after(MARK, "boot-2", "kernel")
    assert then is not None
    assert then.since == LATER


def test_one_that_survives_two_restarts_is_in_vain() -> None:
    mark = MARK
    for boot in range(2, 2 + SURVIVES):
        assert mark is not None
        assert not mark.is_in_vain
        mark = after(mark, f"boot-{boot}", "apt")
    assert mark is not None
    assert mark.is_in_vain
    # Saying it again in the same boot makes it no younger, a new reason makes it worth while.
    assert after(mark, mark.boot_id, "apt").is_in_vain  # type: ignore[union-attr]
    assert not after(mark, mark.boot_id, "apt", "kernel").is_in_vain  # type: ignore[union-attr]


@pytest.mark.parametrize("boots", [1, 40])
def test_a_guest_that_names_new_reasons_for_ever_costs_no_more(boots: int) -> None:
    mark: RestartMark | None = None
    for number in range(200):
        mark = after(mark, f"boot-{number % boots}", f"liar-{number}")
    assert mark is not None
    assert len(mark.reasons) <= REASONS_MAX


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sets(st.sampled_from("xyz"))), max_size=30))
def test_it_is_lost_only_to_a_new_boot(said: list[tuple[str, set[str]]]) -> None:
    mark: RestartMark | None = None
    for boot_id, named in said:
        before, mark = mark, after(mark, boot_id, *sorted(named))
        assert set(sources(mark)) >= named
        if before is not None and before.boot_id == boot_id:
            assert set(sources(mark)) >= set(sources(before))
