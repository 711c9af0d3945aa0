"""The commands that do something. Each tells its result in one line and returns its exit code."""

from __future__ import annotations

import logging
import signal
import threading
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from guestwake.application import LOOK_NOW, Application, ChannelNow, default_uri, user_name
from guestwake.applications import Applications
from guestwake.edges.exit_codes import Exit, of_run
from guestwake.edges.live import Live
from guestwake.edges.publishing import PUBLISHING
from guestwake.edges.text import local, printable, say, span
from guestwake.edges.wishes import WISHES
from guestwake.hypervisors.api import ChannelIs
from guestwake.locks import AlreadyRunning
from guestwake.policy.run import WakeRun, Why
from guestwake.policy.words import Power
from guestwake.wishes import Wishes
from guestwake.workspaces import Workspace

log = logging.getLogger(__name__)

# Windows has no SIGHUP.
_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)
)
_LOCK_AGAIN = 1.0  # seconds between two looks at another process's lock


def run(arguments: Namespace, application: Application) -> Exit:
    talks = arguments.command in ("wake", "restart", "workspace remove", "serve")
    live = Live()
    level = arguments.log_level or ("info" if talks and not live.moves else "warning")
    root = logging.getLogger("guestwake")
    root.setLevel(level.upper())
    root.addHandler(live)
    try:
        serves = arguments.command == "serve"  # it has its own way with signals
        with _stopped_by_signals(application) if talks and not serves else _as_ever():
            if arguments.command in WISHES:
                return WISHES[arguments.command](arguments, Wishes(application))
            if arguments.command in PUBLISHING:
                return PUBLISHING[arguments.command](arguments, Applications(application))
            return _COMMANDS[arguments.command](arguments, application, live)
    finally:
        live.end()
        root.removeHandler(live)


