"""The settings: where they are looked for, which one counts, and what is wrong with them."""

from guestwake.settings.resolve import (
    Layers,
    Origin,
    Resolved,
    Row,
    SettingsError,
    as_json,
    check,
    load,
    resolve,
    rows,
    with_overrides,
)
from guestwake.settings.source import Layer, Problem

__all__ = [
    "Layer",
    "Layers",
    "Origin",
    "Problem",
    "Resolved",
    "Row",
    "SettingsError",
    "as_json",
    "check",
    "load",
    "resolve",
    "rows",
    "with_overrides",
]
