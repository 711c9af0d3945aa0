"""What a `conftest.py` imports to have real guests in its tests: `lab`, and the marker."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from lab.guests import Lab, open_lab


@pytest.fixture(scope="session")
def lab_of_session() -> Iterator[Lab]:
    with open_lab() as lab:
        yield lab


@pytest.fixture
def lab(lab_of_session: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A lab without guests; those of the test are gone after it, and a libvirtd that it killed is
    back. What the test starts finds this libvirtd's folders where libvirt says that a session has
    them."""
    for name, value in lab_of_session.environment.items():
        monkeypatch.setenv(name, value)
    yield lab_of_session
    if not lab_of_session.libvirtd.answers():
        lab_of_session.libvirtd.start()
    lab_of_session.forget_all()


@pytest.fixture
def private_mounts() -> None:
    """For tests that mount something. tools/without_kvm sees to it wherever the machine lets it."""
    if "GUESTWAKE_LAB_PRIVATE_MOUNTS" not in os.environ:
        pytest.skip("what is mounted here others would see")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test that asks for the lab is a `qemu` test; nobody has to remember to say so."""
    for item in items:
        if "lab" in getattr(item, "fixturenames", ()):
            item.add_marker("qemu")
