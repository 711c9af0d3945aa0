"""The kinds of random days, by the word that a seed begins with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from crowded_nights import CrowdedNights
from faulty_day import FaultyDay
from guest_night import GuestNight
from hostile_night import HostileNight
from peopled_day import PeopledDay
from random_day import RandomDay
from served_day import ServedDay
from troubled_day import TroubledDay
from zone_days import ZoneDays

_ALL: tuple[type[RandomDay], ...] = (
    *(FaultyDay, GuestNight, PeopledDay),
    *(TroubledDay, ZoneDays, CrowdedNights, ServedDay, HostileNight),
)
KINDS = {it.kind: it for it in _ALL}


@dataclass(frozen=True)
class Seed:
    """`kept`: what of its plan may happen; None: all of it."""

    kind: type[RandomDay]
    number: int
    kept: list[str] | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """KIND:NUMBER[:KEPT]. Raises ValueError."""
        kind, number, *kept = text.split(":")
        if kind not in KINDS:
            raise ValueError(f"'{kind}' is none of {', '.join(KINDS)}")
        return cls(
            KINDS[kind],
            int(number),
            [each for each in kept[0].split(",") if each] if kept else None,
        )
