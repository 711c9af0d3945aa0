"""Our API on a bus: connected, under its name, and anew when the bus was lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from guestwake.application import Application
from guestwake.edges.dbus_api import Exported, NameTaken, export
from guestwake.edges.dbus_deeds import Wakes
from guestwake.hosts.message_bus import connected
from guestwake.resident import bus_address

log = logging.getLogger(__name__)

_AGAIN = 60.0  # seconds


async def answer(
    application: Application,
    wake: Wakes,
    changed: Callable[[], None],
    tell: Callable[[Exported | None], None],
) -> None:
    """Until cancelled. `wake` and `changed`: as `export` wants them. `tell`: what answers now,
    None: nothing does."""
    on_system_bus = application.paths.user is None
    kind = "system" if on_system_bus else "session"
    while True:
        exported: Exported | None = None
        try:
            async with connected(bus_address(application)) as bus:
                exported = await export(
                    bus, application, wake, on_system_bus=on_system_bus, changed=changed
                )
                tell(exported)
                log.info("answers on the %s bus", kind)
                await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        except NameTaken as err:
            log.warning("%s", err)
        except Exception as err:  # dbus-fast raises whatever a malformed message trips over
            log.info("no API on the %s bus: %r; tried again in a minute", kind, err)
        finally:
            tell(None)
            if exported is not None:
                exported.close()
        await asyncio.sleep(_AGAIN)
