"""The first hour of a new user, for `guestwake setup`: what there is, what would be done, doing it.

`plan` only looks. What it returns is everything that `install`, `write_settings` and `add` would
do, and nothing is done that does not stand in it. Doing it again does what is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from itertools import islice
from pathlib import Path

from guestwake.application import Added, Application
from guestwake.doctor_hypervisor import Look
from guestwake.hypervisors.api import Vm
from guestwake.policy.health_facts import HypervisorSeen, Reach
from guestwake.policy.limits import Limits
from guestwake.policy.window import Opening, openings, schedule_of
from guestwake.policy.words import Power
from guestwake.questions import Progress, Questions, no_progress
from guestwake.resident import installation
from guestwake.schedulers.api import Done, SchedulerError
from guestwake.schedulers.systemd import SystemdScheduler, manager_of
from guestwake.schedulers.systemd_deeds import systemctl
from guestwake.schedulers.systemd_install import SERVICE
from guestwake.schedulers.systemd_state import unit_states
from guestwake.schedulers.systemd_text import timer_name
from guestwake.settings import kept
from guestwake.settings.change import Changed, Whose, change, own_layer, wished
from guestwake.settings.resolve import load, resolve, with_overrides
from guestwake.settings.settings_client import writes_for
from guestwake.settings.source import Layer
from guestwake.workspaces import WorkspaceError
from guestwake.zone import host_zone

_SHOWN = 3  # windows of each
_LOOK_AHEAD = timedelta(days=15)
_SYSTEMD_PATIENCE = 5.0
_LINGERING = Path("/var/lib/systemd/linger")
_POLICIES = (Layer.MACHINE_POLICY, Layer.USER_POLICY)


class Unreached(Exception):
    """The hypervisor was not to be had; `seen` tells how, and so what to do."""

    def __init__(self, seen: HypervisorSeen) -> None:
        super().__init__(seen.trouble)
        self.seen = seen


@dataclass(frozen=True, slots=True)
class Candidate:
    """A VM that could be looked after. `is_workspace`: it is already."""

    vm: Vm
    power: Power
    is_workspace: bool


class Service(StrEnum):
    """What becomes of the resident service."""

    INSTALLED = "installed"  # it is to be
    THERE = "there"  # it runs already
    LEFT_OUT = "left-out"  # it was asked not to be
    NOT_YET = "not-yet"  # systemd runs here, but none for a user who has not logged on
    IMPOSSIBLE = "impossible"  # nothing here could run it


@dataclass(frozen=True, slots=True)
class Wish:
    """`assignments`: NAME=VALUE, for each of `vms` alone; `vms`: names or UUIDs."""

    uri: str
    owner: str | None
    vms: tuple[str, ...] = ()
    assignments: tuple[str, ...] = ()
    service: bool = True
    linger: bool = False  # of an ordinary user: the service is to work also while logged off


@dataclass(frozen=True, slots=True)
class PlannedVm:
    """`assignments`: what is to be written for it, as it is not so yet. `enforced`: what was asked
    for and an administrator's policy has settled otherwise. `windows`: the next ones, then."""

    vm: Vm
    is_new: bool
    assignments: tuple[str, ...]
    enforced: tuple[str, ...]
    windows: tuple[Opening, ...]
    zone: str
    timer: str


@dataclass(frozen=True, slots=True)
class Plan:
    """`file`: where settings are written."""

    wish: Wish
    vms: tuple[PlannedVm, ...]
    file: str
    service: Service
    why_no_service: str | None = None

    @property
    def is_empty(self) -> bool:
        changes = any(each.is_new or each.assignments for each in self.vms)
        return not changes and self.service is not Service.INSTALLED


