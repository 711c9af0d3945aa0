"""Random days with faults, each from a seed: what the contract promises must hold through all of
them (section 10), and a world that becomes quiet finds each VM as it was.

A failure names its seed; `GUESTWAKE_SEED=… pytest tests/simulation/test_random_days.py` plays
that day again. A found seed becomes a named test below.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from day import NO_SPACE, NOBODY_ANSWERS, Day
from world import Killed

from guestwake.hypervisors.api import HypervisorError, Vm
from guestwake.hypervisors.memory import MemoryVm
from guestwake.journal_file import JournalError
from guestwake.policy.close import closes
from guestwake.policy.run import Prior
from guestwake.policy.words import Network, Power, Verb
from guestwake.wishes import Wishes

DAYS_IN_CHECK = 20  # in `make check`
DAYS = 60  # in `make test`
DAYS_FULL = 3000
NAMES = ("alpha", "beta", "gamma")
OPENS = 300.0  # the window, in seconds of the day
EVENTFUL = 1500.0  # things happen until then
TASK_TIMEOUT = 60

_WAKES = (Verb.START, Verb.RESUME, Verb.WAKE_UP)
_SHUTS_DOWN = (Verb.SHUT_DOWN, Verb.PRESS_POWER_BUTTON)
_SAVES = (Verb.SAVE, Verb.SAVE_PAUSED)
_HANDS = {"starts", "stops", "saves", "migrates away", "shuts down", "hibernates itself"}
_UNCLEAR = {"pauses", "resumes"}  # the same start goes on: whose it is may be untellable


@dataclass
class Watched:
    """What an observer knows of one VM, by himself: none of it from Guestwake."""

    power: Power  # as the day began
    paused_image: bool
    settings: dict[str, Any]
    ours: str | None = None  # the start that our driver woke
    prior: Power | None = None  # before the first wake of the run
    prior_paused: bool = False
    token: str | None = None
    cold: bool = False  # our start booted it
    touched: bool = False  # by anybody else, in a way that takes it over
    unclear: bool = False  # nobody can tell whose it is
    lost: bool = False  # it crashed, or the host died under it
    viewers: dict[str, float] = field(default_factory=dict)  # elapsed seconds when they came
    was_used: bool = False
    removed: bool = False
    person: bool = False  # somebody ran `guestwake wake`


class Observer:
    """Holds each act of our driver against the promises, at the moment of the act."""

    def __init__(self, day: Day, limits: dict[str, int]) -> None:
        self.day, self.limits = day, limits
        self.vms: dict[str, Watched] = {}
        self.busy: dict[str, float] = {}  # waking or being saved by us, until (elapsed)
        self.slow: dict[tuple[str, Verb], float] = {}
        self._deeds = 0
        day.on_verb = self.on_verb
        day.on_rest = self.on_rest

    def on_rest(self) -> None:
        """What others did since."""
        for deed in self.day.machine.deeds[self._deeds :]:
            seen = self.vms.get(deed.vm)
            if seen is None or deed.who == "driver":
                continue
            seen.touched |= deed.what in _HANDS
            seen.unclear |= deed.what in _UNCLEAR
            seen.lost |= deed.what == "crashes"
        self._deeds = len(self.day.machine.deeds)

    def host_died(self) -> None:
        for name, seen in self.vms.items():
            seen.lost |= self.day.vm(name).start is not None
            seen.viewers.clear()
        self.busy.clear()

    def on_verb(self, vm: Vm, verb: Verb) -> None:
        self.on_rest()
        it, seen = self.day.machine.get(vm), self.vms[vm.name]
        if verb in _WAKES:
            self._check_wake(it, seen, verb)
        else:
            self._check_rest(it, seen, verb)

    def _check_wake(self, it: MemoryVm, seen: Watched, verb: Verb) -> None:
        day, host = self.day, self.day.host
        goes_on = it.start is not None and it.start.id == seen.ours
        if not goes_on:
            scheduled = not seen.person
            if not self._is_wanted(it):
                assert seen.settings["guest_update_duration"] or not scheduled, "I4: Duration is 0"
                assert host.network is Network.UP, "I10: no network"
                assert host.on_ac_power is True, "I10: no AC power"
            awake = [name for name in self.vms if name != it.name and self._is_awake_by_us(name)]
            assert len(awake) < (self.limits["max_awake"] or 99), f"I5: {awake} are awake"
            self._take_slot(it, verb)
        assert it.power in (Power.OFF, Power.SAVED, Power.PAUSED, Power.SUSPENDED)
        record = day.record(it.name)
        assert record is not None, "woken without a record"
        if record.token != seen.token:
            seen.token = record.token
            seen.prior = it.power
            seen.prior_paused = it.image is not None and it.image.paused
            seen.touched = seen.unclear = seen.lost = False
            if record.prior is Prior.OFF and it.power is Power.SAVED:
                seen.prior = Power.OFF  # owed from an earlier run
        seen.cold = verb is Verb.START and it.image is None and not goes_on
        if it.start is not None:
            seen.ours = it.start.id
        else:  # the start it will have
            seen.ours = f"{day.now().boot_id}/{it.uuid}/{it.starts + 1}"

    def _check_rest(self, it: MemoryVm, seen: Watched, verb: Verb) -> None:
        day = self.day
        assert verb is not Verb.RESTART, "I11: nobody asked for a restart"
        assert it.start is not None, f"{verb} of a VM at rest"
        assert it.start.id == seen.ours, "I1: it was started by somebody else"
        record = day.record(it.name)
        used = record is not None and closes(record)
        close = seen.settings["close_action"]
        if verb is Verb.POWER_OFF:
            assert close == "TURN-OFF", "I6: nobody asked for a power-off"
            assert used, "I6: a power-off of an unused VM"
        if verb in _SHUTS_DOWN and not (used and close == "SHUTDOWN"):
            assert seen.cold, "I11: a shutdown with work at risk"
            assert not used, "I11: a shutdown of a VM that was used"
        if day.host.shutting_down:
            return
        assert not self._users(it, seen), f"I1: {verb} of a VM that is in use"
        if verb in _SAVES and not any(p.application.told_to_stop for p in day.processes):
            self._take_slot(it, verb)

    def _users(self, it: MemoryVm, seen: Watched) -> list[str]:
        """Who came more than a minute after the wake, and is still there."""
        day = self.day
        record = day.record(it.name)
        if record is None or record.woke is None or record.woke.boot_id != day.now().boot_id:
            return []
        counts_from = record.woke.elapsed + 61
        users = [who for who in it.viewers if seen.viewers.get(who, 0.0) > counts_from]
        if day.journal_fault is None:
            users += [hold.reason for hold in day.journal().holds(it.uuid, day.now().wall)]
        return users

    def _is_wanted(self, it: MemoryVm) -> bool:
        """By somebody who waits for it, whatever the window's guards say."""
        return False

    def _take_slot(self, it: MemoryVm, verb: Verb) -> None:
        now = self.day.now().elapsed
        others = [name for name, until in self.busy.items() if until > now and name != it.name]
        assert len(others) < self.limits["max_concurrent_starts"], f"I5: {others} are busy"
        self.busy[it.name] = now + self.slow.get((it.name, verb), 0.0)

    def _is_awake_by_us(self, name: str) -> bool:
        it, seen = self.day.vm(name), self.vms[name]
        ours = it.start is not None and it.start.id == seen.ours and not seen.touched
        return ours and it.power is Power.RUNNING

    # at the end

    def check_quiet(self) -> None:
        self.on_rest()
        for name, seen in self.vms.items():
            it = self.day.vm(name)
            told = f"{name}: {seen}; {self.day.verbs(name)}; {it}"
            if not seen.removed:
                assert self.day.record(name) is None, f"I2: still open: {told}"
                dates = self.day.dates(name)
                assert len(dates) == len(set(dates)), f"I3: {dates}"
            left_in_use = seen.removed and seen.was_used
            if not (seen.touched or seen.unclear or left_in_use):
                assert it.power in self._rests(seen), f"I2: not as it was: {told}"
        self._check_events()

    def _rests(self, seen: Watched) -> set[Power]:
        """As it may rest where nobody else laid hands on it."""
        if seen.prior is None:  # never woken
            return {Power.OFF} if seen.lost else {seen.power}
        # Saved: used, suspend refused, owed off, host shut down. As the day began: the run was
        # killed before its first verb, and the host died.
        rests = {seen.prior, seen.power, Power.SAVED}
        to_be_off = (seen.settings["close_action"], seen.settings["return_state"])
        if seen.lost or to_be_off != ("HIBERNATE", "previous"):
            rests.add(Power.OFF)
        return rests

    def _check_events(self) -> None:
        alike = "why IN ('waits-for-network', 'no-network')"
        rows = self.day.journal()._all(
            f"SELECT count(*) FROM event WHERE {alike} GROUP BY workspace, token"
        )
        assert all(count == 1 for (count,) in rows), "I10: more than one event for a window"


