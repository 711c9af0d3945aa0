"""Who uses this guest, and when they last did."""

from __future__ import annotations

import os
import struct

import pytest
from guest_scene import RECORDED, Guest

from guestwake_guest.presence import Presence
from guestwake_guest.times import unix_seconds
from guestwake_wire.messages import SESSIONS_MAX, Session, SessionKind

LOGINCTL = "/usr/bin/loginctl"
SESSIONS = "/run/systemd/sessions"
BEGAN = unix_seconds("2026-11-25T03:00:00Z")
assert BEGAN is not None


@pytest.fixture
def logind(guest: Guest) -> Guest:
    """Up for 1000 s, at 03:15:00 of the day that was recorded."""
    guest.wall = BEGAN + 900.0
    guest.says(LOGINCTL, "show-session.txt")
    for name in ("1", "7", "9", "10", "c1"):
        guest.write(f"{SESSIONS}/{name}")
        guest.write(f"{SESSIONS}/{name}.ref")
    tty(guest, "tty1", BEGAN)
    tty(guest, "pts/0", BEGAN + 800)
    return guest


def tty(guest: Guest, name: str, accessed: float) -> None:
    path = guest.path(f"/dev/{name}")
    if not path.exists():
        guest.write(f"/dev/{name}")
    os.utime(path, (accessed, accessed))


def seen(guest: Guest, presence: Presence | None = None) -> dict[str, Session]:
    presence = presence or Presence()
    presence.sessions(guest.view())
    guest.hears_answers()
    return {session.user: session for session in presence.sessions(guest.view())}


def test_people_and_nobody_else(logind: Guest) -> None:
    """No greeter, no cron job."""
    assert seen(logind) == {
        "anna": Session("anna", SessionKind.TEXT, 900, -1),
        "bert": Session("bert", SessionKind.GRAPHICAL, 600, 300),
        "carl": Session("carl", SessionKind.REMOTE, 500, 100),
    }


def test_the_latest_input_comes_first(logind: Guest) -> None:
    assert list(seen(logind)) == ["carl", "bert", "anna"]


def test_nobody_is_asked_while_there_is_nobody(guest: Guest) -> None:
    guest.says(LOGINCTL, "show-session.txt")
    guest.path(SESSIONS).mkdir(parents=True)
    assert seen(guest) == {}
    assert guest.calls(LOGINCTL) == []


def test_logind_is_asked_again_when_something_changed_and_each_minute(logind: Guest) -> None:
    presence = Presence()
    for _ in range(5):
        seen(logind, presence)
        logind.passes(10)
    assert len(logind.calls(LOGINCTL)) == 1
    logind.write(f"{SESSIONS}/1", "ACTIVE=0")
    seen(logind, presence)
    assert len(logind.calls(LOGINCTL)) == 2
    logind.passes(60)
    seen(logind, presence)
    assert len(logind.calls(LOGINCTL)) == 3


def test_input_before_the_session_began_is_none(logind: Guest) -> None:
    """The name and the password were typed before."""
    tty(logind, "tty1", BEGAN - 3)
    assert seen(logind)["anna"].input == -1


def test_input_is_seen(logind: Guest) -> None:
    presence = Presence()
    seen(logind, presence)
    logind.passes(20)
    tty(logind, "tty1", logind.wall - 8)
    assert seen(logind, presence)["anna"].input == 8
    logind.passes(20)
    assert seen(logind, presence)["anna"].input == 28


def test_a_clock_that_is_set_makes_input_neither_old_nor_new(logind: Guest) -> None:
    presence = Presence()
    tty(logind, "tty1", logind.wall - 5)
    assert seen(logind, presence)["anna"].input == 5
    logind.clock_is_set(8 * 3600)
    assert seen(logind, presence)["anna"].input == 5
    logind.clock_is_set(-16 * 3600)
    assert seen(logind, presence)["anna"].input == 5


def test_input_of_before_the_save_that_is_first_seen_after_the_restore(logind: Guest) -> None:
    """Nobody looked while no host was there; the clock was set meanwhile. It is no older than the
    guest is up, and it was given."""
    tty(logind, "tty1", logind.wall - 5)
    logind.clock_is_set(8 * 3600)
    assert seen(logind)["anna"].input not in (None, -1)


def test_a_session_without_a_terminal_cannot_tell(logind: Guest) -> None:
    logind.path("/dev/pts/0").unlink()
    assert seen(logind)["carl"].input is None


def edited(guest: Guest, old: str, new: str) -> None:
    text = (RECORDED / "show-session.txt").read_text().replace(old, new)
    guest.write("/answer", text)
    guest.program(LOGINCTL, f'cat "{guest.path("/answer")}"')


def test_a_desktop_that_never_says_that_it_is_idle_cannot_tell(logind: Guest) -> None:
    edited(logind, "IdleSinceHintMonotonic=700000000", "IdleSinceHintMonotonic=0")
    assert seen(logind)["bert"].input is None


