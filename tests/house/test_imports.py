"""Each file knows its room: who may import whom, and who may import what from outside.

The table is that of ARCHITECTURE.md. A module that no other line names is a loop: it may use
what is known and decided, never a concrete back end, never an edge.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2] / "src"

# Pure: values in, values out.
VALUE_TYPES = (
    "__future__",
    "collections.abc",
    "dataclasses",
    "datetime",
    "enum",
    "functools",
    "itertools",
    "typing",
    "uuid",
    "zoneinfo",
)
APIS = ("guestwake.*.api",)
POLICY = ("guestwake.policy",)
WORDS = ("guestwake.policy.words",)
# What is known and kept: no decision, no loop, no back end.
KEEPERS = tuple(
    f"guestwake.{name}"
    for name in (
        "clock",
        "event_log",
        "events",
        "guest_report",
        "journal",
        "journal_applications",
        "journal_file",
        "journal_rows",
        "clock_windows",
        "locks",
        "locks_windows",
        "look",
        "paths",
        "paths_windows",
        "record",
        "said",
        "whole_file",
        "workspaces",
    )
)
SETTINGS = ("guestwake.settings",)
BACK_ENDS = tuple(
    f"guestwake.{name}" for name in ("hypervisors", "schedulers", "hosts", "channels")
)
SESSIONS = tuple(f"guestwake_wire.{name}" for name in ("terminal_services", "windows_sessions"))
CHANNELS = tuple(f"guestwake.channels.{name}" for name in ("api", "socket"))
BUILDER = (
    "guestwake.application",
    "guestwake.applications",
    "guestwake.doctor",
    "guestwake.paired_guest",
    "guestwake.resident",
    "guestwake.setup",
    "guestwake.wishes",
)  # the one that chooses back ends, some by name
EDGES = ("guestwake.edges",)


@dataclass(frozen=True)
class Room:
    module: str
    may_import: tuple[str, ...]  # of our own code; a name stands for all below it
    but_not: tuple[str, ...] = ()  # every `api` stays allowed
    stdlib: tuple[str, ...] | None = None  # None: all of it


# The first line that fits counts.
ROOMS = (
    Room("guestwake_wire", ("guestwake_wire",)),
    Room("guestwake_guest", ("guestwake_guest", "guestwake_wire")),
    Room("guestwake.policy", POLICY, stdlib=VALUE_TYPES),
    Room(
        "guestwake.settings",
        (
            *(*SETTINGS, *POLICY, "guestwake.errand"),
            *(f"guestwake.{name}" for name in ("paths", "paths_windows", "whole_file")),
        ),
    ),
    # A hypervisor opens channels: it gives what their api asks for.
    Room("guestwake.hypervisors", ("guestwake.hypervisors", *CHANNELS, *WORDS)),
    Room("guestwake.schedulers", ("guestwake.schedulers", "guestwake.errand", *WORDS)),
    Room("guestwake.errand", ("guestwake.paths",)),
    Room("guestwake.hosts", ("guestwake.hosts", *SESSIONS, *WORDS)),
    Room(
        "guestwake.channels",
        ("guestwake.channels", "guestwake_wire", "guestwake.whole_file", *WORDS),
    ),
    *(
        Room(f"guestwake.{name}", ("guestwake", "guestwake_wire"), but_not=EDGES)
        for name in (
            *("application", "applications", "paired_guest", "resident", "wishes", "reports"),
            *("doctor", "doctor_hypervisor", "setup"),
        )
    ),
    Room(
        "guestwake.edges.serve",
        (*EDGES, *BUILDER, *POLICY, *APIS, *SETTINGS, *KEEPERS, "guestwake.restart_service"),
    ),
    Room(
        "guestwake.edges.windows_service",
        (*EDGES, *BUILDER, *APIS, "guestwake_wire.windows_services"),
    ),
    Room(
        "guestwake.edges.dbus_bus",
        (*EDGES, *BUILDER, *KEEPERS, "guestwake.hosts.message_bus"),
    ),
    *(
        Room(f"guestwake.edges.{name}", (*EDGES, *BUILDER, *KEEPERS, "guestwake.hosts.message_bus"))
        for name in ("agent", "dbus_agent")
    ),
    Room(
        "guestwake.edges",
        (
            *EDGES,
            *BUILDER,
            "guestwake.reports",
            "guestwake_wire.messages",
            *POLICY,
            *APIS,
            *SETTINGS,
            *KEEPERS,
        ),
    ),
    *(
        Room(f"guestwake.{name}", (*KEEPERS, *POLICY, *APIS, "guestwake_wire"))
        for name in ("clock_windows", "guest_report", "said")
    ),
    *(Room(keeper, (*KEEPERS, *POLICY, *APIS)) for keeper in KEEPERS),
    Room("guestwake", ("guestwake", "guestwake_wire"), but_not=(*BACK_ENDS, *EDGES, *BUILDER)),
)

# Libraries from outside, and the only files that may know them.
LIBRARIES = {
    "libvirt": ("guestwake.hypervisors.libvirt*",),
    "libvirt_qemu": ("guestwake.hypervisors.libvirt*",),
    "jeepney": (
        "guestwake.hosts.dbus_wire",
        "guestwake.hosts.message_bytes",
        "guestwake.edges.remote_wire",
    ),
    "dbus_fast": (
        "guestwake.hosts.linux_events",
        "guestwake.hosts.message_bus",
        "guestwake.hosts.message_bytes",
        "guestwake.edges.dbus_*",
    ),
    "psutil": ("guestwake.hosts.windows",),
    "comtypes": ("guestwake.schedulers.windows_tasks",),
    **dict.fromkeys(
        (
            *("pythoncom", "pywintypes", "servicemanager", "win32api", "win32com", "win32con"),
            *("win32event", "win32evtlog", "win32file", "win32job", "win32security"),
            *("win32service", "win32serviceutil", "winerror"),
        ),
        ("guestwake.*windows*", "guestwake_guest.windows.windows_*", "guestwake_wire.windows_*"),
    ),
    "cryptography": ("guestwake.channels.pairing",),
    "watchdog": ("guestwake.edges.watch",),
    "tabulate": ("guestwake.edges",),
    "shtab": ("guestwake.edges",),
    "tomlkit": ("guestwake.settings.toml_edit",),
}


def complaint(module: str, imported: str) -> str | None:
    """Why `module` may not import `imported`; None: it may."""
    top = imported.partition(".")[0]
    if top.startswith("guestwake"):
        return None if _may_import(module, imported) else "another room"
    if top in sys.stdlib_module_names:
        return _stdlib_complaint(module, imported)
    if top not in LIBRARIES:
        return "a library that the table does not name"
    return None if _is_one(module, LIBRARIES[top]) else f"only for {', '.join(LIBRARIES[top])}"


def _may_import(module: str, imported: str) -> bool:
    room = _room(module)
    barred = _is_one(imported, room.but_not) and not _is_one(imported, APIS)
    return imported == "guestwake" or (_is_one(imported, room.may_import) and not barred)


def _stdlib_complaint(module: str, imported: str) -> str | None:
    if imported == "importlib" and not _is_one(module, BUILDER):
        return "imports by name are the application's"
    stdlib = _room(module).stdlib
    if stdlib is None or _is_one(imported, stdlib):
        return None
    return "not a value type"


def _room(module: str) -> Room:
    return next(room for room in ROOMS if _is_one(module, [room.module]))


def _is_one(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, one) or fnmatchcase(name, f"{one}.*") for one in patterns)


def imports(source: str, module: str, known: Iterable[str]) -> Iterator[str]:
    """Full names of the modules that `source` imports, anywhere in it. `from package import
    name` counts as the module `package.name` where there is one in `known`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # Relative: as many names off the end of our own as there are dots.
            above = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full in known or base == "" else base


