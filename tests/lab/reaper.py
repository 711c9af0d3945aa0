"""Runs a command and is parent to what it leaves behind: `python reaper.py COMMAND...`

libvirt puts its VMs into the background and takes one for alive until its parent has asked how it
ended. That parent is process 1, which on some machines (containers, sandboxes) asks only every
few seconds: each save and each power-off would take that long. Ends when the last of them has.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

PR_SET_CHILD_SUBREAPER = 36


def main(command: list[str]) -> int:
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "cannot become the parent of orphans")
    child = subprocess.Popen(command)
    code = 0
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            return code
        if pid == child.pid:
            code = os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
