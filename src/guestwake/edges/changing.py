"""`guestwake settings set` and `clear`: what is written, what counts then, and the undo.

Root writes the machine's file, an ordinary user their own. What only the host's service may write
for a user, it is asked to, over the system bus, where polkit asks for a password.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from shlex import join
from typing import Any

from guestwake.edges.exit_codes import Exit
from guestwake.edges.text import printable, say, say_json
from guestwake.paths import Paths
from guestwake.settings import Layer
from guestwake.settings.change import (
    Change,
    Changed,
    Whose,
    as_json,
    as_text,
    change,
    own_layer,
    unwished,
    wished,
)
from guestwake.settings.settings_client import writes_for
from guestwake.settings.source import NotWritten
from guestwake.settings.table import BY_NAME
from guestwake.workspaces import UnknownWorkspace, Workspace, Workspaces

_ROOTS = (
    "the machine policy is an administrator's: call from an elevated prompt"
    if sys.platform == "win32"
    else "the machine policy is root's: call as root, such as with sudo"
)
Told = Mapping[str, Any]  # what was changed, as JSON has it


def run(arguments: Namespace, paths: Paths) -> Exit:
    """Raises NotWritten, SettingsError, WorkspaceError, HostRefused."""
    sets = arguments.command == "settings set"
    changes = wished(arguments.assignments) if sets else unwished(arguments.names)
    found: list[Told] = []
    try:
        for each in _changed(arguments, paths, changes):
            found.append(each)
    finally:  # the host's service writes one after the other, and may refuse in the middle
        if found:
            _tell(found, arguments, paths)
    return Exit.DONE


def _tell(found: Sequence[Told], arguments: Namespace, paths: Paths) -> None:
    if arguments.json:
        say_json([{**each, "undo": _undo([each], arguments, paths)} for each in found])
        return
    for each in found:
        say(done(each, arguments.workspace))
    for command in _undo(found, arguments, paths):
        say(f"Undo: {command}")


def changed(
    paths: Paths, layer: Layer, workspace: Workspace | None, changes: Sequence[Change]
) -> list[Changed]:
    """Of this process's own host, or user. Raises NotWritten."""
    owner = paths.user if workspace is None else workspace.owner
    if layer is Layer.USER and owner != paths.user:
        raise NotWritten(
            f"'{workspace and workspace.name}' belongs to {owner or 'no user'}, so that your "
            "settings do not count for it: root may write its values into the machine's"
        )
    asked = writes_for(paths)
    if layer is Layer.MACHINE_POLICY and (paths.user is not None or asked is not None):
        raise NotWritten(_ROOTS)
    named = None if workspace is None else (workspace.name, workspace.uuid)
    return change(paths, Whose(layer, owner, named), changes, asked)


def _changed(arguments: Namespace, paths: Paths, changes: Sequence[Change]) -> Iterator[Told]:
    name = arguments.workspace
    if paths.user is not None and arguments.machine:
        yield from _changed_by_host(arguments, paths, changes, None)
        return
    try:
        workspace = Workspaces(paths.state / "workspaces").find(name) if name else None
    except UnknownWorkspace as err:
        if paths.user is None or arguments.policy:
            raise
        yield from _changed_by_host(arguments, paths, changes, err)
        return
    layer = Layer.MACHINE_POLICY if arguments.policy else own_layer(paths)
    yield from map(as_json, changed(paths, layer, workspace, changes))


def _changed_by_host(
    arguments: Namespace, paths: Paths, changes: Sequence[Change], unknown: UnknownWorkspace | None
) -> Iterator[Told]:
    """`unknown`: why it is not one's own. For a workspace of the host's that belongs to who calls,
    their own file counts."""
    if sys.platform == "win32":
        raise unknown or NotWritten(
            "the machine's settings are an administrator's: call from an elevated prompt"
        )
    from guestwake.edges.remote import HostRefused
    from guestwake.edges.remote_settings import host_settings

    with host_settings() as host:
        if host is None:
            raise unknown or HostRefused(
                "no service of the host's runs that could write the machine's settings: call as "
                "root, such as with sudo, or have it started ('systemctl start guestwake')."
            )
        workspace = host.find(arguments.workspace) if arguments.workspace else None
        if workspace is not None and workspace.owner == paths.user and not arguments.machine:
            yield from map(as_json, changed(paths, Layer.USER, workspace, changes))
            return
        uuid = workspace.uuid if workspace else ""
        for each in changes:
            value = None if each.value is None else as_text(each.setting, each.value)
            yield host.change(uuid, each.setting.name, value)


# what is said


def done(told: Told, workspace: str | None) -> str:
    name, file = told["name"], told["file"]
    of = f" for '{workspace}'" if workspace else ""
    value = _text(name, told["value"])
    where = told["layer"] + (f", {told['place']}" if told["place"] else "")
    if told["written"] is None:
        gone = "is taken out of" if _is_change(told) else "was not in"
        return printable(f"{name} {gone} {file}{of}. What counts is {value}: {where}.")
    if told["counts"]:
        return printable(f"{name} is {value}{of} now: {where}.")
    wrote = _text(name, told["written"])
    return printable(f"{name} = {wrote}{of} is in {file}. But what counts is {value}: {where}.")


def _undo(found: Sequence[Told], arguments: Namespace, paths: Paths) -> list[str]:
    """Commands. None for what was not changed, or was before what nobody may write."""
    changed = [one for one in found if _is_change(one) and not one["was_bad"]]
    clear = [one["name"] for one in changed if one["before"] is None]
    again = [one for one in changed if one["before"] is not None]
    sets = [f"{one['name']}={_text(one['name'], one['before'])}" for one in again]
    root = ["--root", str(paths.root)] if paths.root else []
    of = ["--workspace", arguments.workspace] if arguments.workspace else []
    layer = [f"--{one}" for one in ("machine", "policy") if getattr(arguments, one)]
    return [
        join(["guestwake", *root, "settings", verb, *words, *of, *layer])
        for verb, words in (("set", sets), ("clear", clear))
        if words
    ]


def _is_change(told: Told) -> bool:
    return bool(told["was_bad"]) or told["written"] != told["before"]


def _text(name: str, value: object) -> str:
    return BY_NAME[name].kind.text(None) if value is None else as_text(BY_NAME[name], value)
