"""Is nothing left to do? For clients that leave no result behind that would tell: by two questions.

First, which repositories are in use: each must have been confirmed by its mirror in the window
that is open now. Only then, which updates the client knows of: there must be none. Both are
answered without network from what the client has, and only while that has not changed since.
So it counts neither who looked nor what an exit code says, and a mirror that is dead, an update
that was skipped, has failed, or was only downloaded all leave something.

Until something was refreshed in the window nothing is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple

from guestwake_guest.questions import Answer, Question
from guestwake_guest.system import System
from guestwake_guest.update_clients.rpm import package_database
from guestwake_guest.view import View


class Refreshed(NamedTuple):
    """`files` change when a mirror has sent or confirmed something; `settings`: folders of those
    that say which repositories are in use."""

    files: tuple[str, ...]
    settings: tuple[str, ...]


class Asked(NamedTuple):
    question: Question
    is_fine: Callable[[View, Answer], bool]

    def holds(self, view: View, mark: Hashable) -> bool:
        answer = view.questions.ask_now(self.question, mark)
        return answer is not None and self.is_fine(view, answer)


def nothing_left(view: View, refreshed: Refreshed, repositories: Asked, updates: Asked) -> bool:
    system = view.system
    if not any(view.in_window(system.changed_at(file)) for file in refreshed.files):
        return False
    known = (_identities(system, refreshed.files), _settings(system, refreshed.settings))
    return repositories.holds(view, known) and updates.holds(
        view, (known, package_database(system))
    )


def _identities(system: System, files: tuple[str, ...]) -> Hashable:
    return tuple((file, system.identity(file)) for file in files)


def _settings(system: System, folders: tuple[str, ...]) -> Hashable:
    found = (f"{folder}/{name}" for folder in folders for name in system.names(folder))
    return _identities(system, tuple(found))
