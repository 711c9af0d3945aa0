"""Where no systemd runs: managers as children of the resident service.

As a unit of systemd's would, one that fails is started anew after a while, and one that runs is
left alone. They outlive the service: whoever has been woken is put back all the same.
"""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Callable, Sequence
from threading import Lock, Thread

from guestwake.schedulers.api import SchedulerError

log = logging.getLogger(__name__)

AGAIN_AFTER = 30.0  # seconds


class Children:
    def __init__(self, command: Sequence[str], is_failure: Callable[[int], bool]) -> None:
        """`command`: a workspace's UUID follows it. `is_failure`: of an exit code, whether it is
        worth another try."""
        self._command = tuple(command)
        self._is_failure = is_failure
        self._lock = Lock()
        self._running: set[str] = set()
        self._again: set[str] = set()  # asked for while one runs, which may be past its last look

    def start_run(self, workspace: str) -> None:
        with self._lock:
            if workspace in self._running:
                self._again.add(workspace)
                return
            self._running.add(workspace)
        child = self._started(workspace)
        Thread(target=self._mind, args=(workspace, child), daemon=True).start()

    def _started(self, workspace: str) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                [*self._command, workspace], stdin=subprocess.DEVNULL, start_new_session=True
            )
        except OSError as err:
            with self._lock:
                self._running.discard(workspace)
                self._again.discard(workspace)
            raise SchedulerError(f"cannot start '{self._command[0]}': {err}") from err

    def _mind(self, workspace: str, child: subprocess.Popen[bytes]) -> None:
        while True:
            code = child.wait()
            if self._is_failure(code):
                log.warning("the manager of %s ended with %d; another follows", workspace, code)
                time.sleep(AGAIN_AFTER)
            elif not self._is_asked_again(workspace):
                return
            try:
                child = self._started(workspace)
            except SchedulerError as err:
                log.error("%s", err)
                return

    def _is_asked_again(self, workspace: str) -> bool:
        """Else it runs no more."""
        with self._lock:
            if workspace in self._again:
                self._again.discard(workspace)
                return True
            self._running.discard(workspace)
            return False
