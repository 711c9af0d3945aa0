"""What packaging/debian installs is all that there is to install, read from its own files.

That dpkg puts it there is a story of `tests/host/test_debs.py`.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from guestwake.edges.parser import SHELLS

ROOT = Path(__file__).resolve().parents[2]
DEBIAN = ROOT / "packaging" / "debian"
HOST_FILES = ROOT / "src" / "guestwake" / "host_files"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# Where a name is not python3- and the one that pip knows.
DEBIANS_NAMES = {"libvirt-python": "python3-libvirt"}


def read(name: str) -> str:
    return (DEBIAN / name).read_text(encoding="utf-8")


def installed(package: str) -> dict[str, str]:
    """Where in the host each file or folder of this checkout goes."""
    lines = (line.split() for line in read(f"{package}.install").splitlines())
    goes = [(source, folder) for source, *folders in lines for folder in folders]
    return {
        path.relative_to(ROOT).as_posix(): f"{folder}/{path.name}"
        for source, folder in goes
        for path in ROOT.glob(source)
    }


def place(file: Path) -> str | None:
    """Where dh_install puts it; None: nowhere."""
    folders = installed("guestwake")
    for above in (file, *file.parents):
        folder = folders.get(above.relative_to(ROOT).as_posix()) if ROOT in above.parents else None
        if folder is not None:
            return (Path(folder) / file.relative_to(above)).as_posix()
    return None


@pytest.mark.parametrize(
    "name", sorted(one.relative_to(HOST_FILES).as_posix() for one in HOST_FILES.rglob("*.*"))
)
def test_each_file_of_the_host_lies_where_it_belongs(name: str) -> None:
    if (HOST_FILES / name).is_dir():
        return
    # Debian 12's tools look for units of the system here; it is the same folder.
    assert place(HOST_FILES / name) == name.replace("usr/lib/systemd/system", "lib/systemd/system")


@pytest.mark.parametrize("unit", sorted(one.name for one in (ROOT / "packaging/guest").iterdir()))
def test_each_unit_of_the_guest_is_installed(unit: str) -> None:
    places = installed("guestwake-guest")
    assert places[f"packaging/guest/{unit}"] == f"lib/systemd/system/{unit}"


def test_both_manuals_are_installed() -> None:
    named = (read("guestwake.manpages") + read("guestwake-guest.manpages")).split()
    assert sorted(named) == sorted(f"man/{one.name}" for one in (ROOT / "man").iterdir())


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_gets_its_completion(shell: str) -> None:
    assert f"$(COMPLETIONS)/guestwake.{shell}" in read("rules")


def test_what_units_call_is_a_command_of_the_package() -> None:
    called = {
        command
        for unit in HOST_FILES.rglob("*.service")
        for command in re.findall(r"^ExecStart=-?/usr/bin/(guestwake\S*)", unit.read_text(), re.M)
    }
    assert called <= set(PROJECT["scripts"])
    assert "usr/bin/guestwake*\n" in read("guestwake.install")


@pytest.mark.parametrize("needed", [one for one in PROJECT["dependencies"] if "win32" not in one])
def test_each_library_is_asked_for_by_debians_name(needed: str) -> None:
    found = re.match(r"([\w-]+)>=([\d.]+)", needed)
    assert found, "which version was tried?"
    name, version = found.groups()
    debians = DEBIANS_NAMES.get(name, f"python3-{name}")
    assert f"\n {debians} (>= {version}),\n" in read("control")


@pytest.mark.parametrize("name", sorted(one.name for one in DEBIAN.glob("*.p*")))
def test_a_script_leaves_room_for_what_debhelper_adds(name: str) -> None:
    assert "\n#DEBHELPER#\n" in read(name)
