"""What only a command can tell, asked no more often than the answer can have changed.

A look never waits: it gets the last answer, and the next look comes when the command has ended.
Costly commands run in a unit of their own (`apart`): their memory is not ours, what confines this
service does not hinder them, they have no network, and systemd ends them.
"""

from __future__ import annotations

import os
from collections.abc import Hashable
from typing import NamedTuple

from guestwake_guest.children import Children
from guestwake_guest.system import System

SECONDS_MAX = 20.0
APART_SECONDS_MAX = 120.0
PAUSE = 1.0  # between two askings of the same
APART_PAUSE = 600.0
_SYSTEMD_RUN = "/usr/bin/systemd-run"
_APART = (
    *("--quiet", "--pipe", "--wait", "--collect", "--setenv=LC_ALL=C", "--setenv=TZ=UTC"),
    # zypper would take a lock to answer, and an update that starts meanwhile gives up.
    "--setenv=ZYPP_READONLY_HACK=1",
    "--description=What is left to do? (Guestwake)",
    # A yes is no failure in the journal.
    "--property=SuccessExitStatus=1 100 102",
    f"--property=RuntimeMaxSec={APART_SECONDS_MAX:.0f}",
    "--property=PrivateNetwork=yes",
    "--property=NoNewPrivileges=yes",
    "--property=Nice=19",
    "--property=IOSchedulingClass=idle",
)


class Question(NamedTuple):
    name: str
    command: tuple[str, ...]
    apart: bool = False


class Answer(NamedTuple):
    """`mark`: how things were when it was asked."""

    code: int
    text: str
    mark: Hashable = None


class _Asked:
    def __init__(self, question: Question) -> None:
        self.apart = question.apart
        self.mark: Hashable = None
        self.at: float | None = None
        self.under_way = False
        self.answer: Answer | None = None


class Questions:
    """`busy`: packages are changing, so the costly ones wait."""

    def __init__(self, system: System, children: Children) -> None:
        self._system = system
        self._children = children
        self._asked: dict[str, _Asked] = {}
        self.busy = False

    def ask(
        self, question: Question, mark: Hashable, *, again_after: float | None = None
    ) -> Answer | None:
        """The last answer; None: none yet, or the command failed to give one. `mark`: what the
        answer depends on; it is asked again when that has changed, and after `again_after`
        seconds."""
        asked = self._asked.setdefault(question.name, _Asked(question))
        if self._is_due(question, asked, mark, again_after):
            self._start(question, asked, mark)
        return asked.answer

    def ask_now(self, question: Question, mark: Hashable) -> Answer | None:
        """None as well: what it depends on is no longer as it was when it was answered."""
        answer = self.ask(question, mark)
        return answer if answer and answer.mark == mark else None

    def under_way(self, *, apart: bool) -> bool:
        """Without the costly ones, unless `apart`."""
        return any(one.under_way and (apart or not one.apart) for one in self._asked.values())

    def _is_due(
        self, question: Question, asked: _Asked, mark: Hashable, again_after: float | None
    ) -> bool:
        if asked.under_way or (question.apart and (self.busy or os.geteuid() != 0)):
            return False
        if asked.at is None:
            return True
        age = self._system.elapsed() - asked.at
        if age < (APART_PAUSE if question.apart else PAUSE):
            return False
        return mark != asked.mark or (again_after is not None and age >= again_after)

    def _start(self, question: Question, asked: _Asked, mark: Hashable) -> None:
        def ended(code: int, text: str) -> None:
            asked.under_way = False
            asked.answer = Answer(code, text, mark) if code >= 0 else None

        now = asked.at = self._system.elapsed()
        asked.mark = mark
        program, *words = question.command
        command = (self._system.path(program), *words)
        if question.apart:
            command = (self._system.path(_SYSTEMD_RUN), *_APART, *command)
        limit = APART_SECONDS_MAX + SECONDS_MAX if question.apart else SECONDS_MAX
        asked.under_way = self._children.start(command, now + limit, ended)
