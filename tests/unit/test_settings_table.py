"""The table: types, ranges, spellings, and that it agrees with what the policy reads."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import date, time, timedelta
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from guestwake.policy.limits import EVERY_DAY, Limits
from guestwake.settings.document import settings_page
from guestwake.settings.table import (
    BY_NAME,
    BY_TOML,
    SETTINGS,
    BadValue,
    Setting,
    limits,
    shown,
    unknown,
)

DOCS = Path(__file__).parents[2] / "docs"


def parse(name: str, raw: object) -> object:
    return BY_NAME[name].kind.parse(raw)


def refusal(name: str, raw: object) -> str:
    with pytest.raises(BadValue) as caught:
        parse(name, raw)
    return str(caught.value)


def test_the_table_and_the_limits_have_the_same_settings_in_the_same_order() -> None:
    assert [setting.toml for setting in SETTINGS] == [field.name for field in fields(Limits)]


def test_each_default_is_a_value_that_may_be_written() -> None:
    for setting in SETTINGS:
        plain = setting.kind.plain(setting.default)
        if plain is not None:
            assert setting.kind.parse(plain) == setting.default
            assert json.loads(json.dumps(plain)) == plain


def test_no_value_at_all_gives_the_defaults() -> None:
    assert limits({}) == Limits()


def test_names_in_files_are_the_registrys_in_snake_case() -> None:
    assert BY_NAME["RequireACPower"].toml == "require_ac_power"
    assert BY_NAME["RebootAbsoluteDelayTimeout"].toml == "reboot_absolute_delay_timeout"
    assert len(BY_TOML) == len(BY_NAME) == len(SETTINGS)


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("GuestUpdateTime", "03:30", time(3, 30)),
        ("GuestUpdateTime", "7:05", time(7, 5)),
        ("GuestUpdateTime", "23:59", time(23, 59)),
        ("GuestUpdateDuration", 0, timedelta(0)),
        ("GuestUpdateDuration", 1440, timedelta(days=1)),
        ("TaskTimeout", 2147483647, timedelta(seconds=2147483647)),
        ("CloseAction", "TURN-OFF", "TURN-OFF"),
        ("CloseAction", "turn-off", "TURN-OFF"),
        ("ReturnState", "Hibernate", "hibernate"),
        ("RestartInWindow", 2, 2),
        ("WakeHost", 1, True),
        ("WakeHost", 0, False),
        ("WakeHost", True, True),
        ("WakeHost", False, False),
        ("GuestUpdateDays", "all", EVERY_DAY),
        ("GuestUpdateDays", ["Monday", "thu", "SUN", "mon"], {0, 3, 6}),
        ("EventLogLevel", 4, 4),
    ],
)
def test_a_good_value_is_taken(name: str, raw: object, value: object) -> None:
    assert parse(name, raw) == value


@pytest.mark.parametrize(
    ("name", "raw", "says"),
    [
        ("GuestUpdateTime", "24:00", "00:00 to 23:59"),
        ("GuestUpdateTime", "25:00", '"25:00" will not do'),
        ("GuestUpdateTime", "7:5", "two digits of minutes"),
        ("GuestUpdateTime", "07:60", "will not do"),
        ("GuestUpdateTime", "07:05:00", "will not do"),
        ("GuestUpdateTime", " 7:05", "will not do"),
        ("GuestUpdateTime", "7:05\n", "will not do"),
        ("GuestUpdateTime", "٠٧:٠٥", "will not do"),
        ("GuestUpdateTime", 705, "705 will not do"),
        ("GuestUpdateTime", True, "true will not do"),
        ("GuestUpdateDuration", 1441, "1441 is out of range; it must be a whole number of minutes"),
        ("GuestUpdateDuration", -1, "from 0 to 1440"),
        ("GuestUpdateDuration", "240", "write 240 without quotes"),
        ("GuestUpdateDuration", "4 h", "whole number of minutes"),
        ("GuestUpdateDuration", True, "true will not do"),
        ("GuestUpdateDuration", 240.0, "240.0 will not do"),
        ("GuestUpdateDuration", float("nan"), "nan will not do"),
        pytest.param("GuestUpdateDuration", 10**5000, "this large is out of range", id="digits"),
        ("GuestUpdateDuration", [240], "a list will not do"),
        ("GuestUpdateDuration", {"a": 1}, "a table will not do"),
        ("GuestUpdateDuration", date(2026, 1, 1), "2026-01-01 will not do"),
        ("TaskTimeout", 0, "from 1 to 2147483647"),
        ("WakeHost", 2, "0 or 1"),
        ("WakeHost", "1", "without quotes"),
        ("WakeHost", 1.0, "0 or 1"),
        ("CloseAction", "POWEROFF", "HIBERNATE, SHUTDOWN, TURN-OFF"),
        ("CloseAction", 1, "one of"),
        ("RestartInWindow", 3, "from 0 to 2"),
        ("RestartInWindow", True, "true will not do"),
        ("EventLogLevel", 5, "from 0 to 4"),
        ("GuestUpdateDays", [], "set GuestUpdateDuration to 0"),
        ("GuestUpdateDays", "Monday", '"all" or a list'),
        ("GuestUpdateDays", ["Mo"], '"Mo" is no day'),
        ("GuestUpdateDays", [1], "1 is no day"),
        ("GuestUpdateDays", [["mon"]], "a list is no day"),
        ("MaxConcurrentStarts", 0, "from 1"),
    ],
)
def test_a_bad_value_is_refused_with_its_remedy(name: str, raw: object, says: str) -> None:
    assert says in refusal(name, raw)


def test_a_zone_goes_by_its_iana_name() -> None:
    assert str(parse("TimeZone", "America/New_York")) == "America/New_York"


@pytest.mark.parametrize(
    "raw",
    ["", "../etc/passwd", "/etc/localtime", "localtime", "right/UTC", "America", "Mars/Base", 1],
)
def test_what_is_no_zone_is_refused(raw: object) -> None:
    assert "IANA name" in refusal("TimeZone", raw)


@pytest.mark.parametrize("raw", ["europe/berlin", "Europe/Berln"])
def test_a_misspelled_zone_is_guessed(raw: str) -> None:
    assert "did you mean Europe/Berlin?" in refusal("TimeZone", raw)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("GuestUpdateTime", "write guest_update_time"),
        ("guestupdatetime", "write guest_update_time"),
        ("guest-update-time", "write guest_update_time"),
        ("guest_update_tme", "write guest_update_time"),
        ("RequireACPower", "write require_ac_power"),
        ("colour", "`guestwake settings show` lists them all"),
    ],
)
def test_an_unknown_name_is_told_the_right_one(name: str, says: str) -> None:
    assert says in unknown(name, BY_TOML)


RAW = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.times() | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.sampled_from(SETTINGS), RAW)
def test_any_raw_value_is_taken_or_refused_in_one_printable_line(
    setting: Setting, raw: object
) -> None:
    said = ""
    try:
        setting.kind.parse(raw)
    except BadValue as err:
        said = str(err)
    assert not said or (said.isprintable() and len(said) < 400)


NUMBERS = [setting for setting in SETTINGS if setting.kind.registry == "REG_DWORD"]


@given(st.sampled_from(NUMBERS), st.sampled_from([1, 0, 2, 1440, 1439]))
def test_a_number_survives_being_shown_and_read_again(setting: Setting, number: int) -> None:
    try:
        value = setting.kind.parse(number)
    except BadValue:
        assume(False)  # out of this one's range
    assert setting.kind.parse(setting.kind.plain(value)) == value
    assert setting.kind.plain(value) == number


def test_a_raw_value_cannot_break_the_line_it_is_shown_in() -> None:
    assert shown("a\n\x1b[31mb\u202e") == '"a\\n\\x1b[31mb\\u202e"'
    assert len(shown("x" * 1000)) < 70


def test_the_page_of_settings_is_up_to_date() -> None:
    assert (DOCS / "settings.md").read_text(encoding="utf-8") == settings_page()


def test_the_page_tells_of_each_setting_its_help_and_both_spellings() -> None:
    page = settings_page()
    for setting in SETTINGS:
        assert f"### {setting.name}\n\n{setting.help}\n" in page
        assert f"`{setting.toml}`" in page
