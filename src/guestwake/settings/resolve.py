"""Which value counts: the first layer that has a good one, and where it came from.

Search order: machine policy, user policy, machine, user, default; inside a layer a workspace's
own section beats the general one. A bad value counts as if it were not there, and is reported.
The machine policy alone has a memory: a value of it that went bad keeps the last good value of
that layer, else the default, and never that of a lower layer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from guestwake.paths import Paths
from guestwake.policy.limits import Limits
from guestwake.settings import kept, last_good
from guestwake.settings.last_good import Kept
from guestwake.settings.source import (
    SEARCHED,
    Entry,
    Layer,
    Part,
    Problem,
    Source,
    Unfit,
    section_of,
)
from guestwake.settings.table import (
    BY_NAME,
    BY_TOML,
    SETTINGS,
    BadValue,
    Setting,
    limits,
    printable,
    shown,
    unknown,
)

Spot = tuple[str | None, str]  # section (None: general) and CamelCase name


class SettingsError(Exception):
    """Values that a person gave on the command line will not do; all mistakes at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = tuple(problems)


class Origin(NamedTuple):
    """Where a value came from."""

    layer: Layer
    place: str | None = None  # FILE:LINE; None: nowhere, it is the default
    raw: object = None  # as it stands there
    stands_in: bool = False  # for a value of the machine policy that is broken now

    def __str__(self) -> str:
        words = str(self.layer) + (f", {self.place}" if self.place else "")
        return words + (" (stands in for a broken value of the policy)" if self.stands_in else "")


class _Found(NamedTuple):
    value: object
    origin: Origin


@dataclass(frozen=True, slots=True)
class Layers:
    """All that the source said, once read. Good values only; `barred`: values of the machine
    policy that are bad and have no last good one, so that no lower layer counts for them."""

    owner: str | None
    values: Mapping[Layer, Mapping[Spot, _Found]]
    barred: Mapping[Spot, str]  # to the place of the bad value
    problems: tuple[Problem, ...]
    paths: Paths
    _source: Source
    _signature: object
    _kept: Kept
    _stored: Kept | None

    def changed(self) -> bool:
        """Whether anything was changed since. Then `load` again."""
        return self._source.signature() != self._signature

    def section_of(self, name: str) -> str:
        """The name or UUID of a VM as it is compared with sections."""
        return self._source.section_of(name)

    def remember(self) -> tuple[Problem, ...]:
        """Keep the machine policy's good values for the day it is broken, and what the source
        itself has to keep. For those who may write the state folder; does nothing where nothing
        is new."""
        problems = self._source.remember()
        if self._kept == self._stored:
            return problems
        return (*problems, *last_good.write(self.paths.state, self._kept))


class Resolved(NamedTuple):
    """The settings of one workspace. `origins` by CamelCase name, every setting is there."""

    limits: Limits
    origins: Mapping[str, Origin]
    problems: tuple[Problem, ...]


class Row(NamedTuple):
    name: str
    value: str
    origin: str


def load(paths: Paths, owner: str | None, source: Source | None = None) -> Layers:
    """Read everything once, from where this machine keeps it or another source.

    `owner`: the host user whose workspaces are meant; None: the system's, which have no user
    layers. Writes nothing, and never raises for what is in the files.
    """
    source = source or kept.source(paths, owner)
    signature = source.signature()  # first: what changes while we read is seen the next time
    stored, problems = last_good.read(paths.state)
    judged = {layer: [_judge(part) for part in source.parts(layer)] for layer in SEARCHED}
    policy = judged[Layer.MACHINE_POLICY]
    held = _hold(policy, stored or {})
    judged[Layer.MACHINE_POLICY] = held
    barred = _barred(held)
    return Layers(
        owner=owner,
        values={layer: _merge(layer, parts) for layer, parts in judged.items()},
        barred=barred,
        problems=(*problems, *_all_problems(judged, barred)),
        paths=paths,
        _source=source,
        _signature=signature,
        _kept={part.name: tuple(part.good.values()) for part in held if part.good},
        _stored=stored,
    )


class _Judged(NamedTuple):
    """A part with its values sorted into good and bad. `held`: those of `good` that are the
    last good ones and stand in."""

    name: str
    broken: bool
    good: Mapping[Spot, Entry]
    bad: Mapping[Spot, Problem]
    problems: tuple[Problem, ...]
    held: frozenset[Spot] = frozenset()


