"""Changes what the settings of a layer say, and tells what counts then.

Where it is written: for the host the machine's own, for an ordinary user that user's; the machine
policy where that is asked for. Who may not write the machine's file asks the part of Guestwake that
may (`settings_client.py`). Nothing is written where anything is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from guestwake.paths import Paths
from guestwake.settings import kept
from guestwake.settings.resolve import Origin, Resolved, assigned, load, named, resolve
from guestwake.settings.source import Edit, Layer, Writer
from guestwake.settings.table import BadValue, Setting


class Change(NamedTuple):
    """`value`: as JSON has it, in the table's own spelling; None: take it out."""

    setting: Setting
    value: object | None


class Whose(NamedTuple):
    """Which layer is meant, and which values in it. `workspace`: name and UUID of the VM; None: the
    general ones. `owner`: whose settings count there; None: the system's."""

    layer: Layer
    owner: str | None = None
    workspace: tuple[str, str] | None = None


class Changed(NamedTuple):
    """`before`: what stood in `file` until then, as JSON has it; None: nothing, or, where
    `was_bad`, what the table refuses. `now`: what counts, and where that came from; `counts`:
    whether that is what stands in `file`, which is a key where settings are in a registry."""

    setting: Setting
    file: str
    written: object | None
    before: object | None
    was_bad: bool
    now: object
    origin: Origin
    counts: bool


def own_layer(paths: Paths) -> Layer:
    """Of who runs this."""
    return Layer.MACHINE if paths.user is None else Layer.USER


class Writes(Protocol):
    """A part of `Writer`. Raises NotWritten."""

    def can_name(self, section: str) -> bool: ...
    def write(self, edits: Sequence[Edit]) -> None: ...


def wished(assignments: Sequence[str]) -> list[Change]:
    """From NAME=VALUE, NAME in either spelling. Raises SettingsError, for all mistakes at once."""
    return [
        Change(setting, setting.kind.plain(setting.kind.parse(raw)))
        for setting, raw in assigned(assignments).items()
    ]


def unwished(names: Sequence[str]) -> list[Change]:
    """From names in either spelling. Raises SettingsError likewise."""
    return [Change(setting, None) for setting in named(names)]


def change(
    paths: Paths, whose: Whose, changes: Sequence[Change], writes: Writes | None = None
) -> list[Changed]:
    """`writes`: what is used where this process may not itself. Raises NotWritten."""
    owner = whose.owner if whose.layer is Layer.USER else None
    writer = kept.writer(paths, whose.layer, owner)
    known = writer.sections()
    before = [_Before.of(writer, each.setting, whose) for each in changes]
    edits = [
        edit
        for each, was in zip(changes, before, strict=True)
        if was.is_bad or was.value != each.value
        for edit in _edits(each, was, known, whose, writer, writes or writer)
    ]
    if edits:
        (writes or writer).write(edits)
    resolved = resolve(load(paths, whose.owner), whose.workspace)
    return [
        _changed(each, was, writer, resolved) for each, was in zip(changes, before, strict=True)
    ]


class _Before(NamedTuple):
    """What a layer says of a setting. `sections`: where, the one that counts first."""

    value: object | None
    is_bad: bool
    sections: tuple[str | None, ...]

    @classmethod
    def of(cls, writer: Writer, setting: Setting, whose: Whose) -> _Before:
        found = {each.section: each for each in writer.entries() if each.name == setting.name}
        sections = tuple(_those_of(whose, found, writer))
        if not sections:
            return cls(None, is_bad=False, sections=())
        raw = found[sections[0]].raw
        try:
            return cls(setting.kind.plain(setting.kind.parse(raw)), is_bad=False, sections=sections)
        except BadValue:
            return cls(None, is_bad=True, sections=sections)


def _those_of(whose: Whose, known: Iterable[str | None], writer: Writer) -> Iterator[str | None]:
    """By UUID first, as that one counts."""
    if whose.workspace is None:
        yield from (each for each in known if each is None)
        return
    name, uuid = whose.workspace
    spelled = [each for each in known if each is not None]
    for wanted in map(writer.section_of, (uuid, name)):
        yield from (each for each in spelled if writer.section_of(each) == wanted)


def _edits(
    change: Change,
    before: _Before,
    known: Sequence[str],
    whose: Whose,
    writer: Writer,
    writes: Writes,
) -> Iterator[Edit]:
    if change.value is None:
        yield from (Edit(each, change.setting, None) for each in before.sections)
        return
    section = None
    if whose.workspace is not None:
        name, uuid = whose.workspace
        new = name if writes.can_name(name) else uuid
        section = next(iter((*before.sections, *_those_of(whose, known, writer))), new)
    yield Edit(section, change.setting, change.value)


def _changed(change: Change, before: _Before, writer: Writer, resolved: Resolved) -> Changed:
    setting = change.setting
    origin = resolved.origins[setting.name]
    return Changed(
        setting=setting,
        file=writer.place,
        written=change.value,
        before=before.value,
        was_bad=before.is_bad,
        now=getattr(resolved.limits, setting.toml),
        origin=origin,
        counts=origin.place is not None and writer.holds(origin.place),
    )


def as_json(changed: Changed) -> dict[str, object]:
    """For machines. `written` None: it was taken out. `value`: what counts now; `counts`: whether
    that is what `file` says."""
    return {
        "name": changed.setting.name,
        "written": changed.written,
        "file": changed.file,
        "before": changed.before,
        "was_bad": changed.was_bad,
        "counts": changed.counts,
        "value": changed.setting.kind.plain(changed.now),
        "layer": str(changed.origin.layer),
        "place": changed.origin.place,
    }


def as_text(setting: Setting, value: object) -> str:
    """`value`, as JSON has it, as one writes it after NAME= on a command line."""
    return ",".join(value) if isinstance(value, list) else str(value)
