"""The command line. Parsed by hand: argparse would cost the service memory that it never uses.

Results on stdout, talk on stderr. A usage error names the mistake.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping

from guestwake_guest import VERSION
from guestwake_guest.esd_signal import fifo
from guestwake_guest.exit_codes import MEANINGS, Exit
from guestwake_guest.journal import tell, warn
from guestwake_guest.linux_guest import LinuxGuest
from guestwake_guest.linux_waits import LinuxWaits
from guestwake_guest.readiness import ready
from guestwake_guest.replaced import Replaced
from guestwake_guest.service import Service
from guestwake_guest.system import System
from guestwake_guest.transports.virtio_serial import VirtioSerial
from guestwake_guest.transports.vsock import Vsock, listening

HELP = """\
guestwake-guest: tells the host of this virtual machine what it needs

  guestwake-guest status [--json]                 what it would report now
  guestwake-guest require-restart [--reason TEXT] this guest needs a restart (any user may say so)
  guestwake-guest install [--root DIR] [--no-start]
  guestwake-guest uninstall [--root DIR]
  guestwake-guest run                             the service itself; systemd starts it
  guestwake-guest --version | --help

Exit codes:
"""

# For each command the options that it takes, and whether they want a value.
_OPTIONS: Mapping[str, Mapping[str, bool]] = {
    "run": {},
    "status": {"--json": False},
    "require-restart": {"--reason": True},
    "install": {"--root": True, "--no-start": False},
    "uninstall": {"--root": True},
}

Given = Mapping[str, str]  # the options as they were given; those without a value have ""


class WrongCall(Exception):
    """One sentence that names the mistake."""


def main(words: list[str]) -> int:
    try:
        command, given = parsed(words)
    except WrongCall as mistake:
        print(f"guestwake-guest: {mistake} (--help lists what there is)", file=sys.stderr)
        return Exit.USAGE
    return _COMMANDS[command](given)


def parsed(words: list[str]) -> tuple[str, Given]:
    """Raises WrongCall."""
    if not words:
        raise WrongCall("which command?")
    command, rest = words[0], words[1:]
    if command in ("-h", "--help", "--version"):
        return command, {}
    if command not in _OPTIONS:
        raise WrongCall(f"there is no command '{command}'")
    return command, _given(command, rest)


def _given(command: str, rest: list[str]) -> Given:
    known = _OPTIONS[command]
    given: dict[str, str] = {}
    while rest:
        name, has_value, value = rest.pop(0).partition("=")
        if name not in known:
            raise WrongCall(f"'{command}' takes no '{name}'")
        if has_value and not known[name]:
            raise WrongCall(f"'{name}' takes no value")
        if known[name] and not has_value:
            if not rest:
                raise WrongCall(f"'{name}' wants a value")
            value = rest.pop(0)
        given[name] = value
    return given


def _help(given: Given) -> int:
    codes = "".join(f"  {int(code):2}  {meaning}\n" for code, meaning in MEANINGS.items())
    print(HELP + codes, end="")
    return Exit.DONE


def _version(given: Given) -> int:
    print(f"guestwake-guest {VERSION}")
    return Exit.DONE


def _run(given: Given) -> int:
    environment = dict(os.environ)
    system = System()
    end = fifo.handed_over(environment)
    if end is None:
        warn("no FIFO was handed over: restart signals are not heard")
    service = Service(
        LinuxGuest(system),
        LinuxWaits(),
        (VirtioSerial(system), Vsock(lambda: listening(system))),
        fifo.Fifo(system, end) if end is not None else None,
        Replaced(os.path.abspath(sys.argv[0])),
    )
    ready(environment)
    tell(f"guestwake-guest {VERSION} is up")
    tell(service.run().value)
    return Exit.DONE


def _require_restart(given: Given) -> int:
    try:
        fifo.give(System(), given.get("--reason", ""))
    except fifo.NoSignal as problem:
        print(f"guestwake-guest: {problem}", file=sys.stderr)
        return Exit.NOT_SIGNALLED
    return Exit.DONE


# Late: what follows is not the service's, which imports all it needs at its start.


def _status(given: Given) -> int:
    from guestwake_guest.linux_status import show_here

    return show_here(System(), as_json="--json" in given)


def _install(given: Given) -> int:
    from guestwake_guest import install

    return install.install(given.get("--root", "/"), start="--no-start" not in given)


def _uninstall(given: Given) -> int:
    from guestwake_guest import install

    return install.uninstall(given.get("--root", "/"))


_COMMANDS: Mapping[str, Callable[[Given], int]] = {
    "--help": _help,
    "-h": _help,
    "--version": _version,
    "run": _run,
    "status": _status,
    "require-restart": _require_restart,
    "install": _install,
    "uninstall": _uninstall,
}
