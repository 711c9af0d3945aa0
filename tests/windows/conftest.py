"""A Windows under Wine: `wine` (docs/lab.md). The tests in `on_windows` run on Windows alone."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    collect_ignore_glob = ["test_*.py"]
else:
    from lab.fixtures_windows import pytest_collection_modifyitems, wine

    __all__ = ["pytest_collection_modifyitems", "wine"]

    collect_ignore = ["on_windows"]
