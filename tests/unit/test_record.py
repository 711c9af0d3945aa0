"""A wake run as text and back: nothing is lost, and nothing else is taken for one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guestwake.policy.run import WakeRun
from guestwake.policy.window import Opening
from guestwake.policy.words import Deadline
from guestwake.record import RecordError, dump_run, load_run

INSTANTS = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
SPANS = st.timedeltas(timedelta(0), timedelta(days=9))
SECONDS = st.floats(0, 1e9)
DEADLINES = st.builds(Deadline, INSTANTS, SECONDS, st.text(max_size=5))
OPENINGS = st.builds(Opening, st.dates(), INSTANTS, INSTANTS)
OF_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    Deadline: DEADLINES,
    Deadline | None: st.none() | DEADLINES,
    tuple[Opening, ...]: st.lists(OPENINGS, min_size=1, max_size=3).map(tuple),
    timedelta: SPANS,
    float: SECONDS,
}
RUNS = st.builds(
    WakeRun,
    **{
        name: OF_TYPE[hint] if hint in OF_TYPE else st.from_type(hint)
        for name, hint in get_type_hints(WakeRun).items()
    },
)


@settings(max_examples=60)
@given(RUNS)
def test_whatever_is_written_is_read_again(run: WakeRun) -> None:
    assert load_run(dump_run(run)) == run


@settings(max_examples=30)
@given(RUNS, st.data())
def test_an_older_text_lacks_fields_and_a_newer_one_has_more(
    run: WakeRun, data: st.DataObject
) -> None:
    values = json.loads(dump_run(run))
    optional = ("parked", "crashes", "idle", "used", "early_viewers")
    lacking = data.draw(st.sampled_from(optional))
    del values[lacking]
    values["field_of_tomorrow"] = {"deep": [1, 2]}
    read = load_run(json.dumps(values))
    default = getattr(WakeRun, "__dataclass_fields__")[lacking].default  # noqa: B009
    assert getattr(read, lacking) == default
    assert read.ends == run.ends


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "7", '"run"', "{}", '{"token": "abc"}', "[" * 100_000],
)
def test_other_text_is_an_error_of_ours(text: str) -> None:
    with pytest.raises(RecordError):
        load_run(text)


@pytest.mark.parametrize("seconds", [1e300, 10**400, float("inf"), float("nan"), -1e11])
@settings(max_examples=1)
@given(run=RUNS)
def test_seconds_that_nobody_can_count_with_are_an_error_of_ours(
    run: WakeRun, seconds: float
) -> None:
    values = json.loads(dump_run(run))
    spoilings = {"length": seconds}, {"ends": values["ends"] | {"elapsed": seconds}}
    for spoilt in spoilings:
        with pytest.raises(RecordError):
            load_run(json.dumps(values | spoilt))


@settings(max_examples=20)
@given(RUNS)
def test_a_run_without_a_window_or_an_instant_without_a_zone_is_no_run(run: WakeRun) -> None:
    values = json.loads(dump_run(run))
    ends = values["ends"] | {"wall": "2026-03-10T03:00:00"}
    spoilings: list[dict[str, Any]] = [{"chain": []}, {"ends": ends}]
    for spoilt in spoilings:
        with pytest.raises(RecordError):
            load_run(json.dumps(values | spoilt))


@settings(max_examples=60)
@given(
    RUNS,
    st.sampled_from(
        ["token", "kind", "chain", "length", "ends", "phase", "why", "used", "crashes"]
    ),
    st.sampled_from([None, 7.5, "nonsense", [], {}, [[]], True]),
)
def test_a_value_of_another_kind_is_an_error_or_read_as_its_own(
    run: WakeRun, name: str, value: object
) -> None:
    """Anybody may write into a VM's metadata: no other exception may come of it."""
    values = json.loads(dump_run(run)) | {name: value}
    try:
        read = load_run(json.dumps(values))
    except RecordError:
        return
    assert type(getattr(read, name)) is type(getattr(run, name))