def _judge(part: Part) -> _Judged:
    good: dict[Spot, Entry] = {}
    bad: dict[Spot, Problem] = {}
    for entry in part.entries:
        try:
            if isinstance(entry.raw, Unfit):
                raise BadValue(entry.raw.sentence)
            BY_NAME[entry.name].kind.parse(entry.raw)
            good[_spot(entry)] = entry
        except BadValue as err:
            bad[_spot(entry)] = Problem(entry.place, entry.spelling, str(err), entry.section)
    return _Judged(part.name, part.broken, good, bad, part.problems)


def _spot(entry: Entry) -> Spot:
    return entry.section and section_of(entry.section), entry.name


def _hold(parts: list[_Judged], stored: Kept) -> list[_Judged]:
    """The machine policy's parts, each with the last good values where it is broken now.

    A broken key of a registry keeps what it and all below it last said. A broken file keeps what it
    last said, or if it is new, what files that are gone last said (it may have been renamed). A bad
    value keeps the file's own last good one, else the layer's.
    """
    present = {part.name for part in parts}
    said = {spot for part in parts for spot in part.good}
    gone = _spots(entry for name in stored if name not in present for entry in stored[name])
    gone = {spot: entry for spot, entry in gone.items() if spot not in said}
    anywhere = _spots(entry for name in sorted(stored) for entry in stored[name])
    return [_hold_part(part, stored, gone, anywhere) for part in parts]


def _hold_part(
    part: _Judged, stored: Kept, gone: Mapping[Spot, Entry], anywhere: Mapping[Spot, Entry]
) -> _Judged:
    if part.broken:
        names = [name for name in sorted(stored) if f"{name}\\".startswith(f"{part.name}\\")]
        held = _spots(entry for name in names for entry in stored[name]) if names else gone
    else:
        last = {**anywhere, **_spots(stored.get(part.name, ()))}
        held = {spot: last[spot] for spot in part.bad if spot in last}
    return part._replace(good={**part.good, **held}, held=frozenset(held))


def _spots(entries: Iterable[Entry]) -> dict[Spot, Entry]:
    return {_spot(entry): entry for entry in entries}


def _barred(policy: list[_Judged]) -> dict[Spot, str]:
    good = {spot for part in policy for spot in part.good}
    return {s: p.place for part in policy for s, p in part.bad.items() if s not in good}


def _merge(layer: Layer, parts: list[_Judged]) -> dict[Spot, _Found]:
    """Later parts win."""
    return {
        spot: _Found(
            BY_NAME[entry.name].kind.parse(entry.raw),
            Origin(layer, entry.place, entry.raw, spot in part.held),
        )
        for part in parts
        for spot, entry in part.good.items()
    }


def _all_problems(
    judged: Mapping[Layer, list[_Judged]], barred: Mapping[Spot, str]
) -> Iterable[Problem]:
    for layer, parts in judged.items():
        for part in parts:
            yield from part.problems
            for spot, problem in part.bad.items():
                until = _until(part, spot, barred) if layer is Layer.MACHINE_POLICY else _NOT_SET
                yield problem._replace(sentence=f"{problem.sentence} (until then {until})")


_NOT_SET = "it counts as not set"


def _until(policy: _Judged, spot: Spot, barred: Mapping[Spot, str]) -> str:
    """What counts until a value of the machine policy is repaired."""
    if spot in policy.held:
        return f"the last good value holds: {shown(policy.good[spot].raw)}"
    if spot not in barred:
        return "the value of another file of the policy holds"
    section, _ = spot
    return "the default holds" if section is None else "the general policy holds, or the default"


def resolve(layers: Layers, workspace: tuple[str, str] | None = None) -> Resolved:
    """`workspace`: name and UUID of the VM; None: the general values alone. A section by UUID
    beats one by name. Problems are those that concern this workspace."""
    name, uuid = workspace or (None, None)
    sections: tuple[str | None, ...] = (None,)
    if name and uuid:
        sections = (layers.section_of(uuid), layers.section_of(name), None)
    found = {setting: _find(layers, sections, setting) for setting in SETTINGS}
    return Resolved(
        limits=limits({setting.toml: one.value for setting, one in found.items()}),
        origins={setting.name: one.origin for setting, one in found.items()},
        problems=tuple(p for p in layers.problems if _concerns(p, sections)),
    )


