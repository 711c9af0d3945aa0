"""dnf and dnf-automatic, of version 4 and 5.

dnf-automatic leaves no result behind that would do: it ends with 0 and says nothing when there
was nothing to do, when no mirror answered, when it had to skip an update, and when one failed.
Hence what proof.py has. dnf gives the metadata of a repository the present time when its mirror
(or the list of its mirrors) has sent or confirmed it, and a mirror that is silent leaves the time
as it was. This was seen of version 4; 5 keeps its metadata elsewhere, so it never says that
nothing is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from guestwake_guest.questions import Answer, Question
from guestwake_guest.system import System
from guestwake_guest.times import asctime_seconds, unix_seconds
from guestwake_guest.update_clients import proof, rpm, units
from guestwake_guest.update_clients.history import Log, installed
from guestwake_guest.view import View
from guestwake_wire.messages import Client, Installed

NAME = "dnf"
_DNF = ("/usr/bin/dnf", "/usr/bin/dnf5", "/usr/bin/microdnf")
_AUTOMATIC = (
    "dnf-automatic",
    "dnf-automatic-install",
    "dnf-automatic-download",
    "dnf-automatic-notifyonly",
    "dnf5-automatic",
)
UNITS = tuple(f"{name}.service" for name in _AUTOMATIC)


def is_here(view: View) -> bool:
    return bool(view.system.runs(*_DNF))


def client(view: View) -> Client:
    history = _HISTORY.history(view.system)
    state = rpm.state(view, UNITS, _nothing_left)
    return Client(NAME, state, history.installed, history.more)


def wanted_units(view: View) -> tuple[str, ...]:
    """Of those whose timer the administrator has enabled: they differ in what they may do."""
    return tuple(
        f"{name}.service"
        for name in _AUTOMATIC
        if units.timer_enabled(view.system, f"{name}.timer")
        and units.there(view.system, f"{name}.service")
    )


# --- nothing left ---

_CACHE = "/var/cache/dnf"
_SETTINGS = ("/etc/yum.repos.d", "/etc/dnf", "/etc/dnf/vars")
# Else it would pass over a repository of which it has no metadata at all.
_OPTIONS = ("--cacheonly", "--setopt=*.skip_if_unavailable=False")
_REPOSITORIES = Question(
    "dnf-repositories", (_DNF[0], *_OPTIONS, "repoinfo", "--enabled"), apart=True
)
_UPDATES = Question("dnf-updates", (_DNF[0], *_OPTIONS, "check-upgrade"), apart=True)
# Its dnf looks into the running image, which is not what is updated.
_IMAGE_BASED = "/run/ostree-booted"

_REPOSITORY = re.compile(r"^Repo-id +: ", re.MULTILINE)
_CONFIRMED = re.compile(r"^Repo-expire +: .*\(last: (.*)\)$", re.MULTILINE)
_COMPLETE = re.compile(r"^Total packages: ", re.MULTILINE)


def _nothing_left(view: View) -> bool:
    if view.system.exists(_IMAGE_BASED):
        return False
    return proof.nothing_left(
        view,
        proof.Refreshed(tuple(_metadata(view.system)), _SETTINGS),
        proof.Asked(_REPOSITORIES, _confirmed),
        proof.Asked(_UPDATES, _none_found),
    )


def _metadata(system: System) -> Iterator[str]:
    for repository in system.names(_CACHE):
        for name in system.names(f"{_CACHE}/{repository}/repodata"):
            if "primary" in name:
                yield f"{_CACHE}/{repository}/repodata/{name}"


def _confirmed(view: View, answer: Answer) -> bool:
    """Each repository that is enabled, in this window."""
    if answer.code != 0 or not _COMPLETE.search(answer.text):
        return False
    repositories = len(_REPOSITORY.findall(answer.text))
    times = [asctime_seconds(time) for time in _CONFIRMED.findall(answer.text)]
    return 0 < repositories == len(times) and all(view.in_window(time) for time in times)


def _none_found(_view: View, answer: Answer) -> bool:
    return answer.code == 0  # 100: there are some; 1: it could not tell


# --- what was installed: dnf.rpm.log ---

# `Upgrade` and `Install` name the new package; `Upgraded` the one that went.
_LINE = re.compile(r"(\S+) \S+ (?:Install|Installed|Upgrade|Reinstall|Downgrade): (\S+)")
_PACKAGE = re.compile(r"(.+)-([^-]+-[^-]+)\.[^.]+")  # name-version-release.architecture
# Written when a package is opened, so of one that then failed as well: this follows.
_FAILED = re.compile(
    r"\S+ ERROR Error (?:in PREIN scriptlet in|unpacking|in cpio payload of) rpm package (\S+)"
)


def _parsed(log: str) -> Iterable[Installed]:
    done: list[tuple[str, Installed]] = []
    for line in log.splitlines():
        failed = _FAILED.match(line)
        if failed:
            _take_back(done, failed[1])
        found = _LINE.match(line)
        package = _PACKAGE.fullmatch(found[2]) if found else None
        at = unix_seconds(found[1]) if found else None
        if found and package and at is not None:
            done.append((found[2], installed(package[1], package[2], at)))
    return [one for _, one in done]


def _take_back(done: list[tuple[str, Installed]], failed: str) -> None:
    """The last of this name, or of this name with its version."""
    for place in reversed(range(len(done))):
        full, one = done[place]
        if failed in (full, one.name):
            del done[place]
            return


_HISTORY = Log("/var/log/dnf.rpm.log", _parsed)