class Chaos:
    """Puts a random day together."""

    watches = Observer

    def __init__(self, day: Day, rng: random.Random) -> None:
        self.day, self.rng = day, rng
        self.limits = {
            "max_concurrent_starts": rng.choice([1, 2]),
            "max_awake": rng.choice([0, 0, 2]),
        }
        self.observer = self.watches(day, self.limits)
        self.log: list[str] = []
        self._kills = rng.choice([0.0, 0.0, 0.01, 0.05])
        day.on_point = self._maybe_kill
        day.restarts_after = rng.choice([0.5, 5.0, 30.0])

    def _maybe_kill(self, what: str) -> None:
        if self.day.real < EVENTFUL and self.rng.random() < self._kills:
            self.log.append(f"{self.day.real:.0f}: killed at {what}")
            raise Killed

    def stage(self) -> None:
        for name in NAMES[: self.rng.choice([1, 2, 3])]:
            settings: dict[str, Any] = {
                "guest_update_time": "00:05",
                "guest_update_duration": self.rng.choice([1, 3, 5]),
                "close_action": self.rng.choice(["HIBERNATE", "HIBERNATE", "SHUTDOWN", "TURN-OFF"]),
                "catch_up": self.rng.choice(["stale", "next-start"]),
                "return_state": self.rng.choice(["previous", "previous", "hibernate", "shutdown"]),
                "task_timeout": TASK_TIMEOUT,
                **self.limits,
            }
            power = self.rng.choice(
                [Power.SAVED, Power.SAVED, Power.OFF, Power.PAUSED, Power.SUSPENDED, Power.RUNNING]
            )
            paused = power is Power.SAVED and self.rng.random() < 0.3
            self.day.workspace(name, power, saved_paused=paused, **settings)
            self.observer.vms[name] = Watched(power, paused, settings)
        self.day.machine.deeds.clear()

    def acts(self) -> list[Callable[[str], None]]:
        return [
            *(2 * [self._hands]),
            *(2 * [self._viewer]),
            self._guest,
            self._backup,
            *(2 * [self._verb_fails]),
            self._hypervisor_gone,
            self._slow,
            *(2 * [self._kill]),
            self._terminate,
            self._host,
            self._clock,
            self._guards,
            self._setting,
            self._journal,
            self._hold,
            self._timer,
            self._remove,
            self._person,
        ]

    def eventful(self) -> None:
        acts = self.acts()
        for _ in range(self.rng.randint(1, 8)):
            when = self.rng.choice([OPENS, OPENS, OPENS + 60, OPENS + 180, OPENS + 300])
            when += self.rng.choice([0, 1, self.rng.uniform(-60, 90)])
            act = self.rng.choice(acts)
            name = self.rng.choice(list(self.observer.vms))
            self.day.later(when, lambda act=act, name=name: self._do(act, name))  # type: ignore[misc]

    def _do(self, act: Callable[[str], None], name: str) -> None:
        self.log.append(f"{self.day.real:.0f}: {act.__name__} {name}")
        self.observer.on_rest()
        try:
            act(name)
        except (HypervisorError, JournalError) as err:
            self.log.append(f"    refused: {err}")
        self.observer.on_rest()

    def _then(self, act: Callable[[], None], most: float = 400) -> None:
        self.day.later(self.rng.uniform(1, most), act)

    # what may happen

    def _hands(self, name: str) -> None:
        machine = self.day.machine
        act = self.rng.choice(
            [machine.starts, machine.stops, machine.saves, machine.pauses, machine.resumes]
        )
        it = self.day.vm(name)
        if it.start is not None and it.changing is None and self.rng.random() < 0.4:
            machine.stops(it.vm)  # and starts it anew, between two looks
            act = machine.starts
        elif act == machine.stops and it.start is None:
            return
        act(it.vm)

    def _viewer(self, name: str) -> None:
        it, machine = self.day.vm(name), self.day.machine
        if it.start is None or it.changing is not None:
            return
        who = f"viewer {self.rng.randint(1, 9)}"
        if who in it.viewers:  # is there already, and did not come only now
            return
        self.observer.vms[name].was_used = True
        self.observer.vms[name].viewers[who] = self.day.now().elapsed
        machine.connects(it.vm, who)
        if self.rng.random() < 0.7:
            self._then(lambda: machine.disconnects(it.vm, who), 900)

    def _guest(self, name: str) -> None:
        it, machine = self.day.vm(name), self.day.machine
        if it.power is not Power.RUNNING or it.changing is not None:
            it.guest.agent = not it.guest.agent
            return
        self.rng.choice([machine.crashes, machine.guest_shuts_down, machine.guest_restarts])(it.vm)

    def _backup(self, name: str) -> None:
        it = self.day.vm(name)
        if it.changing is None:
            self.day.machine.works_on(it.vm, self.rng.uniform(5, 400))

    def _verb_fails(self, name: str) -> None:
        machine, vm = self.day.machine, self.day.vm(name).vm
        what = self.rng.choice([*Verb, "state", "mark", "unmark", "marked", "viewers"])
        error = self.rng.choice([NO_SPACE, NOBODY_ANSWERS])
        machine.fail(what, error, times=self.rng.choice([1, 2, 5, None]), vm=vm)
        self._then(lambda: machine.lift(what, vm))

    def _hypervisor_gone(self, name: str) -> None:
        self.day.machine.fail("everything", NOBODY_ANSWERS)
        self._then(lambda: self.day.machine.lift("everything"))

    def _slow(self, name: str) -> None:
        verb = self.rng.choice([Verb.START, Verb.SAVE, Verb.SHUT_DOWN, Verb.RESUME])
        seconds = self.rng.uniform(1, TASK_TIMEOUT / 3)
        self.observer.slow[name, verb] = seconds
        self.day.machine.slow(verb, seconds, self.day.vm(name).vm)

    def _kill(self, name: str) -> None:
        self.day.kill(name)

    def _terminate(self, name: str) -> None:
        self.day.terminate(name)

    def _host(self, name: str) -> None:
        seconds = self.rng.choice([30.0, 120.0, 900.0])
        match self.rng.choice(["sleep", "die", "shut down"]):
            case "sleep":
                self.day.sleep(seconds)
            case "die":
                self.observer.host_died()
                self.day.go_down(seconds)
            case "shut down" if not self.day.host.shutting_down:
                self.day.shut_down(seconds, before=self.observer.host_died)

    def _clock(self, name: str) -> None:
        self.day.step_clock(timedelta(minutes=self.rng.choice([-90, -3, -1, 1, 3, 90])))

    def _guards(self, name: str) -> None:
        host = self.day.host
        if self.rng.random() < 0.5:
            host.network = Network.DOWN
            self._then(lambda: setattr(host, "network", Network.UP))
        else:
            host.on_ac_power = False
            self._then(lambda: setattr(host, "on_ac_power", True))

    def _setting(self, name: str) -> None:
        seen = self.observer.vms[name]
        seen.settings["guest_update_duration"] = self.rng.choice([0, 1, 5, 10])
        self.day.set(name, **seen.settings)

    def _journal(self, name: str) -> None:
        self.day.journal_fault = self.rng.choice(["read-only", "full"])
        self._then(lambda: setattr(self.day, "journal_fault", None))

    def _hold(self, name: str) -> None:
        if self.observer.vms[name].removed:
            return
        self.observer.vms[name].was_used = True
        self.day.hold(name, self.rng.uniform(0.02, 0.3))

    def _timer(self, name: str) -> None:
        if not self.observer.vms[name].removed:
            self.day.timer(name)

    def _person(self, name: str) -> None:
        if not self.observer.vms[name].removed:
            self.observer.vms[name].person = True
            length = timedelta(minutes=self.rng.choice([1, 4]))
            self.day.start(name, lambda app: app.wake(name, length))

    def _remove(self, name: str) -> None:
        if self.rng.random() < 0.5 or self.observer.vms[name].removed:
            return
        self.observer.vms[name].removed = True
        self.day.start(name, lambda app: app.remove(name))

    # and then nothing more

    def quiet(self) -> None:
        day = self.day
        for name in self.observer.vms:
            it = day.vm(name)
            for what in [*Verb, "state", "mark", "unmark", "marked", "viewers"]:
                day.machine.lift(what, it.vm)
            for who in list(it.viewers):
                day.machine.disconnects(it.vm, who)
        day.machine.lift("everything")
        day.journal_fault = None
        for name in self.observer.vms:
            if day.has_workspace(day.vm(name)):
                Wishes(day.office).release(day.office.workspaces.find(name))
        day.host.network, day.host.on_ac_power = Network.UP, True
        for _ in range(4):
            for name, seen in self.observer.vms.items():
                if not seen.removed:
                    day.timer(name)
                elif day.has_workspace(day.vm(name)):
                    day.start(name, lambda app, name=name: app.remove(name))  # type: ignore[misc]
            day.run_for(1200)


