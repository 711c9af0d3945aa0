"""Where this machine keeps settings: in files, or on Windows in its registry. Each is imported
when chosen."""

from __future__ import annotations

import sys
from collections.abc import Callable

from guestwake.paths import Paths
from guestwake.settings.source import Layer, Source, Watch, Writer


def source(paths: Paths, owner: str | None) -> Source:
    """Of one workspace owner; None: a system workspace's, which has no user layers."""
    if sys.platform == "win32":
        from guestwake.settings.registry import RegistrySource
        from guestwake.settings.registry_windows import WindowsRegistry

        return RegistrySource(paths, owner, WindowsRegistry())
    from guestwake.settings.toml_files import TomlFiles

    return TomlFiles(paths, owner)


def watch(paths: Paths, heard: Callable[[], None]) -> Watch | None:
    """`heard` is called for each change. None: they are files, to be watched with all others."""
    if sys.platform == "win32":
        from guestwake.settings.registry_watch_windows import SettingsWatch

        return SettingsWatch(paths, heard)
    return None


def writer(paths: Paths, layer: Layer, owner: str | None = None) -> Writer:
    """Of one layer; `owner`: whose, for that of a user. Raises NotWritten."""
    if sys.platform == "win32":
        from guestwake.settings.registry_windows import WindowsRegistry
        from guestwake.settings.registry_writer import RegistryWriter

        return RegistryWriter(paths, layer, owner, WindowsRegistry())
    from guestwake.settings.toml_writer import TomlWriter

    return TomlWriter(paths, layer, owner)