def _concerns(problem: Problem, sections: Sequence[str | None]) -> bool:
    return problem.section is None or section_of(problem.section) in sections


def _find(layers: Layers, sections: Sequence[str | None], setting: Setting) -> _Found:
    spots = [(section, setting.name) for section in sections]
    for layer in SEARCHED:
        for spot in spots:
            if found := layers.values[layer].get(spot):
                return found
        bad = [layers.barred[spot] for spot in spots if spot in layers.barred]
        if bad:  # of the machine policy, which comes first
            return _Found(setting.default, Origin(Layer.DEFAULT, bad[0], stands_in=True))
    return _Found(setting.default, Origin(Layer.DEFAULT))


def with_overrides(resolved: Resolved, assignments: Sequence[str]) -> Resolved:
    """NAME=VALUE from a command line, NAME in either spelling. Raises SettingsError."""
    found = {
        setting.name: _Found(setting.kind.parse(raw), Origin(Layer.COMMAND_LINE, None, raw))
        for setting, raw in assigned(assignments).items()
    }
    values = {BY_NAME[name].toml: one.value for name, one in found.items()}
    origins = {name: one.origin for name, one in found.items()}
    return resolved._replace(
        limits=replace(resolved.limits, **values),  # type: ignore[arg-type]  # the kinds' types
        origins={**resolved.origins, **origins},
    )


def assigned(assignments: Sequence[str]) -> dict[Setting, object]:
    """Good raw values from NAME=VALUE, NAME in either spelling. Raises SettingsError."""
    return _each(assignments, _assigned)


def named(names: Sequence[str]) -> list[Setting]:
    """From names in either spelling. Raises SettingsError."""
    return list(_each(names, lambda name: (setting_of(name), None)))


def setting_of(name: str) -> Setting:
    """`name` in either spelling. Raises BadValue."""
    setting = BY_NAME.get(name) or BY_TOML.get(name)
    if setting is None:
        raise BadValue(unknown(name, [*BY_NAME, *BY_TOML]))
    return setting


def _each(
    words: Sequence[str], understood: Callable[[str], tuple[Setting, object]]
) -> dict[Setting, object]:
    found: dict[Setting, object] = {}
    problems: list[Problem] = []
    for word in words:
        try:
            setting, raw = understood(word)
            if setting in found:
                raise BadValue("it is given twice; give it once")
            found[setting] = raw
        except BadValue as err:
            place = printable(word.partition("=")[0][:60])
            problems.append(Problem(str(Layer.COMMAND_LINE), place, str(err)))
    if problems:
        raise SettingsError(problems)
    return found


def _assigned(assignment: str) -> tuple[Setting, object]:
    name, equals, text = (part.strip() for part in assignment.partition("="))
    setting = setting_of(name)
    if not equals:
        raise BadValue(f"no value is given; write {name}=VALUE")
    raw = setting.kind.from_text(text)
    setting.kind.parse(raw)
    return setting, raw


def check(paths: Paths, owners: Iterable[str]) -> tuple[Problem, ...]:
    """All problems of all files at once: of the system, of these owners, and of all users whom
    the policy names."""
    everybody = [None, *sorted({*owners, *_users_with_policy(paths)})]
    return tuple(dict.fromkeys(p for owner in everybody for p in load(paths, owner).problems))


def _users_with_policy(paths: Paths) -> list[str]:
    try:
        names = os.listdir(paths.policy_dir / "users")
    except OSError:
        return []  # an unreadable folder is itself a problem of every user
    return [name for name in names if (paths.policy_dir / "users" / name).is_dir()]


def rows(resolved: Resolved) -> list[Row]:
    """For people, in the order of the table."""
    return [
        Row(s.name, s.kind.text(getattr(resolved.limits, s.toml)), str(resolved.origins[s.name]))
        for s in SETTINGS
    ]


def as_json(resolved: Resolved) -> list[dict[str, object]]:
    """For machines. `value` is what may be written into a file (a switch is 0 or 1); None: not
    set (TimeZone). `place` None: a default."""
    return [_json(s, getattr(resolved.limits, s.toml), resolved.origins[s.name]) for s in SETTINGS]


def _json(setting: Setting, value: object, origin: Origin) -> dict[str, object]:
    return {
        "name": setting.name,
        "value": setting.kind.plain(value),
        "layer": str(origin.layer),
        "place": origin.place,
        "stands_in": origin.stands_in,
    }