@contextmanager
def _stopped_by_signals(application: Application) -> Iterator[None]:
    """A signal asks the run to put back and end; where it may not be caught, things stay."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.signal(one, lambda *_: application.stop()) for one in _SIGNALS}
    if LOOK_NOW is not None:
        before[LOOK_NOW] = signal.signal(LOOK_NOW, lambda *_: application.look_now())
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextmanager
def _as_ever() -> Iterator[None]:
    yield


# workspaces


def _add(arguments: Namespace, application: Application, live: Live) -> Exit:
    owner = None if arguments.system else arguments.owner or user_name()
    added = application.add(arguments.name, arguments.uri or default_uri(), owner)
    say(f"{_name(added.workspace)} is a workspace now.")
    for note in added.notes:
        say(f"- {printable(note)}")
    return Exit.DONE


def _remove(arguments: Namespace, application: Application, live: Live) -> Exit:
    workspace = application.workspaces.find(arguments.workspace)
    while True:
        try:
            ended = application.remove(workspace.uuid, live.show)
            break
        except AlreadyRunning as err:
            log.info("'%s': %s and puts it back; waiting for that", workspace.name, err)
        while application.is_running(workspace) and not application.told_to_stop:
            application.clock.wait(_LOCK_AGAIN)
        if application.told_to_stop:
            log.warning("'%s' is still to be removed: call again", workspace.name)
            return Exit.STOPPED
    live.end()
    if ended is not None and not ended.over:
        log.warning("'%s' is still to be removed: call again", workspace.name)
        return of_run(ended.why, stopped=application.told_to_stop)
    say(f"{_name(workspace)} is no workspace any more{_how(ended.why if ended else None)}.")
    return Exit.DONE


def _add_channel(arguments: Namespace, application: Application, live: Live) -> Exit:
    workspace = application.workspaces.find(arguments.workspace)
    if arguments.tcp:
        return _pair(workspace, arguments.tcp, application)
    channel = application.add_channel(workspace)
    if channel.now is ChannelIs.AT_NEXT_BOOT:
        say(f"{_name(workspace)} gets the channel {_later(channel)}.")
    else:
        say(f"{_name(workspace)} has the channel of the Guest Update Service.")
    say("Then install that service in its guest, as root: guestwake-guest install")
    return Exit.DONE


def _pair(workspace: Workspace, place: str, application: Application) -> Exit:
    """The token is all of the output: it holds a secret, and goes into the guest and nowhere
    else."""
    token = application.pair(workspace, place)
    log.warning(
        "the guest of '%s' is heard at %s from its next run on. In the guest, as administrator: "
        "guestwake-guest pair, and give it this line, which is shown once:",
        *(workspace.name, place),
    )
    say(token)
    return Exit.DONE


def _remove_channel(arguments: Namespace, application: Application, live: Live) -> Exit:
    workspace = application.workspaces.find(arguments.workspace)
    if application.unpair(workspace):
        say(f"The guest of {_name(workspace)} is not heard over TCP any more.")
        return Exit.DONE
    channel = application.remove_channel(workspace)
    if channel.now is ChannelIs.UNTIL_NEXT_BOOT:
        say(f"{_name(workspace)} loses the channel {_later(channel)}.")
    else:
        say(f"{_name(workspace)} has no channel of the Guest Update Service.")
    return Exit.DONE


def _later(channel: ChannelNow) -> str:
    if channel.power is Power.SAVED:
        return (
            "with its next boot, not with its next wake: it is hibernated, and its saved image "
            "stays as it is"
        )
    return "with its next boot: as it runs now it cannot be changed. A restart of the guest is none"


def _how(why: Why | None) -> str:
    return "" if why is None else f"; its run ended with '{why}'"


# the wake run


def _wake(arguments: Namespace, application: Application, live: Live) -> Exit:
    workspace = application.workspaces.find(arguments.workspace)
    try:
        if arguments.scheduled:
            ended = application.wake_scheduled(workspace.uuid, live.show)
        else:
            ended = application.wake(workspace.uuid, arguments.duration, live.show)
    except AlreadyRunning as err:
        if arguments.scheduled:
            log.debug("'%s': %s", workspace.name, err)
            return Exit.DONE
        log.error("'%s': %s; see 'guestwake status'", workspace.name, err)
        return Exit.ALREADY_RUNNING
    live.end()
    if ended is None:
        if not arguments.scheduled:
            log.warning(
                "'%s': GuestUpdateDuration is 0, which disables the policy; nothing was done. "
                "'guestwake wake --duration MIN' wakes it all the same.",
                workspace.name,
            )
        return Exit.DONE
    say(_summary(workspace, ended.run, ended.why, application))
    return of_run(ended.why, stopped=application.told_to_stop)


def _restart(arguments: Namespace, application: Application, live: Live) -> Exit:
    workspace = application.workspaces.find(arguments.workspace)
    Wishes(application).agree(workspace)
    try:
        ended = application.restart(workspace.uuid, live.show)
    except AlreadyRunning:  # what was agreed is on record
        live.end()
        say(f"{_name(workspace)} is restarted by its present run, within a minute.")
        return Exit.DONE
    live.end()
    if ended is None:
        say(
            f"{_name(workspace)} cannot be restarted now: it is off, or cannot be looked at. Its "
            "next boot, or its next window, does it."
        )
        return Exit.NOT_RESTARTED
    say(_summary(workspace, ended.run, ended.why, application))
    return of_run(ended.why, stopped=application.told_to_stop)


def _postpone(arguments: Namespace, application: Application, live: Live) -> Exit:
    workspace = application.workspaces.find(arguments.workspace)
    wishes = Wishes(application)
    until = local(wishes.postpone(workspace).wall, wishes.zone(workspace))
    say(f"The restart of {_name(workspace)} is postponed; it can be until {until}.")
    return Exit.DONE


def _open(arguments: Namespace, application: Application, live: Live) -> Exit:
    from guestwake.edges.open import open_application

    return open_application(arguments, application, live)


def _serve(arguments: Namespace, application: Application, live: Live) -> Exit:
    from guestwake.edges.serve import serve

    return serve(arguments, application)


def _summary(workspace: Workspace, run: WakeRun, why: Why, application: Application) -> str:
    """The one record of a run: VM, why, how long, prior."""
    from guestwake.events import OF_WHY

    awake = run.first_awake
    length = [f"awake for {span(-awake.left(application.clock.now()))}"] if awake else []
    prior = [f"before: {run.prior}"] if run.prior else []
    sentence = OF_WHY[why].sentence.replace("{name}", _name(workspace))
    return f"{sentence} [{'; '.join([why, *prior, *length])}]"


def _name(workspace: Workspace) -> str:
    return f"'{printable(workspace.name)}'"


_COMMANDS: dict[str, Callable[[Namespace, Application, Live], Exit]] = {
    "workspace add": _add,
    "workspace remove": _remove,
    "workspace channel add": _add_channel,
    "workspace channel remove": _remove_channel,
    "wake": _wake,
    "restart": _restart,
    "postpone": _postpone,
    "open": _open,
    "serve": _serve,
}
