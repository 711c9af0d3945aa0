"""docs/policy.md is what the policy says, and nothing else."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_of_the_policy_is_up_to_date() -> None:
    made = runpy.run_path(str(ROOT / "tools" / "policy_page.py"))["policy_page"]()
    assert (ROOT / "docs" / "policy.md").read_text(encoding="utf-8") == made
