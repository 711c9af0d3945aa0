"""The window of `guestwake open`: its command out of the settings, and its process.

A command is split into words before anything is filled in, and run without a shell: a name, an
address or a published command stays one word, and is never taken for an option.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from guestwake.application import Application
from guestwake.edges.exit_codes import Exit
from guestwake.edges.text import printable
from guestwake.hypervisors.api import TellsAddresses
from guestwake.journal_applications import PublishedRow
from guestwake.paths import account_name
from guestwake.policy.limits import Limits
from guestwake.workspaces import Workspace

_ASK_AGAIN = 1.0  # seconds between two questions for an address
_PATIENCE = 2.0  # seconds for a connection
_PORTS = {"linux": 22, "windows": 3389}  # of ssh, of RDP
_NAMES_PORT = re.compile(r"-p|/port|(-o *)?(?i:port)[= ]|.*\{address\}:")
_PLACE = r"\{([^{}]*)\}"
_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class NotReady(Exception):
    """A sentence that says why nothing can be shown."""


class NotShown(Exception):
    """A sentence that says why there is no window, and what to do."""


class Program(NamedTuple):
    """`ends_well`: exit codes with which it says that somebody closed it. `remedy`: for others."""

    package: str
    remedy: str
    ends_well: tuple[int, ...] = ()


_RDP = "Does the guest allow remote desktops, and this user? Does it have the application?"
_SSH = "Can you reach it with ssh, and is the application there?"
# Of FreeRDP: disconnected, logged off; by the user.
_PROGRAMS = {
    "virt-viewer": Program("virt-viewer", "May this user connect to the hypervisor?"),
    "remote-viewer": Program("virt-viewer", "Can this user reach its display?"),
    "xfreerdp": Program("freerdp2-x11", _RDP, (1, 2, 11, 12)),
    "xfreerdp3": Program("freerdp3-x11", _RDP, (1, 2, 11, 12)),
    "ssh": Program("openssh-client", _SSH),
    "waypipe": Program("waypipe", _SSH),
}


class Command(NamedTuple):
    """`setting`: where it stands. `application`: what the guest is to run. `port`: where the guest
    answers once it has booted, None: nobody can tell."""

    setting: str
    words: tuple[str, ...]
    application: str
    port: int | None = None


def wanted(row: PublishedRow | None, limits: Limits) -> Command:
    """`row` None: the desktop."""
    if row is None:
        return Command("DesktopCommand", tuple(shlex.split(limits.desktop_command)), "")
    if row.how == "windows":
        setting, template = "WindowsApplicationCommand", limits.windows_application_command
    else:
        setting, template = "LinuxApplicationCommand", limits.linux_application_command
    words = tuple(shlex.split(template))
    names_one = any(_NAMES_PORT.match(word) for word in words)
    return Command(setting, words, row.command, None if names_one else _PORTS[row.how])


def safe_uri(uri: str) -> str:
    """libvirt runs a command that a URI names (`qemu+ext:`, `command=`). The record may be the
    service's, and the command would be run as who opens it. Raises NotShown."""
    scheme, _, rest = uri.partition(":")
    _, _, asked = rest.partition("?")
    if scheme.endswith("+ext") or re.search(r"(^|[&;])command=", asked):
        raise NotShown(
            f"the address of its hypervisor, '{printable(uri)}', has a command run: nothing is "
            "opened there. Add the workspace with another '--uri'."
        )
    return uri


def program_of(command: Command) -> str:
    """Its path. Raises NotShown."""
    name = command.words[0]
    found = shutil.which(name)
    if found is None:
        known = _PROGRAMS.get(name)
        remedy = f"the package {known.package} brings it" if known else "is it installed?"
        raise NotShown(
            f"there is no program '{printable(name)}', which {command.setting} names: {remedy}."
        )
    return found


