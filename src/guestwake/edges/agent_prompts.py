"""What the agent in a user's session shows about restarts, and in which words.

Pure: `Board` gets what services say is to be shown and what becomes of it, and tells what is to be
done about it. Level, not edge: it compares what is to be seen with what is. Names and reasons come
from outside: cut and escaped here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from html import escape
from shlex import quote

from guestwake.edges.text import cut, printable

RESTART, LATER = "restart", "later"  # actions, and the methods of Workspace1 that they call
METHODS = {RESTART: "RestartNow", LATER: "Postpone"}
RELEVANT = frozenset(("Name", "Owner", "RestartPrompt", "RestartAt", "RestartReasons"))

_NAME_MAX = 60  # characters
_REASON_MAX = 80
_REASONS_MAX = 3
_PROBLEM_MAX = 200

Key = tuple[str, str]  # which service, and the path of the workspace's object there


@dataclass(frozen=True, slots=True)
class Asked:
    """What one workspace's owner is to be shown. `at`: as the property RestartAt; None: 0."""

    name: str
    notice: bool
    at: datetime | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Notification:
    """`actions`: a key and a label each. `critical`: shown over whatever is going on."""

    summary: str
    body: str
    actions: tuple[tuple[str, str], ...]
    critical: bool


@dataclass(frozen=True, slots=True)
class Show:
    """`replaces`: the id of the one that it takes the place of; 0: none."""

    key: Key
    asked: Asked
    notification: Notification
    replaces: int


def asked_of(values: Mapping[str, object], user: str) -> Asked | None:
    """`values`: properties of a workspace. None: there is nothing for `user` to see."""
    name, at, reasons = (values.get(one) for one in ("Name", "RestartAt", "RestartReasons"))
    kind = values.get("RestartPrompt")
    if values.get("Owner") != user or kind not in ("ask", "notice"):
        return None
    said = tuple(map(str, reasons)) if isinstance(reasons, list | tuple) else ()
    return Asked(str(name), kind == "notice", _instant(at), said)


def notification(
    asked: Asked, can: Collection[str], zone: tzinfo | None = None, problem: str = ""
) -> Notification:
    """`can`: the capabilities of the notification server, in the words of its specification.
    `zone` None: the user's own. `problem`: why what was asked for has not been done."""
    lines = [problem and cut(problem, _PROBLEM_MAX), *_lines(asked, zone)]
    acts = "actions" in can
    if not acts:
        lines.append(_commands(asked))
    body = "\n".join(line for line in lines if line)
    return Notification(
        _summary(asked, zone),
        escape(body, quote=False) if "body-markup" in can else body,
        _actions(asked) if acts else (),
        critical=asked.notice,
    )


def as_text(asked: Asked, zone: tzinfo | None = None) -> str:
    """For a terminal."""
    said = notification(asked, (), zone)
    return f"{said.summary}\n{said.body}"


def _summary(asked: Asked, zone: tzinfo | None) -> str:
    name = cut(asked.name, _NAME_MAX)
    if not asked.notice:
        return f"Restart '{name}' for its updates?"
    return f"'{name}' restarts {f'at {_time(asked.at, zone)}' if asked.at else 'soon'}"


def _lines(asked: Asked, zone: tzinfo | None) -> Iterator[str]:
    if asked.notice:
        yield "Updates in this virtual machine need it, and it cannot be put off any more."
        yield "Save what is open in it."
    else:
        yield "Updates in this virtual machine need a restart of it."
        yield "Save what is open in it before it restarts."
    if asked.reasons:
        first = [cut(one, _REASON_MAX) for one in asked.reasons[:_REASONS_MAX]]
        more = len(asked.reasons) - len(first)
        yield f"It says: {'; '.join(first)}{f'; and {more} more' if more else ''}"
    if asked.at is not None and not asked.notice:
        yield f"It can be put off until {_time(asked.at, zone)}."


def _actions(asked: Asked) -> tuple[tuple[str, str], ...]:
    now, later = (RESTART, "Restart now"), (LATER, "Later")
    return (now,) if asked.notice else (now, later)


def _commands(asked: Asked) -> str:
    name = quote(printable(asked.name))
    now, later = f"guestwake restart {name}", f"guestwake postpone {name}"
    return f"At once: {now}" if asked.notice else f"Now: {now}\nLater: {later}"


