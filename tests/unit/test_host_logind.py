"""Who is logged on, to bed, please not yet: logind scripted on a real, private bus, with the
properties that logind 252 to 257 give for each kind of session."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from fake_bus import LOGIND, Bus, FakeService, logind, systemd

from guestwake.hosts.api import HostError, Inhibited
from guestwake.hosts.dbus import PROPERTIES
from guestwake.policy.words import Logon

PATH = "/org/freedesktop/login1"
MANAGER = f"{LOGIND}.Manager"
AT_NINE = datetime(2026, 11, 25, 9, 0, 0, 250_000, tzinfo=UTC)
MICROSECONDS = 1_795_597_200_250_000

Session = dict[str, tuple[str, object]]


def session(**differs: tuple[str, object]) -> Session:
    """A person's on the first console, as logind 252 gives it."""
    return {
        "Id": ("s", "3"),
        "User": ("(uo)", (1000, f"{PATH}/user/_1000")),
        "Name": ("s", "anna"),
        "Timestamp": ("t", MICROSECONDS),
        "VTNr": ("u", 1),
        "Seat": ("(so)", ("seat0", f"{PATH}/seat/seat0")),
        "TTY": ("s", "tty1"),
        "Remote": ("b", False),
        "Service": ("s", "login"),
        "Type": ("s", "tty"),
        "Class": ("s", "user"),
        "Active": ("b", True),
        "State": ("s", "active"),
        "LockedHint": ("b", False),
    } | differs


def text(value: str) -> tuple[str, object]:
    return ("s", value)


NO_SEAT = ("(so)", ("", "/"))
SSH = session(
    Seat=NO_SEAT, TTY=text(""), Remote=("b", True), Service=text("sshd"), State=text("online")
)


class FakeLogind(FakeService):
    """With these sessions."""

    def __init__(self, *sessions: Session) -> None:
        super().__init__(LOGIND, PATH, MANAGER, logind(goes_down=False).properties)
        self.methods[PATH, MANAGER, "ListSessions"] = self._list
        self.listed: list[object] = []
        for number, properties in enumerate(sessions, 1):
            self.add(f"{PATH}/session/_3{number}", lambda _, told=properties: ("a{sv}", (told,)))

    def add(self, path: str, told: Callable[[tuple[Any, ...]], Any]) -> None:
        self.listed.append(("c1", 1000, "anna", "seat0", path))
        self.methods[path, PROPERTIES, "GetAll"] = told

    def _list(self, _: tuple[Any, ...]) -> tuple[str, tuple[object, ...]]:
        return "a(susso)", (self.listed,)


# --- what a logon is


@pytest.mark.parametrize(
    "properties",
    [
        session(),
        session(Type=text("wayland"), TTY=text("tty2"), Service=text("gdm-password")),
        session(Type=text("x11"), TTY=text(""), State=text("online")),
        session(Type=text("mir")),
        session(Seat=NO_SEAT, TTY=text("ttyS0")),
        session(Seat=NO_SEAT, TTY=text("console")),
        session(Name=text("root"), Class=text("user-early")),
        session(Class=text("user-light")),
        session(State=text("opening")),
        session(Service=text("gdm-autologin")),
    ],
    ids=lambda told: f"{told['Type'][1]}-{told['TTY'][1]}-{told['Class'][1]}",
)
def test_a_person_at_the_host_is_logged_on(bus: Bus, properties: Session) -> None:
    bus.serve(FakeLogind(properties))
    (logon,) = bus.host().logons() or ()
    assert (logon.user, logon.since) == (properties["Name"][1], AT_NINE)


@pytest.mark.parametrize(
    "properties",
    [
        SSH,
        SSH | {"Remote": ("b", False)},  # to the host from the host itself
        session(Remote=("b", True)),
        session(Type=text("unspecified"), Class=text("background"), Service=text("crond")),
        session(Name=text("gdm"), Class=text("greeter"), Type=text("wayland")),
        session(Class=text("lock-screen")),
        session(Class=text("manager"), Type=text("unspecified"), Seat=NO_SEAT, TTY=text("")),
        session(Class=text("background-light")),
        session(Class=text("user-incomplete")),
        session(Type=text("web"), Service=text("cockpit")),
        session(State=text("closing")),
        session(Seat=NO_SEAT, TTY=text("")),
    ],
    ids=lambda told: f"{told['Class'][1]}-{told['Service'][1]}-{told['Type'][1]}",
)
def test_what_is_no_person_at_the_host_is_not(bus: Bus, properties: Session) -> None:
    bus.serve(FakeLogind(properties))
    assert bus.host().logons() == ()


