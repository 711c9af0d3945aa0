"""From words to a call, from a result or an error to an exit code.

Imports late: `status` must not wait for what only `wake` needs.
"""

from __future__ import annotations

import gc
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from guestwake.edges import medv_call
from guestwake.edges.exit_codes import Exit
from guestwake.edges.parser import UsageError, named, parse, root_of
from guestwake.edges.text import complain, printable, say
from guestwake.paths import Paths, PathsError, own_id

if TYPE_CHECKING:
    from guestwake.application import Application

Build = Callable[[Paths], "Application"]

# What reads only; everything else builds the application.
REPORTING = (
    "workspace list",
    "plan",
    "status",
    "history",
    "settings show",
    "settings check",
    "events",
    "applications",
)
# What root does as root.
SERVICE = ("service install", "service remove")
CHANGING = ("settings set", "settings clear")
SHOWING = ("open",)  # on the desktop of who calls


def call(words: Sequence[str], build: Build | None = None) -> int:
    """Never raises but for what ends a process."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # a service of Windows'
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  to the end of the process
        if hasattr(stream := getattr(sys, name), "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if sys.platform == "win32":
        import logging

        from guestwake.edges.windows_event_log import WindowsEventLog

        logging.getLogger("guestwake").addHandler(WindowsEventLog())
    try:
        code = int(_guarded(words, build or _build))
        sys.stdout.flush()  # who reads no more is no error here; at Python's own end it would be
        return code
    except BrokenPipeError:
        _silence()
        return int(Exit.DONE)
    except OSError as err:  # where it goes a disk is full
        _silence()
        return int(_told(err, debug=False))
    except KeyboardInterrupt:
        return int(Exit.STOPPED)


def _guarded(words: Sequence[str], build: Build) -> Exit:
    try:
        arguments = parse(medv_call.translated(words))
    except UsageError as err:
        complain(f"{err} 'guestwake --help' tells what there is.")
        if named(words)[:1] == ["wake"] or medv_call.is_one(words):
            _tell_usage(words, str(err), build)
        return Exit.USAGE
    except SystemExit:  # --help has been printed
        return Exit.DONE
    try:
        return _called(arguments, build)
    except BrokenPipeError:
        raise
    except Exception as err:  # whatever it is, the person is told, and the code says so
        return _told(err, debug=arguments.log_level == "debug")


def _called(arguments: Namespace, build: Build) -> Exit:
    if arguments.version:
        from importlib.metadata import version

        say(f"guestwake {version('guestwake')}")
        return Exit.DONE
    if arguments.command == "completion":
        from guestwake.edges.completion import completion

        return completion(arguments.shell)
    if arguments.command == "agent":
        from guestwake.edges.agent import agent

        gc.enable()
        return agent(arguments)
    paths = _paths(arguments.root)
    as_root = (*SERVICE, *CHANGING, *SHOWING, "setup")
    if paths.euid == 0 and paths.root is None and arguments.command not in as_root:
        from guestwake.edges.as_service import as_service

        paths = as_service(paths)
    if arguments.command in REPORTING:
        from guestwake.edges import reporting

        return reporting.run(arguments, paths)
    gc.enable()
    if arguments.command in CHANGING:
        from guestwake.edges import changing

        return changing.run(arguments, paths)
    if arguments.command in SERVICE:
        from guestwake.edges import service

        return service.run(arguments, build(paths))
    if arguments.command == "setup":
        from guestwake.edges import setup

        return setup.run(arguments, paths, build)
    if arguments.command == "doctor":
        from guestwake.edges import doctor

        return doctor.run(arguments, build(paths))
    from guestwake.edges import acting
    from guestwake.workspaces import UnknownWorkspace

    try:
        return acting.run(arguments, build(paths))
    except UnknownWorkspace:
        from guestwake.edges.remote import wish

        done = wish(arguments, paths)
        if done is None:
            raise
        return done


def _paths(root: str | None) -> Paths:
    if root == "":
        raise PathsError("--root is empty: name a folder")
    paths = Paths.here(Path(root) if root else None, os.environ, own_id())
    if paths.root and paths.root.exists() and not paths.root.is_dir():
        raise PathsError(f"'{paths.root}' is no folder: name one with --root or GUESTWAKE_ROOT")
    return paths


def _build(paths: Paths) -> Application:
    from guestwake.application import Application

    return Application(paths)


# What to do about an error of a hypervisor, by its code.
_REMEDIES = {
    "not-allowed": "Call as root, or as a user whom libvirt lets change VMs (the group libvirt).",
    "vm-not-found": "'virsh --connect URI list --all' lists the VMs that there are.",
    "hypervisor-unreachable": (
        "Is the URI right, and its daemon running (systemctl start libvirtd)? 'guestwake doctor' "
        "looks into it."
    ),
}


def _told(err: Exception, *, debug: bool) -> Exit:
    code = _code(err)
    if code is Exit.UNEXPECTED or debug:
        import traceback

        traceback.print_exc()
    complain(sentence_of(err))
    return code


def sentence_of(err: Exception) -> str:
    """For whoever called, with what to do."""
    return f"{type(err).__name__}: {err}" if _code(err) is Exit.UNEXPECTED else _sentence(err)


def _code(err: Exception) -> Exit:
    from guestwake.channels.api import PairingError
    from guestwake.edges.times import BadTime
    from guestwake.hypervisors.api import HypervisorError
    from guestwake.journal_file import JournalError
    from guestwake.locks import AlreadyRunning
    from guestwake.schedulers.api import SchedulerError
    from guestwake.settings import SettingsError
    from guestwake.settings.source import NotWritten
    from guestwake.workspaces import WorkspaceError

    table: tuple[tuple[type[Exception] | tuple[type[Exception], ...], Exit], ...] = (
        ((BadTime, UsageError, PathsError, SettingsError, PairingError), Exit.USAGE),
        (NotWritten, Exit.SETTINGS),
        (WorkspaceError, Exit.NO_WORKSPACE),
        (AlreadyRunning, Exit.ALREADY_RUNNING),
        (HypervisorError, Exit.HYPERVISOR),
        (_of("guestwake.edges.remote", "HostRefused"), Exit.HOST_REFUSED),
        (_of("guestwake.edges.open_window", "NotReady"), Exit.NOT_READY),
        (_of("guestwake.edges.open_window", "NotShown"), Exit.NOT_SHOWN),
        (SchedulerError, Exit.NOT_INSTALLED),
        ((JournalError, OSError), Exit.JOURNAL),
    )
    return next((code for kinds, code in table if isinstance(err, kinds)), Exit.UNEXPECTED)


def _of(module: str, name: str) -> tuple[type[Exception], ...]:
    """An error of a part that not every call, or system, has. Where that part is not there by now
    the error is not its."""
    there = sys.modules.get(module)
    return () if there is None else (getattr(there, name),)


def _sentence(err: Exception) -> str:
    from guestwake.hypervisors.api import HypervisorError
    from guestwake.journal_file import JournalDamaged

    if isinstance(err, JournalDamaged):
        return (
            f"{err}. It is damaged: the next 'guestwake wake' goes on without what it cannot read."
        )
    if isinstance(err, HypervisorError):
        return f"{err}. {_REMEDIES.get(err.code, '')}".rstrip()
    if isinstance(err, OSError) and err.filename:
        return f"'{err.filename}': {err.strerror}. Is it there, and yours to write?"
    return str(err)


def _tell_usage(words: Sequence[str], mistake: str, build: Build) -> None:
    """A wrong call of the Guest Update Manager is an event, 11001 (contract, section 9)."""
    from guestwake import event_log
    from guestwake.events import USAGE

    said = printable(f"{mistake} {USAGE.remedy}")
    event_log.write(USAGE, detail=said)
    try:
        from guestwake.edges.as_service import as_service

        application = build(as_service(_paths(root_of(words))))
        with application.journal() as journal:
            journal.note(USAGE.id, application.clock.now().wall, said)
    except Exception as err:  # the mistake itself has been told
        complain(f"event {USAGE.id} could not be written: {err}")


def _silence() -> None:
    """Nobody reads our output any more: what is still buffered goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
