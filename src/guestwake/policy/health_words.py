"""What the checks of `doctor` are written in: one saying, and the commands that mend things."""

from __future__ import annotations

from typing import NamedTuple

from guestwake.policy.health_facts import HostSeen, Level, WorkspaceSeen

UNIT = "guestwake.service"
SOCKET = "guestwake-timers.socket"
SETTINGS_SOCKET = "guestwake-settings.socket"

# Questions whose answer, where it is late, nobody may take for "all is well".
WORKSPACES = "the workspaces' files"
STATE = "the state folder"
SETTINGS = "the settings"
JOURNAL = "the journal"


class Says(NamedTuple):
    """One finding, before it is known which check it is of."""

    level: Level
    sentence: str
    remedy: str | None = None


def ok(sentence: str) -> Says:
    return Says(Level.OK, sentence)


def note(sentence: str, remedy: str | None = None) -> Says:
    return Says(Level.NOTE, sentence, remedy)


def warning(sentence: str, remedy: str | None = None) -> Says:
    return Says(Level.WARNING, sentence, remedy)


def problem(sentence: str, remedy: str | None = None) -> Says:
    return Says(Level.PROBLEM, sentence, remedy)


def unknown(sentence: str, remedy: str | None = None) -> Says:
    return Says(Level.UNKNOWN, sentence, remedy)


def as_root(host: HostSeen, command: str) -> str:
    return f"sudo {command}" if host.user is not None else command


def systemctl(host: HostSeen, words: str) -> str:
    """Of the systemd that our service lives in."""
    return f"systemctl --user {words}" if host.user is not None else f"systemctl {words}"


def setting(workspace: WorkspaceSeen, name: str, value: str) -> str:
    """The command that sets it for this workspace alone."""
    return f"guestwake settings set {name}={value} --workspace {workspace.word}"


def quoted(text: str) -> str:
    """One word of a command line, whatever is in it."""
    return "'" + text.replace("'", "'\"'\"'") + "'"


def times(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