@pytest.mark.parametrize(
    "differs",
    [
        {"Class": ("u", 1)},
        {"Class": ("s", "")},
        {"Name": ("s", "")},
        {"Name": ("u", 1000)},
        {"Timestamp": ("s", "nine")},
        {"Timestamp": ("t", 0)},
        {"Timestamp": ("t", 2**64 - 1)},
        {"Timestamp": ("b", True)},
        {"Remote": ("s", "no")},
        {"Seat": ("s", "seat0"), "TTY": ("s", "")},
        {"Seat": ("(so)", ("", "/")), "TTY": ("s", "")},
    ],
    ids=str,
)
def test_a_session_that_makes_no_sense_hides_no_other(bus: Bus, differs: Session) -> None:
    bus.serve(FakeLogind(session(**differs), session(Name=text("ben"))))
    assert [logon.user for logon in bus.host().logons() or ()] == ["ben"]


def test_the_longest_logged_on_comes_first_with_what_is_known_of_it(bus: Bus) -> None:
    later = ("t", MICROSECONDS + 1_000_000)
    ben = session(
        Name=text("ben"), Id=text("7"), Timestamp=later, Active=("b", False), LockedHint=("b", True)
    )
    bus.serve(FakeLogind(ben, SSH, session()))
    assert bus.host().logons() == (
        Logon("anna", AT_NINE, "3", active=True, locked=False),
        Logon("ben", AT_NINE.replace(second=1), "7", active=False, locked=True),
    )


def test_an_old_logind_without_a_locked_hint_is_understood(bus: Bus) -> None:
    told = session()
    del told["LockedHint"], told["Active"]
    bus.serve(FakeLogind(told))
    assert bus.host().logons() == (Logon("anna", AT_NINE, "3", active=None, locked=None),)


# --- when logind does not tell


def test_no_sessions_is_nobody_and_no_logind_is_nobody_can_tell(bus: Bus) -> None:
    host = bus.host()
    assert host.logons() is None
    bus.serve(FakeLogind())
    assert host.logons() == ()


def test_a_session_that_has_ended_in_between_is_left_out(bus: Bus) -> None:
    service = FakeLogind(session())
    service.add(f"{PATH}/session/_39", lambda _: "org.freedesktop.DBus.Error.UnknownObject")
    bus.serve(service)
    assert [logon.user for logon in bus.host().logons() or ()] == ["anna"]


def test_a_logind_that_hangs_is_asked_once_and_holds_nothing_up(bus: Bus) -> None:
    service = bus.serve(FakeLogind(session()))
    service.hangs = True
    host = bus.host(patience=0.3)
    assert [host.logons(), host.logons()] == [None, None]
    assert service.asked == 1


def test_a_logind_that_hangs_after_its_list_leaves_nobody_named(bus: Bus) -> None:
    service = FakeLogind(session(), session())

    def hang(body: tuple[Any, ...]) -> tuple[str, tuple[object, ...]]:
        service.hangs = True
        return "a{sv}", (session(),)

    service.methods[f"{PATH}/session/_31", PROPERTIES, "GetAll"] = hang
    bus.serve(service)
    assert bus.host(patience=0.3).logons() is None


def test_a_logind_that_dies_when_asked_is_found_again(bus: Bus) -> None:
    service = bus.serve(FakeLogind(session()))
    service.dies = True
    host = bus.host()
    assert host.logons() is None
    bus.serve(FakeLogind(session()))
    assert [logon.user for logon in host.logons() or ()] == ["anna"]


@pytest.mark.parametrize(
    "answer",
    [
        ("s", ("none",)),
        ("", ()),
        ("as", (["c1"],)),
        ("a(su)", ([("c1", 1000)],)),
        ("a(sussu)", ([("c1", 1000, "anna", "seat0", 7)],)),
        ("org.freedesktop.DBus.Error.AccessDenied"),
    ],
)
def test_a_list_of_another_shape_names_nobody(bus: Bus, answer: Any) -> None:
    service = FakeLogind(session())
    service.methods[PATH, MANAGER, "ListSessions"] = lambda _: answer
    bus.serve(service)
    assert not bus.host().logons()


@pytest.mark.parametrize("answer", [("s", ("none",)), ("a{ss}", ({"Class": "user"},)), ("", ())])
def test_properties_of_another_shape_are_no_logon(bus: Bus, answer: Any) -> None:
    service = FakeLogind()
    service.add(f"{PATH}/session/_31", lambda _: answer)
    bus.serve(service)
    assert bus.host().logons() == ()


def test_a_hundred_looks_are_one_connection(bus: Bus) -> None:
    service = bus.serve(FakeLogind(session(), SSH))
    host = bus.host()
    assert len({host.logons() for _ in range(100)}) == 1
    assert service.asked == 300


# --- does the host go down


def test_systemd_tells_of_a_way_down_that_logind_was_not_asked_for(bus: Bus) -> None:
    service = bus.serve(systemd("running"))
    host = bus.host()
    assert host.look(None).shutting_down is False
    service.properties["SystemState"] = text("stopping")
    assert host.look(None).shutting_down is True
    bus.serve(logind(goes_down=False))
    assert host.look(None).shutting_down is True
    service.properties["SystemState"] = text("degraded")
    assert host.look(None).shutting_down is False


