"""A lock that dies with its holder, and that others can ask about without taking it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from guestwake.locks import AlreadyRunning, held, is_held

HOLDER = """
import sys, time
from pathlib import Path
from guestwake.locks import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_it_is_held_once(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "vm.lock"
    assert not is_held(lock)
    with held(lock):
        assert is_held(lock)
        with pytest.raises(AlreadyRunning), held(lock):
            pass
        assert is_held(lock), "to ask or to be refused must not let go of it"
    assert not is_held(lock)
    with held(lock):
        assert is_held(lock)


def test_an_error_lets_go_of_it(tmp_path: Path) -> None:
    lock = tmp_path / "vm.lock"
    with pytest.raises(KeyboardInterrupt), held(lock):
        raise KeyboardInterrupt
    assert not is_held(lock)


def test_another_process_holds_it_until_it_is_killed(tmp_path: Path) -> None:
    lock = tmp_path / "vm.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            assert is_held(lock)
            with pytest.raises(AlreadyRunning, match="process") as refused, held(lock):
                pass
            assert refused.value.holder == holder.pid
        finally:
            holder.kill()
    assert not is_held(lock)
    with held(lock):
        assert is_held(lock)


def test_who_let_go_is_named_no_more(tmp_path: Path) -> None:
    """The next holder has the lock a moment before its name is in the file."""
    path = tmp_path / "lock"
    with held(path):
        assert path.read_text().strip() == str(os.getpid())
    assert path.read_text() == ""
