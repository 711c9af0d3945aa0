"""zypper, and what runs it by a timer: os-update, transactional-update.

None of them leaves a result behind that would do: zypper ends with 0 as well when no mirror
answered. Hence what proof.py has. libzypp gives a repository's index the present time when its
mirror has sent or confirmed it, and a mirror that is silent leaves the time as it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from guestwake_guest.questions import Answer, Question
from guestwake_guest.times import unix_seconds
from guestwake_guest.update_clients import proof, rpm, units
from guestwake_guest.update_clients.history import Log, installed
from guestwake_guest.view import View
from guestwake_wire.messages import Client, Installed

NAME = "zypper"
_ZYPPER = "/usr/bin/zypper"
_BY_TIMER = ("os-update", "transactional-update", "packagekit-background")
UNITS = tuple(f"{name}.service" for name in _BY_TIMER)


def is_here(view: View) -> bool:
    return bool(view.system.runs(_ZYPPER))


def client(view: View) -> Client:
    history = _HISTORY.history(view.system)
    state = rpm.state(view, UNITS, _nothing_left)
    return Client(NAME, state, history.installed, history.more)


def wanted_units(view: View) -> tuple[str, ...]:
    return tuple(
        f"{name}.service"
        for name in _BY_TIMER
        if units.timer_enabled(view.system, f"{name}.timer")
        and units.there(view.system, f"{name}.service")
    )


# --- nothing left ---

_CACHE = "/var/cache/zypp/raw"
_SETTINGS = ("/etc/zypp/repos.d", "/etc/zypp/services.d", "/etc/zypp/vars.d", "/etc/zypp")
_OPTIONS = ("--non-interactive", "--no-refresh", "--xmlout")
_REPOSITORIES = Question(
    "zypper-repositories", (_ZYPPER, *_OPTIONS, "repos", "--show-enabled-only"), apart=True
)
# `--all`: also those that cannot be installed now.
_UPDATES = Question(
    "zypper-updates",
    (_ZYPPER, *_OPTIONS, "list-updates", "--all", "-t", "package", "-t", "patch"),
    apart=True,
)
_REPOSITORY = re.compile(r"<repo ([^>]*)>")
_ALIAS = re.compile(r'\balias="([^"]*)"')
_TROUBLE = re.compile(r'<message type="(?:error|warning)"')


def _nothing_left(view: View) -> bool:
    return proof.nothing_left(
        view,
        proof.Refreshed(tuple(map(_index, view.system.names(_CACHE))), _SETTINGS),
        proof.Asked(_REPOSITORIES, _confirmed),
        proof.Asked(_UPDATES, _none_found),
    )


def _index(alias: str) -> str:
    """Of another kind of repository than rpm-md it is not there."""
    return f"{_CACHE}/{alias.replace('/', '_')}/repodata/repomd.xml"


def _confirmed(view: View, answer: Answer) -> bool:
    """Each repository that is enabled, in this window."""
    if answer.code != 0 or "</repo-list>" not in answer.text:
        return False
    repositories = [_ALIAS.search(one) for one in _REPOSITORY.findall(answer.text)]
    return bool(repositories) and all(
        alias and view.in_window(view.system.changed_at(_index(alias[1]))) for alias in repositories
    )


def _none_found(_view: View, answer: Answer) -> bool:
    complete = answer.code == 0 and "</update-list>" in answer.text
    return complete and "<update " not in answer.text and not _TROUBLE.search(answer.text)


# --- what was installed: libzypp's history ---


def _parsed(log: str) -> Iterator[Installed]:
    """`2008-09-24 11:53:10|install|name|version|...`, in local time."""
    for line in log.splitlines():
        fields = line.split("|")
        at = unix_seconds(fields[0])
        if len(fields) > 3 and fields[1].strip() == "install" and at is not None:
            yield installed(fields[2], fields[3], at)


_HISTORY = Log("/var/log/zypp/history", _parsed)
