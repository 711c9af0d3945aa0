"""What people and update clients do in guests that talk, on any random day."""

from __future__ import annotations

from collections.abc import Callable

from random_day import RandomDay
from reporter import MemoryService, Somebody

from guestwake.policy.words import Power


class TalkingGuests(RandomDay):
    busy_most = 5000  # seconds

    def tells(
        self, kind: str, name: str, act: Callable[[MemoryService], object], detail: str = ""
    ) -> None:
        """Only a guest that runs, is up and does not hang does anything, and it says so."""
        it, service = self.day.vm(name), self.day.service(name)
        boot = it.guest_boot == service.inside.boot and self.day.real >= service.inside.up_at
        if it.power is Power.RUNNING and it.changing is None and boot and not service.silent:
            self.happens(kind, name, detail)
            act(service)
            service.speak()

    def signs_in(self, name: str) -> None:
        bert = Somebody("bert", self.day.real)
        self.tells("somebody signs in", name, lambda it: it.inside.people.append(bert))

    def leave(self, name: str) -> None:
        self.tells("everybody leaves", name, lambda it: it.inside.people.clear())

    def is_busy(self, name: str) -> None:
        self.tells("guest is busy", name, lambda it: setattr(it, "busy", True))
        self.then(lambda: self._idle(name), least=60, most=self.busy_most)

    def _idle(self, name: str) -> None:
        self.tells("guest is idle again", name, lambda it: setattr(it, "busy", False))
