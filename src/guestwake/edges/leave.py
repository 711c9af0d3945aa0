"""What a package calls before its files are removed: `python3 -m guestwake.edges.leave`.

Units are stopped by then. What is left are runs in somebody's terminal, and those whose manager has
died: what they woke is put back. Workspaces, settings and history stay. With `--only-left`, as
`guestwake service remove` calls it, a run in somebody's terminal goes on: its program stays.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import suppress

from guestwake.application import Application
from guestwake.edges.as_service import as_service
from guestwake.edges.exit_codes import Exit
from guestwake.edges.text import complain
from guestwake.hypervisors.api import HypervisorError
from guestwake.journal_file import JournalError
from guestwake.locks import AlreadyRunning
from guestwake.paths import Paths
from guestwake.workspaces import Workspace

_LOOKS = 15 * 60  # as many seconds as a unit has to put back
_LOOK_AGAIN = 1.0  # seconds


def main() -> int:
    logging.basicConfig(format="guestwake: %(message)s", level=logging.INFO, stream=sys.stderr)
    try:
        application = Application(as_service(Paths.here(None, os.environ, os.geteuid())))
        return leave(application, stops_others="--only-left" not in sys.argv[1:])
    except OSError as err:
        complain(str(err))
        return Exit.NOT_PUT_BACK


def leave(application: Application, *, stops_others: bool = True) -> Exit:
    """`Exit.NOT_PUT_BACK`: something stays awake, and it was said what and why."""
    known, damaged = application.workspaces.readable()
    for problem in damaged:
        complain(str(problem))
    left = [_left(application, each, stops_others=stops_others) for each in known]
    return Exit.DONE if all(left) and not damaged else Exit.NOT_PUT_BACK


def _left(application: Application, workspace: Workspace, *, stops_others: bool) -> bool:
    """Whether nothing of it is awake any more that we woke."""
    for _ in range(_LOOKS):
        try:
            ended = application.put_back(workspace)
        except AlreadyRunning as err:  # somebody's own process: it puts back as well
            if not stops_others:
                return True
            if err.holder is not None:
                with suppress(OSError):  # it may have ended since
                    os.kill(err.holder, signal.SIGTERM)
        except (HypervisorError, JournalError) as err:
            complain(f"'{workspace.name}' cannot be put back: {err}")
            return False
        else:
            if ended is None or ended.over:
                return True
            complain(f"'{workspace.name}' stays awake: {ended.why}")
            return False
        application.clock.wait(0)  # `put_back` has hurried the next wait
        application.clock.wait(_LOOK_AGAIN)
    complain(f"'{workspace.name}' is not put back: its run goes on")
    return False


if __name__ == "__main__":
    sys.exit(main())
