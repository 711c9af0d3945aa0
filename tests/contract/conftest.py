"""Fixtures of the contract suite: the back ends, and the private libvirtd below one of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from worlds import (
    DOMAIN,
    World,
    hyperv_world,
    libvirt_test_world,
    memory_world,
    qemu_world,
)

if TYPE_CHECKING:
    from lab.libvirtd import Libvirtd


@pytest.fixture(scope="session")
def libvirtd() -> Iterator[Libvirtd]:
    from lab.libvirtd import private_libvirtd

    with private_libvirtd() as daemon:
        yield daemon


@pytest.fixture
def as_its_user(libvirtd: Libvirtd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a session keeps its saved images is read from the environment."""
    for name, value in libvirtd.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(
    params=[
        "memory",
        "libvirt-test",
        "hyperv-double",
        pytest.param("libvirt-qemu", marks=pytest.mark.qemu),
    ]
)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "memory":
        opened = memory_world()
    elif request.param == "libvirt-test":
        opened = libvirt_test_world()
    elif request.param == "hyperv-double":
        opened = hyperv_world(tmp_path)
    else:
        request.getfixturevalue("as_its_user")
        opened = qemu_world(request.getfixturevalue("libvirtd"), tmp_path)
    with opened as made:
        yield made


@pytest.fixture
def embedded_root(libvirtd: Libvirtd) -> Iterator[Path]:
    """Of an embedded libvirt with one VM, "embedded", that is off."""
    folder = libvirtd.folder / uuid4().hex[:4]  # short: sockets' paths end after 107 characters
    (folder / "etc/qemu").mkdir(parents=True)
    (folder / "etc/qemu.conf").write_text(
        'stdio_handler = "file"\nsecurity_driver = "none"\nuser = "root"\ngroup = "root"\n'
        "remember_owner = 0\ncgroup_controllers = []\nnamespaces = []\n"
    )
    kind = os.environ.get("GUESTWAKE_LAB_DOMAIN_TYPE", "qemu")
    xml = DOMAIN.format(type=kind, name="embedded", uuid=uuid4(), display="port='-1'>")
    (folder / "etc/qemu/embedded.xml").write_text(xml)
    yield folder
    for pid in folder.glob("run/qemu/embedded.pid"):
        os.kill(int(pid.read_text()), 9)
