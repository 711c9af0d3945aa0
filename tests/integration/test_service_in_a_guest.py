"""The Guest Update Service in a real guest, spoken to as a host does: over its port, by libvirt."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from guestwake.hypervisors.libvirt import Libvirt
from guestwake_wire.framing import Framer
from guestwake_wire.messages import (
    ClientState,
    Hello,
    Message,
    Nudge,
    Report,
    SessionKind,
    Window,
    decode,
    encode,
)
from lab.guests import Guest, Lab

pytestmark = pytest.mark.qemu

DEADLINE = 300.0
FIFO = "/run/guestwake/restart-required"
PROGRAM = "/usr/lib/guestwake/guestwake-guest.pyz"
# A person at the text console, as login would have it.
SIGNS_IN = (
    "useradd --create-home anna && systemd-run --unit=anna -p User=anna -p PAMName=login"
    " -p TTYPath=/dev/tty3 -p StandardInput=tty -p StandardOutput=tty sleep infinity"
)


class Talk:
    """With one guest, from the moment that it is made."""

    def __init__(self, hypervisor: Libvirt, guest: Guest) -> None:
        self._channel = hypervisor.open_channel(hypervisor.find(guest.name), lambda: None)
        self._framer = Framer()
        self.says(Hello((1,), "the tests"))

    def says(self, message: Message) -> None:
        data = encode(message)
        while data:
            data = data[self._channel.send(data) :]

    def hears(self, of: Callable[[Report], object] = bool) -> Report:
        """The first report from now on of which that is true. Raises TimeoutError."""
        until = time.monotonic() + DEADLINE
        while time.monotonic() < until:
            for text in self._framer.feed(self._channel.receive(65536)):
                message = decode(text)
                if isinstance(message, Report) and of(message):
                    return message
            time.sleep(0.02)
        raise TimeoutError("the guest has not said it")

    def ends(self) -> None:
        self._channel.close()


@contextmanager
def talk(lab: Lab, guest: Guest) -> Iterator[Talk]:
    hypervisor = Libvirt(lab.uri)
    made = Talk(hypervisor, guest)
    try:
        yield made
    finally:
        made.ends()
        hypervisor.close()


def done(guest: Guest, command: str) -> str:
    finished = guest.run(command)
    assert finished.code == 0, finished.stderr
    return finished.stdout


def test_it_speaks_at_once_after_each_restore(lab: Lab) -> None:
    guest = lab.hibernated_guest("speaks")
    for _ in range(2):
        guest.start()
        with talk(lab, guest) as host:
            first = host.hears()
            # Saved while its host still listens: it cannot see that anybody went.
            guest.hibernate()
    guest.start()
    with talk(lab, guest) as host:
        assert host.hears().boot_id == first.boot_id


def test_any_user_may_ask_for_a_restart_and_nobody_may_listen(lab: Lab) -> None:
    guest = lab.hibernated_guest("signals")
    guest.start()
    guest.wait_until_agent_answers()
    with talk(lab, guest) as host:
        as_nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups sh -c"
        done(guest, f"{as_nobody} 'echo agent 7.2 was installed >{FIFO}'")
        (reason,) = host.hears(lambda report: report.restart).restart
        assert (reason.source, reason.text) == ("esd-signal", "agent 7.2 was installed")
        assert guest.run(f"{as_nobody} 'cat {FIFO}'").code == 1


def test_a_signal_outlives_the_service(lab: Lab) -> None:
    guest = lab.hibernated_guest("outlives")
    guest.start()
    guest.wait_until_agent_answers()
    done(guest, f"systemctl kill -s KILL guestwake-guest; echo meanwhile >{FIFO}")
    with talk(lab, guest) as host:
        host.hears(lambda report: [reason.text for reason in report.restart] == ["meanwhile"])


def test_who_is_signed_in_is_in_the_first_report(lab: Lab) -> None:
    guest = lab.hibernated_guest("sessions")
    guest.start()
    guest.wait_until_agent_answers()
    done(guest, SIGNS_IN)
    done(guest, "until loginctl list-sessions --no-legend | grep anna; do sleep 0.1; done")
    with talk(lab, guest) as host:
        (session,) = host.hears().sessions
    assert (session.user, session.kind, session.input) == ("anna", SessionKind.TEXT, -1)


def test_a_nudge_updates_the_guest_by_its_own_client(lab: Lab) -> None:
    guest = lab.hibernated_guest("nudged")
    guest.start()
    guest.wait_until_agent_answers()
    with talk(lab, guest) as host:
        assert [client.state for client in host.hears().clients] == [ClientState.IDLE]
        host.says(Window(3600, 0))
        host.says(Nudge())
        host.hears(lambda report: report.busy)
        over = host.hears(lambda report: report.clients[0].state is ClientState.NOTHING_LEFT)
    assert over.busy is False
    latest = over.clients[0].installed[0]
    assert (latest.name, latest.version) == ("guestwake-example", "2.0")


@pytest.mark.full
def test_it_is_replaced_under_itself(lab: Lab) -> None:
    guest = lab.hibernated_guest("replaced")
    guest.start()
    guest.wait_until_agent_answers()
    with talk(lab, guest) as host:
        host.hears(lambda report: report.number == 1)
        done(guest, f"cp {PROGRAM} {PROGRAM}.new && mv {PROGRAM}.new {PROGRAM}")
        host.hears(lambda report: report.number == 1)  # it counts anew
        assert done(guest, "systemctl show -P NRestarts guestwake-guest") == "1\n"


def test_a_guest_without_it_is_as_if_it_never_had_one(lab: Lab) -> None:
    guest = lab.define_guest("without", service=False)
    guest.start()
    guest.wait_until_agent_answers()
    assert guest.run("systemctl is-active guestwake-guest.service guestwake-guest.socket").code != 0
    assert guest.run(f"test -e {FIFO}").code == 1
