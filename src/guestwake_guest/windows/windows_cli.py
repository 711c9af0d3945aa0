"""The command line in a Windows guest. Results on stdout, talk on stderr."""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import os

import pywintypes

from guestwake_guest import VERSION
from guestwake_guest.exit_codes import MEANINGS, Exit

HELP = """\
guestwake-guest: tells the host of this virtual machine what it needs

  guestwake-guest status [--json]   what it would report now
  guestwake-guest require-restart   this guest needs a restart (any user may say so)
  guestwake-guest pair              know a host over TCP: reads the token that the host printed
  guestwake-guest unpair            the undo of that
  guestwake-guest install           install and start the service
  guestwake-guest uninstall         stop and remove it
  guestwake-guest run               the service in this console, until Ctrl-C
  guestwake-guest --version | --help

Exit codes:
"""


def main(words: list[str]) -> int:
    command, options = (words or [""])[0], words[1:]
    known = {"status": ["--json"]}.get(command, [])
    if command in ("--help", "-h", "/?"):
        codes = "".join(f"  {int(code):2}  {meaning}\n" for code, meaning in MEANINGS.items())
        print(HELP + codes, end="")
        return Exit.DONE
    if command == "--version":
        print(f"guestwake-guest {VERSION}")
        return Exit.DONE
    if command not in _COMMANDS or any(option not in known for option in options):
        wrong = f"'{' '.join(words)}' is not understood" if words else "which command?"
        return _failed(f"{wrong} (--help lists what there is)", Exit.USAGE)
    return _COMMANDS[command](options)


def _status(options: list[str]) -> int:
    import time

    from guestwake_guest import status
    from guestwake_guest.windows.windows_parts import guest

    here = guest(lambda: None)
    found = here.settled(time.sleep)
    return status.show(here.identity, found, here.wall(), as_json="--json" in options)


def _require_restart(options: list[str]) -> int:
    from guestwake_guest.windows.windows_event import NAME, set_event

    try:
        set_event()
    except pywintypes.error as error:
        why = f"cannot set '{NAME}' ({error.strerror}): is the service GuestwakeGuest running?"
        return _failed(why, Exit.NOT_SIGNALLED)
    return Exit.DONE


def _pair(options: list[str]) -> int:
    """From standard input: what stands in a command line, every process can read."""
    from guestwake_guest.windows.pairing import BadToken, token
    from guestwake_guest.windows.windows_parts import pair

    if sys.stdin.isatty():
        print("The token that the host printed:", file=sys.stderr)
    try:
        new = token(sys.stdin.readline())
    except BadToken as error:
        return _failed(str(error), Exit.USAGE)
    try:
        pair(new)
    except OSError as error:
        return _failed(f"cannot be paired: {error}. Run it as administrator.", Exit.NOT_INSTALLED)
    print(f"paired with the host at {new.address}, port {new.port}")
    return Exit.DONE


def _unpair(options: list[str]) -> int:
    from guestwake_guest.windows.windows_parts import unpair

    try:
        print("not paired any more" if unpair() else "nothing to do: it is not paired")
    except OSError as error:
        return _failed(f"cannot be unpaired: {error}. Run it as administrator.", Exit.NOT_INSTALLED)
    return Exit.DONE


def _install(options: list[str]) -> int:
    from guestwake_guest.windows.windows_service import SERVICE
    from guestwake_wire import windows_services as services

    script = None if getattr(sys, "frozen", False) else os.path.abspath(sys.argv[0])
    if script and os.path.basename(script) == "__main__.py":  # of 'python -m guestwake_guest'
        why = "the service would not find the rest of this program: install guestwake-guest.pyz"
        return _failed(why, Exit.USAGE)
    try:
        words = [script, "service"] if script else ["service"]
        print(services.install(SERVICE, services.command_of(sys.executable, *words)))
        services.start(SERVICE)
        print(f"started the service {SERVICE.name}")
    except OSError as error:
        return _failed(
            f"cannot be installed: {error}. Run it as administrator.", Exit.NOT_INSTALLED
        )
    return Exit.DONE


def _uninstall(options: list[str]) -> int:
    from guestwake_guest.windows.windows_service import SERVICE
    from guestwake_wire import windows_services as services

    try:
        there = services.uninstall(SERVICE)
    except OSError as error:
        return _failed(
            f"cannot be uninstalled: {error}. Run it as administrator.", Exit.NOT_INSTALLED
        )
    print("removed the service" if there else "nothing to do: it is not installed")
    return Exit.DONE


def _run(options: list[str]) -> int:
    import win32api

    from guestwake_guest.journal import tell
    from guestwake_guest.windows.windows_parts import Parts

    parts = Parts()

    def stop(kind: int) -> bool:
        """Ctrl-C, Ctrl-Break, or the console is closed. In a thread of its own: Python would not
        hear it before a wait is over."""
        parts.stop()
        return True

    win32api.SetConsoleCtrlHandler(stop, True)  # noqa: FBT003  its only form
    tell(f"guestwake-guest {VERSION} is up")
    tell(parts.service.run().value)
    return Exit.DONE


def _service(options: list[str]) -> int:
    from guestwake_guest.windows.windows_service import serve

    try:
        serve()
    except pywintypes.error as error:
        return _failed(f"{error.strerror}: the service manager starts this", Exit.USAGE)
    return Exit.DONE


def _failed(why: str, code: int) -> int:
    print(f"guestwake-guest: {why}", file=sys.stderr)
    return code


_COMMANDS = {
    "status": _status,
    "require-restart": _require_restart,
    "pair": _pair,
    "unpair": _unpair,
    "install": _install,
    "uninstall": _uninstall,
    "run": _run,
    "service": _service,
}
