"""Random days with people: everything of `test_random_days.py`, and they open applications, close
them, crash them, log on and log off at any moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_random_days import Chaos, Observer, Watched, play, seeds
from users import Opened, Users

from guestwake.hypervisors.memory import MemoryVm
from guestwake.policy.close import FOR_USE
from guestwake.workspaces import WorkspaceError

DAYS_IN_CHECK = 15
DAYS = 60
DAYS_FULL = 2000


class UserObserver(Observer):
    users: Users

    def _is_wanted(self, it: MemoryVm) -> bool:
        record = self.day.record(it.name)
        return record is not None and (record.kind in FOR_USE or bool(self._open(it)))

    def _users(self, it: MemoryVm, seen: Watched) -> list[str]:
        return [*super()._users(it, seen), *self._open(it), *self._logged_on(it)]

    def _open(self, it: MemoryVm) -> list[str]:
        host = self.day.host
        rows = self.day.journal().opened(it.uuid)
        return [row.application for row in rows if any(map(host.is_alive, row.processes))]

    def _logged_on(self, it: MemoryVm) -> list[str]:
        if not self.vms[it.name].settings["logon_start_enabled"]:
            return []
        return [one.user for one in self.day.host.logons() or ()]


class Peopled(Chaos):
    watches = UserObserver

    def stage(self) -> None:
        super().stage()
        self.users = Users(self.day)
        self.open: list[Opened] = []
        for name, seen in self.observer.vms.items():
            seen.settings["logon_start_enabled"] = self.rng.choice([0, 1])
            self.day.set(name, **seen.settings)
            self.users.owns(name)

    def acts(self) -> list[Callable[[str], None]]:
        return [*super().acts(), *(5 * [self._opens]), *(3 * [self._logs_on])]

    def _opens(self, name: str) -> None:
        try:
            one = self.users.opens(name)
        except WorkspaceError:  # removed
            return
        self.observer.vms[name].was_used = True
        self.open.append(one)
        if self.rng.random() < 0.8:
            self._then(one.shows, most=60)
        ends: list[Callable[[], Any]] = [one.closes, one.launcher_dies, self._nothing]
        self._then(self.rng.choice(ends), most=300)

    def _nothing(self) -> None:
        """It stays open."""

    def _logs_on(self, name: str) -> None:
        self.users.logs_on()
        for seen in self.observer.vms.values():
            seen.was_used = True
        if self.rng.random() < 0.7:
            self._then(self.users.logs_off)

    def quiet(self) -> None:
        self.day.journal_fault = None
        self.users.logs_off()
        for one in self.open:
            one.closes()
        super().quiet()


@pytest.mark.parametrize("seed", seeds(DAYS)[:DAYS_IN_CHECK])
def test_days_with_people_keep_the_promises(seed: int, folder: Path) -> None:
    play(seed, folder, Peopled)


@pytest.mark.more
@pytest.mark.parametrize("seed", seeds(DAYS)[DAYS_IN_CHECK:])
def test_more_days_with_people_keep_the_promises(seed: int, folder: Path) -> None:
    play(seed, folder, Peopled)


@pytest.mark.full
def test_many_days_with_people_keep_the_promises(folder: Path) -> None:
    for seed in seeds(DAYS_FULL):
        play(seed, folder, Peopled)
