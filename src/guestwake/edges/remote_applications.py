"""Applications of the host's workspaces, for an ordinary user: over the system bus, as `remote.py`
has the rest."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from guestwake.edges.agent_prompts import Asked, asked_of
from guestwake.edges.dbus_words import PROPERTIES, WORKSPACE, path_of
from guestwake.edges.open import Said
from guestwake.edges.remote import (
    HostService,
    HostWorkspaces,
    host_service,
    objects,
)
from guestwake.journal_applications import PublishedRow
from guestwake.workspaces import Workspace

_PATIENCE = 10.0  # seconds: right after a logon the host has much to do


@contextmanager
def host_applications(user: str | None) -> Iterator[HostApplications | None]:
    """`user`: who calls, None: root. None: no service of the host's is there. Raises
    HostRefused."""
    with host_service(_PATIENCE) as service:
        yield None if service is None else HostApplications(service, user)


class HostApplications(HostWorkspaces):
    """The counterpart of `Applications`. Raises HostRefused, WorkspaceError."""

    def __init__(self, service: HostService, user: str | None) -> None:
        super().__init__(service, _PATIENCE)
        self._service = service
        self._user = user

    # published

    def guest_os(self, workspace: Workspace) -> str | None:
        return (self.status(workspace).get("guest") or {}).get("os")

    def publish(self, workspace: Workspace, row: PublishedRow, icon: bytes | None) -> None:
        self._service.workspace(workspace, "Publish", *row, icon or b"")

    def unpublish(self, workspace: Workspace, application: str) -> None:
        self._service.workspace(workspace, "Unpublish", application)

    def published(self, workspace: Workspace) -> list[PublishedRow]:
        until = time.monotonic() + _PATIENCE
        found = objects(self._service.manager("Applications", workspace.uuid, until=until))
        keys = ("application", "name", "command", "guest")
        return [PublishedRow(*(str(each.get(key, "")) for key in keys)) for each in found]

    # open

    def open(self, workspace: Workspace, application: str) -> int:
        return int(self._service.workspace(workspace, "Open", application, os.getpid())[0])

    def opening(self, workspace: Workspace, opened: int) -> Said:
        is_open, is_ready, sentence = self._service.workspace(workspace, "Opening", opened)
        return Said(is_open=is_open, is_ready=is_ready, sentence=str(sentence))

    def show(self, workspace: Workspace, opened: int, pid: int) -> bool:
        return bool(self._service.workspace(workspace, "Show", opened, pid)[0])

    def close(self, workspace: Workspace, opened: int) -> None:
        self._service.workspace(workspace, "Close", opened)

    # the restart that updates need

    def asked(self, workspace: Workspace) -> Asked | None:
        """Root answers for its owner, and nobody else does."""
        until = time.monotonic() + _PATIENCE
        path = path_of(workspace.uuid)
        (found,) = self._service.call(path, PROPERTIES, "GetAll", (WORKSPACE.name,), until)
        values = {name: value for name, (_, value) in found.items()}
        return asked_of(values, self._user or str(values.get("Owner")))

    def prompt_seen(self, workspace: Workspace) -> None:
        self._service.workspace(workspace, "PromptSeen")