def test_a_desktop_that_is_not_idle_has_input(logind: Guest) -> None:
    edited(logind, "IdleHint=yes", "IdleHint=no")
    assert seen(logind)["bert"].input == 0


@pytest.mark.parametrize("answer", ["", "No session '1' known", "Id=\n\n=\n", "Id=1\nName=\n"])
def test_an_answer_that_is_none(logind: Guest, answer: str) -> None:
    logind.write("/answer", answer)
    logind.program(LOGINCTL, f'cat "{logind.path("/answer")}"')
    people = Presence().sessions(logind.view())
    assert [(one.user, one.input) for one in people] == [("?", None)] * 5  # never "nobody"


def test_whom_an_answer_that_was_cut_off_leaves_out_is_not_nobody(logind: Guest) -> None:
    """A session that ended since: loginctl tells those before it, and none of those after it."""
    whole = (RECORDED / "show-session.txt").read_text()
    logind.write("/answer", whole.partition("\n\n")[0] + "\n")
    logind.program(LOGINCTL, f'cat "{logind.path("/answer")}"; exit 1')
    presence = Presence()
    seen(logind, presence)
    found = presence.sessions(logind.view())
    assert sorted(one.user for one in found) == ["?", "?", "?", "?", "anna"]
    assert {one.input for one in found if one.user == "?"} == {None}


def test_more_sessions_than_are_asked_for_are_not_nobody(logind: Guest) -> None:
    for number in range(100, 200):
        logind.write(f"{SESSIONS}/{number}")
    logind.says(LOGINCTL, "show-session.txt")
    assert "?" in seen(logind)


@pytest.mark.parametrize("kind", ["user-early", "user-light", "user-early-light"])
def test_people_of_the_newer_classes(logind: Guest, kind: str) -> None:
    """Root's sessions are `user-early` since systemd 256."""
    edited(logind, "Class=user\n", f"Class={kind}\n")
    assert sorted(seen(logind)) == ["anna", "bert", "carl"]


def test_where_logind_does_not_answer_utmp_does(logind: Guest) -> None:
    logind.program(LOGINCTL, "exit 1")
    after = int((logind.elapsed - 300) * os.sysconf("SC_CLK_TCK"))
    logind.write("/proc/41/stat", f"41 (sh) {' '.join(['0'] * 19)} {after} 0\n")
    logind.path("/run/utmp").write_bytes(entry("tty1", "anna", "", 41, BEGAN))
    assert list(seen(logind)) == ["anna"]


# --- without logind ---

ENTRY = struct.Struct("=hxxi32s4s32s256s4xi2i16s20x")


def entry(line: str, user: str, host: str, process: int, began: float, kind: int = 7) -> bytes:
    texts = (text.encode() for text in (line, "", user, host))
    return ENTRY.pack(kind, process, *texts, 0, int(began), 0, b"")


def test_utmp_tells_where_there_is_no_logind(guest: Guest) -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    after = int((guest.elapsed - 300) * ticks)
    guest.write("/proc/41/stat", f"41 (sh) (x) {' '.join(['0'] * 19)} {after} 0\n")
    guest.write("/proc/42/stat", f"42 (sshd) {' '.join(['0'] * 19)} {after} 0\n")
    tty(guest, "tty1", guest.wall - 10)
    guest.path("/run").mkdir()
    guest.path("/run/utmp").write_bytes(
        entry("tty1", "anna", "", 41, guest.wall - 300)
        + entry("pts/0", "bert", "192.0.2.1", 42, guest.wall - 300)
        + entry("pts/1", "gone", "", 43, guest.wall - 300)
        + entry("tty2", "LOGIN", "", 41, guest.wall - 300, kind=6)
        + b"half an entry"
    )
    assert seen(guest) == {
        "anna": Session("anna", SessionKind.TEXT, 300, 10),
        "bert": Session("bert", SessionKind.REMOTE, 300, None),
    }


def test_many_new_sessions_crowd_out_no_old_one(guest: Guest) -> None:
    """Whoever in the guest signs in twenty times and then asks for a restart gets none over
    another's work."""
    users = {f"new{number}": 10.0 for number in range(20)} | {"anna": 900.0}
    entries = b""
    for process, (user, age) in enumerate(users.items(), start=41):
        ticks = int((guest.elapsed - age) * os.sysconf("SC_CLK_TCK"))
        guest.write(f"/proc/{process}/stat", f"{process} (sh) {' '.join(['0'] * 19)} {ticks} 0\n")
        tty(guest, f"pts/{process}", guest.wall - age - 1)
        entries += entry(f"pts/{process}", user, "192.0.2.1", process, guest.wall - age)
    guest.path("/run").mkdir()
    guest.path("/run/utmp").write_bytes(entries)
    found = seen(guest)
    assert len(found) == SESSIONS_MAX
    assert found["anna"] == Session("anna", SessionKind.REMOTE, 900, -1)
