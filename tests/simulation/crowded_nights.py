"""Random nights of many VMs on one small host, with limits of their own each: how many may be
awake, how many may be waking or being saved, the memory and the disk that must stay free. Verbs
take their time, and one VM may hang in whatever is asked of it.

What must hold (contract, section 10): I5, none of the limits is broken, and nobody goes without a
turn twice while another has two; I9, the one that hangs delays no other.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from itertools import pairwise, permutations
from typing import Any

from day import NOBODY_ANSWERS
from faulty_day import Observer, Watched
from random_day import DAY, RandomDay

from guestwake.hypervisors.api import HypervisorError, Vm
from guestwake.hypervisors.memory import MemoryVm
from guestwake.policy.run import Why
from guestwake.policy.words import Power, Verb

NAMES = ("alpha", "beta", "gamma", "delta", "epsilon")
OPENS = 600.0  # the windows, in seconds of each day
NIGHTS = 3
TASK_TIMEOUT = 600
# What a call hangs in: its answer comes late, or never in this night.
_HANG = {f"after {verb}" for verb in Verb} | {"before unmark", "before clock"}


class CrowdObserver(Observer):
    disk_changed = False

    def _check_room(self, it: MemoryVm, seen: Watched) -> None:
        day, total = self.day, self.day.host.memory_available
        if total is None or it.start is not None or any(map(self.is_left, self.vms)):
            return
        taken = sum(other.memory_mib for other in day.machine.all() if other.start is not None)
        left = total - taken - it.memory_mib
        reserve = seen.settings["memory_reserve"]
        assert left >= reserve, f"I5: {left} MiB of memory are left, and {reserve} must be"

    def _check_rest(self, it: MemoryVm, seen: Watched, verb: Verb) -> None:
        super()._check_rest(it, seen, verb)
        left = self.day.disk_left()
        if verb in (Verb.SAVE, Verb.SAVE_PAUSED) and left is not None and not self.disk_changed:
            left -= it.memory_mib
            reserve = seen.settings["disk_reserve"]
            assert left >= reserve, f"I5: {left} MiB of disk are left, and {reserve} must be"


class CrowdedNights(RandomDay):
    kind = "crowd"
    eventful = NIGHTS * DAY

    def stage(self) -> None:
        rng, day = self.rng, self.day
        self.observer = CrowdObserver(day, self.is_told_as_untold)
        self.kills = rng.choice([0.0, 0.0, 0.0, 0.003])
        self.hanging = rng.choice(["", "", "alpha", "beta"])
        self.killed: set[tuple[str, date]] = set()
        limits = {
            "max_concurrent_starts": rng.choice([1, 2, 2, 3]),
            "max_awake": rng.choice([0, 1, 2, 3]),
            "memory_reserve": rng.choice([512, 1024]),
            "disk_reserve": rng.choice([1024, 2048]),
        }
        each_its_own = rng.random() < 0.3
        minutes = rng.choice([5, 8, 15])
        names = NAMES[: rng.randint(2, len(NAMES))]
        for name in names:
            if each_its_own:
                limits["max_concurrent_starts"] = rng.choice([1, 2, 3])
                limits["max_awake"] = rng.choice([0, 1, 2])
                minutes = rng.choice([5, 8, 15])
            self._stage(name, minutes, limits)
        needed = sum(day.vm(name).memory_mib for name in names)
        there = 1024 + sum(it.memory_mib for it in map(day.vm, names) if it.start is not None)
        day.host.memory_available = rng.choice([32_768, there + needed // 2, there + needed])
        day.host.disk_available = rng.choice([102_400, 2048 + needed, 3072 + needed * 2])
        self.say(
            f"the host has {day.host.memory_available} MiB of memory and "
            f"{day.host.disk_available} of disk; {self.hanging or 'nobody'} hangs"
        )
        day.machine.deeds.clear()

    def _stage(self, name: str, minutes: int, limits: dict[str, int]) -> None:
        rng = self.rng
        settings: dict[str, Any] = {
            "guest_update_time": "00:10",
            "guest_update_duration": minutes,
            "close_action": "HIBERNATE",
            "return_state": "previous",
            "task_timeout": TASK_TIMEOUT,
            **limits,
        }
        power = rng.choice([Power.SAVED, Power.SAVED, Power.OFF, Power.PAUSED])
        memory = rng.choice([512, 512, 1024, 4096])
        self.day.workspace(name, power, memory_mib=memory, **settings)
        self.observer.vms[name] = Watched(power, False, settings)
        for verb in (Verb.START, Verb.SAVE):
            seconds = rng.choice([0.0, 3.0, rng.uniform(5, 90)])
            self.observer.slow[name, verb] = seconds
            self.day.machine.slow(verb, seconds, self.day.vm(name).vm)
        self.say(f"is {power}, with {memory} MiB; {settings}", name)

    def drawn(self) -> list[tuple[float, Callable[[str], None], str]]:
        acts = [self._memory_short, self._disk_short, self._refuses, self._kill, self._gone]
        rng, names = self.rng, list(self.observer.vms)
        return [
            (
                rng.randrange(NIGHTS) * DAY + OPENS + rng.uniform(-60, 900),
                rng.choice(acts),
                rng.choice(names),
            )
            for _ in range(rng.choice([0, 0, 1, 3]))
        ]

    # what may happen

    def _maybe_kill(self, what: str) -> None:
        super()._maybe_kill(what)
        name = self.day.acting
        if not name or name != self.hanging or what not in _HANG or self.day.real > self.eventful:
            return
        it, seconds = self.day.vm(name), self.rng.choice([20.0, 300.0, 1500.0])
        if it.changing is not None or self.rng.random() < 0.5:
            return
        self.happens("hypervisor hangs", name, f"{what}, for {seconds:.0f} s")
        started = it.start
        self.day.machine.works_on(it.vm, seconds)  # nobody else changes it meanwhile
        self.day.hang(seconds + 0.01)
        if it.start != started:
            raise HypervisorError(f"'{name}' has stopped meanwhile")

    def dies(self, name: str) -> None:
        super().dies(name)
        self.killed.add((name, self.day.true_time().date()))

    def _memory_short(self, name: str) -> None:
        host = self.day.host
        less = self.rng.choice([512, 2048])
        self.happens("memory short", detail=f"by {less} MiB")
        assert host.memory_available is not None
        host.memory_available -= less
        self.then(lambda: self._memory(less), least=60, most=3000)

    def _memory(self, more: int) -> None:
        host = self.day.host
        assert host.memory_available is not None
        host.memory_available += more

    def _disk_short(self, name: str) -> None:
        host = self.day.host
        less = self.rng.choice([1024, 8192])
        self.happens("disk full", detail=f"by {less} MiB")
        self.observer.disk_changed = True
        assert host.disk_available is not None
        host.disk_available -= less
        self.then(lambda: self._disk(less), least=60, most=3000)

    def _disk(self, more: int) -> None:
        host = self.day.host
        assert host.disk_available is not None
        host.disk_available += more

    def _refuses(self, name: str) -> None:
        vm, what = self.day.vm(name).vm, self.rng.choice(["state", "mark", Verb.START, Verb.SAVE])
        self.happens("hypervisor refuses", name, f"'{what}'")
        self.day.machine.fail(what, NOBODY_ANSWERS, vm=vm)
        self.then(lambda: self._lifted(what, vm), least=60, most=1800)

    def _lifted(self, what: Verb | str, vm: Vm) -> None:
        self.day.machine.lift(what, vm)

    def _kill(self, name: str) -> None:
        if self.day.running(name):
            self.happens("manager killed", name)
            self.dies(name)
            self.day.kill(name)

    def _gone(self, name: str) -> None:
        self.happens("hypervisor gone")
        self.day.machine.fail("everything", NOBODY_ANSWERS)
        self.then(lambda: self.day.machine.lift("everything"), most=600)

    # what must hold

    def quiet(self) -> None:
        self.day.run_for(3 * 3600)

    def check_quiet(self) -> None:
        self.observer.check_quiet()
        rows = {name: self._rows(name) for name in self.observer.vms}
        for first, second in pairwise(sorted({each for row in rows.values() for each in row})):
            self._check_fair(rows, first, second)
        if not self.done:
            self._check_on_time(rows)

    def _rows(self, name: str) -> dict[date, Any]:
        return {each: row for row in self.day.history(name) for each in row.dates}

    def _check_fair(self, rows: dict[str, dict[date, Any]], first: date, second: date) -> None:
        own = ("max_awake", "max_concurrent_starts", "guest_update_duration")
        limits = {tuple(seen.settings[each] for each in own) for seen in self.observer.vms.values()}
        # Who must be alone may wait for several to be gone, and who may wake later than the others
        # takes the time that nobody else can.
        if len(limits) > 1:
            return
        had = {
            name: [bool(row[each].woke) if each in row else None for each in (first, second)]
            for name, row in rows.items()
        }
        for name, other in permutations(rows, 2):
            whys = [rows[name][each].why for each in (first, second) if each in rows[name]]
            without = whys == [Why.NO_TURN, Why.NO_TURN]
            disturbed = self.killed & {(name, first), (name, second)}
            if without and (disturbed or self._lacked_room(name, first, second)):
                continue
            assert not without or had[other] != [True, True], (
                f"I5: {name} had no turn on {first} and {second}, and {other} had two"
            )

    def _lacked_room(self, name: str, *nights: date) -> bool:
        """Whether memory or disk kept it waiting: that is no matter of turns."""
        events = self.day.journal().events(self.day.uuid(name))
        room = (Why.WAITS_FOR_MEMORY, Why.WAITS_FOR_DISK)
        return any(event.why in room and event.at.date() in nights for event in events)

    def _check_on_time(self, rows: dict[str, dict[date, Any]]) -> None:
        """Nobody waits for the one that hangs longer than the bound on one task; where it cannot
        take the last slot, and nobody must queue, not at all."""
        vms = self.observer.vms
        queues = any(
            seen.settings["max_awake"] or seen.settings["max_concurrent_starts"] < len(vms)
            for seen in vms.values()
        )
        if queues or self.day.host.memory_available != 32_768:
            return
        for name, row in rows.items():
            for each, it in row.items():
                if name != self.hanging and self._has_room(name):
                    late = timedelta.max if it.woke is None else it.woke - it.began
                    told = f"I9: {name} on {each}: woken {late} late ({it.why})"
                    assert late < timedelta(minutes=2), told

    def _has_room(self, name: str) -> bool:
        return self.day.host.disk_available == 102_400

    def next_night(self) -> None:
        """Nobody disturbs it: each has its window, or is told why not."""
        self.say("the next night")
        self.hanging = ""
        day = self.day
        tomorrow = (NIGHTS + 1) * DAY
        day.run_for(tomorrow - day.real)
        at_rest = [name for name in self.observer.vms if day.power(name) is not Power.RUNNING]
        date_ = day.true_time().date()
        day.run_for(3 * 3600)
        self.check_quiet()
        for name in at_rest:
            assert date_ in self._rows(name), f"I3: {name} had neither a window nor a reason"