def play(seed: int, folder: Path, chaotic: type[Chaos] = Chaos) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as own, Day(Path(own)) as day:
        chaos = chaotic(day, random.Random(seed))
        try:
            chaos.stage()
            chaos.eventful()
            day.run_for(EVENTFUL)
            chaos.quiet()
            chaos.observer.check_quiet()
        except AssertionError as err:
            happened = "\n  ".join(chaos.log)
            raise AssertionError(f"GUESTWAKE_SEED={seed}: {err}\n  {happened}") from err


def seeds(count: int) -> range:
    given = os.environ.get("GUESTWAKE_SEED")
    return range(int(given), int(given) + 1) if given else range(count)


@pytest.mark.parametrize("seed", seeds(DAYS)[:DAYS_IN_CHECK])
def test_random_days_keep_the_promises(seed: int, folder: Path) -> None:
    play(seed, folder)


@pytest.mark.more
@pytest.mark.parametrize("seed", seeds(DAYS)[DAYS_IN_CHECK:])
def test_more_random_days_keep_the_promises(seed: int, folder: Path) -> None:
    play(seed, folder)


def test_a_deadline_a_rounding_away_is_waited_for(folder: Path) -> None:
    """Seed 536: a window that ended in half a microsecond was looked at without end."""
    play(536, folder)


@pytest.mark.full
def test_many_random_days_keep_the_promises(folder: Path) -> None:
    for seed in seeds(DAYS_FULL):
        play(seed, folder)
