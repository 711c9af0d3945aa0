"""Other software asks for a restart, through a FIFO that anybody may write to."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from guest_scene import BOOT, Guest

from guestwake_guest.esd_signal import fifo, state
from guestwake_guest.esd_signal.fifo import Fifo, NoSignal, give, handed_over

NOBODY = 65534


@pytest.fixture
def end(guest: Guest) -> Iterator[int]:
    """As the socket unit makes it: mode 0622, both ends held open."""
    path = guest.path(fifo.PATH)
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    path.chmod(0o622)
    held = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    yield held
    os.close(held)


@pytest.fixture
def heard(guest: Guest, end: int) -> Fifo:
    return Fifo(guest.system, end)


def shell(
    guest: Guest, script: str, *, user: int | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", script, "sh", guest.path(fifo.PATH)],
        capture_output=True,
        text=True,
        timeout=10,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )


def flood(heard: Fifo) -> None:
    """Until no more goes in."""
    with suppress(BlockingIOError):
        while True:
            os.write(heard.end, b"x" * 4096)


def said(guest: Guest) -> str | None:
    signal = state.read(guest.system)
    return signal.text if signal else None


def test_a_line_of_shell_is_enough(guest: Guest, heard: Fifo) -> None:
    shell(guest, 'echo "openssl was replaced" >"$1"')
    assert heard.is_readable()
    assert heard.take()
    assert state.read(guest.system) == state.Signal(guest.elapsed, "openssl was replaced")
    assert not heard.is_readable()


def test_the_command_gives_it(guest: Guest, heard: Fifo) -> None:
    give(guest.system, "because\nof \x1b[31mthis")
    assert heard.take()
    assert said(guest) == "because?of ?[31mthis"


def test_without_a_reason(guest: Guest, heard: Fifo) -> None:
    give(guest.system, "")
    assert heard.take()
    assert said(guest) == ""


def test_the_first_reason_of_a_boot_stays(guest: Guest, heard: Fifo) -> None:
    for reason in ("", "the first", "the second"):
        give(guest.system, reason)
        heard.take()
        guest.passes(5)
    signal = state.read(guest.system)
    assert signal == state.Signal(1000.0, "the first")


def test_what_nobody_can_read_is_cut_and_cleaned(guest: Guest, heard: Fifo) -> None:
    os.write(heard.end, b"\xff\0<b>" + b"x" * 5000 + b"\n")
    heard.take()
    text = said(guest)
    assert text is not None
    assert len(text) == 200
    assert text.isprintable()


def test_a_signal_is_recorded_before_it_is_taken(
    guest: Guest, heard: Fifo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service dies in between: the state is there, or the FIFO can be read again."""
    give(guest.system, "do not lose me")

    def dies(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(Fifo, "_drained", dies)
    with pytest.raises(SystemExit):
        heard.take()
    assert said(guest) == ""
    monkeypatch.undo()
    assert heard.is_readable()
    heard.take()
    assert said(guest) == "do not lose me"


def test_a_signal_that_cannot_be_recorded_is_not_taken(guest: Guest, heard: Fifo) -> None:
    give(guest.system, "wait for me")
    guest.path("/run/guestwake/restart-signal.new").mkdir()
    assert not heard.take()
    assert heard.is_readable()


def test_a_signal_outlives_the_service_and_not_the_boot(guest: Guest, heard: Fifo) -> None:
    give(guest.system, "restart me")
    heard.take()
    assert said(Guest(guest.root)) == "restart me"
    guest.write("/proc/sys/kernel/random/boot_id", "another\n")
    assert said(guest) is None
    give(guest.system, "again")
    assert heard.take()
    assert said(guest) == "again"


def test_only_root_reads_what_is_recorded(guest: Guest, heard: Fifo) -> None:
    give(guest.system, "")
    heard.take()
    assert stat.S_IMODE(guest.path("/run/guestwake/restart-signal").stat().st_mode) == 0o600


def test_a_flood_costs_one_read_a_second(guest: Guest, heard: Fifo) -> None:
    flood(heard)
    assert heard.take()
    assert heard.paused_until == guest.elapsed + fifo.PAUSE
    assert not heard.is_readable()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_anybody_may_write_and_nobody_may_read(guest: Guest, heard: Fifo, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:3]):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o011)
    guest.path("/run").chmod(0o755)
    guest.path("/run/guestwake").chmod(0o755)
    assert shell(guest, 'echo from nobody >"$1"', user=NOBODY).returncode == 0
    assert shell(guest, 'timeout 5 cat "$1"', user=NOBODY).returncode == 1
    assert heard.take()
    assert said(guest) == "from nobody"


# --- for whoever writes ---


def test_no_fifo_is_an_error_with_a_sentence(guest: Guest) -> None:
    with pytest.raises(NoSignal, match=r"is guestwake-guest\.socket started\?"):
        give(guest.system, "")


def test_nobody_reads(guest: Guest) -> None:
    path = guest.path(fifo.PATH)
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    with pytest.raises(NoSignal, match=os.strerror(errno.ENXIO)):
        give(guest.system, "")


def test_a_file_in_its_place_is_not_written_to(guest: Guest) -> None:
    file = guest.write(fifo.PATH, "")
    with pytest.raises(NoSignal, match="is no FIFO"):
        give(guest.system, "")
    assert file.read_text() == ""


def test_a_link_in_its_place_is_not_followed(guest: Guest) -> None:
    path = guest.path(fifo.PATH)
    path.parent.mkdir(parents=True)
    path.symlink_to(guest.write("/etc/passwd"))
    with pytest.raises(NoSignal):
        give(guest.system, "")


def test_a_full_fifo_is_signal_enough(guest: Guest, heard: Fifo) -> None:
    flood(heard)
    give(guest.system, "one more")


# --- how systemd hands it over ---

TAKES_IT = """
import os, sys
sys.path.insert(0, sys.argv[1])
from guestwake_guest.esd_signal.fifo import handed_over
os.dup2(int(sys.argv[2]), 3)
print(handed_over({"LISTEN_PID": sys.argv[3] or str(os.getpid()), "LISTEN_FDS": "1"}))
"""


@pytest.mark.parametrize(("process", "end_is"), [("", "3"), ("1", "None")])
def test_systemd_hands_the_reading_end_over(end: int, process: str, end_is: str) -> None:
    src = Path(state.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", TAKES_IT, str(src), str(end), process],
        pass_fds=[end],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == end_is


@pytest.mark.parametrize("count", ["0", "nonsense", ""])
def test_nothing_is_handed_over(count: str) -> None:
    assert handed_over({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count}) is None
    assert handed_over({}) is None


def test_the_boot_is_part_of_the_state(guest: Guest) -> None:
    guest.path("/run/guestwake").mkdir(parents=True)
    state.write(guest.system, state.Signal(1.0, "x"))
    assert BOOT in guest.path("/run/guestwake/restart-signal").read_text()
