"""The two clocks, a wait that is hurried, and a lock that dies with its holder."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from guestwake.clock_windows import WindowsClock
from guestwake.locks import AlreadyRunning, held, holder_of, is_held
from guestwake_wire.windows_boot import of_volatile_key

HOLD = """\
import sys, time
from pathlib import Path
from guestwake.locks import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_both_clocks_go_on() -> None:
    clock = WindowsClock()
    before = clock.now()
    time.sleep(0.2)
    after = clock.now()
    assert after.elapsed > before.elapsed > 0
    assert abs((after.wall - datetime.now(UTC)).total_seconds()) < 60
    assert after.asleep >= 0


def test_the_boot_is_the_same_for_every_process() -> None:
    ask = "from guestwake.clock_windows import WindowsClock as C; print(C().now().boot_id)"
    other = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == WindowsClock().now().boot_id


def test_a_boot_without_a_number_has_a_value_that_ends_with_it() -> None:
    first = of_volatile_key(r"SOFTWARE\Guestwake\Boot")
    assert len(first) == 36
    assert of_volatile_key(r"SOFTWARE\Guestwake\Boot") == first


def test_a_wait_is_hurried_from_another_thread_and_beforehand() -> None:
    clock = WindowsClock()
    clock.hurry()
    clock.wait(600)
    threading.Timer(0.1, clock.hurry).start()
    clock.wait(600)
    clock.wait(0.01)


def test_a_signal_ends_a_wait() -> None:
    clock, heard = WindowsClock(), []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append("SIGINT"))
    try:
        threading.Timer(0.1, lambda: signal.raise_signal(signal.SIGINT)).start()
        clock.wait(600)
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == ["SIGINT"]


def test_a_lock_is_held_once(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "vm.lock"
    assert not is_held(path)
    with held(path):
        with pytest.raises(AlreadyRunning), held(path):
            pass
        assert is_held(path)
    assert not is_held(path)
    assert holder_of(path) is None
    with held(path):
        pass


def test_a_lock_of_another_process_names_it_and_ends_with_it(tmp_path: Path) -> None:
    path = tmp_path / "vm.lock"
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert holder_of(path) == other.pid
        with pytest.raises(AlreadyRunning, match=str(other.pid)), held(path):
            pass
    finally:
        other.kill()
        other.wait(60)
    assert not is_held(path)
    with held(path):
        pass
