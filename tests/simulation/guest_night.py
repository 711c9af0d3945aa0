"""Random nights of guests that report: restarts wanted, people who sign in and type, updates that
take long, silence, nonsense, and everything that runs here killed at any point.

What must hold (contract, section 10): I7 and I11, no restart and no shutdown over anybody's work;
I8, a mark is lost to nothing but a new boot or the workspace's removal; never more than two
restarts in one run, an hour apart; and in the end each VM is as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from day import NO_SPACE, NOBODY_ANSWERS
from reporter import MemoryService, Somebody
from talking_guests import TalkingGuests

from guestwake.hypervisors.api import Vm
from guestwake.policy.run import Why
from guestwake.policy.words import Power, Verb
from guestwake_wire.messages import ClientState, Strength

NAMES = ("alpha", "beta")
OPENS = 600.0  # the window, in seconds of the day
MINUTES = 130
MINUTES_LATER = 5  # on the nights that follow
TASK_TIMEOUT = 120
FRESH_FOR = 300.0  # seconds for which a word of a guest counts
LEASE = 3600.0  # for which its input does
LENT_FOR = 600.0  # for which it is waited then
LATE = 600.0  # TaskTimeout, a minute after a resume, and what is slow
CALLS = ("open_channel", "receive", "send")  # of the driver, beside the verbs

_SHUTS_DOWN = (Verb.SHUT_DOWN, Verb.PRESS_POWER_BUTTON)
_PUTS_BACK = (*_SHUTS_DOWN, Verb.SAVE, Verb.SAVE_PAUSED, Verb.PAUSE)
_TAKES = ("starts", "stops", "saves", "shuts down", "hibernates itself", "migrates away", "resumes")


@dataclass
class Seen:
    """Of one guest, by an observer who sees into it."""

    prior: Power
    may_restart: int
    settings: dict[str, Any]
    restarts: dict[str, list[float]] = field(default_factory=dict)  # run → when
    wanted_in: str | None = None  # the boot in which a restart was last seen to be wanted
    touched: bool = False
    held_up: bool = False  # something happened that its end may have to wait for
    in_vain: set[int] = field(default_factory=set)  # boots restarted for what no restart clears
    restarted: int | None = None  # the boot that we restarted last
    silent_at: float = 0.0  # since when its guest is silent
    typed_at: float = 0.0


class GuestNight(TalkingGuests):
    kind = "guests"
    eventful = OPENS + 60 * MINUTES
    nights = 27
    resumed_at = 0.0  # when the host last came back from its sleep

    def stage(self) -> None:
        self.seen: dict[str, Seen] = {}
        self.kills = self.rng.choice([0.0, 0.0, 0.002, 0.01])
        self._deeds = 0
        self.ends = self.eventful  # of the window, in real seconds
        for name in NAMES[: self.rng.choice([1, 2])]:
            self._stage(name)
        self.day.on_verb, self.day.on_rest = self.on_verb, self.on_rest

    def _stage(self, name: str) -> None:
        rng = self.rng
        power = rng.choice([Power.SAVED, Power.SAVED, Power.OFF, Power.PAUSED])
        may = rng.choice([0, 1, 1, 1, 2])
        settings: dict[str, Any] = {
            "guest_update_time": "00:10",
            "guest_update_duration": MINUTES,
            "max_extension": rng.choice([0, 30]),
            "early_finish": rng.choice([0, 0, 1]),
            "restart_in_window": may,
            "task_timeout": TASK_TIMEOUT,
        }
        self.day.workspace(name, power, reports=True, **settings)
        self.say(f"is {power}; {settings}", name)
        self.seen[name] = Seen(power, may, settings)
        service = self.day.service(name)
        service.boots_for = rng.choice([5.0, 40.0, 300.0])
        if rng.random() < 0.2:
            self.say("a reason for a restart that no restart clears", name)
            service.stays = {"esd-signal": Strength.STRONG}
        if rng.random() < 0.3 and power is not Power.OFF:
            self.say("somebody is signed in from before", name)
            service.inside.people.append(Somebody("anna", self.day.real - 100))

    # what must hold

    def on_verb(self, vm: Vm, verb: Verb) -> None:
        seen, service = self.seen[vm.name], self.day.service(vm.name)
        if verb is Verb.RESTART:
            self._check_restart(vm.name, seen, service)
        if verb in _SHUTS_DOWN:
            assert not self._work(vm.name, service), f"I11: {verb} over somebody's work"
            assert service.busy is not True or service.silent, f"{verb} of a busy guest"
            assert not self._hangs(seen, service), f"I11: {verb} of a guest that hangs"
        if verb in _PUTS_BACK:
            self._check_end(seen, service)

    def _check_end(self, seen: Seen, service: MemoryService) -> None:
        """It is not put back before its end, nor while it installs."""
        if seen.touched or seen.held_up:
            return
        early = seen.settings["early_finish"] and service.state is ClientState.NOTHING_LEFT
        assert early or self.day.real > self.ends - 1, "I2: put back before its window's end"
        longest = self.ends + 60 * seen.settings["max_extension"]
        busy = service.busy is True and not service.silent
        assert not busy or self.day.real > longest - 1, "put back while it installs"

    def _check_late(self, name: str, seen: Seen) -> None:
        longest = self.ends + 60 * seen.settings["max_extension"]
        used_until = seen.typed_at + LEASE + LENT_FOR if seen.typed_at else 0.0
        until = max(longest, used_until, self.resumed_at) + LATE
        if seen.touched or seen.held_up or self.day.real <= until:
            return
        up = self.day.power(name) is Power.RUNNING and not self.is_told_as_untold(name)
        assert not up, "I2: awake past its end"

    def _hangs(self, seen: Seen, service: MemoryService) -> bool:
        """For so long that what it said last counts no more."""
        return service.silent and self.day.real - seen.silent_at > FRESH_FOR

    def _check_restart(self, name: str, seen: Seen, service: MemoryService) -> None:
        record = self.day.record(name)
        assert record is not None
        assert seen.may_restart, "RestartInWindow is 0"
        assert self.day.mark(name) is not None, "nobody asked for a restart"
        assert service.busy is not True or service.silent, "restarted while it installs"
        assert not self._hangs(seen, service), "restarted though it hangs"
        assert self.ends - self.day.real > TASK_TIMEOUT - 1, "restarted just before its end"
        self._check_reasons(name, seen, service)
        if seen.may_restart == 1:
            assert not self._work(name, service), "I11: restarted over somebody's work"
        times = seen.restarts.setdefault(record.token, [])
        assert len(times) < 2, "a third restart in one run"
        assert not times or self.day.real - times[-1] > 3599.9, "two restarts within the hour"
        times.append(self.day.real)

    def _check_reasons(self, name: str, seen: Seen, service: MemoryService) -> None:
        """It asks for one in this boot, as far as it has been heard in it; and one that two
        restarts have not helped is not tried again."""
        boot, said = self.day.vm(name).guest_boot, self.day.journal().said(self.day.uuid(name))
        if said is None or f'"guest-boot-{boot}"' not in said.text:
            return
        strong = {it for it, how in service.inside.reasons.items() if how is Strength.STRONG}
        strong |= service.inside.said  # what was said in this boot is not unsaid in it
        assert strong, "restarted though nothing asks for it"
        if strong <= service.stays.keys():
            seen.in_vain.add(boot)
        assert len(seen.in_vain) <= 2, "restarted in vain for the third time"
        seen.restarted = boot

    def _check_verified(self, name: str, seen: Seen) -> None:
        """Its restart is not told to be over while the guest boots."""
        run = self.day.record(name)
        if run is None or run.why is not Why.RESTARTED:
            return
        service = self.day.service(name)
        boot, up_at = service.inside.boot, service.inside.up_at
        booted = boot != seen.restarted and boot == self.day.vm(name).guest_boot
        assert booted, "told as restarted, and has not"
        assert self.day.real >= up_at, "told as restarted, and boots still"
        seen.restarted = None

    def _work(self, name: str, service: MemoryService) -> bool:
        """Somebody in the guest who was there before we woke it, or has typed since."""
        record = self.day.record(name)
        woke = record.woke.elapsed if record and record.woke else 0.0
        now = self.day.now().elapsed
        return any(
            one.input is not None or now - (self.day.real - one.since) < woke
            for one in service.inside.people
        )

    def on_rest(self) -> None:
        for deed in self.day.machine.deeds[self._deeds :]:
            if deed.vm in self.seen and deed.who != "driver":
                self.seen[deed.vm].touched |= deed.what in _TAKES
        self._deeds = len(self.day.machine.deeds)
        if self.day.journal_fault is not None:
            return
        for name, seen in self.seen.items():
            mark = self.day.mark(name)
            if mark is None and seen.wanted_in is not None:
                boot = f"guest-boot-{self.day.vm(name).guest_boot}"
                assert boot != seen.wanted_in, "I8: the mark was lost"
            seen.wanted_in = mark.boot_id if mark else None
            self._check_late(name, seen)
            if seen.restarted is not None:
                self._check_verified(name, seen)

    def check_quiet(self) -> None:
        for name, seen in self.seen.items():
            assert self.day.record(name) is None, f"I2: {name} is still open"
            if not (seen.touched or self.is_told_as_untold(name)):
                rests = {seen.prior, Power.SAVED}
                assert self.day.power(name) in rests, f"I2: {name} is {self.day.power(name)}"

    # what happens

    def drawn(self) -> list[tuple[float, Callable[[str], None], str]]:
        acts = [
            *(3 * [self._wants_restart]),
            *(2 * [self.signs_in]),
            *(2 * [self._types]),
            *(2 * [self.is_busy]),
            self.leave,
            self._nothing_left,
            self._silent,
            self._nonsense,
            self._restarts_itself,
            self._kill,
            self._verb_fails,
            self._host,
        ]
        rng, names = self.rng, list(self.seen)
        return [
            (rng.uniform(OPENS - 300, self.eventful), rng.choice(acts), rng.choice(names))
            for _ in range(rng.randint(2, 12))
        ]

    def _wants_restart(self, name: str) -> None:
        source = self.rng.choice(["reboot-required", "kernel", f"liar-{self.rng.random()}"])
        how = self.rng.choice([Strength.STRONG, Strength.STRONG, Strength.WEAK])

        def wants(it: MemoryService) -> None:
            it.inside.reasons[source] = how
            it.inside.said |= {source} if how is Strength.STRONG else set()

        self.tells("guest wants a restart", name, wants, f"for '{source}', {how}")

    def _types(self, name: str) -> None:
        def types(it: MemoryService) -> None:
            for one in it.inside.people:
                one.input = self.seen[name].typed_at = self.day.real

        self.tells("somebody types", name, types)

    def _nothing_left(self, name: str) -> None:
        nothing = ClientState.NOTHING_LEFT
        self.tells("guest has nothing left", name, lambda it: setattr(it, "state", nothing))

    def _silent(self, name: str) -> None:
        self.happens("guest falls silent", name)
        if not self.day.service(name).silent:
            self.seen[name].silent_at = self.day.real
        self.day.service(name).silent = True
        self.then(lambda: self._speaks(name), least=30, most=3000)

    def _speaks(self, name: str) -> None:
        self.say("is silent no longer", name)
        self.day.service(name).silent = False

    def _nonsense(self, name: str) -> None:
        junk = self.rng.choice([b"\x1e{}\n" * 500, b"\x1e" + b"[" * 9000, b"\x1b[2J\n" * 99])
        self.happens("guest sends nonsense", name, f"{len(junk)} bytes of {junk[:5]!r}")
        self.day.service(name).says(junk)

    def _restarts_itself(self, name: str) -> None:
        it = self.day.vm(name)
        if it.power is Power.RUNNING and it.changing is None:
            self.happens("guest restarts", name)
            self.day.machine.guest_restarts(it.vm)

    def _kill(self, name: str) -> None:
        if self.day.running(name):
            self.happens("manager killed", name)
            self.dies(name)
        self.seen[name].held_up = True
        self.day.kill(name)

    def _verb_fails(self, name: str) -> None:
        vm = self.day.vm(name).vm
        what = self.rng.choice([Verb.RESTART, Verb.SAVE, *CALLS])
        error = self.rng.choice([NO_SPACE, NOBODY_ANSWERS])
        times = self.rng.choice([1, 3, None])
        often = "from now on" if times is None else f"{times} times"
        self.happens("hypervisor refuses", name, f"'{what}' {often}: {error}")
        self.seen[name].held_up = True
        self.day.machine.fail(what, error, times=times, vm=vm)
        self.then(lambda: self._lifted(what, vm), least=30, most=900)

    def _lifted(self, what: Verb | str, vm: Vm) -> None:
        self.say(f"'{what}' works again", vm.name)
        self.day.machine.lift(what, vm)

    def _host(self, name: str) -> None:
        seconds = self.rng.choice([30.0, 600.0, 3000.0])
        self.happens("host sleeps", detail=f"for {seconds:g} s")
        self.day.sleep(seconds)
        self.resumed_at = self.day.real

    def quiet(self) -> None:
        for name in self.seen:
            service = self.day.service(name)
            service.silent, service.busy = False, False
            service.speak()
            for what in (*Verb, *CALLS):
                self.day.machine.lift(what, self.day.vm(name).vm)
        self.day.run_for(4 * 3600)
        for name, seen in self.seen.items():
            self.day.set(name, **seen.settings | {"guest_update_duration": MINUTES_LATER})

    def next_night(self) -> None:
        """The window of the next date, a shorter one; the guests report, and nothing is wanted or
        done."""
        self.day.run_for(self.day.real_of(self.midnight) - self.day.real)
        at_rest = [name for name in self.seen if self.day.power(name) is not Power.RUNNING]
        self.say("the next night")
        self.ends = self.day.real + OPENS + 60 * MINUTES_LATER
        for seen in self.seen.values():
            seen.held_up, seen.typed_at = False, 0.0
        self.day.run_for(OPENS + 2 * 3600)  # restarted, it is busy until MaxExtension is used up
        self.check_quiet()
        date = self.midnight.strftime("%m-%d")
        had = [name for name in at_rest if date in self.day.dates(name)]
        assert had == at_rest, f"I3: only {had} of {at_rest} had the next window"
