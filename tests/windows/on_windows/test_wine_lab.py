"""The lab itself: this is Windows' Python, which finds Guestwake."""

from __future__ import annotations

import sys

import win32api


def test_this_is_windows_own_python() -> None:
    assert sys.platform == "win32"
    assert "MSC" in sys.version
    assert win32api.GetVersionEx()[0] >= 10


def test_settings_are_importable() -> None:
    import guestwake.settings

    assert guestwake.settings.load
