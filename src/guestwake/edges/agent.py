"""`guestwake agent`: asks the user of a session about restarts, and keeps their menu, as a service
of the host cannot.

It has no rights but its user's and decides nothing: services say over D-Bus what is to be shown,
and the user's answers go back the same way. Its files are the menu's, and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sys
from argparse import Namespace
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from guestwake.application import SYSTEM_BUS
from guestwake.edges.exit_codes import Exit
from guestwake.edges.live import Live
from guestwake.edges.text import is_terminal, say
from guestwake.paths import account_name

if TYPE_CHECKING:
    from guestwake.edges.dbus_menu import Menu

log = logging.getLogger(__name__)


def agent(arguments: Namespace) -> Exit:
    """Until a signal, or the end of the session, ends it; with --once it says what there is."""
    root = logging.getLogger("guestwake")
    root.setLevel((arguments.log_level or "warning").upper())
    root.addHandler(Live())
    user = account_name(os.geteuid())
    system, session = addresses(os.environ)
    if arguments.once:
        return asyncio.run(_once(user, {"system": system, "session": session}))
    if session is None:
        log.error("there is no session here, and so nobody to ask: see 'guestwake agent --once'")
        return Exit.USAGE
    return asyncio.run(_run(user, system, session))


def addresses(environ: Mapping[str, str]) -> tuple[str, str | None]:
    """Of the system's bus, and of the session's, None: there is none."""
    system = environ.get("DBUS_SYSTEM_BUS_ADDRESS", SYSTEM_BUS)
    runtime = environ.get("XDG_RUNTIME_DIR")
    session = environ.get("DBUS_SESSION_BUS_ADDRESS")
    if session is None and runtime and os.path.exists(f"{runtime}/bus"):
        session = f"unix:path={runtime}/bus"
    return system, session


def data_folder(environ: Mapping[str, str]) -> Path:
    """XDG_DATA_HOME, by its specification."""
    said = environ.get("XDG_DATA_HOME", "")
    return Path(said) if os.path.isabs(said) else Path.home() / ".local/share"


def program() -> tuple[str, ...]:
    """The words that call the guestwake that runs."""
    called = Path(os.path.abspath(shutil.which(sys.argv[0]) or sys.argv[0]))
    for command in (called, Path(sys.executable).with_name("guestwake")):
        if command.name == "guestwake" and os.access(command, os.X_OK):
            return (str(command),)
    return (sys.executable, "-P", "-m", "guestwake.edges.cli")


def _menu(user: str) -> Menu:
    from guestwake.edges.agent_menu_files import MenuFiles
    from guestwake.edges.dbus_menu import Menu

    return Menu(user, MenuFiles(data_folder(os.environ)), program())


async def _run(user: str, system: str, session: str) -> Exit:
    from guestwake.edges.dbus_agent import Agent, AgentThere
    from guestwake.hosts.message_bus import connected

    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    assert me is not None
    for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(one, me.cancel)
    try:
        async with connected(session) as bus:
            await Agent(bus, user, _menu(user)).run(system)
    except asyncio.CancelledError:
        return Exit.DONE
    except AgentThere as err:
        log.warning("%s: there is one in each", err)
        return Exit.ALREADY_RUNNING
    except Exception as err:  # dbus-fast raises whatever a malformed message trips over
        log.info("the session's bus is lost: %r", err)
        return Exit.STOPPED
    return Exit.DONE


async def _once(user: str, buses: Mapping[str, str | None]) -> Exit:
    menu = _menu(user)
    asked = [
        await _say_asked(service, address, user, menu)
        for service, address in buses.items()
        if address is not None
    ]
    if not any(asked):
        say("Nothing is asked of you.")
    return Exit.DONE


async def _say_asked(service: str, address: str, user: str, menu: Menu) -> int:
    """What the service on this bus asks of the user, as text, and how much that is. On a terminal
    it counts as seen. The menu is brought up to date too."""
    from guestwake.edges.agent_prompts import as_text, asked_of
    from guestwake.edges.dbus_calls import Failed, act, objects
    from guestwake.hosts.message_bus import connected

    count = 0
    try:
        async with connected(address) as bus:
            found, _ = await objects(bus)
            for path, values in found.items():
                if asked := asked_of(values, user):
                    count += 1
                    say(f"{as_text(asked)}\n")
                    if is_terminal(sys.stdout):
                        with suppress(Failed):
                            await act(bus, path, "PromptSeen")
            menu.tell(service, bus, found)
            await menu.heed()
    except Exception as err:  # dbus-fast raises whatever a malformed message trips over
        log.debug("the bus at '%s': %r", address, err)
    return count
