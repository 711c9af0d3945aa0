"""Random days with the resident service: people log on and off, their guests ask for restarts and
report by themselves, prompts are shown, agreed to and put off; the service and its managers are
killed, timers tampered with, and the host sleeps and dies.

What must hold (contract, section 10): I7, a VM in use is restarted only as was agreed, or after the
time to postpone it and a notice of ten minutes; I11, nothing is done over anybody's work otherwise;
I8, a mark is lost to nothing but a new boot; and in the end each VM is as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from day import NO_SPACE, NOBODY_ANSWERS, Day
from reporter import MemoryService, Somebody
from talking_guests import TalkingGuests
from users import Opened, Users

from guestwake import resident
from guestwake.application import Application
from guestwake.hypervisors.api import Vm
from guestwake.policy.words import Drift, Power, Verb
from guestwake.schedulers.api import SchedulerError
from guestwake.schedulers.memory import MemoryScheduler
from guestwake.update_manager import Ended
from guestwake.wishes import Wishes
from guestwake.workspaces import Workspace, WorkspaceError
from guestwake_wire.messages import Strength

NAMES = ("alpha", "beta")
OPENS = 600.0  # the window, in seconds of the day
SERVICE = "service"
GRACE = 600.0
_SHUTS_DOWN = (Verb.SHUT_DOWN, Verb.PRESS_POWER_BUTTON)
_TAKES = ("starts", "stops", "saves", "shuts down", "hibernates itself", "resumes", "pauses")
_DRIFTS = (Drift.DELETED, Drift.EDITED, Drift.MASKED, Drift.DISABLED, Drift.STOPPED)


class Starts:
    """Managers as processes of the day, started by the service."""

    def __init__(self, day: Day) -> None:
        self._day = day

    def start_run(self, workspace: str) -> None:
        name = self._day.name_of(workspace)
        if name is None:
            raise SchedulerError(f"there is no workspace {workspace}")
        self._day.later(0, lambda: self._day.timer(name))  # no process has another for its parent


def serve(app: Application, users: Users, scheduler: MemoryScheduler) -> None:
    """`guestwake serve`."""
    hurry = users.applications.hurry  # its processes have no signals
    with (
        patch.object(app, "hurry_manager", hurry),
        resident.service(app, scheduler, Starts(users.day)) as service,
    ):
        while not app.told_to_stop:
            app.clock.wait(service.pass_().total_seconds())


@dataclass
class Seen:
    """Of one VM, by an observer who sees into its guest."""

    prior: Power
    settings: dict[str, Any]
    touched: bool = False
    used: bool = False
    agreed: float | None = None  # when somebody last said "now"
    prompt_seen: float | None = None  # when a logged-on user first saw that it needs a restart
    mark_boot: str | None = None
    restarts: list[float] = field(default_factory=list)


class ServedDay(TalkingGuests):
    kind = "served"
    eventful = 4 * 3600.0
    nights = 5
    busy_most = 3000

    def stage(self) -> None:
        day, rng = self.day, self.rng
        self.kills = rng.choice([0.0, 0.0, 0.002])
        self.users = Users(day)
        self.scheduler = MemoryScheduler()
        self.seen: dict[str, Seen] = {}
        self.open: list[Opened] = []
        self._deeds = 0
        for name in NAMES[: rng.choice([1, 1, 2])]:
            self._stage(name)
        day.start(SERVICE, self._serve)
        day.on_verb, day.on_rest = self.on_verb, self.on_rest

    def _stage(self, name: str) -> None:
        rng = self.rng
        settings: dict[str, Any] = {
            "guest_update_time": "00:10",
            "guest_update_duration": rng.choice([5, 20]),
            "close_action": rng.choice(["HIBERNATE", "HIBERNATE", "SHUTDOWN"]),
            "task_timeout": rng.choice([60, 120]),
            "max_extension": rng.choice([0, 10]),
            "restart_in_window": rng.choice([0, 0, 1]),
            "reboot_absolute_delay_timeout": rng.choice([0, 20, 60]),
            "logon_start_enabled": rng.choice([0, 1]),
        }
        power = rng.choice([Power.SAVED, Power.SAVED, Power.OFF, Power.PAUSED, Power.RUNNING])
        self.day.workspace(name, power, reports=True, **settings)
        self.users.owns(name)
        self.seen[name] = Seen(power, settings)
        service = self.day.service(name)
        service.boots_for = rng.choice([5.0, 40.0, 900.0])
        if rng.random() < 0.2:
            service.stays = {"esd-signal": Strength.STRONG}
        if rng.random() < 0.3 and power is not Power.OFF:
            self.say("somebody is signed in from before", name)
            service.inside.people.append(Somebody("anna", self.day.real - 100))
        self.say(f"is {power}, boots for {service.boots_for:g} s; {settings}", name)

    def _serve(self, app: Application) -> Ended | None:
        serve(app, self.users, self.scheduler)
        return None

    # what must hold

    def on_verb(self, vm: Vm, verb: Verb) -> None:
        name = vm.name
        seen, service = self.seen[name], self.day.service(name)
        if verb is Verb.RESTART:
            self._check_restart(name, seen, service)
        if verb in _SHUTS_DOWN and not (seen.used and seen.settings["close_action"] == "SHUTDOWN"):
            assert not self._work(name, service), f"I11: {verb} over somebody's work"
        if verb is Verb.POWER_OFF:
            raise AssertionError("I6: nobody asked for a power-off")

    def _check_restart(self, name: str, seen: Seen, service: MemoryService) -> None:
        now = self.day.real
        mark = self.day.mark(name)
        assert mark is not None, f"I7: nobody asked for a restart of {name}"
        agreed = seen.agreed is not None
        delay = 60 * seen.settings["reboot_absolute_delay_timeout"]
        announced = seen.prompt_seen is not None and now >= seen.prompt_seen + delay + GRACE - 1
        if self._work(name, service) or self._is_used(name):
            assert agreed or announced, f"I7: {name} restarted over who uses it, without a notice"
        seen.agreed = seen.prompt_seen = None
        seen.restarts.append(now)

    def _is_used(self, name: str) -> bool:
        it = self.day.vm(name)
        alive = self.day.host.is_alive
        shown = [one for one in self.open if one.workspace.name == name and len(one.processes) > 1]
        return it.start is not None and any(alive(each) for one in shown for each in one.processes)

    def _work(self, name: str, service: MemoryService) -> bool:
        """Somebody in the guest who was there before we woke it, or has typed since."""
        record = self.day.record(name)
        if record is None or record.woke is None:
            return bool(service.inside.people)
        now = self.day.now().elapsed
        return any(
            one.input is not None or now - (self.day.real - one.since) < record.woke.elapsed
            for one in service.inside.people
        )

    def on_rest(self) -> None:
        for deed in self.day.machine.deeds[self._deeds :]:
            if deed.vm in self.seen and deed.who != "driver":
                self.seen[deed.vm].touched |= deed.what in _TAKES
        self._deeds = len(self.day.machine.deeds)
        if self.day.journal_fault is not None or not self.day.office.journal_path.exists():
            return
        for name, seen in self.seen.items():
            mark = self.day.mark(name)
            if mark is None and seen.mark_boot is not None:
                boot = f"guest-boot-{self.day.vm(name).guest_boot}"
                assert boot != seen.mark_boot, f"I8: the mark of {name} was lost"
            seen.mark_boot = mark.boot_id if mark else None

    def check_quiet(self) -> None:
        for name, seen in self.seen.items():
            record = self.day.record(name)
            assert record is None, f"I2: {name} is still open: {record}"
            if not (seen.touched or self.is_told_as_untold(name)):
                rests = {seen.prior, Power.SAVED, *([Power.OFF] if self.may_be_off(seen) else [])}
                assert self.day.power(name) in rests, f"I2: {name} is {self.day.power(name)}"

    def may_be_off(self, seen: Seen) -> bool:
        died = self.happened["host loses power"] or self.happened["host shuts down"]
        return bool(died) or seen.settings["close_action"] == "SHUTDOWN"

    # what happens

    def drawn(self) -> list[tuple[float, Callable[[str], None], str]]:
        acts = [
            *(4 * [self._logs_on]),
            *(4 * [self._wants_restart]),
            *(3 * [self._opens]),
            *(3 * [self.signs_in]),
            *(5 * [self._answers]),
            self._types,
            self.leave,
            self.is_busy,
            self._silent,
            self._disobeys,
            self._tampers,
            self._kill,
            self._kill_service,
            self._save_fails,
            self._restart_fails,
            self._host,
            self._journal,
        ]
        rng, names = self.rng, list(self.seen)
        return [
            (rng.uniform(10, self.eventful), rng.choice(acts), rng.choice(names))
            for _ in range(rng.randint(3, 24))
        ]

    def _logs_on(self, name: str) -> None:
        self.happens("logon")
        for seen in self.seen.values():
            seen.used |= bool(seen.settings["logon_start_enabled"])
        self.users.logs_on()
        self._hurry_service()
        if self.rng.random() < 0.7:
            self.then(self._logs_off, most=5000, least=60)

    def _logs_off(self) -> None:
        self.happens("logoff")
        self.users.logs_off()
        self._hurry_service()

    def _hurry_service(self) -> None:
        """As a signal of the host would."""
        for process in self.day.running(SERVICE):
            process.hurried = True

    def _wants_restart(self, name: str) -> None:
        """Now, or as soon as it can say so."""
        service = self.day.service(name)
        self.happens("guest wants a restart", name)
        service.inside.reasons["reboot-required"] = Strength.STRONG
        if self.day.power(name) is Power.RUNNING and not service.silent:
            service.speak()

    def _opens(self, name: str) -> None:
        try:
            one = self.users.opens(name)
        except WorkspaceError:
            return
        self.happens("application opened", name)
        self.open.append(one)
        if self.rng.random() < 0.3:
            self.then(lambda: self._given_up(name, one), most=10)
            return
        self.then(lambda: self._shown(name, one), most=200)
        self.then(one.closes, least=300, most=4000)

    def _given_up(self, name: str, one: Opened) -> None:
        self.happens("application given up", name)
        one.closes()

    def _shown(self, name: str, one: Opened) -> None:
        if one.is_ready:
            self.seen[name].used = True
            one.shows()

    def _answers(self, name: str) -> None:
        """What a person says to the prompt, who is asked for nothing but what there is."""
        if self.day.mark(name) is None or not self.day.host.logons():
            return
        seen, workspace = self.seen[name], self._workspace(name)
        wishes = Wishes(self.day.office)
        answer = self.rng.choice(["seen", "seen", "agrees", "postpones"])
        self.happens(f"restart: {answer}", name)
        seen.prompt_seen = seen.prompt_seen or self.day.real
        match answer:
            case "seen":
                wishes.prompt_seen(workspace)
            case "agrees":
                wishes.agree(workspace)
                seen.agreed = self.day.real
            case "postpones":
                with suppress(WorkspaceError):  # who has agreed, or had all there was, may not
                    wishes.postpone(workspace)
        self._hurry_service()

    def _workspace(self, name: str) -> Workspace:
        return self.day.office.workspaces.find(name)

    def _types(self, name: str) -> None:
        def types(it: MemoryService) -> None:
            for one in it.inside.people:
                one.input = self.day.real

        self.seen[name].used |= bool(self.day.service(name).inside.people)
        self.tells("somebody types", name, types)

    def _silent(self, name: str) -> None:
        self.happens("guest falls silent", name)
        self.day.service(name).silent = True
        self.then(lambda: setattr(self.day.service(name), "silent", False), least=30, most=3000)

    def _disobeys(self, name: str) -> None:
        self.happens("guest obeys nobody", name)
        guest = self.day.vm(name).guest
        guest.obeys_agent = guest.obeys_button = False
        self.then(lambda: self._obeys(name), least=600, most=5000)

    def _obeys(self, name: str) -> None:
        guest = self.day.vm(name).guest
        guest.obeys_agent = guest.obeys_button = True

    def _tampers(self, name: str) -> None:
        uuid = self.day.uuid(name)
        if uuid in self.scheduler.timers:
            drift = self.rng.choice(_DRIFTS)
            self.happens("timer tampered with", name, drift)
            self.scheduler.tamper(uuid, drift)

    def _kill(self, name: str) -> None:
        if self.day.running(name):
            self.happens("manager killed", name)
            self.dies(name)
            self.day.kill(name)

    def _kill_service(self, name: str) -> None:
        self.happens("service killed")
        self.day.kill(SERVICE)

    def dies(self, name: str) -> None:
        if name != SERVICE:
            super().dies(name)

    def _save_fails(self, name: str) -> None:
        vm = self.day.vm(name).vm
        self.happens("hypervisor refuses", name, "'save'")
        self.day.machine.fail(Verb.SAVE, NO_SPACE, vm=vm)
        self.then(lambda: self.day.machine.lift(Verb.SAVE, vm), least=100, most=2000)

    def _restart_fails(self, name: str) -> None:
        vm = self.day.vm(name).vm
        self.happens("hypervisor refuses", name, "'restart'")
        self.day.machine.fail(Verb.RESTART, NOBODY_ANSWERS, vm=vm)
        self.then(lambda: self.day.machine.lift(Verb.RESTART, vm), least=100, most=2000)

    def _host(self, name: str) -> None:
        seconds = self.rng.choice([60.0, 1000.0, 5000.0])
        match self.rng.choice(["sleeps", "sleeps", "loses power", "shuts down"]):
            case "sleeps":
                self.happens("host sleeps", detail=f"for {seconds:g} s")
                self.day.sleep(seconds)
            case "loses power":
                self.happens("host loses power", detail=f"for {seconds:g} s")
                self.day.go_down(seconds)
                self.day.later(20, self._service_comes)
            case "shuts down" if not self.day.host.shutting_down:
                self.happens("host shuts down", detail=f"for {seconds:g} s")
                self.day.shut_down(seconds)
                self.day.later(90 + seconds + 20, self._service_comes)

    def _service_comes(self) -> None:
        if not self.day.running(SERVICE):
            self.day.start(SERVICE, self._serve)

    def _journal(self, name: str) -> None:
        self.happens("journal read-only")
        self.day.journal_fault = "read-only"
        self.then(self._journal_works)

    def _journal_works(self) -> None:
        self.day.journal_fault = None

    # and then nothing more

    def quiet(self) -> None:
        day = self.day
        day.journal_fault = None
        for name in self.seen:
            service = day.service(name)
            service.silent, service.busy = False, False
            service.inside.people.clear()
            service.speak()
            self._obeys(name)
            for verb in Verb:
                day.machine.lift(verb, day.vm(name).vm)
        self.users.logs_off()
        for one in self.open:
            one.closes()
        self._service_comes()
        day.run_for(3 * 3600)

    def next_night(self) -> None:
        """Nobody is there, and nothing is wanted or done."""
        day, date = self.day, self.midnight.date()
        day.run_for(day.real_of(self.midnight) - day.real)
        at_rest = [name for name in self.seen if day.power(name) is not Power.RUNNING]
        self.say("the next night")
        day.run_for(OPENS + 2 * 3600)
        self.check_quiet()
        had = [name for name in at_rest if any(date in row.dates for row in day.history(name))]
        assert had == at_rest, f"I3: only {had} of {at_rest} had the next window"
