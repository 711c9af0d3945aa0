"""Times as people give them: `08:30`, `2026-11-24 08:30`, `2h`, `tomorrow`, ISO with a zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

_UNITS = {"m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SPAN = re.compile(r"([0-9]{1,6}) ?(min|m|h|d|w)")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})")
_FORMS = "08:30, '2026-11-24 08:30', 2h, 90m, 3d, tomorrow, or ISO 8601 with a zone"


class BadTime(ValueError):
    """A sentence that names the mistake."""


def instant(text: str, now: datetime, zone: ZoneInfo) -> datetime:
    """In UTC. A reading without a zone is meant in `zone`; a time of day is its next one, a span
    counts from `now`. Raises BadTime."""
    given = text.strip()
    if span := _span(given):
        return _later(now, span)
    local = now.astimezone(zone)
    if given.lower() in ("now", "today", "tomorrow"):
        ahead = timedelta(days=given.lower() == "tomorrow")
        midnight = datetime.combine(local.date() + ahead, time.min, zone)
        return now if given.lower() == "now" else midnight.astimezone(UTC)
    if clock := _CLOCK.fullmatch(given):
        return _next_reading(_time_of_day(*map(int, clock.groups())), local)
    return _written_out(given, zone)


def _span(given: str) -> timedelta | None:
    parts = _SPAN.fullmatch(given)
    return timedelta(**{_UNITS[parts[2]]: int(parts[1])}) if parts else None


def _later(now: datetime, span: timedelta) -> datetime:
    try:
        return now + span
    except OverflowError as err:
        raise BadTime("it lies beyond the year 9999") from err


def _time_of_day(hour: int, minute: int) -> time:
    if hour == 24 and minute == 0:
        raise BadTime("there is no 24:00; write 00:00, or tomorrow")
    try:
        return time(hour, minute)
    except ValueError as err:
        raise BadTime(f"there is no time of day {hour}:{minute:02}") from err


def _next_reading(clock: time, local: datetime) -> datetime:
    day = local.date()
    found = datetime.combine(day, clock, local.tzinfo).astimezone(UTC)
    if found > local.astimezone(UTC):
        return found
    return datetime.combine(day + timedelta(days=1), clock, local.tzinfo).astimezone(UTC)


def _written_out(given: str, zone: ZoneInfo) -> datetime:
    try:
        found = datetime.fromisoformat(given)
        return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError) as err:
        raise BadTime(_mistake(given, err)) from err


def _mistake(given: str, err: Exception) -> str:
    if re.fullmatch(r"[+-]?[0-9]+", given):
        return f"a number alone is no time; write {given.lstrip('+-')}m for minutes, or {_FORMS}"
    looks_like_a_date = re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", given)
    reason = f"{err}; " if looks_like_a_date and "Invalid isoformat" not in str(err) else ""
    return f"it is no time ({reason}write {_FORMS})"
