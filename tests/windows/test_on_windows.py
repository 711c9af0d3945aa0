"""What runs on Windows is tested there: each file of `on_windows`, by Windows' own Python and
pytest under Wine. On a Windows they are called by themselves: `pytest tests/windows/on_windows`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.wine import Wine

FILES = sorted((Path(__file__).parent / "on_windows").glob("test_*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_under_wine(wine: Wine, file: Path) -> None:
    print(wine.pytest(file))
