"""Random nights of a guest that is hostile, beside one that is honest: it lies about its boots, its
people, its updates and itself, asks for restarts for ever, is busy for ever, reboots in a loop or
never comes up, floods the channel, says nothing, and claims to be another VM.

What must hold (contract, sections 10 and 11): I9, the honest one has its window as if it were alone
and nothing that the other says reaches it; and the worst that lies can do is an extension, two
restarts of itself, and staying awake for GuestUseLimit.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from random_day import RandomDay
from reporter import MemoryService, Somebody

from guestwake.hypervisors.api import Vm
from guestwake.policy.words import Power, Verb
from guestwake_wire.messages import ClientState, Report, Strength

HOSTILE, HONEST = "mallory", "alpha"
OPENS = 600.0  # the window, in seconds of the day
MINUTES = 90
MINUTES_LATER = 5  # after the night that follows
EXTENSION, USE_LIMIT = 30, 120  # minutes
TASK_TIMEOUT = 120
SETTLES = 600.0  # after the last use
_REASONS = 40  # for a restart, in one report


class LyingService(MemoryService):
    """`lies`: what is changed in each of its reports."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.lies: list[Callable[[Report], Report]] = []

    def _report(self) -> Report:
        report = super()._report()
        for lie in self.lies:
            report = lie(report)
        return report


