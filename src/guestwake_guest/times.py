"""Times as logs write them, to unix seconds, without the modules that parse any date there is:
those load others when first used, which an upgrade may have taken away by then."""

from __future__ import annotations

import re
import time

_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ]+(\d\d):(\d\d):(\d\d)(?:[.,]\d+)?(Z|[+-]\d{4})?")

# As strftime's %c has it where the language is C.
_ASCTIME = re.compile(r"\w{3} (\w{3}) +(\d+) (\d\d):(\d\d):(\d\d) (\d{4})")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def unix_seconds(text: str) -> int | None:
    """Of the time that `text` begins with; without a zone it is local. None: it is no time."""
    found = _TIME.match(text)
    if not found:
        return None
    parts = [int(part) for part in found.groups()[:6]]
    zone = found[7]
    try:
        return _utc(*parts) - _offset(zone) if zone else int(time.mktime((*parts, 0, 0, -1)))  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        return None


def asctime_seconds(text: str) -> int | None:
    """Of `Wed Nov 25 09:18:43 2026`, in UTC. None: it is no time."""
    found = _ASCTIME.fullmatch(text)
    if not found or found[1] not in _MONTHS:
        return None
    day, hour, minute, second, year = map(int, found.groups()[1:])
    return _utc(year, _MONTHS.index(found[1]) + 1, day, hour, minute, second)


def _offset(zone: str) -> int:
    if zone == "Z":
        return 0
    seconds = int(zone[1:3]) * 3600 + int(zone[3:5]) * 60
    return -seconds if zone[0] == "-" else seconds


def _utc(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int:
    """Days are counted from 1 March, so that a leap day is the last of its year."""
    year -= month <= 2
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days = 365 * year + year // 4 - year // 100 + year // 400 + day_of_year - 719468
    return ((days * 24 + hour) * 60 + minute) * 60 + second
