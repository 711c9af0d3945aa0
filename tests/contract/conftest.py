"""Fixtures of the contract suite: the back ends, and the private libvirtd below one of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from worlds import World, libvirt_test_world, memory_world, qemu_world

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
    params=["memory", "libvirt-test", pytest.param("libvirt-qemu", marks=pytest.mark.qemu)]
)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "memory":
        opened = memory_world()
    elif request.param == "libvirt-test":
        opened = libvirt_test_world()
    else:
        request.getfixturevalue("as_its_user")
        opened = qemu_world(request.getfixturevalue("libvirtd"), tmp_path)
    with opened as made:
        yield made
