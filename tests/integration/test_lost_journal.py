"""The journal is gone, damaged or locked while a VM is awake (contract, section 4.6)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from stories import DEADLINE, Host, diary_of, host_of, starts_and_stops, until

from guestwake.events import JOURNAL_SET_ASIDE
from lab.guests import Lab


def journal_of(host: Host) -> Path:
    return host.root / "var/lib/guestwake/journal.db"


def delete(journal: Path) -> None:
    for file in journal.parent.glob(f"{journal.name}*"):
        file.unlink()


def damage(journal: Path) -> None:
    delete(journal)
    journal.write_bytes(b"no journal at all" * 1000)


@contextmanager
def locked(journal: Path) -> Iterator[None]:
    """By another program that does not let go."""
    connection = sqlite3.connect(journal, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.close()


@pytest.mark.parametrize("spoil", [delete, pytest.param(damage, marks=pytest.mark.full)])
def test_the_vm_itself_tells_who_woke_it(
    lab: Lab, host: Host, spoil: Callable[[Path], None]
) -> None:
    guest = lab.hibernated_guest("web01")
    host.looks_after(guest)
    with diary_of(guest) as diary:
        host.begins(guest, window=3, dies="while holds").dies()
        spoil(journal_of(host))
        host.wakes(guest, window=30)  # which is not this one's window
        assert starts_and_stops(diary()) == ["Started Restored", "Stopped Saved"]
    assert guest.state() == "saved"
    assert host.history(guest)[0]["prior"] == "saved"
    set_aside = str(JOURNAL_SET_ASIDE.id) in host.guestwake("events", "--happened")
    assert set_aside is (spoil is damage)


@pytest.mark.full
def test_what_cannot_be_recorded_is_not_woken(lab: Lab, host: Host) -> None:
    guest = lab.hibernated_guest("web01")
    host.looks_after(guest)
    host.guestwake("hold", guest.name, "--for", "1m")  # so that there is a journal
    with diary_of(guest) as diary, locked(journal_of(host)):
        manager = host.begins(guest, window=1)
        assert manager.process.wait(DEADLINE) == 12
        assert manager.says("Another program keeps it locked")
        assert diary() == []
    assert guest.state() == "saved"


@pytest.mark.full
def test_what_was_woken_is_put_back_though_it_cannot_be_recorded(lab: Lab, host: Host) -> None:
    guest = lab.hibernated_guest("web01")
    host.looks_after(guest)
    manager = host.begins(guest, window=4)
    until(lambda: host.phase(guest) == "holding")
    with diary_of(guest) as diary:
        with locked(journal_of(host)):
            until(lambda: guest.state() == "saved", seconds=240)
        manager.ends()
        assert starts_and_stops(diary()) == ["Stopped Saved"]
    assert host.phase(guest) is None


def test_two_guestwakes_on_one_guest(lab: Lab, host: Host, tmp_path: Path) -> None:
    """A user's own and the host's, say: their windows open together, and the mark says whose it
    is."""
    guest = lab.hibernated_guest("web01")
    with host_of(lab, tmp_path / "neighbour") as neighbour, diary_of(guest) as diary:
        both = (host, neighbour)
        for one in both:
            one.looks_after(guest)
        for manager in [one.begins(guest, window=12) for one in both]:
            manager.process.wait(DEADLINE)
        assert starts_and_stops(diary()) == ["Started Restored", "Stopped Saved"]
        outcomes = sorted(outcome for one in both for outcome in one.outcomes(guest))
        assert outcomes[0] == "put-back"
        assert outcomes[1:] in (["started-by-somebody"], ["watched"], ["who-started-it-unknown"])
    assert guest.state() == "saved"
