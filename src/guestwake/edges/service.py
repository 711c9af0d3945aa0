"""`guestwake service`: what was done, and what there is to know or do next, as text or JSON."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from argparse import Namespace
from dataclasses import asdict
from typing import Protocol

from guestwake.application import Application
from guestwake.edges.exit_codes import Exit
from guestwake.edges.live import Live
from guestwake.edges.parser import UsageError
from guestwake.edges.text import printable, say, say_json
from guestwake.resident import installation
from guestwake.schedulers.api import Done


class Installs(Protocol):
    def install(self, *, linger: bool) -> Done: ...
    def remove(self) -> Done: ...


def run(arguments: Namespace, application: Application) -> Exit:
    """Raises OSError, PathsError, SchedulerError, UsageError."""
    root = logging.getLogger("guestwake")
    root.setLevel((arguments.log_level or "warning").upper())
    root.addHandler(Live())
    os.umask(0o022)  # units and actions are for all to read
    units = _installation(application)
    if arguments.command == "service remove":
        told = units.remove()
        _leave(application)
    else:
        if arguments.linger and application.paths.user is None:
            raise UsageError("--linger is for ordinary users: the host's service always runs.")
        told = units.install(linger=arguments.linger)
    if arguments.json:
        say_json(asdict(told))
        return Exit.DONE
    for line in told.done:
        say(f"- {printable(line)}")
    for line in told.next:
        say(printable(line))
    return Exit.DONE


def _leave(application: Application) -> None:
    """What is awake and has no manager is put back."""
    if sys.platform == "win32":
        from guestwake.edges.leave import leave

        leave(application, stops_others=False)
        return
    # As the service's user, which this process cannot become and come back from.
    subprocess.run(
        [sys.executable, "-I", "-m", "guestwake.edges.leave", "--only-left"], check=False
    )


def _installation(application: Application) -> Installs:
    if sys.platform == "win32":
        from guestwake.edges.windows_service import WindowsInstallation

        return WindowsInstallation(application)
    return installation(application)
