"""What every test stands on."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator

import pytest

if sys.platform != "win32":  # where no test is given its examples
    from hypothesis import settings

    # How long an example takes is for the machine to say, which may have other things to do.
    settings.register_profile("guestwake", deadline=None)
    settings.load_profile("guestwake")


@pytest.fixture(autouse=True)
def level_of_the_log() -> Iterator[None]:
    """As it was: a command sets it for its process, and here that goes on."""
    root = logging.getLogger()
    before = root.level
    yield
    root.setLevel(before)
