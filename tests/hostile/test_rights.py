"""What the reader process can do once it has given up its rights: nothing that it is not for.

Each attempt is made for real, in a process of its own, against a folder and a process that the same
user might do anything to. Where libseccomp is missing the kernel's Landlock and the limits have to
do; what is left then stands in docs/security.md.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from guestwake.channels import rights

ATTEMPTS = Path(__file__).with_name("attempts.py")
NOBODY, SOMEBODY = 65534, 54321

BY_LIMITS = {
    *("read a file", "make a file", "use a network", "use a UNIX socket", "make a pipe"),
    *("fork", "start a program", "take memory", "raise a limit", "be root"),
    *("read what nobody may", "mount", "use io_uring", "have memory that is hidden"),
    *("have a thread", "take a gigabyte", "run before others", "copy a descriptor"),
}
BY_LANDLOCK = {
    *("make a folder", "rename a file", "remove a file"),
    *("ptrace a process", "ptrace its parent", "read another's memory"),
}
BY_LANDLOCK_6 = {"kill a process", "kill its parent"}
BY_FILTER = {
    *("change a file's mode", "look at a file", "make memory a program", "make a user namespace"),
    *("read what was open before", "write what was open before", "write its input"),
    *("pass on a descriptor", "type into a terminal"),
}
EVERYTHING = BY_LIMITS | BY_LANDLOCK | BY_LANDLOCK_6 | BY_FILTER


def landlock() -> int:
    libc = ctypes.CDLL(None)
    return int(libc.syscall(rights._CREATE_RULESET, None, ctypes.c_size_t(0), rights._VERSION))


def has_libseccomp() -> bool:
    try:
        rights.Filter()
    except OSError:
        return False
    return True


class Tried:
    """`begins`: the user that the process is before; `ends`: after."""

    def __init__(self, begins: int, ends: int, folder: Path) -> None:
        self._file = folder / "file"
        self._file.write_text("a secret")
        cat = shutil.which("cat")
        assert cat is not None
        as_root = os.geteuid() == 0
        self._target = subprocess.Popen(
            [cat], stdin=subprocess.PIPE, user=ends if as_root else None
        )
        if as_root:
            os.chown(self._file, ends, ends)
        self._arguments = [str(begins), str(self._target.pid), str(folder)]

    def refused(self, layers: str) -> set[str]:
        """Names of the attempts that came to nothing."""
        came = self.outcomes(layers)
        assert set(came) == EVERYTHING
        return {name for name, outcome in came.items() if outcome != "done"}

    def outcomes(self, layers: str) -> dict[str, str]:
        done = subprocess.run(
            [sys.executable, "-B", ATTEMPTS, layers, *self._arguments],
            capture_output=True,
            timeout=60,
        )
        came: dict[str, str] = json.loads(done.stdout)
        if layers != "limits-alone":
            assert done.returncode == 0, done.stderr.decode()  # it is no other program
            assert self._file.read_text() == "a secret"
        assert self._target.poll() is None
        return came

    def close(self) -> None:
        self._target.kill()
        self._target.communicate()


@pytest.fixture(params=["root", "somebody"])
def tried(request: pytest.FixtureRequest) -> Iterator[Tried]:
    me = os.geteuid()
    if me != 0 and request.param == "root":
        pytest.skip("only root is root")
    begins = SOMEBODY if me == 0 and request.param == "somebody" else me
    # Not pytest's own folder: nobody else may look into that.
    with tempfile.TemporaryDirectory(prefix="gw-") as name:
        folder = Path(name)
        folder.chmod(0o777)
        made = Tried(begins, begins or NOBODY, folder)
        yield made
        made.close()


def test_it_can_do_nothing(tried: Tried) -> None:
    if not has_libseccomp():
        pytest.skip("libseccomp is not installed here")
    assert tried.refused("all") == EVERYTHING


def test_no_system_call_is_left_but_those_that_it_needs(tried: Tried) -> None:
    """Those of a newer kernel as well: what the filter does not know it refuses."""
    if not has_libseccomp():
        pytest.skip("libseccomp is not installed here")
    came = tried.outcomes("every-call")
    assert len(came) > 250
    assert {"openat", "clone3", "execve", "io_uring_setup", "kill", "sendmsg"} <= set(came)
    assert set(came.values()) == {"EPERM"}


def test_without_libseccomp_files_and_processes_are_out_of_reach(tried: Tried) -> None:
    if landlock() < 1:
        pytest.skip("this kernel has no Landlock")
    by_landlock = BY_LANDLOCK | (BY_LANDLOCK_6 if landlock() >= 6 else set())
    assert tried.refused("no-filter") >= BY_LIMITS | by_landlock


def test_on_an_old_kernel_too_nothing_new_can_be_opened_or_started(tried: Tried) -> None:
    assert tried.refused("limits-alone") >= BY_LIMITS


def test_where_a_limit_cannot_be_set_nothing_is_parsed() -> None:
    """In a process of its own, as what is given up is gone."""
    program = (
        "import resource\n"
        "from guestwake.channels import reader\n"
        "def refuse(*_): raise OSError('no')\n"
        "resource.setrlimit = refuse\n"
        "reader.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=bytes(8), capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, b"")


GIVES_UP = """
import os
from guestwake.channels.rights import give_up_rights
give_up_rights(64 * 1024 * 1024)
os.write(1, os.read(0, 65536))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hand out a capability")
def test_what_a_unit_has_handed_out_is_given_up() -> None:
    """The service may read what is closed to others; its reader may not."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("no setpriv here (Debian's package util-linux)")
    may_read = "+dac_read_search"
    user = [f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups"]
    hands_out = [setpriv, *user, f"--inh-caps={may_read}", f"--ambient-caps={may_read}"]
    # The process's own status as its input: it is written when it is read.
    reads_itself = ["sh", "-c", 'exec "$0" -c "$1" </proc/self/status', sys.executable]
    before = "import os; os.write(1, os.read(0, 65536))"
    for program, expected in ((before, 1 << 2), (GIVES_UP, 0)):
        done = subprocess.run(
            [*hands_out, *reads_itself, program], capture_output=True, text=True, timeout=60
        )
        status = dict(line.split(":\t", 1) for line in done.stdout.splitlines())
        held = {name: int(status[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")}
        assert set(held.values()) == {expected}, done.stderr
