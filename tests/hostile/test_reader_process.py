"""The real reader process among hostile guests, and whoever asks it with a hostile one."""

from __future__ import annotations

import os
import select
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_reader import BAD_ANSWERS, DEATHS

from guestwake.channels import reading
from guestwake.channels.api import CHUNK_BYTES_MAX, ReaderFailed
from guestwake.channels.parser import InProcess
from guestwake.channels.reader import MEMORY_MAX, STREAMS_MAX
from guestwake.channels.reading import ReaderProcess
from guestwake_wire.framing import FRAME_BYTES_MAX
from guestwake_wire.messages import Hello, Report, encode

HONEST = Report(1, 1795575600, "boot", "agent", "os", "kernel", busy=True)
STREAM_BYTES_MAX = 8192  # what one stream may cost the reader, whatever comes on it


@pytest.fixture
def reader() -> Iterator[ReaderProcess]:
    made = ReaderProcess()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """But where silence is what the test is about: the machine may be busy."""
    monkeypatch.setattr(reading, "ANSWER_SECONDS", 20.0)


def pid_of(reader: ReaderProcess) -> int:
    assert reader._process is not None
    return reader._process.pid


def status(reader: ReaderProcess) -> dict[str, str]:
    lines = Path(f"/proc/{pid_of(reader)}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def resident(reader: ReaderProcess) -> int:
    return int(status(reader)["VmRSS"].split()[0]) * 1024


def spent(reader: ReaderProcess) -> float:
    """Seconds of a processor."""
    fields = Path(f"/proc/{pid_of(reader)}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def frames(text: bytes) -> bytes:
    """As many as go into one chunk."""
    one = b"\x1e" + text[: FRAME_BYTES_MAX - 2] + b"\n"
    return one * (CHUNK_BYTES_MAX // len(one))


def colliding_keys() -> bytes:
    """Keys that fell together where hashes were predictable, and many of them."""
    keys = (f'"{number * (2**61 - 1) % 10**9}":0' for number in range(400))
    return ("{" + ",".join(keys))[: FRAME_BYTES_MAX - 3].rpartition(",")[0].encode() + b"}"


ATTACKS = {
    "an endless line": b"x" * CHUNK_BYTES_MAX,
    "an endless frame": b"\x1e" + b"x" * (CHUNK_BYTES_MAX - 1),
    "nothing but RS": b"\x1e" * CHUNK_BYTES_MAX,
    "nothing but LF": b"\n" * CHUNK_BYTES_MAX,
    "RS and LF": b"\x1e\n" * (CHUNK_BYTES_MAX // 2),
    "many small messages": frames(b"{}"),
    "many hellos": frames(encode(Hello((1,), ""))[1:-1]),
    "deep lists": frames(b"[" * 4094),
    "deep objects": frames(b'{"a":' * 818),
    "unfinished strings": frames(b'"' + b'\\"' * 2046),
    "escapes": frames(b'{"type":"' + b"\\u0041" * 670 + b'"}'),
    "keys that collide": frames(colliding_keys()),
    "huge numbers": frames(b'{"type":' + b"9" * 4000 + b"}"),
    "many numbers": frames(b'{"type":[' + b"1," * 2030 + b"1]}"),
    "half a frame each time": b'\x1e{"type":"report","number":1',
    "every byte there is": bytes(range(256)) * (CHUNK_BYTES_MAX // 256),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_while_one_stream_floods_another_is_answered(attack: str, reader: ReaderProcess) -> None:
    """I9: one hostile guest delays no other by more than a second."""
    reader.parse(0, b"\n")  # the process is up
    first, worst, late, honest = pid_of(reader), 0.0, 0.0, encode(HONEST)
    for _ in range(5):
        before, asked = spent(reader), time.monotonic()
        reader.parse(1, ATTACKS[attack])
        assert reader.parse(2, honest).report == HONEST
        worst = max(worst, spent(reader) - before)
        late = max(late, time.monotonic() - asked)
    assert pid_of(reader) == first
    assert worst < 1.0
    print(f"\nworst delay by {attack}: {late * 1000:.1f} ms")


def test_an_attack_is_bytes_that_make_no_report(reader: ReaderProcess) -> None:
    for number, data in enumerate(ATTACKS.values()):
        heard = reader.parse(number, data)
        assert heard.report is None
        assert heard == InProcess().parse(number, data)


def test_thousands_of_streams_cost_a_fixed_amount_each(reader: ReaderProcess) -> None:
    streams = STREAMS_MAX - 1
    reader.parse(0, b"\n")
    before = resident(reader)
    half = b"\x1e" + b"x" * (FRAME_BYTES_MAX - 2)
    for stream in range(1, streams + 1):
        reader.parse(stream, half)
    each = (resident(reader) - before) / streams
    assert each < STREAM_BYTES_MAX
    assert int(status(reader)["VmSize"].split()[0]) * 1024 < MEMORY_MAX
    assert reader.parse(0, encode(HONEST)).report == HONEST
    print(f"\n{streams} streams of half a frame: {each:.0f} bytes each")


def test_a_stream_that_has_closed_costs_nothing(reader: ReaderProcess) -> None:
    half = b"\x1e" + b"x" * (FRAME_BYTES_MAX - 2)
    for stream in range(STREAMS_MAX + 10):
        reader.parse(stream, half)
        reader.forget(stream)
    assert reader.parse(0, b"\n" + encode(HONEST)).junk == 1  # no half frame was kept


def test_a_long_flood_costs_no_memory(reader: ReaderProcess) -> None:
    for data in ATTACKS.values():
        reader.parse(1, data)
    before = resident(reader)
    for _ in range(5):
        for data in ATTACKS.values():
            reader.parse(1, data)
    assert resident(reader) - before < 1 << 20


def test_the_process_has_no_rights(reader: ReaderProcess) -> None:
    reader.parse(0, b"\n")
    now = status(reader)
    assert now["NoNewPrivs"] == "1"
    assert int(now["CapEff"], 16) == int(now["CapPrm"], 16) == 0
    assert "0" not in now["Uid"].split()
    limits = Path(f"/proc/{pid_of(reader)}/limits").read_text()
    assert "Max open files            0                    0" in limits


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into it")
def test_it_has_two_pipes_and_nothing_else(
    reader: ReaderProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No socket, over which it could be given more, and nothing of the manager's: no secret of its
    environment, no file that it has open."""
    monkeypatch.setenv("SECRET", "hunter2")
    held_open = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(held_open, True)
    try:
        reader.parse(0, b"\n")
    finally:
        os.close(held_open)
    process = Path(f"/proc/{pid_of(reader)}")
    kinds = {one.name: one.stat() for one in (process / "fd").iterdir()}
    assert sorted(kinds) == ["0", "1", "2"]
    assert all(stat.S_ISFIFO(kinds[name].st_mode) for name in "01")
    assert os.readlink(process / "fd/2") == os.devnull
    assert (process / "environ").read_bytes() == b""


# -- it dies


def test_killed_in_the_middle_it_is_replaced(reader: ReaderProcess) -> None:
    reader.parse(1, encode(HONEST)[:30])
    first = pid_of(reader)
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert reader.parse(2, encode(HONEST)).report == HONEST
    assert pid_of(reader) != first
    assert reader.parse(1, encode(HONEST)[30:] + encode(HONEST)).report == HONEST


def test_stopped_in_the_middle_it_is_ended_and_replaced(
    reader: ReaderProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "ANSWER_SECONDS", 0.2)
    reader.parse(1, encode(HONEST))
    first = pid_of(reader)
    os.kill(first, signal.SIGSTOP)
    with pytest.raises(ReaderFailed, match="in time"):
        reader.parse(1, b"x" * CHUNK_BYTES_MAX)
    assert not Path(f"/proc/{first}").exists()
    assert reader.parse(1, encode(HONEST)).report == HONEST


def test_a_stream_that_cannot_be_forgotten_takes_the_process_with_it(
    reader: ReaderProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "ANSWER_SECONDS", 0.2)
    reader.parse(1, b"\x1ehalf")
    first = pid_of(reader)
    os.kill(first, signal.SIGSTOP)
    for stream in range(20_000):  # until the pipe is full
        reader.forget(stream)
        if reader._process is None:
            break
    assert not Path(f"/proc/{first}").exists()
    reader.forget(1)  # there is nobody to be told
    assert reader.parse(1, b"\n").junk == 1


def test_a_stream_too_many_ends_it(reader: ReaderProcess) -> None:
    for stream in range(STREAMS_MAX):
        reader.parse(stream, b"\x1e")
    with pytest.raises(ReaderFailed):
        reader.parse(STREAMS_MAX, b"\x1e")
    assert reader.parse(STREAMS_MAX, encode(HONEST)).report == HONEST


def test_one_that_cannot_be_started_is_tried_again(
    reader: ReaderProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host's Python may be upgraded while the manager waits."""
    with monkeypatch.context() as gone:
        gone.setattr(reading, "_COMMAND", ("/nonexistent/python3",))
        for _ in range(2):
            with pytest.raises(ReaderFailed, match="No such file"):
                reader.parse(1, encode(HONEST))
    assert reader.parse(1, encode(HONEST)).report == HONEST


def test_it_ends_with_who_asked(reader: ReaderProcess) -> None:
    reader.parse(1, b"x")
    process = reader._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(20) == 0


# -- it lies


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ReaderProcess]]:
    made: list[ReaderProcess] = []

    def one(how: str) -> ReaderProcess:
        command = (sys.executable, "-B", str(Path(__file__).with_name("fake_reader.py")), how)
        monkeypatch.setattr(reading, "_COMMAND", command)
        made.append(ReaderProcess())
        return made[-1]

    yield one
    for reader in made:
        reader.close()


def test_a_fake_that_answers_well_is_believed(fake: Callable[[str], ReaderProcess]) -> None:
    heard = fake("well").parse(1, b"x")
    assert heard.hello == Hello((1,), "fake")
    assert heard.report == Report(1, 0, "b", "", "", "", busy=None)


@pytest.mark.parametrize("how", [*BAD_ANSWERS, *DEATHS])
def test_one_that_answers_badly_is_ended(how: str, fake: Callable[[str], ReaderProcess]) -> None:
    reader = fake(how)
    with pytest.raises(ReaderFailed) as caught:
        reader.parse(1, b"x")
    assert reader._process is None
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("how", ["answers before it is asked", "answers without end"])
def test_an_answer_that_nobody_asked_for_ends_it(
    how: str, fake: Callable[[str], ReaderProcess]
) -> None:
    """It would be taken for that to the next question, and each after it for another's."""
    reader = fake(how)
    reader._alive()
    process = reader._process
    assert process is not None
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], 20)[0]
    with pytest.raises(ReaderFailed, match="was not asked"):
        reader.parse(1, b"x")
    assert reader._process is None


@pytest.mark.parametrize("how", ["answers twice", "closes its ends", "stops itself"])
def test_after_a_good_answer_it_fails_once_and_is_replaced(
    how: str, fake: Callable[[str], ReaderProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "ANSWER_SECONDS", 0.4)
    reader = fake(how)
    assert reader.parse(1, b"x").report is not None
    process = reader._process
    assert process is not None
    assert process.stdout is not None
    if how != "stops itself":
        assert select.select([process.stdout], [], [], 20)[0]
    with pytest.raises(ReaderFailed):
        reader.parse(2, b"x")
    assert process.returncode is not None
    assert reader.parse(2, b"x").report is not None


@pytest.mark.parametrize(
    "how",
    [
        *("says nothing", "half an answer", "too slow, byte by byte"),
        *("reads nothing", "computes for ever"),
    ],
)
def test_one_that_answers_late_is_ended(
    how: str, fake: Callable[[str], ReaderProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = fake(how)
    reader._alive()
    reader._patience = 0.4
    with pytest.raises(ReaderFailed):
        reader.parse(1, b"x")
    assert reader._process is None
