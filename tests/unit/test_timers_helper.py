"""What is root: it does three things for two users, and nothing else whatever comes in."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from errands import listening

from guestwake import errand
from guestwake.errand import REQUEST_BYTES_MAX
from guestwake.policy.words import Timer
from guestwake.schedulers.api import SchedulerError
from guestwake.schedulers.systemd_deeds import Deeds
from guestwake.schedulers.systemd_units import UnitFolders
from guestwake.schedulers.timers_client import AskedDeeds
from guestwake.schedulers.timers_helper import INSTANTS_MAX, answered

UUID = "6a1f3c52-9d1e-4a53-8a55-0c7f2a9b1d10"
TIMER = Timer(UUID, (datetime(2026, 11, 25, 23, tzinfo=UTC),), wakes_host=True)
INSTANT = int(TIMER.instants[0].timestamp())


@dataclass
class RecordingDeeds(Deeds):
    """`trouble`: what each raises; None: nothing."""

    done: list[object] = field(default_factory=list)
    trouble: str | None = None

    def __post_init__(self) -> None:
        super().__init__(UnitFolders(Path("/nowhere")), lambda *words, fails=True: "")

    def _do(self, what: object) -> None:
        if self.trouble is not None:
            raise SchedulerError(self.trouble)
        self.done.append(what)

    def write(self, timer: Timer) -> None:
        self._do(timer)

    def remove(self, workspace: str) -> None:
        self._do(("remove", workspace))

    def start(self, workspace: str) -> None:
        self._do(("start", workspace))


@pytest.fixture
def deeds(monkeypatch: pytest.MonkeyPatch) -> RecordingDeeds:
    monkeypatch.setattr(errand, "service_uid", os.geteuid)
    monkeypatch.setattr(errand, "PATIENCE", 20.0)
    return RecordingDeeds()


def said_to(deeds: Deeds, sent: bytes, *, ends: bool = True) -> dict[str, str]:
    """Its answer. `ends`: whether who asks has no more to say."""
    asker, helper = socket.socketpair()
    with asker, helper:
        sender = threading.Thread(target=_send, args=(asker, sent, ends))
        sender.start()
        answer = answered(helper, deeds)
        helper.close()
        sender.join()
        return answer


def _send(asker: socket.socket, sent: bytes, ends: object) -> None:
    try:
        asker.sendall(sent)
        if ends:
            asker.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # it was not read to its end


def line(what: object) -> bytes:
    return json.dumps(what).encode() + b"\n"


@pytest.mark.parametrize(
    ("asked", "done"),
    [
        ({"write": UUID, "instants": [INSTANT], "wakes_host": True}, TIMER),
        ({"remove": UUID}, ("remove", UUID)),
        ({"start": UUID}, ("start", UUID)),
    ],
)
def test_it_does_three_things(deeds: RecordingDeeds, asked: object, done: object) -> None:
    assert said_to(deeds, line(asked), ends=False) == {"done": "yes"}
    assert deeds.done == [done]


def test_what_could_not_be_done_is_said(deeds: RecordingDeeds) -> None:
    deeds.trouble = "the disk is full"
    assert said_to(deeds, line({"remove": UUID})) == {"failed": "the disk is full"}


WRITE: dict[str, Any] = {"write": UUID, "instants": [INSTANT], "wakes_host": False}
PATHS = (
    "..",
    "../../../etc/passwd",
    "/etc/passwd",
    f"../{UUID}",
    f"{UUID}/..",
    f"{UUID}\n",
    f"{UUID}\0",
    f" {UUID}",
    UUID.upper(),
    f"{{{UUID}}}",
    UUID.replace("-", ""),
    f"{UUID}.timer",
    "*",
    "%i",
    "",
    "６" + UUID[1:],
    "\ud800",
)


@pytest.mark.parametrize(
    "asked",
    [
        *({verb: name} for name in PATHS for verb in ("remove", "start")),
        *({**WRITE, "write": name} for name in PATHS),
        *(
            {**WRITE, "instants": instants}
            for instants in (
                [],
                [INSTANT] * (INSTANTS_MAX + 1),
                [1.5],
                [True],
                [None],
                ["daily"],
                [[INSTANT]],
                [-1],
                [253402300800],
                [10**30],
                "[]",
                {"0": INSTANT},
                None,
            )
        ),
        *({**WRITE, "wakes_host": wakes} for wakes in (0, 1, "yes", None, [])),
        {**WRITE, "unit": "[Service]\nExecStart=/bin/sh"},
        {"write": UUID},
        {"write": UUID, "instants": [INSTANT]},
        {"remove": UUID, "start": UUID},
        {"remove": [UUID]},
        {"remove": None},
        {"stop": UUID},
        {"list": True},
        {},
        [],
        [UUID],
        UUID,
        None,
        7,
    ],
)
def test_it_does_nothing_else(deeds: RecordingDeeds, asked: object) -> None:
    assert set(said_to(deeds, line(asked))) == {"refused"}
    assert deeds.done == []


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\n",
        b"\xff\xfe\n",
        b"{" * 3000 + b"\n",
        b"[" * 4000 + b"\n",
        b'{"remove": ' + b"9" * 3000 + b"}\n",
        b'{"remove": NaN}\n',
        b"{'remove': '" + UUID.encode() + b"'}\n",
        line({"remove": UUID})[:-1],  # no end of the line
        line({"remove": UUID}) * 2,
        line({"remove": UUID, "x": "x" * REQUEST_BYTES_MAX}),
        b"x" * 10_000_000,
    ],
    ids=lambda sent: f"{sent[:20]!a}, {len(sent)}",
)
def test_what_is_no_request_is_refused(deeds: RecordingDeeds, sent: bytes) -> None:
    assert set(said_to(deeds, sent)) == {"refused"}
    assert deeds.done == []


@pytest.mark.parametrize("sent", [b"", b'{"remove": "'])
def test_who_says_nothing_more_is_not_waited_for(
    deeds: RecordingDeeds, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errand, "PATIENCE", 0.2)
    assert set(said_to(deeds, sent, ends=False)) == {"refused"}


def test_another_user_is_refused_before_a_word_is_read(deeds: RecordingDeeds) -> None:
    class Stranger(socket.socket):
        def getsockopt(self, *_: Any) -> Any:
            return struct.pack("3i", 4711, 12345, 12345)

    with socket.socket(socket.AF_UNIX) as socket_of_no_use:
        stranger = Stranger(fileno=os.dup(socket_of_no_use.fileno()))
    with stranger:
        assert answered(stranger, deeds) == {"refused": "user 12345 may not ask"}
    assert deeds.done == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_is_told_by_the_kernel(deeds: RecordingDeeds) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(b"\0guestwake-test-" + str(os.getpid()).encode())
        listening.listen()
        child = os.fork()
        if child == 0:
            try:
                os.setuid(65534)
                with socket.socket(socket.AF_UNIX) as asker:
                    asker.connect(listening.getsockname())
                    asker.sendall(line({"remove": UUID}))
                    asker.recv(1)
            finally:
                os._exit(0)
        taken = listening.accept()[0]
        with taken:
            assert answered(taken, deeds) == {"refused": "user 65534 may not ask"}
        os.waitpid(child, 0)
    assert deeds.done == []


# both ends


@contextmanager
def serving(path: Path, deeds: Deeds) -> Iterator[AskedDeeds]:
    with listening(path, lambda taken: answered(taken, deeds)):
        yield AskedDeeds(path)


def test_what_is_asked_is_done(deeds: RecordingDeeds, tmp_path: Path) -> None:
    with serving(tmp_path / "socket", deeds) as asked:
        asked.write(TIMER)
        asked.remove(UUID)
        asked.start(UUID)
    assert deeds.done == [TIMER, ("remove", UUID), ("start", UUID)]


def test_who_asks_is_told_why_not(deeds: RecordingDeeds, tmp_path: Path) -> None:
    deeds.trouble = "the disk is full"
    with serving(tmp_path / "socket", deeds) as asked:
        with pytest.raises(SchedulerError, match="the disk is full"):
            asked.write(TIMER)
        with pytest.raises(SchedulerError, match="not a UUID"):
            asked.remove("..")


def test_without_it_who_asks_is_told(tmp_path: Path) -> None:
    with pytest.raises(SchedulerError, match="does not answer"):
        AskedDeeds(tmp_path / "nobody").remove(UUID)
