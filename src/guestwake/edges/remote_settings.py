"""The machine's settings, for an ordinary user: the host's service writes them, for who may."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from guestwake.edges.remote import (
    PATIENCE,
    PATIENCE_WITH_A_PERSON,
    HostRefused,
    HostService,
    HostWorkspaces,
    host_service,
    objects,
)
from guestwake.workspaces import Workspace


@contextmanager
def host_settings() -> Iterator[HostSettings | None]:
    """None: no service of the host's is there to change them."""
    with host_service(PATIENCE) as service:
        try:
            found = HostSettings(service) if service else None
        except HostRefused:
            found = None
        yield found


class HostSettings:
    """Raises HostRefused, UnknownWorkspace."""

    def __init__(self, service: HostService) -> None:
        self._service = service
        self._workspaces = HostWorkspaces(service)

    def find(self, name_or_uuid: str) -> Workspace:
        return self._workspaces.find(name_or_uuid)

    def change(self, workspace: str, name: str, value: str | None) -> dict[str, Any]:
        """`workspace` empty: the general ones. `value` None: take it out. What was changed, as
        `guestwake settings set --json` tells it."""
        method, values = ("ClearSetting", ()) if value is None else ("SetSetting", (value,))
        until = time.monotonic() + PATIENCE_WITH_A_PERSON
        (changed,) = objects(self._service.manager(method, workspace, name, *values, until=until))
        return changed