def _time(at: datetime, zone: tzinfo | None) -> str:
    return f"{at.astimezone(zone):%a %Y-%m-%d %H:%M}"


def _instant(at: object) -> datetime | None:
    try:
        return datetime.fromtimestamp(at, UTC) if isinstance(at, int) and at > 0 else None
    except (OverflowError, ValueError, OSError):
        return None


@dataclass(slots=True)
class _Shown:
    """`id` 0: nobody sees it any more, as it was closed or answered."""

    notice: bool
    notification: Notification
    id: int
    server: str
    told: bool = False  # the service knows that it was seen


@dataclass(slots=True)
class Board:
    """What is to be seen, and what is. `server`: unique names of notification servers, which
    forget all when they go."""

    zone: tzinfo | None = None
    _asked: dict[Key, Asked] = field(default_factory=dict)
    _shown: dict[Key, _Shown] = field(default_factory=dict)
    _problems: dict[Key, str] = field(default_factory=dict)

    # what is heard

    def tell(self, service: str, asked: Mapping[str, Asked]) -> None:
        """All that this service wants to have shown, by object."""
        others = {key: one for key, one in self._asked.items() if key[0] != service}
        self._asked = others | {(service, path): one for path, one in asked.items()}
        for key in self._problems.keys() - self._asked.keys():
            del self._problems[key]

    def took(self, show: Show, number: int, server: str) -> None:
        """The server shows it, as this number."""
        before = self._shown.get(show.key)
        told = before is not None and before.told and before.notice == show.asked.notice
        self._shown[show.key] = _Shown(
            show.asked.notice, show.notification, number, server, told=told
        )

    def closed(self, number: int, server: str) -> None:
        """By whoever sees it, or it is over: not shown again."""
        if found := self._find(number, server):
            found[1].id = 0

    def answered(self, number: int, action: str, server: str) -> tuple[Key, str] | None:
        """The workspace, and the method that does it. None: it is nothing of ours."""
        found = self._find(number, server)
        if found is None or action not in (key for key, _ in found[1].notification.actions):
            return None
        found[1].id = 0
        self._problems.pop(found[0], None)
        return found[0], METHODS[action]

    def failed(self, key: Key, problem: str) -> None:
        """What was answered could not be done: it is asked again."""
        if key in self._asked:
            self._problems[key] = problem
            self._shown.pop(key, None)

    def server_is(self, server: str | None) -> None:
        """What another one showed is gone; what its user had closed stays closed."""
        gone = [key for key, one in self._shown.items() if one.id and one.server != server]
        for key in gone:
            del self._shown[key]

    # what is to be done

    def to_close(self) -> list[int]:
        """Numbers of those that are over. Told once."""
        over = [self._shown.pop(key) for key in self._shown.keys() - self._asked.keys()]
        return [one.id for one in over if one.id]

    @property
    def is_empty(self) -> bool:
        return not self._asked

    def to_show(self, can: Collection[str]) -> list[Show]:
        found = []
        for key, asked in self._asked.items():
            said = notification(asked, can, self.zone, self._problems.get(key, ""))
            shown = self._shown.get(key)
            is_new = shown is None or shown.notice != asked.notice
            if is_new or (shown is not None and shown.id and shown.notification != said):
                found.append(Show(key, asked, said, shown.id if shown else 0))
        return found

    def to_tell(self) -> list[Key]:
        """Whose service is to know that somebody sees it. Told once, or again after `untold`."""
        found = [
            key
            for key, asked in self._asked.items()
            if not asked.notice and asked.at is None and key in self._shown
        ]
        new = [key for key in found if not self._shown[key].told]
        for key in new:
            self._shown[key].told = True
        return new

    def untold(self, key: Key) -> None:
        """The service could not be told."""
        if key in self._shown:
            self._shown[key].told = False

    def shown(self) -> list[int]:
        """Numbers of those that somebody sees."""
        return [one.id for one in self._shown.values() if one.id]

    def _find(self, number: int, server: str) -> tuple[Key, _Shown] | None:
        for key, one in self._shown.items():
            if number and (one.id, one.server) == (number, server):
                return key, one
        return None
