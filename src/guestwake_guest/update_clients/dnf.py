"""dnf and dnf-automatic, of version 4 and 5.

It never says that nothing is left: dnf-automatic leaves no result behind that tells a look that
found nothing from one that could not reach its mirrors, and the exit code of its unit is no proof.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from guestwake_guest.times import unix_seconds
from guestwake_guest.update_clients import rpm, units
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
    return Client(NAME, rpm.state(view.system, UNITS), history.installed, history.more)


def wanted_units(view: View) -> tuple[str, ...]:
    """Of those whose timer the administrator has enabled: they differ in what they may do."""
    return tuple(
        f"{name}.service"
        for name in _AUTOMATIC
        if units.timer_enabled(view.system, f"{name}.timer")
        and units.there(view.system, f"{name}.service")
    )


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
