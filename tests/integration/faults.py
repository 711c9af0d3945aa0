"""Words for stories of faults: what is killed, and at which moment of a run by its journal."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from stories import DEADLINE, Host, until

from guestwake.journal import Glance, Journal
from guestwake.journal_file import JournalError
from lab.guests import Guest
from lab.libvirtd import Libvirtd, command_of

LOOKS_EACH = 0.01  # seconds: it is to be hit in the middle of a verb that takes a third of one


@contextmanager
def journal_of(host: Host) -> Iterator[Journal]:
    """To read, for one look. Raises JournalError."""
    journal = Journal(host.root / "var/lib/guestwake/journal.db", readonly=True)
    try:
        yield journal
    finally:
        journal.close()


def sees(
    host: Host, guest: Guest, true: Callable[[Glance], bool], seconds: float = DEADLINE
) -> None:
    """At once when its run is so, by the journal, as no command could. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(JournalError), journal_of(host) as journal:
            run = journal.glance(guest.uuid)
            if run is not None and true(run):
                return
        time.sleep(LOOKS_EACH)
    raise TimeoutError(f"'{guest.name}' was not seen so in {seconds} s")


def qemu_dies(guest: Guest) -> None:
    """As soon as it lives, and returns when it is gone."""
    path = guest.lab.folder / f"run/libvirt/qemu/run/{guest.name}.pid"
    until(lambda: path.exists() and path.read_text().strip())
    pid = int(path.read_text())
    os.kill(pid, signal.SIGKILL)
    with suppress(OSError):  # it is gone, and its parent knows
        while command_of(pid):
            time.sleep(LOOKS_EACH)


def daemon_dies(libvirtd: Libvirtd) -> None:
    libvirtd.kill()
    libvirtd.start()
