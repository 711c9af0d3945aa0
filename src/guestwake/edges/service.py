"""`guestwake service`: what was done, and what there is to know or do next, as text or JSON."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from argparse import Namespace
from dataclasses import asdict

from guestwake.application import Application
from guestwake.edges.exit_codes import Exit
from guestwake.edges.live import Live
from guestwake.edges.parser import UsageError
from guestwake.edges.text import printable, say, say_json
from guestwake.resident import installation


def run(arguments: Namespace, application: Application) -> Exit:
    """Raises OSError, PathsError, SchedulerError, UsageError."""
    root = logging.getLogger("guestwake")
    root.setLevel((arguments.log_level or "warning").upper())
    root.addHandler(Live())
    os.umask(0o022)  # units and actions are for all to read
    units = installation(application)
    if arguments.command == "service remove":
        told = units.remove()
        # As the service's user, which this process cannot become and come back from.
        subprocess.run(
            [sys.executable, "-I", "-m", "guestwake.edges.leave", "--only-left"], check=False
        )
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
