"""Random days of people, and of everything else that can befall a VM: moved to another host and
back, deleted and defined again, renamed, kept as it crashed, its saved image spoilt; a hypervisor
that hangs, or lies; a guest that does not obey; a journal that is locked or damaged; any setting
changed at any moment, a workspace added again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from day import At
from faulty_day import Watched
from peopled_day import PeopledDay, UserObserver
from random_day import WAKES, Act
from world import URI

from guestwake.hypervisors.api import HypervisorError, PowerState, Vm
from guestwake.journal_file import JournalError
from guestwake.policy.words import Network, Power, Verb
from guestwake.workspaces import WorkspaceError

_SETTINGS: dict[str, list[Any]] = {
    "guest_update_duration": [0, 1, 5, 10],
    "guest_update_time": ["00:04", "00:05", "00:08"],
    "close_action": ["HIBERNATE", "SHUTDOWN", "TURN-OFF"],
    "return_state": ["previous", "hibernate", "shutdown"],
    "task_timeout": [20, 60, 120],
    "require_network": [0, 1],
    "require_ac_power": [0, 1],
    "allow_metered": [0, 1],
    "catch_up": ["never", "stale", "next-start"],
    "logon_start_enabled": [0, 1],
    "max_extension": [0, 5],
}
# Where a call may hang: what it was for is done, or changes nobody's power.
_HANG = {f"after {verb}" for verb in Verb} | {"before unmark", "before clock"}
_TAKEN_BACK = 30.0  # seconds after a lie in which what follows from it may still be done


class TroubledObserver(UserObserver):
    """Who is lied to is not blamed for what follows from it, nor who was robbed of the journal for
    what only that could tell."""

    aliases: dict[str, str]
    lied: dict[str, float]  # by workspace, until when
    robbed = False

    def named(self, vm: str) -> str:
        return self.aliases.get(vm, vm)

    def on_verb(self, vm: Vm, verb: Verb) -> None:
        is_lie = self.day.real <= self.lied.get(vm.name, -1.0)
        seen = self.vms[vm.name]
        try:
            super().on_verb(vm, verb)
        except AssertionError:
            if not is_lie and not self.robbed:
                raise
            seen.unclear = True
            if verb in WAKES:
                self._own(self.day.vm(vm.name), seen)
        seen.unclear |= is_lie  # what is done upon a lie may be taken for somebody else's after it

    def _rests(self, seen: Watched) -> set[Power]:
        rests = super()._rests(seen)
        return rests | {Power.CRASHED, Power.OFF} if seen.lost else rests


class TroubledDay(PeopledDay):
    kind = "trouble"
    watches = TroubledObserver
    observer: TroubledObserver

    def stage(self) -> None:
        self.hangs: dict[str, float] = {}  # by workspace: its next call, for so many seconds
        super().stage()
        self.observer.aliases, self.observer.lied = {}, {}

    def acts(self) -> list[Callable[[str], None]]:
        mine = [
            self._migrates,
            self._deletes,
            self._renames,
            self._crashes,
            self._spoils,
            self._disobeys,
            self._hibernates,
            self._cannot_be_saved,
            self._lies,
            self._hangs,
            self._journal_locked,
            self._journal_damaged,
            self._any_setting,
            self._adds,
            self._metered,
            self._refuses_for_long,
        ]
        return [*super().acts(), *(2 * mine)]

    def drawn(self) -> list[tuple[float, Callable[[str], None], str]]:
        return [*super().drawn(), *super().drawn()]

    # what may happen to a VM

    def _viewer(self, name: str) -> None:
        if self.day.power(name) is not Power.CRASHED:
            super()._viewer(name)

    def _migrates(self, name: str) -> None:
        it, machine = self.day.vm(name), self.day.machine
        if it.start is None or it.changing is not None or not self.day.exists(name):
            return
        self.happens("VM migrated away", name)
        machine.migrates_away(it.vm)
        if self.rng.random() < 0.6:
            self.then(lambda: self._comes_back(name), most=600)

    def _comes_back(self, name: str) -> None:
        if self.day.exists(name) and self.day.power(name) is Power.ELSEWHERE:
            self.happens("VM migrated back", name)
            self.day.machine.migrates_back(self.day.vm(name).vm)

    def _deletes(self, name: str) -> None:
        if not self.day.exists(name):
            return
        self.happens("VM deleted", name)
        self.day.machine.deletes(self.day.vm(name).vm)
        if self.rng.random() < 0.6:
            self.then(lambda: self._defined(name), most=600)

    def _defined(self, name: str) -> None:
        self.happens("VM defined again", name)
        self.day.machine.defines(self.day.vm(name))

    def _renames(self, name: str) -> None:
        new = f"{name}-{len(self.observer.aliases)}"
        self.happens("VM renamed", name, f"'{new}'")
        self.observer.aliases[new] = name
        self.day.machine.renames(self.day.vm(name).vm, new)

    def _crashes(self, name: str) -> None:
        it, machine = self.day.vm(name), self.day.machine
        if it.power is not Power.RUNNING or it.changing is not None:
            return
        kept = self.rng.random() < 0.4
        self.happens("guest panics, and stays so" if kept else "guest crashes", name)
        machine.crashes(it.vm, kept=kept)
        if not kept:
            self.then(lambda: self._crashes_again(name, self.rng.randint(0, 3)), most=30)

    def _crashes_again(self, name: str, times: int) -> None:
        it = self.day.vm(name)
        if it.power is Power.RUNNING and it.changing is None:
            self.happens("guest crashes", name)
            self.day.machine.crashes(it.vm)
        if times:
            self.then(lambda: self._crashes_again(name, times - 1), most=30)

    def _spoils(self, name: str) -> None:
        if self.day.vm(name).image is not None:
            self.happens("saved image spoilt", name)
            self.day.machine.spoils_image(self.day.vm(name).vm)

    def _disobeys(self, name: str) -> None:
        guest = self.day.vm(name).guest
        self.happens("guest obeys nobody", name)
        guest.obeys_agent = guest.obeys_button = False
        self.then(lambda: self._obeys(name))

    def _obeys(self, name: str) -> None:
        guest = self.day.vm(name).guest
        guest.obeys_agent = guest.obeys_button = True

    def _hibernates(self, name: str) -> None:
        it = self.day.vm(name)
        if it.power is Power.RUNNING and it.changing is None:
            self.happens("guest hibernates itself", name)
            self.day.machine.guest_hibernates(it.vm)

    def _cannot_be_saved(self, name: str) -> None:
        self.happens("a device cannot be saved", name)
        self.day.vm(name).why_not_saved = "a device that cannot be saved is plugged in"
        self.then(lambda: setattr(self.day.vm(name), "why_not_saved", None), most=900)

    # the hypervisor

    def _lies(self, name: str) -> None:
        it, seconds = self.day.vm(name), self.rng.uniform(1, 200)
        as_it_is = PowerState(it.power, it.start, it.stopped_by)
        lie = self.rng.choice(
            [PowerState(Power.UNKNOWN), PowerState(Power.CHANGING, it.start), as_it_is]
        )
        self.happens("hypervisor lies", name, f"for {seconds:.1f} s: {lie.power}")
        self.observer.lied[name] = self.day.real + seconds + _TAKEN_BACK
        self.observer.vms[name].unclear |= lie is as_it_is
        self.day.machine.lies(it.vm, lie)
        self.day.later(seconds, lambda: self.day.machine.lies(it.vm, None))

    def _hangs(self, name: str) -> None:
        self.hangs[name] = self.rng.uniform(5, 300)

    def _maybe_kill(self, what: str) -> None:
        super()._maybe_kill(what)
        name = self.day.acting
        if what not in _HANG or name not in self.hangs:
            return
        seconds, it = self.hangs.pop(name), self.day.vm(name)
        if it.changing is not None or not self.day.exists(name):
            return
        self.happens("hypervisor hangs", name, f"{what}, for {seconds:.1f} s")
        started = it.start
        self.day.machine.works_on(it.vm, seconds)  # nobody else changes it meanwhile
        self.day.hang(seconds + 0.01)
        if it.start != started:
            raise HypervisorError(f"'{name}' has stopped meanwhile")

    def _refuses_for_long(self, name: str) -> None:
        vm, what = self.day.vm(name).vm, self.rng.choice([Verb.START, Verb.SAVE])
        self.happens("hypervisor refuses", name, f"'{what}', for long")
        self.day.machine.fail(what, HypervisorError(f"cannot {what}"), vm=vm)
        self.then(lambda: self._lifted(what, vm), least=200, most=900)

    # the journal

    def _journal_locked(self, name: str) -> None:
        if self.day.is_locked or not self.day.office.journal_path.exists():
            return
        self.happens("journal locked")
        self.day.lock_journal()
        self.then(self.day.unlock_journal, most=200)

    def _journal_damaged(self, name: str) -> None:
        if self.day.is_locked or self.rng.random() < 0.5:
            return
        self.happens("journal damaged")
        self.observer.robbed = True
        At(self.day, self.day.real).damage_journal()

    # settings

    def _any_setting(self, name: str) -> None:
        key = self.rng.choice(list(_SETTINGS))
        value = self.rng.choice(_SETTINGS[key])
        self.happens("setting changed", name, f"{key} = {value}")
        self.observer.vms[name].sets({key: value})
        self.day.set(name, **self.observer.vms[name].settings)

    def _adds(self, name: str) -> None:
        """A workspace that was removed."""
        it, seen = self.day.vm(name), self.observer.vms[name]
        if not seen.removed or self.day.has_workspace(it) or not self.day.exists(name):
            return
        if it.name != name:
            return
        self.happens("workspace added again", name)
        try:
            self.day.office.add(name, URI, "anna")
            self.users.publishes(name)
        except (WorkspaceError, JournalError) as err:
            self.say(f"refused: {err}", name)
            return
        paused = it.image is not None and it.image.paused
        self.observer.vms[name] = Watched(it.power, paused, seen.settings, viewers=seen.viewers)

    def _metered(self, name: str) -> None:
        self.happens("network metered")
        self.day.host.network = Network.METERED
        self.then(self._network_back)

    # and then nothing more

    def is_told_as_untold(self, name: str) -> bool:
        """What was told may have been lost with the journal."""
        forgotten = self.observer.robbed and self.untold.get(name, False)
        return forgotten or super().is_told_as_untold(name)

    def _do(self, act: Act) -> None:
        try:
            super()._do(act)
        except WorkspaceError as err:
            self.say(f"refused: {err}", act.name)

    def quiet(self) -> None:
        self.day.unlock_journal()
        self.hangs.clear()
        for name in self.observer.vms:
            it = self.day.vm(name)
            self.day.machine.lies(it.vm, None)
            self._obeys(name)
            it.why_not_saved = None
        if self.observer.robbed:  # whoever opens it next sets it aside
            with self.day.office.journal():
                pass
        super().quiet()

    def _has_a_window(self, name: str) -> bool:
        it = self.day.vm(name)
        broken = it.image is not None and not it.image.usable
        return super()._has_a_window(name) and self.day.exists(name) and not broken
