"""`guestwake publish` and `unpublish`. The same for our own workspaces and for the host's, which
are reached over D-Bus (`remote_applications.py`)."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from shlex import quote
from typing import Protocol

from guestwake.applications import ICON_BYTES_MAX
from guestwake.edges.exit_codes import Exit
from guestwake.edges.parser import UsageError
from guestwake.edges.text import printable, say
from guestwake.edges.wishes import Finds
from guestwake.journal_applications import PublishedRow
from guestwake.workspaces import Workspace


class Publishes(Protocol):
    """Who does it: `Applications`, or the host's service."""

    @property
    def workspaces(self) -> Finds: ...
    def guest_os(self, workspace: Workspace) -> str | None: ...
    def publish(self, workspace: Workspace, row: PublishedRow, icon: bytes | None) -> None: ...
    def unpublish(self, workspace: Workspace, application: str) -> None: ...


def _publish(arguments: Namespace, publishes: Publishes) -> Exit:
    workspace = publishes.workspaces.find(arguments.workspace)
    application = arguments.application
    row = PublishedRow(
        id=application,
        name=arguments.name or application,
        command=arguments.runs or application,
        how=arguments.guest or _how(publishes, workspace),
    )
    publishes.publish(workspace, row, _icon(arguments.icon) if arguments.icon else None)
    published = f"'{printable(row.name)}' of '{printable(workspace.name)}' is published."
    say(f"{published} {_where(workspace)}")
    called = " ".join(map(quote, (workspace.name, application)))
    say(f"'guestwake open {printable(called)}' opens it.")
    return Exit.DONE


def _unpublish(arguments: Namespace, publishes: Publishes) -> Exit:
    workspace = publishes.workspaces.find(arguments.workspace)
    publishes.unpublish(workspace, arguments.application)
    application = printable(arguments.application)
    say(f"'{application}' of '{printable(workspace.name)}' is not published any more.")
    return Exit.DONE


def _where(workspace: Workspace) -> str:
    if workspace.owner is None:
        return "The workspace is the system's, so nobody has it in their menu."
    return (
        f"It is in the menu of {printable(workspace.owner)} once 'guestwake agent' runs in their "
        "session."
    )


def _how(publishes: Publishes, workspace: Workspace) -> str:
    told = publishes.guest_os(workspace)
    if not told:
        raise UsageError(
            f"the guest of '{workspace.name}' has not reported which system it is: say --guest "
            "linux or --guest windows."
        )
    return "windows" if "windows" in told.lower() else "linux"


def _icon(file: str) -> bytes:
    try:
        with open(file, "rb") as icon:
            return icon.read(ICON_BYTES_MAX + 1)
    except OSError as err:
        raise UsageError(f"--icon '{file}': {err.strerror}.") from err


PUBLISHING: Mapping[str, Callable[[Namespace, Publishes], Exit]] = {
    "publish": _publish,
    "unpublish": _unpublish,
}
