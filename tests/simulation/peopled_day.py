"""Random days with people: everything of `faulty_day.py`, and they open applications, close them,
crash them, log on and log off at any moment."""

from __future__ import annotations

from collections.abc import Callable

from faulty_day import FaultyDay, Observer, Watched
from users import Opened, Users

from guestwake.hypervisors.memory import MemoryVm
from guestwake.policy.close import FOR_USE
from guestwake.workspaces import WorkspaceError


class UserObserver(Observer):
    users: Users

    def _is_wanted(self, it: MemoryVm) -> bool:
        record = self.day.record(self.named(it.name))
        return record is not None and (record.kind in FOR_USE or bool(self._open(it)))

    def _users(self, it: MemoryVm, seen: Watched) -> list[str]:
        return [*super()._users(it, seen), *self._open(it), *self._logged_on(it)]

    def _open(self, it: MemoryVm) -> list[str]:
        host = self.day.host
        rows = self.day.journal().opened(it.uuid)
        return [row.application for row in rows if any(map(host.is_alive, row.processes))]

    def _logged_on(self, it: MemoryVm) -> list[str]:
        if not self.vms[self.named(it.name)].settings["logon_start_enabled"]:
            return []
        return [one.user for one in self.day.host.logons() or ()]


class PeopledDay(FaultyDay):
    kind = "people"
    watches = UserObserver

    def stage(self) -> None:
        super().stage()
        self.users = Users(self.day)
        self.open: list[Opened] = []
        for name, seen in self.observer.vms.items():
            fast = seen.settings["logon_start_enabled"] = self.rng.choice([0, 1])
            self.say(f"{'Fast' if fast else 'Normal'} Start", name)
            self.day.set(name, **seen.settings)
            self.users.owns(name)

    def acts(self) -> list[Callable[[str], None]]:
        return [*super().acts(), *(5 * [self._opens]), *(3 * [self._logs_on])]

    def _opens(self, name: str) -> None:
        try:
            one = self.users.opens(name)
        except WorkspaceError:  # removed
            return
        self.happens("application opened", name, f"by {one.processes[0]}")
        self.observer.vms[name].was_used = True
        self.open.append(one)
        if self.rng.random() < 0.8:
            self.then(lambda: self._goes_on("is shown", one, one.shows), most=60)
        ends = {"is closed": one.closes, "loses its launcher": one.launcher_dies, "stays": _nothing}
        what = self.rng.choice(list(ends))
        self.then(lambda: self._goes_on(what, one, ends[what]), most=300)

    def _goes_on(self, what: str, one: Opened, act: Callable[[], object]) -> None:
        self.say(f"application of {one.processes[0]} {what}", one.workspace.name)
        act()

    def _logs_on(self, name: str) -> None:
        self.happens("logon")
        self.users.logs_on()
        for seen in self.observer.vms.values():
            seen.was_used = True
        if self.rng.random() < 0.7:
            self.then(self._logs_off)

    def _logs_off(self) -> None:
        self.happens("logoff")
        self.users.logs_off()

    def quiet(self) -> None:
        self.day.journal_fault = None
        self.users.logs_off()
        for one in self.open:
            one.closes()
        super().quiet()


def _nothing() -> None: ...