def test_logind_alone_is_enough_and_so_is_silence_after_it(bus: Bus) -> None:
    manager, sessions = bus.serve(systemd("running")), bus.serve(logind(goes_down=True))
    host = bus.host()
    assert host.look(None).shutting_down is True
    manager.dies = sessions.dies = True
    assert host.look(None).shutting_down is True


def test_a_state_of_another_type_says_nothing(bus: Bus) -> None:
    service = bus.serve(systemd("stopping"))
    host = bus.host()
    assert host.look(None).shutting_down is True
    service.properties["SystemState"] = ("u", 1)
    assert host.look(None).shutting_down is True


# --- to bed


class FakeSleep(FakeLogind):
    """Remembers who asked for what."""

    def __init__(
        self, *, blocked: str = "shutdown:handle-lid-switch", refuses: bool = False
    ) -> None:
        super().__init__()
        self.properties["BlockInhibited"] = text(blocked)
        self.heard: list[tuple[Any, ...]] = []

        def take(body: tuple[Any, ...]) -> tuple[str, tuple[object, ...]] | str:
            self.heard.append(body)
            return "org.freedesktop.DBus.Error.AccessDenied" if refuses else ("", ())

        self.methods[PATH, MANAGER, "Suspend"] = take


def test_the_host_is_let_sleep_and_nobody_is_asked_for_a_password(bus: Bus) -> None:
    service = FakeSleep()
    bus.serve(service)
    bus.host().suspend()
    assert service.heard == [(False,)]


def test_a_block_of_anybodys_is_heeded(bus: Bus) -> None:
    service = FakeSleep(blocked="shutdown:sleep")
    bus.serve(service)
    with pytest.raises(HostError, match="block"):
        bus.host().suspend()
    assert service.heard == []


def test_a_host_that_will_not_sleep_says_why(bus: Bus) -> None:
    bus.serve(FakeSleep(refuses=True))
    with pytest.raises(HostError, match="cannot let the host sleep: it said no"):
        bus.host().suspend()


def test_without_logind_nobody_lets_the_host_sleep(bus: Bus) -> None:
    with pytest.raises(HostError, match="does not exist"):
        bus.host().suspend()


def test_a_logind_that_hangs_does_not_hold_up_who_asks_for_sleep(bus: Bus) -> None:
    service = FakeSleep()
    service.hangs = True
    bus.serve(service)
    with pytest.raises(HostError, match="silent"):
        bus.host(patience=0.2).suspend()


# --- please not yet


def _inhibiting(answer: Callable[[tuple[Any, ...]], Any]) -> FakeLogind:
    service = FakeLogind()
    service.methods[PATH, MANAGER, "Inhibit"] = answer
    return service


WAIT = Inhibited("sleep:shutdown", "Guestwake", "a VM is being hibernated")


def test_a_lock_is_held_for_the_block_and_no_longer(bus: Bus) -> None:
    ours, theirs = os.pipe()
    heard: list[tuple[Any, ...]] = []

    def take(body: tuple[Any, ...]) -> tuple[str, tuple[object, ...]]:
        heard.append(body)
        return "h", (theirs,)

    bus.serve(_inhibiting(take))
    with bus.host().inhibit(WAIT):
        os.close(theirs)
        assert heard == [("sleep:shutdown", "Guestwake", "a VM is being hibernated", "delay")]
        assert not select.select([ours], [], [], 0)[0]  # somebody has the far end open
        assert [os.get_inheritable(fd) for fd in _same_pipe(ours)] == [False, False]
    assert select.select([ours], [], [], 10)[0]  # nobody has
    assert os.read(ours, 1) == b""
    os.close(ours)


def _same_pipe(end: int) -> list[int]:
    """Descriptors of this process on it."""
    name = os.readlink(f"/proc/self/fd/{end}")
    found = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{number}") == name:
                found.append(int(number))
    return found


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("org.freedesktop.DBus.Error.AccessDenied", "it said no"),
        (("s", ("a lock",)), "not there, or is silent"),
        (("", ()), "not there, or is silent"),
    ],
)
def test_no_lock_no_block(bus: Bus, answer: Any, why: str) -> None:
    bus.serve(_inhibiting(lambda _: answer))
    with pytest.raises(HostError, match=why), bus.host().inhibit(WAIT):
        pytest.fail("entered without a lock")


def test_a_logind_that_hangs_gives_no_lock_in_a_bounded_time(bus: Bus) -> None:
    bus.serve(_inhibiting(lambda _: ("", ()))).hangs = True
    with pytest.raises(HostError), bus.host(patience=0.2).inhibit(WAIT):
        pytest.fail("entered without a lock")
