"""A second observer of random days, of what is not broken by one act alone: whether each VM had its
window whole and no longer, what it was put back to, and whether what was taken from us stays so.

He blames nobody where he is not sure: he looks at VMs with which nothing has happened that may hold
a run up or cut it short (all but what is HARMLESS), and at use that was seen with nothing in the
way of seeing it. On a day on which anything happens that he does not know he is blind.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from guestwake.hypervisors.api import Vm
from guestwake.hypervisors.memory import MemoryVm
from guestwake.policy.run import Kind, Phase, WakeRun
from guestwake.policy.words import Power, Verb

if TYPE_CHECKING:
    from faulty_day import FaultyDay

HARMLESS = frozenset(
    {
        *("timer fires", "clock steps", "network lost", "journal read-only", "journal full"),
        *("host sleeps", "hypervisor slow", "guest restarts", "guest's agent comes"),
        *("guest's agent goes", "host shuts down"),
    }
)
DISTURBS = frozenset(
    {
        *(f"somebody {what}" for what in ("starts", "stops", "saves", "pauses", "resumes")),
        *("viewer comes", "backup job", "guest crashes", "guest shuts down", "application opened"),
        *("hypervisor refuses", "hypervisor gone", "manager killed", "manager told to stop"),
        *("host loses power", "AC power lost", "setting changed"),
        *("person holds", "person wakes", "person removes", "logon", "logoff"),
    }
)
LATE = 240.0  # seconds: TaskTimeout, a minute after a resume, and others that are saved first
VIEWER_COUNTS = 61.0  # seconds after the wake, for who comes later
LENT_FOR = 600.0  # seconds after the use, past the end
TOLD_MOST = 3  # times that one answer may be told of one run, one after the other

_WAKES = (Verb.START, Verb.RESUME, Verb.WAKE_UP)
_AT_WORK = (Phase.HOLDING, Phase.LENT)


@dataclass
class _Seen:
    disturbed: bool = False  # something happened to it that may hold its run up, or cut it short
    token: str | None = None  # of the run that woke it
    ends: float = 0.0  # its window, in real seconds
    was_paused: Power | None = None  # as that run found it: PAUSED, or SAVED with its memory so
    used: bool = False  # in that run, beyond doubt
    used_at: float = 0.0  # when that was last seen
    stopped: bool = False  # by somebody or by itself, in that run, with its manager at work


class Bystander:
    """Of one day, from now on; asked after the observer that is there already."""

    def __init__(self, it: FaultyDay) -> None:
        self._it, self._day = it, it.day
        self._seen = {name: _Seen() for name in it.observer.vms}
        self._before_verb, self._before_rest = it.day.on_verb, it.day.on_rest
        self._deeds = len(it.day.machine.deeds)
        self._is_blind = False
        it.day.on_verb, it.day.on_rest = self._on_verb, self._on_rest

    def happens(self, kind: str, name: str) -> None:
        """`name` "": to all of them."""
        if kind in HARMLESS:
            return
        self._is_blind |= kind not in DISTURBS
        for each in [name] if name else self._seen:
            self._seen[each].disturbed = True
            if kind == "setting changed":  # whoever opens the next window says when that ends
                self._seen[each].ends = inf

    def host_slept(self) -> None:
        """What should have ended meanwhile has a minute more."""
        for seen in self._seen.values():
            seen.ends = max(seen.ends, self._day.real)
            seen.disturbed |= self._day.host.shutting_down  # it has no minute and a half now

    def host_dies(self) -> None:
        for seen in self._seen.values():
            seen.stopped, seen.disturbed = False, True

    def calm(self) -> None:
        """From now on nothing happens any more."""
        self._seen = {name: _Seen() for name in self._seen}

    # what others do

    def see_deeds(self) -> None:
        """At once after them, before anybody has looked."""
        for deed in self._day.machine.deeds[self._deeds :]:
            if deed.who != "driver" and deed.vm in self._seen:
                self._taken(deed.vm, deed.what)
        self._deeds = len(self._day.machine.deeds)

    def _on_rest(self) -> None:
        self._before_rest()
        if self._is_blind:
            return
        self.see_deeds()
        for name, seen in self._seen.items():
            self._check_late(name, seen)
            self._see_use(name, seen)

    def _taken(self, name: str, what: str) -> None:
        if self._is_blind or what not in ("stops", "shuts down"):
            return
        record = self._day.record(name)
        if record and record.token == self._seen[name].token and record.phase in _AT_WORK:
            self._seen[name].stopped = True

    def _check_late(self, name: str, seen: _Seen) -> None:
        if seen.disturbed or self._day.real <= seen.ends + LATE or seen.token is None:
            return
        it = self._day.vm(name)
        late = it.power is Power.RUNNING and self._is_ours(name, it)
        assert not late or self._it.is_told_as_untold(name), "I2: awake past its end"

    def _see_use(self, name: str, seen: _Seen) -> None:
        """Its manager has looked at it by now: it does so at once when anything happens."""
        day, came = self._day, self._it.observer.vms[name].viewers
        if not came or not day.running(name) or day.journal_fault or day.machine._faults:
            return
        it, record = day.vm(name), day.record(name)
        if not self._is_ours(name, it) or record is None or record.token != seen.token:
            return
        if record.woke is None or record.phase not in _AT_WORK or it.power is not Power.RUNNING:
            return
        if any(came.get(who, 0.0) > record.woke.elapsed + VIEWER_COUNTS for who in it.viewers):
            seen.used, seen.used_at = True, day.real

    # what we do

    def _on_verb(self, vm: Vm, verb: Verb) -> None:
        self._before_verb(vm, verb)
        if self._is_blind:
            return
        it, seen, record = self._day.machine.get(vm), self._seen[vm.name], self._day.record(vm.name)
        if record is None:
            return
        if verb in _WAKES:
            self._check_wake(it, seen, record)
        elif record.token == seen.token:
            self._check_rest(seen, record, verb)

    def _check_wake(self, it: MemoryVm, seen: _Seen, record: WakeRun) -> None:
        if record.token == seen.token:
            assert not seen.stopped, "I1: it was stopped by somebody, and is woken again"
            return
        seen.token, seen.used, seen.stopped = record.token, False, False
        seen.ends = self._day.real + record.ends.elapsed - self._day.now().elapsed
        paused = it.power is Power.PAUSED or (it.image is not None and it.image.paused)
        seen.was_paused = it.power if paused else None

    def _check_rest(self, seen: _Seen, record: WakeRun, verb: Verb) -> None:
        real, day = self._day.real, self._day
        used = record.used or record.kind is Kind.FAST_START
        assert used or not seen.used, "I11: it is forgotten that it was used"
        assert used or verb is not Verb.POWER_OFF, "I6: a power-off of an unused VM"
        if day.host.shutting_down or any(each.application.told_to_stop for each in day.processes):
            return
        assert seen.disturbed or real > seen.ends - 1, "I2: put back before its window's end"
        lent = seen.used and seen.used_at > seen.ends + 1 and record.kind is Kind.SCHEDULED
        left = real - seen.used_at
        assert not lent or left > LENT_FOR - 1, f"put back {left:g} s after it was used"

    # in the end

    def lights_out(self) -> None:
        """The host goes down, in order: it has had a minute and a half."""
        for name, seen in self._seen.items():
            it = self._day.vm(name)
            up = it.power is Power.RUNNING and self._is_ours(name, it)
            assert seen.disturbed or not up, f"{name}: the host goes down under it"

    def check_quiet(self) -> None:
        if self._is_blind:
            return
        for name, seen in self._seen.items():
            it = self._day.vm(name)
            marked = it.mark is not None and it.start is not None and it.start.id in it.mark
            removed = self._it.observer.vms[name].removed
            assert removed or not marked, f"{name}: our mark is on it still"
            self._check_paused(name, it, seen)
        self._check_told()

    def _check_paused(self, name: str, it: MemoryVm, seen: _Seen) -> None:
        to_be = self._it.observer.vms[name].settings.get("return_state", "previous")
        if seen.disturbed or seen.was_paused is None or to_be != "previous":
            return
        assert it.power is seen.was_paused, f"I2: {name} was {seen.was_paused} and is {it.power}"
        if it.image is not None:
            assert it.image.paused, f"I2: {name} was saved while paused, and comes back running"

    def _check_told(self) -> None:
        last, times = None, 0
        rows = self._day.journal()._all(
            "SELECT workspace, token, why FROM event ORDER BY workspace, id"
        )
        for row in rows:
            times = times + 1 if row == last else 1
            last = row
            assert times <= TOLD_MOST, f"told {times} times, one after the other: {row[2]}"

    def _is_ours(self, name: str, it: MemoryVm) -> bool:
        watched = self._it.observer.vms[name]
        left = watched.touched or watched.unclear or watched.removed
        return it.start is not None and it.start.id == watched.ours and not left