def _module(file: Path) -> str:
    parts = file.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {_module(file): file for file in sorted(SRC.rglob("*.py"))}


@pytest.mark.parametrize("module", FILES)
def test_a_module_imports_only_what_its_room_may(module: str) -> None:
    file = FILES[module]
    # An __init__ stands one name higher than its dots count from.
    counted_from = f"{module}.__init__" if file.name == "__init__.py" else module
    found = imports(file.read_text(encoding="utf-8"), counted_from, FILES)
    wrong = {one: why for one in found if (why := complaint(module, one))}
    assert wrong == {}


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("guestwake.policy.wake", "import os"),
        ("guestwake.policy.wake", "import collections"),
        ("guestwake.policy.wake", "import time"),
        ("guestwake.policy.wake", "from guestwake import journal"),
        ("guestwake.policy.wake", "from guestwake.hypervisors.api import Vm"),
        ("guestwake.policy.wake", "from .. import clock"),
        ("guestwake.settings.resolve", "from guestwake.hypervisors.api import Vm"),
        ("guestwake.hosts.linux", "import libvirt"),
        ("guestwake.hosts.linux", "from jeepney import Parser"),
        ("guestwake.hosts.linux", "from guestwake.hypervisors import api"),
        ("guestwake.hosts.linux", "from guestwake.policy.wake import next_step"),
        ("guestwake.hypervisors.memory", "import libvirt_qemu"),
        ("guestwake.hypervisors.memory", "from guestwake.clock import Clock"),
        ("guestwake.update_manager", "from guestwake.hosts import linux"),
        ("guestwake.update_manager", "def later():\n    import guestwake.hypervisors.memory"),
        ("guestwake.update_manager", "import guestwake.edges.cli"),
        ("guestwake.update_manager", "from . import application"),
        ("guestwake.update_manager", "import importlib"),
        ("guestwake.update_manager", "import requests"),
        ("guestwake.fleet.worker", "from guestwake.hypervisors import memory"),
        ("guestwake.journal", "from guestwake import update_manager"),
        ("guestwake.application", "from guestwake.edges import cli"),
        ("guestwake.application", "import libvirt"),
        ("guestwake.reports", "from guestwake.edges import cli"),
        ("guestwake.edges.cli", "from guestwake.hypervisors.memory import MemoryHypervisor"),
        ("guestwake.edges.cli", "from guestwake.update_manager import run"),
        ("guestwake_guest.service", "from guestwake.policy.words import Power"),
        ("guestwake_wire.framing", "import guestwake_guest.service"),
    ],
)
def test_an_import_from_the_wrong_room_is_seen(module: str, line: str) -> None:
    modules = {"guestwake.journal", "guestwake.clock", "guestwake.hosts.linux"}
    modules |= {"guestwake.hypervisors.api", "guestwake.hypervisors.memory"}
    modules |= {"guestwake.application", "guestwake.edges.cli", "guestwake.update_manager"}
    (imported,) = imports(line, module, modules)
    assert complaint(module, imported) is not None


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("guestwake.policy.wake", "guestwake.policy.run"),
        ("guestwake.hypervisors.libvirt", "libvirt"),
        ("guestwake.hypervisors.libvirt_events", "libvirt"),
        ("guestwake.update_manager", "guestwake.hypervisors.api"),
        ("guestwake.update_manager", "guestwake.events"),
        ("guestwake.application", "guestwake.hypervisors.libvirt"),
        ("guestwake.application", "importlib"),
        ("guestwake.edges.cli", "guestwake.application"),
        ("guestwake.edges.cli", "guestwake.reports"),
        ("guestwake_guest.service", "guestwake_wire.messages"),
    ],
)
def test_an_import_from_the_right_room_is_let_be(module: str, imported: str) -> None:
    assert complaint(module, imported) is None
