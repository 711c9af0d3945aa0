"""What a `conftest.py` imports to have a whole host in its tests: `lab_host`, and the marker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.host import Host, booted_host, why_no_host


@pytest.fixture(scope="session")
def lab_host_of_session() -> Iterator[Host]:
    reason = why_no_host()
    if reason:
        pytest.skip(reason)
    with booted_host() as host:
        yield host


@pytest.fixture
def lab_host(lab_host_of_session: Host) -> Iterator[Host]:
    """Freshly booted, with the product of this checkout and no VM; nothing is left in it of the
    test before."""
    host = lab_host_of_session
    if not host.is_on:
        host.renew()
    host.install_product()
    yield host
    host.crash()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test that asks for the host is a `host` test; nobody has to remember to say so."""
    for item in items:
        if "lab_host" in getattr(item, "fixturenames", ()):
            item.add_marker("host")
