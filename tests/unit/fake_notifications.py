"""A notification server as the specification has it (org.freedesktop.Notifications 1.2), and a
person who looks at it.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from typing import Any

from fake_bus import FakeService

NAME = "org.freedesktop.Notifications"
PATH = "/org/freedesktop/Notifications"
DESKTOP = ("actions", "body", "body-markup", "persistence")
EXPIRED, DISMISSED, CLOSED = 1, 2, 3


@dataclass(frozen=True)
class Seen:
    """One notification as it was sent."""

    summary: str
    body: str
    actions: tuple[str, ...]
    urgency: int
    timeout: int


@dataclass
class FakeNotifications:
    """`open`: what can be seen now, by number; `taken`: all that was ever sent. A number is given
    once; one that replaces another keeps that one's."""

    can: tuple[str, ...] = DESKTOP
    open: dict[int, Seen] = field(default_factory=dict)
    taken: list[Seen] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)
    refuses: bool = False

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self.may_answer.set()
        methods = {
            (PATH, NAME, "GetCapabilities"): lambda _: ("as", (list(self.can),)),
            (PATH, NAME, "Notify"): self._notify,
            (PATH, NAME, "CloseNotification"): self._close,
        }
        self.service = FakeService(NAME, PATH, NAME, {}, methods=dict(methods))

    def only(self) -> Seen:
        (seen,) = list(self.open.values())
        return seen

    def click(self, action: str) -> None:
        """On the only one that there is."""
        (number,) = self.open
        self._emit("ActionInvoked", "us", (number, action))
        self._gone(number, DISMISSED)

    def dismiss(self, reason: int = DISMISSED) -> None:
        (number,) = self.open
        self._gone(number, reason)

    def _notify(self, body: tuple[Any, ...]) -> tuple[str, tuple[object, ...]] | str:
        self.asked.set()
        assert self.may_answer.wait(20)
        if self.refuses:
            return f"{NAME}.MaxNotificationsExceeded"
        _, replaces, _, summary, text, actions, hints, timeout = body
        number = replaces or next(self._numbers)
        seen = Seen(summary, text, tuple(actions), hints["urgency"][1], timeout)
        self.open[number] = seen
        self.taken.append(seen)
        return "u", (number,)

    def _close(self, body: tuple[Any, ...]) -> tuple[str, tuple[object, ...]] | str:
        if body[0] not in self.open:
            return f"{NAME}.Error"
        self._gone(body[0], CLOSED)
        return "", ()

    def _gone(self, number: int, reason: int) -> None:
        del self.open[number]
        self._emit("NotificationClosed", "uu", (number, reason))

    def _emit(self, member: str, signature: str, body: tuple[object, ...]) -> None:
        self.service.emit(PATH, NAME, member, signature, body)
