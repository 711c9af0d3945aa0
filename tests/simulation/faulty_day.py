"""Random days with faults: what the contract promises must hold through all of them (section 10),
and a world that becomes quiet finds each VM as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from bystander import Bystander
from day import NO_SPACE, NOBODY_ANSWERS, Day
from random_day import WAKES, Act, RandomDay

from guestwake.hypervisors.api import Vm
from guestwake.hypervisors.memory import MemoryVm
from guestwake.policy.close import closes
from guestwake.policy.run import Prior
from guestwake.policy.words import Network, Power, Verb
from guestwake.wishes import Wishes

NAMES = ("alpha", "beta", "gamma")
RESTS = (Power.OFF, Power.SAVED, Power.PAUSED, Power.SUSPENDED)
OPENS = 300.0  # the window, in seconds of the day
TASK_TIMEOUT = 60

CALLS = ("state", "mark", "unmark", "marked", "viewers")  # of the driver, beside the verbs

_SHUTS_DOWN = (Verb.SHUT_DOWN, Verb.PRESS_POWER_BUTTON)
_SAVES = (Verb.SAVE, Verb.SAVE_PAUSED)
_HANDS = {
    *("starts", "stops", "saves", "migrates away", "migrates back", "deletes", "defines"),
    *("shuts down", "hibernates itself"),
}
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
    ends: set[str] = field(default_factory=set)  # CloseAction and ReturnState, as they have been

    def __post_init__(self) -> None:
        self.sets({})

    def sets(self, changed: dict[str, Any]) -> None:
        self.settings |= changed
        self.ends |= {self.settings["close_action"], self.settings["return_state"]}


class Observer:
    """Holds each act of our driver against the promises, at the moment of the act."""

    def __init__(self, day: Day, is_left: Callable[[str], bool] = lambda name: False) -> None:
        self.day, self.is_left = day, is_left
        self.vms: dict[str, Watched] = {}
        self.busy: dict[str, float] = {}  # waking or being saved by us, until (elapsed)
        self.slow: dict[tuple[str, Verb], float] = {}
        self._deeds = 0
        day.on_verb = self.on_verb
        day.on_rest = self.on_rest

    def on_rest(self) -> None:
        """What others did since."""
        for deed in self.day.machine.deeds[self._deeds :]:
            seen = self.vms.get(self.named(deed.vm))
            if seen is None or deed.who == "driver":
                continue
            seen.touched |= deed.what in _HANDS
            seen.unclear |= deed.what in _UNCLEAR
            seen.lost |= deed.what == "crashes"
        self._deeds = len(self.day.machine.deeds)

    def named(self, vm: str) -> str:
        """Which workspace has the VM of that name."""
        return vm

    def host_died(self) -> None:
        for name, seen in self.vms.items():
            seen.lost |= self.day.vm(name).start is not None
            seen.viewers.clear()
        self.busy.clear()

    def on_verb(self, vm: Vm, verb: Verb) -> None:
        self.on_rest()
        it, seen = self.day.machine.get(vm), self.vms[vm.name]
        if verb in WAKES:
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
                assert self._has_network(seen), "I10: no network"
                assert host.on_ac_power or not _is_on(seen, "require_ac_power"), "I10: no AC power"
            awake = [
                name
                for name in self.vms
                if name != self.named(it.name) and self._is_awake_by_us(name)
            ]
            assert len(awake) < (seen.settings["max_awake"] or 99), f"I5: {awake} are awake"
            self._take_slot(it, seen, verb)
            self._check_room(it, seen)
        assert it.power in (Power.OFF, Power.SAVED, Power.PAUSED, Power.SUSPENDED)
        record = day.record(self.named(it.name))
        assert record is not None, "woken without a record"
        if record.token != seen.token:
            seen.token = record.token
            seen.prior = it.power
            seen.prior_paused = it.image is not None and it.image.paused
            seen.touched = seen.unclear = seen.lost = False
            if record.prior is Prior.OFF and it.power is Power.SAVED:
                seen.prior = Power.OFF  # owed from an earlier run
        seen.cold = verb is Verb.START and it.image is None and not goes_on
        self._own(it, seen)

    def _own(self, it: MemoryVm, seen: Watched) -> None:
        """From now on it is ours: the start that it has, or will have."""
        coming = f"{self.day.now().boot_id}/{it.uuid}/{it.starts + 1}"
        seen.ours = coming if it.start is None else it.start.id

    def _has_network(self, seen: Watched) -> bool:
        match self.day.host.network:
            case Network.UP:
                return True
            case Network.METERED if seen.settings.get("allow_metered"):
                return True
            case _:
                return not _is_on(seen, "require_network")

    def _check_rest(self, it: MemoryVm, seen: Watched, verb: Verb) -> None:
        day = self.day
        assert verb is not Verb.RESTART, "I11: nobody asked for a restart"
        assert it.start is not None, f"{verb} of a VM at rest"
        assert it.start.id == seen.ours, "I1: it was started by somebody else"
        record = day.record(self.named(it.name))
        used = record is not None and closes(record)
        if verb is Verb.POWER_OFF:
            assert "TURN-OFF" in seen.ends, "I6: nobody asked for a power-off"
            assert used, "I6: a power-off of an unused VM"
        if verb in _SHUTS_DOWN and not (used and "SHUTDOWN" in seen.ends):
            assert seen.cold, "I11: a shutdown with work at risk"
            assert not used, "I11: a shutdown of a VM that was used"
        if day.host.shutting_down:
            return
        assert not self._users(it, seen), f"I1: {verb} of a VM that is in use"
        if verb in _SAVES and not any(p.application.told_to_stop for p in day.processes):
            self._take_slot(it, seen, verb)

    def _users(self, it: MemoryVm, seen: Watched) -> list[str]:
        """Who came more than a minute after the wake, and is still there."""
        day = self.day
        record = day.record(self.named(it.name))
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

    def _check_room(self, it: MemoryVm, seen: Watched) -> None:
        """Of the host, for one that is about to be woken."""

    def _take_slot(self, it: MemoryVm, seen: Watched, verb: Verb) -> None:
        now = self.day.now().elapsed
        others = [
            name
            for name, until in self.busy.items()
            if until > now and name != self.named(it.name) and self._is_changing(name)
        ]
        assert len(others) < seen.settings["max_concurrent_starts"], f"I5: {others} are busy"
        self.busy[self.named(it.name)] = now + self.slow.get((self.named(it.name), verb), 0.0)

    def _is_changing(self, name: str) -> bool:
        """No longer where the hypervisor refused, or the VM has crashed since."""
        return self.day.vm(name).changing is not None

    def _is_awake_by_us(self, name: str) -> bool:
        """One that was removed while somebody used it is nobody's to count any more, and so is one
        of which nobody can tell who has started it."""
        it, seen = self.day.vm(name), self.vms[name]
        theirs = seen.touched or seen.unclear
        ours = it.start is not None and it.start.id == seen.ours and not theirs
        left = seen.removed and self.day.record(name) is None
        return ours and it.power is Power.RUNNING and not (left or self.is_left(name))

    # at the end

    def check_quiet(self) -> None:
        self.on_rest()
        for name, seen in self.vms.items():
            it = self.day.vm(name)
            if not seen.removed:
                assert self.day.record(name) is None, f"I2: still open: {self._told(name)}"
                dates = self.day.dates(name)
                assert len(dates) == len(set(dates)), f"I3: {dates}"
            left_in_use = seen.removed and seen.was_used
            if not (seen.touched or seen.unclear or left_in_use or self.is_left(name)):
                assert it.power in self._rests(seen), f"I2: not as it was: {self._told(name)}"
        self._check_events()

    def _told(self, name: str) -> str:
        return f"{name}: {self.vms[name]}; {self.day.verbs(name)}; {self.day.vm(name)}"

    def _rests(self, seen: Watched) -> set[Power]:
        """As it may rest where nobody else laid hands on it."""
        if seen.prior is None:  # never woken
            return {Power.OFF} if seen.lost else {seen.power}
        # Saved: used, suspend refused, owed off, host shut down. As the day began: the run was
        # killed before its first verb, and the host died.
        rests = {seen.prior, seen.power, Power.SAVED}
        if seen.lost or seen.ends != {"HIBERNATE", "previous"}:
            rests.add(Power.OFF)
        return rests

    def _check_events(self) -> None:
        alike = "why IN ('waits-for-network', 'no-network')"
        rows = self.day.journal()._all(
            f"SELECT count(*) FROM event WHERE {alike} GROUP BY workspace, token"
        )
        assert all(count == 1 for (count,) in rows), "I10: more than one event for a window"


def _is_on(seen: Watched, setting: str) -> bool:
    """Of one that is on unless it is set."""
    return bool(seen.settings.get(setting, 1))


class FaultyDay(RandomDay):
    kind = "faults"
    eventful = 1500.0
    nights = 27
    watches = Observer

    def stage(self) -> None:
        rng, day = self.rng, self.day
        self.limits = {
            "max_concurrent_starts": rng.choice([1, 2]),
            "max_awake": rng.choice([0, 0, 2]),
        }
        self.observer = self.watches(day, self.is_told_as_untold)
        self.kills = rng.choice([0.0, 0.0, 0.01, 0.05])
        day.restarts_after = rng.choice([0.5, 5.0, 30.0])
        for name in NAMES[: rng.choice([1, 2, 3])]:
            self._stage(name)
        day.machine.deeds.clear()
        self.bystander = Bystander(self)

    def _stage(self, name: str) -> None:
        rng = self.rng
        settings: dict[str, Any] = {
            "guest_update_time": "00:05",
            "guest_update_duration": rng.choice([1, 3, 5]),
            "close_action": rng.choice(["HIBERNATE", "HIBERNATE", "SHUTDOWN", "TURN-OFF"]),
            "catch_up": rng.choice(["stale", "next-start"]),
            "return_state": rng.choice(["previous", "previous", "hibernate", "shutdown"]),
            "task_timeout": TASK_TIMEOUT,
            **self.limits,
        }
        power = rng.choice(
            [Power.SAVED, Power.SAVED, Power.OFF, Power.PAUSED, Power.SUSPENDED, Power.RUNNING]
        )
        paused = power is Power.SAVED and rng.random() < 0.3
        self.day.workspace(name, power, saved_paused=paused, **settings)
        self.observer.vms[name] = Watched(power, paused, settings)
        self.say(f"is {power}{' while paused' if paused else ''}; {settings}", name)

    def happens(self, kind: str, name: str = "", detail: str = "") -> None:
        super().happens(kind, name, detail)
        self.bystander.happens(kind, name)

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

    def drawn(self) -> list[tuple[float, Callable[[str], None], str]]:
        acts, names = self.acts(), list(self.observer.vms)
        return [
            (self._when(), self.rng.choice(acts), self.rng.choice(names))
            for _ in range(self.rng.randint(1, 8))
        ]

    def _when(self) -> float:
        when = self.rng.choice([OPENS, OPENS, OPENS + 60, OPENS + 180, OPENS + 300])
        return when + self.rng.choice([0, 1, self.rng.uniform(-60, 90)])

    def _do(self, act: Act) -> None:
        self.observer.on_rest()
        super()._do(act)
        self.observer.on_rest()
        self.bystander.see_deeds()

    # what may happen

    def _hands(self, name: str) -> None:
        machine = self.day.machine
        act = self.rng.choice(
            [machine.starts, machine.stops, machine.saves, machine.pauses, machine.resumes]
        )
        it = self.day.vm(name)
        if it.start is not None and it.changing is None and self.rng.random() < 0.4:
            self.happens("somebody stops", name, "it, to start it anew between two looks")
            machine.stops(it.vm)
            act = machine.starts
        elif act == machine.stops and it.start is None:
            return
        self.happens(f"somebody {act.__name__}", name)
        act(it.vm)

    def _viewer(self, name: str) -> None:
        it, machine = self.day.vm(name), self.day.machine
        if it.start is None or it.changing is not None:
            return
        who = f"viewer {self.rng.randint(1, 9)}"
        if who in it.viewers:  # is there already, and did not come only now
            return
        self.happens("viewer comes", name, who)
        self.observer.vms[name].was_used = True
        self.observer.vms[name].viewers[who] = self.day.now().elapsed
        machine.connects(it.vm, who)
        if self.rng.random() < 0.7:
            self.then(lambda: self._viewer_leaves(it.vm, who), 900)

    def _viewer_leaves(self, vm: Vm, who: str) -> None:
        self.say(f"{who} leaves", vm.name)
        self.day.machine.disconnects(vm, who)

    def _guest(self, name: str) -> None:
        it, machine = self.day.vm(name), self.day.machine
        if it.power is not Power.RUNNING or it.changing is not None:
            it.guest.agent = not it.guest.agent
            self.happens(f"guest's agent {'comes' if it.guest.agent else 'goes'}", name)
            return
        act = self.rng.choice([machine.crashes, machine.guest_shuts_down, machine.guest_restarts])
        if it.start is not None and it.start.at == self.day.now().elapsed:
            return  # started and gone between two looks: nobody can tell whose it was
        self.happens(f"guest {act.__name__.removeprefix('guest_').replace('_', ' ')}", name)
        act(it.vm)

    def _backup(self, name: str) -> None:
        it = self.day.vm(name)
        if it.changing is None:
            seconds = self.rng.uniform(5, 400)
            self.happens("backup job", name, f"for {seconds:.1f} s")
            self.day.machine.works_on(it.vm, seconds)

    def _verb_fails(self, name: str) -> None:
        machine, vm = self.day.machine, self.day.vm(name).vm
        what = self.rng.choice([*Verb, *CALLS])
        error = self.rng.choice([NO_SPACE, NOBODY_ANSWERS])
        times = self.rng.choice([1, 2, 5, None])
        often = "from now on" if times is None else f"{times} times"
        self.happens("hypervisor refuses", name, f"'{what}' {often}: {error}")
        machine.fail(what, error, times=times, vm=vm)
        self.then(lambda: self._lifted(what, vm))

    def _lifted(self, what: Verb | str, vm: Vm) -> None:
        self.say(f"'{what}' works again", vm.name)
        self.day.machine.lift(what, vm)

    def _hypervisor_gone(self, name: str) -> None:
        self.happens("hypervisor gone")
        self.day.machine.fail("everything", NOBODY_ANSWERS)
        self.then(self._hypervisor_back)

    def _hypervisor_back(self) -> None:
        self.say("hypervisor back")
        self.day.machine.lift("everything")

    def _slow(self, name: str) -> None:
        verb = self.rng.choice([Verb.START, Verb.SAVE, Verb.SHUT_DOWN, Verb.RESUME])
        seconds = self.rng.uniform(1, TASK_TIMEOUT / 3)
        self.happens("hypervisor slow", name, f"'{verb}' takes {seconds:.1f} s")
        self.observer.slow[name, verb] = seconds
        self.day.machine.slow(verb, seconds, self.day.vm(name).vm)

    def _kill(self, name: str) -> None:
        if self.day.running(name):
            self.happens("manager killed", name)
            self.dies(name)
        self.day.kill(name)

    def _terminate(self, name: str) -> None:
        if self.day.running(name):
            self.happens("manager told to stop", name)
            self.goes(name)
        self.day.terminate(name)

    def _host(self, name: str) -> None:
        seconds = self.rng.choice([30.0, 120.0, 900.0])
        match self.rng.choice(["sleep", "die", "shut down"]):
            case "sleep":
                self.happens("host sleeps", detail=f"for {seconds:g} s")
                self.day.sleep(seconds)
                self.bystander.host_slept()
            case "die":
                self.happens("host loses power", detail=f"for {seconds:g} s")
                self._host_dies()
                self.day.go_down(seconds)
            case "shut down" if not self.day.host.shutting_down:
                self.happens("host shuts down", detail=f"for {seconds:g} s")
                self.day.shut_down(seconds, before=self._lights_out)

    def _lights_out(self) -> None:
        self.bystander.lights_out()
        self._host_dies()

    def _host_dies(self) -> None:
        self.observer.host_died()
        self.bystander.host_dies()

    def _clock(self, name: str) -> None:
        minutes = self.rng.choice([-90, -3, -1, 1, 3, 90])
        self.happens("clock steps", detail=f"by {minutes} min")
        self.day.step_clock(timedelta(minutes=minutes))

    def _guards(self, name: str) -> None:
        if self.rng.random() < 0.5:
            self.happens("network lost")
            self.day.host.network = Network.DOWN
            self.then(self._network_back)
        else:
            self.happens("AC power lost")
            self.day.host.on_ac_power = False
            self.then(self._power_back)

    def _network_back(self) -> None:
        self.say("network back")
        self.day.host.network = Network.UP

    def _power_back(self) -> None:
        self.say("AC power back")
        self.day.host.on_ac_power = True

    def _setting(self, name: str) -> None:
        seen = self.observer.vms[name]
        minutes = seen.settings["guest_update_duration"] = self.rng.choice([0, 1, 5, 10])
        self.happens("setting changed", name, f"guest_update_duration = {minutes}")
        self.day.set(name, **seen.settings)

    def _journal(self, name: str) -> None:
        fault = self.rng.choice(["read-only", "full"])
        self.happens(f"journal {fault}")
        self.day.journal_fault = fault
        self.then(self._journal_works)

    def _journal_works(self) -> None:
        self.say("journal writable again")
        self.day.journal_fault = None

    def _hold(self, name: str) -> None:
        if self.observer.vms[name].removed:
            return
        hours = self.rng.uniform(0.02, 0.3)
        self.happens("person holds", name, f"it for {hours * 3600:.1f} s")
        self.observer.vms[name].was_used = True
        self.day.hold(name, hours)

    def _timer(self, name: str) -> None:
        if not self.observer.vms[name].removed:
            self.happens("timer fires", name)
            self.day.timer(name)

    def _person(self, name: str) -> None:
        if not self.observer.vms[name].removed:
            self.observer.vms[name].person = True
            length = timedelta(minutes=self.rng.choice([1, 4]))
            self.happens("person wakes", name, f"it for {length}")
            self.day.start(name, lambda app: app.wake(name, length))

    def _remove(self, name: str) -> None:
        if self.rng.random() < 0.5 or self.observer.vms[name].removed:
            return
        self.happens("person removes", name, "the workspace")
        self.observer.vms[name].removed = True
        self.day.start(name, lambda app: app.remove(name))

    # and then nothing more

    def quiet(self) -> None:
        day = self.day
        for name in self.observer.vms:
            it = day.vm(name)
            for what in (*Verb, *CALLS):
                day.machine.lift(what, it.vm)
            for who in list(it.viewers):
                day.machine.disconnects(it.vm, who)
        day.machine.lift("everything")
        day.journal_fault = None
        for name in self.observer.vms:
            if day.has_workspace(day.vm(name)):
                Wishes(day.office).release(day.office.workspaces.find(name))
        day.host.network, day.host.on_ac_power = Network.UP, True
        # A clock that was put back, and a host that was restarted: only the clock tells the end.
        day.run_for(max(0.0, -day.clock_error.total_seconds()))
        for _ in range(4):
            for name, seen in self.observer.vms.items():
                if not seen.removed:
                    day.timer(name)
                elif day.has_workspace(day.vm(name)):
                    day.start(name, lambda app, name=name: app.remove(name))  # type: ignore[misc]
            day.run_for(1200)

    def check_quiet(self) -> None:
        self.observer.check_quiet()
        self.bystander.check_quiet()

    def next_night(self) -> None:
        """The window of the next date, in a world without faults: who may be awake has it."""
        day, date = self.day, self.midnight.strftime("%m-%d")
        day.run_for(day.real_of(self.midnight) - day.real)
        rested = [name for name in self.observer.vms if self._has_a_window(name)]
        self.say("the next night")
        self.bystander.calm()
        day.run_for(1200)
        self.check_quiet()
        had = [name for name in rested if date in day.dates(name)]
        room = self.limits["max_awake"] or len(rested)
        assert len(had) >= min(room, len(rested)), f"I3: only {had} of {rested} had the next window"

    def _has_a_window(self, name: str) -> bool:
        seen, power = self.observer.vms[name], self.day.power(name)
        return bool(not seen.removed and seen.settings["guest_update_duration"] and power in RESTS)