class Setup:
    def __init__(self, application: Application, *, progress: Progress = no_progress) -> None:
        self._application = application
        self._progress = progress

    # looking

    def candidates(self, uri: str) -> list[Candidate]:
        """Of that hypervisor, by name. Raises HypervisorError, Unreached."""
        questions, look = Questions(progress=self._progress), Look(uri, ())
        found = questions.answer(questions.ask(uri, lambda: self._candidates(look)), None)
        if found is None:
            raise Unreached(look.answered(late=uri in questions.late).seen)
        return sorted(found, key=lambda each: each.vm.name)

    def _candidates(self, look: Look) -> list[Candidate] | None:
        look.fill(self._application.hypervisor)
        if look.reach is not Reach.OPEN:
            return None
        known = {each.uuid for each in self._application.workspaces.all() if not each.removing}
        with self._application.hypervisor(look.uri) as hypervisor:
            return [
                Candidate(vm, hypervisor.state(vm).power, vm.uuid in known)
                for vm in hypervisor.vms()
            ]

    def present(self, candidate: Candidate, owner: str | None) -> Limits:
        """What counts for it now, or would if it were looked after."""
        layers = load(self._application.paths, owner)
        return resolve(layers, (candidate.vm.name, candidate.vm.uuid)).limits

    def can_wake_host(self) -> bool:
        if self._application.paths.root is not None:
            return False
        return SystemdScheduler(manager_of(self._application.paths)).why_no_wake() is None

    def service(self, *, wanted: bool) -> tuple[Service, str | None]:
        """What would become of it, and why not."""
        paths = self._application.paths
        if paths.root is not None:
            return Service.IMPOSSIBLE, "all is below a folder of its own"
        manager = manager_of(paths)
        if manager.waits_for_logon():
            return (Service.NOT_YET if wanted else Service.LEFT_OUT), None
        if not manager.sign_of_life.exists():
            return Service.IMPOSSIBLE, "no systemd runs here"
        with suppress(SchedulerError):
            call = systemctl(*manager.options, patience=_SYSTEMD_PATIENCE)
            unit = unit_states(call, SERVICE).get(SERVICE)
            if unit is not None and unit.active == "active":
                return Service.THERE, None
        return (Service.INSTALLED if wanted else Service.LEFT_OUT), None

    def plan(self, wish: Wish, candidates: Iterable[Candidate]) -> Plan:
        """`candidates`: those that `wish.vms` name. Raises SettingsError, WorkspaceError."""
        wished(wish.assignments)  # all mistakes at once, before anything else
        paths, chosen = self._application.paths, list(candidates)
        self._check_names(each.vm for each in chosen if not each.is_workspace)
        service, why = self.service(wanted=wish.service)
        if service is Service.THERE and wish.linger and not self._lingers():
            service = Service.INSTALLED
        return Plan(
            wish,
            tuple(self._planned(each, wish) for each in chosen),
            kept.writer(paths, own_layer(paths), wish.owner).place,
            service,
            why,
        )

    def _check_names(self, new: Iterable[Vm]) -> None:
        """Before a setting is written: a section of that name would be the other one's."""
        known = {each.name: each for each in self._application.workspaces.all()}
        for vm in new:
            if vm.name in known and known[vm.name].uuid != vm.uuid:
                raise WorkspaceError(
                    f"there is another workspace '{vm.name}' ({known[vm.name].uri}): rename one of "
                    "the two VMs, or remove that workspace first."
                )

    def _lingers(self) -> bool:
        user = self._application.paths.user
        return user is None or (_LINGERING / user).exists()

    def _planned(self, candidate: Candidate, wish: Wish) -> PlannedVm:
        vm = candidate.vm
        layers = load(self._application.paths, wish.owner)
        resolved = resolve(layers, (vm.name, vm.uuid))
        kept = [
            (text, each)
            for text, each in zip(wish.assignments, wished(wish.assignments), strict=True)
        ]
        enforced = [
            text for text, each in kept if resolved.origins[each.setting.name].layer in _POLICIES
        ]
        asked = [
            text
            for text, each in kept
            if text not in enforced
            and each.setting.kind.plain(getattr(resolved.limits, each.setting.toml)) != each.value
        ]
        limits = with_overrides(resolved, asked).limits
        schedule = schedule_of(limits, vm.uuid, host_zone())
        now = self._application.clock.now().wall
        coming = (each for each in openings(schedule, now, now + _LOOK_AHEAD) if each.opens > now)
        return PlannedVm(
            vm=vm,
            is_new=not candidate.is_workspace,
            assignments=tuple(asked),
            enforced=tuple(enforced),
            windows=tuple(islice(coming, _SHOWN)),
            zone=schedule.zone.key,
            timer=timer_name(vm.uuid),
        )

    # doing

    def install(self, plan: Plan) -> Done:
        """The service. Raises SchedulerError, OSError, PathsError."""
        if plan.service is not Service.INSTALLED:
            return Done()
        return installation(self._application).install(linger=plan.wish.linger)

    def write_settings(self, plan: Plan) -> Iterator[tuple[PlannedVm, list[Changed]]]:
        """One VM after the other. Raises NotWritten."""
        paths = self._application.paths
        for each in plan.vms:
            whose = Whose(own_layer(paths), plan.wish.owner, (each.vm.name, each.vm.uuid))
            if each.assignments:
                yield each, change(paths, whose, wished(each.assignments), writes_for(paths))

    def add(self, plan: Plan) -> Iterator[Added]:
        """One after the other, as the one whom the state belongs to. Raises as `Application.add`
        does."""
        for each in plan.vms:
            if each.is_new:
                yield self._application.add(each.vm.uuid, plan.wish.uri, plan.wish.owner)
        self._application.poke()


def chosen(candidates: Sequence[Candidate], names: Iterable[str]) -> list[Candidate]:
    """Those that are named, by name or UUID. Raises LookupError for the first that is not there."""
    found = {}
    for name in names:
        match = next((each for each in candidates if name in (each.vm.name, each.vm.uuid)), None)
        if match is None:
            raise LookupError(name)
        found[match.vm.uuid] = match
    return list(found.values())
