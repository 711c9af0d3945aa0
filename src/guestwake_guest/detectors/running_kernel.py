"""The running kernel's modules are gone: an upgrade has replaced it, and nothing that it has not
loaded yet will load.

A kernel without modules, one that the host boots directly into a guest that has none, and a
container's have never had any here: those say nothing.
"""

from __future__ import annotations

from guestwake_guest.view import Finding, View
from guestwake_wire.messages import Reason, Strength

SOURCE = "running-kernel"
_MODULES = "/lib/modules"
_PARTS = ("kernel", "modules.order", "modules.dep")  # what is left of a removed one has none


def find(view: View) -> Finding:
    running = view.system.line("/proc/sys/kernel/osrelease")
    installed = [one for one in view.system.names(_MODULES) if _is_whole(view, one)]
    has_loaded = bool(view.system.text("/proc/modules"))
    if not running or running in installed or not installed or not has_loaded:
        return None
    text = f"the modules of {running} are gone, {', '.join(installed)} is installed"
    return Reason(SOURCE, Strength.STRONG, None, text)


def _is_whole(view: View, release: str) -> bool:
    return any(view.system.exists(f"{_MODULES}/{release}/{part}") for part in _PARTS)
