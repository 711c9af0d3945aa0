"""What a `conftest.py` imports to have a Windows under Wine: `wine`, and the marker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.wine import Wine, private_windows, why_not


@pytest.fixture(scope="session")
def wine() -> Iterator[Wine]:
    """One for all tests of the session: each takes away what it leaves in the registry."""
    if reason := why_not():
        pytest.skip(reason)
    with private_windows() as windows:
        yield windows


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test that asks for Wine is a `windows` test; nobody has to remember to say so."""
    for item in items:
        if "wine" in getattr(item, "fixturenames", ()):
            item.add_marker("windows")
