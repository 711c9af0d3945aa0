"""`guestwake`: where the process begins."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from guestwake.edges import users_session
from guestwake.paths import own_id

if TYPE_CHECKING:
    from guestwake.application import Application
    from guestwake.paths import Paths


def main(
    argv: Sequence[str] | None = None, *, build: Callable[[Paths], Application] | None = None
) -> int:
    """The command, and its exit code. `argv` without the program's name; None: this process's
    own. `build` makes the application; given by tests alone."""
    if argv is not None:
        from guestwake.edges.call import call

        return call(list(argv), build)
    os.umask(os.umask(0o022) | 0o022)  # nobody else may write what we make
    users_session.join(os.environ, own_id())
    gc.disable()  # a report is over before there is anything to collect; `wake` enables it
    try:
        from guestwake.edges.call import call

        return call(sys.argv[1:])
    finally:
        gc.freeze()  # or Python looks through all that was imported once more at the end


if __name__ == "__main__":
    sys.exit(main())
