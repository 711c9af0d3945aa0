"""Root becomes the service's user where the service's state is, and nowhere else."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from guestwake.edges.as_service import as_service
from guestwake.paths import Paths

UID = os.geteuid() or 12345
ACCOUNT = pwd.struct_passwd(("guestwake", "x", UID, UID, "", "/var/lib/guestwake", "/bin/false"))


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[pwd.struct_passwd]:
    monkeypatch.setattr(pwd, "getpwnam", lambda name: {"guestwake": ACCOUNT}[name])
    return []


def roots(state: Path, uid: int = UID) -> Paths:
    """As they are for root; the state folder is that of `uid`."""
    state.mkdir()
    if os.geteuid() == 0:
        os.chown(state, uid, uid)
    return replace(Paths.system(), state=state)


def test_root_becomes_it(became: list[pwd.struct_passwd], tmp_path: Path) -> None:
    paths = roots(tmp_path / "state")
    assert as_service(paths, became.append) == replace(paths, euid=UID)
    assert became == [ACCOUNT]


def test_the_service_itself_is_it(became: list[pwd.struct_passwd], tmp_path: Path) -> None:
    paths = replace(roots(tmp_path / "state"), euid=UID)
    assert as_service(paths, became.append) is paths
    assert became == []


def test_below_a_folder_of_its_own_everybody_stays_who_they_are(
    became: list[pwd.struct_passwd], tmp_path: Path
) -> None:
    paths = replace(Paths.under(tmp_path, 0), state=roots(tmp_path / "state").state)
    assert as_service(paths, became.append) is paths
    assert became == []


def test_without_a_service_root_stays_root(
    became: list[pwd.struct_passwd], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing_yet = replace(Paths.system(), state=tmp_path / "nothing")
    assert as_service(nothing_yet, became.append) is nothing_yet
    if os.geteuid() == 0:
        roots_own = roots(tmp_path / "root's", uid=0)
        assert as_service(roots_own, became.append) is roots_own
    paths = roots(tmp_path / "state")
    monkeypatch.setattr(pwd, "getpwnam", {}.__getitem__)
    assert as_service(paths, became.append) is paths
    assert became == []


BECOMES = """
import os, pwd
from guestwake.edges.as_service import become
nobody = pwd.getpwnam("nobody")
become(nobody)
assert os.getresuid() == (nobody.pw_uid,) * 3
assert os.getresgid() == (nobody.pw_gid,) * 3
assert os.environ["HOME"] == nobody.pw_dir and "XDG_STATE_HOME" not in os.environ
status = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines())
assert int(status["CapEff"], 16) in (4, 0), status
assert int(status["CapPrm"], 16) in (4, 0), status
assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0, status
try:
    os.setuid(0)
except PermissionError:
    print("for good")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_what_root_was_is_given_up_for_good() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BECOMES],
        capture_output=True,
        text=True,
        env={"HOME": "/root", "XDG_STATE_HOME": "/root/state"},
        timeout=60,
    )
    assert (done.stdout, done.returncode) == ("for good\n", 0), done.stderr