class HostileNight(RandomDay):
    kind = "hostile"
    eventful = OPENS + 60 * (MINUTES + USE_LIMIT)
    nights = 27

    def stage(self) -> None:
        rng, day = self.rng, self.day
        self.restarts: list[float] = []
        self.later_nights = 0
        self.power = {
            name: rng.choice([Power.SAVED, Power.OFF, Power.PAUSED]) for name in (HONEST, HOSTILE)
        }
        self.settings: dict[str, Any] = {
            "guest_update_time": "00:10",
            "guest_update_duration": MINUTES,
            "max_extension": EXTENSION,
            "guest_use_limit": USE_LIMIT,
            "early_finish": 0,
            "restart_in_window": rng.choice([1, 2]),
            "task_timeout": TASK_TIMEOUT,
        }
        for name, power in self.power.items():
            day.workspace(name, power, reports=True, **self.settings)
            self.say(f"is {power}; {self.settings}", name)
        it = day.vm(HOSTILE)
        it.guest.service = self.liar = LyingService(day, it.vm, up=power is not Power.OFF)
        day.on_verb = self.on_verb

    # what must hold

    def on_verb(self, vm: Vm, verb: Verb) -> None:
        if verb is Verb.RESTART:
            assert vm.name == HOSTILE, "I9: the honest guest was restarted"
            self.restarts.append(self.day.real)
            within = [each for each in self.restarts if each > self.day.real - 86_000]
            assert len(within) <= 2, "a third restart in one run"
            assert within[-1] - within[0] > 3599 or len(within) == 1, "two within the hour"

    def _check_honest(self) -> None:
        day, ends = self.day, OPENS + 60 * MINUTES
        (row,) = day.history(HONEST)[:1]
        assert row.woke is not None, "I9: the honest one was not woken"
        woke, ended = (day.real_of(each) for each in (row.woke, row.ended))
        assert OPENS <= woke < OPENS + 10, f"I9: the honest one was woken at {woke:.1f}"
        assert ends <= ended < ends + TASK_TIMEOUT, f"I9: the honest one ended at {ended:.1f}"
        assert day.power(HONEST) is self.power[HONEST], f"I9: {HONEST} is {day.power(HONEST)}"
        assert day.mark(HONEST) is None, "I9: a restart of the honest one is wanted"
        said = day.journal().said(day.uuid(HONEST))
        assert said is not None
        assert json.loads(said.text)["boot_id"].startswith("guest-boot-"), "I9: not its own word"

    # what happens

    def drawn(self) -> list[tuple[float, Callable[[str], None], str]]:
        acts = [
            self._floods,
            self._lies_of_boots,
            self._lies_of_people,
            self._claims,
            self._wants_restarts,
            self._busy_for_ever,
            self._nothing_left,
            self._reboots,
            self._never_boots,
            self._silent,
        ]
        rng = self.rng
        return [
            (rng.uniform(OPENS, OPENS + 60 * MINUTES), rng.choice(acts), HOSTILE)
            for _ in range(rng.randint(1, 6))
        ]

    def _again(self, act: Callable[[], object], each: float) -> None:
        """From now on, for as long as things happen."""

        def on_and_on() -> None:
            if self.day.real < self.eventful:
                if self.day.power(HOSTILE) is Power.RUNNING:
                    act()
                self.day.later(each, on_and_on)

        on_and_on()

    def _lie(self, kind: str, lie: Callable[[Report], Report]) -> None:
        self.happens(kind, HOSTILE)
        self.liar.lies.append(lie)
        self.liar.speak()

    def _floods(self, name: str) -> None:
        junk = self.rng.choice(
            [
                b"\x1e{}\n" * 9999,
                b"[" * 99_999,
                b"\n" * 99_999,
                b"\x1e" + b"a" * 99_999,
                b"\x00\xff",
            ]
        )
        self.happens("guest floods", name, f"{junk[:4]!r}")
        self._again(lambda: self.liar.says(junk), self.rng.choice([5.0, 30.0, 120.0]))

    def _lies_of_boots(self, name: str) -> None:
        boots = self.rng.choice([["x"], [f"boot {each}" for each in range(99)], ["", "a" * 300]])
        self._lie(
            "guest lies about its boots",
            lambda it: it._replace(boot_id=boots[it.number % len(boots)] or it.boot_id),
        )

    def _lies_of_people(self, name: str) -> None:
        self.happens("guest lies about its people", name)
        since = self.rng.choice([-1e6, 0.0, self.day.real + 1e6])
        mallory = Somebody("mallory\x1b[2J\nroot", since)
        self.liar.inside.people.append(mallory)

        def types() -> None:
            mallory.input = self.day.real
            if mallory not in self.liar.inside.people:
                self.liar.inside.people.append(mallory)

        self._again(types, 60.0)

    def _claims(self, name: str) -> None:
        self.happens("guest claims to be another", name)
        other = self.day.uuid(HONEST)
        claim = {"type": "report", "vm": other, "workspace": HONEST, "uuid": other, "number": 1}
        wants = {"restart": [{"source": "reboot-required", "strength": "strong", "text": ""}]}
        self._again(lambda: self.liar.says(_framed(claim | wants)), 60.0)

    def _wants_restarts(self, name: str) -> None:
        """Each time for another reason, and for those before for which a report has room."""
        self.happens("guest wants restarts for ever", name)

        def wants() -> None:
            reasons = self.liar.inside.reasons
            reasons[f"reason {self.day.real:.0f}"] = Strength.STRONG
            while len(reasons) > _REASONS:
                del reasons[next(iter(reasons))]
            self.liar.speak()

        self.liar.stays = {f"stays {each}": Strength.STRONG for each in range(_REASONS)}
        self._again(wants, self.rng.choice([30.0, 600.0]))

    def _busy_for_ever(self, name: str) -> None:
        self._lie("guest is busy for ever", lambda it: it._replace(busy=True))

    def _nothing_left(self, name: str) -> None:
        self.happens("guest has nothing left", name)
        self.liar.state = ClientState.NOTHING_LEFT

    def _reboots(self, name: str) -> None:
        self.happens("guest reboots in a loop", name)
        self.liar.boots_for = 1.0
        self._again(lambda: self._restarts(name), self.rng.choice([10.0, 90.0]))

    def _restarts(self, name: str) -> None:
        it = self.day.vm(name)
        if it.changing is None:
            self.day.machine.guest_restarts(it.vm)

    def _never_boots(self, name: str) -> None:
        self.happens("guest never boots", name)
        self.liar.boots_for = 1e9
        if self.day.power(name) is Power.RUNNING:
            self.day.machine.guest_restarts(self.day.vm(name).vm)

    def _silent(self, name: str) -> None:
        self.happens("guest falls silent", name)
        self.liar.silent = True

    # and then nothing more

    def quiet(self) -> None:
        """Whatever it says: it is put back by the end of what its lies can gain."""
        worst = 60 * max(EXTENSION, USE_LIMIT) + SETTLES + 2 * TASK_TIMEOUT
        self.day.run_for(max(0.0, OPENS + 60 * MINUTES + worst - self.day.real))

    def check_quiet(self) -> None:
        assert self.day.record(HOSTILE) is None, f"I2: {self.day.record(HOSTILE)} is still open"
        rests = {self.power[HOSTILE], Power.SAVED}
        assert self.day.power(HOSTILE) in rests, f"I2: it is {self.day.power(HOSTILE)}"
        self._check_honest()

    def next_night(self) -> None:
        """It goes on being hostile, and the honest one has its window all the same."""
        day, self.later_nights = self.day, self.later_nights + 1
        day.run_for(day.real_of(self.midnight) - day.real)
        if self.later_nights == 2:
            for name in self.power:
                day.set(name, **self.settings | {"guest_update_duration": MINUTES_LATER})
        minutes = MINUTES if self.later_nights == 1 else MINUTES_LATER
        day.run_for(OPENS + 60 * minutes + TASK_TIMEOUT)
        date = self.midnight.date()
        had = [row for row in day.history(HONEST) if date in row.dates and row.woke]
        assert had, f"I9: the honest one had no window on {date}"
        assert day.power(HONEST) is self.power[HONEST], f"I9: {HONEST} is {day.power(HONEST)}"


def _framed(message: dict[str, Any]) -> bytes:
    return b"\x1e" + json.dumps(message).encode() + b"\n"