class Window:
    """One program that shows it, and its process."""

    def __init__(
        self, command: Command, workspace: Workspace, application: Application, patience: timedelta
    ) -> None:
        self.command = command
        self._workspace = workspace
        self._application = application
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None
        self._is_starting = False
        self._told_to_end: int | None = None  # the signal that did

    def open(self, tell: Callable[[str], None]) -> int:
        """Its process id; `tell` shows what is waited for. Raises NotShown, HypervisorError."""
        words = self._filled(tell)
        program = program_of(self.command)
        self._is_starting = True
        try:
            self._process = subprocess.Popen(words, executable=program)
        except OSError as err:
            raise NotShown(f"'{printable(program)}' cannot be run: {err.strerror}.") from err
        finally:
            self._is_starting = False
        if self._told_to_end is not None:
            self._process.send_signal(self._told_to_end)
        return self._process.pid

    def has_ended(self, seconds: float) -> bool:
        """Within that time."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
            return True
        return False

    def wait(self) -> Exit:
        """Until it is closed. Raises NotShown where it has failed."""
        assert self._process is not None
        code = self._process.wait()
        name = os.path.basename(self.command.words[0])
        known = _PROGRAMS.get(name)
        if self._told_to_end is not None:
            return Exit.STOPPED
        if code == 0 or (known is not None and code in known.ends_well):
            return Exit.DONE
        how = f"ended with {code}" if code > 0 else f"was killed by signal {-code}"
        remedy = known.remedy if known else "See what it said."
        raise NotShown(f"'{name}', which {self.command.setting} names, {how}. {remedy}")

    def end(self, number: int) -> None:
        """From a signal handler: what was meant for us is for the window. Before there is one it
        ends the waiting, as Ctrl-C does."""
        if self._process is None and not self._is_starting:
            raise KeyboardInterrupt
        self._told_to_end = number
        if self._process is not None:
            self._process.send_signal(number)

    # its command

    def _filled(self, tell: Callable[[str], None]) -> list[str]:
        workspace = self._workspace
        values: dict[str, Callable[[], str]] = {
            "name": lambda: workspace.name,
            "uuid": lambda: workspace.uuid,
            "uri": lambda: safe_uri(workspace.uri),
            "user": lambda: account_name(os.getuid()),
            "address": lambda: self._address(tell),
            "application": lambda: self.command.application,
        }
        return [self._word(word, values) for word in self.command.words]

    def _word(self, word: str, values: dict[str, Callable[[], str]]) -> str:
        filled = re.sub(_PLACE, lambda place: values[place[1]](), word)
        if filled.startswith("-") and not word.startswith("-"):
            raise NotShown(
                f"'{printable(filled)}' begins with '-': '{self.command.words[0]}' would take it "
                "for an option, so it is not run."
            )
        return filled

    def _address(self, tell: Callable[[str], None]) -> str:
        """Of the guest, as its host knows it. Raises NotShown, HypervisorError."""
        clock, workspace = self._application.clock, self._workspace
        name, deadline = f"'{printable(workspace.name)}'", clock.now().after(self._patience)
        with self._application.hypervisor(workspace.uri) as hypervisor:
            if not isinstance(hypervisor, TellsAddresses):
                raise NotShown(f"nobody can tell the address of {name} on {workspace.uri}.")
            vm = hypervisor.find(workspace.uuid)
            while not (found := usable(hypervisor.addresses(vm))):
                if deadline.passed(clock.now()):
                    raise NotShown(
                        f"the host knows no address of {name}: is it in a network of this host? "
                        f"{self.command.setting} may name one instead of {{address}}."
                    )
                tell(f"{name}: waits for its address")
                clock.wait(_ASK_AGAIN)
        while not self._answers(found) and not deadline.passed(clock.now()):
            tell(f"{name}: waits until its guest answers at {found}")
            clock.wait(_ASK_AGAIN)
        return found

    def _answers(self, address: str) -> bool:
        """A guest that boots has an address before anything in it listens there."""
        if self.command.port is None:
            return True
        try:
            socket.create_connection((address, self.command.port), _PATIENCE).close()
        except OSError:
            return False
        return True


def usable(addresses: frozenset[str]) -> str | None:
    """The first that one can connect to, of IPv4 where there is one."""
    found = [parsed for each in addresses if (parsed := _parsed(each)) is not None]
    best = min(found, key=lambda address: (address.version, int(address)), default=None)
    return None if best is None else str(best)


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(address)
    except ValueError:
        return None
    local = found.is_link_local or found.is_loopback
    return None if local or found.is_multicast or found.is_unspecified else found


@contextmanager
def forwarded(window: Window) -> Iterator[None]:
    """What ends this process ends the window, and first of all in the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.signal(one, lambda number, _: window.end(number)) for one in _FORWARDED}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
