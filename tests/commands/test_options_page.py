"""The page of options says what the dataclasses say."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_that_of_the_options_of_today() -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "make_options_page.py"))["page"]()
    told = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    assert told == made, "run python scripts/make_options_page.py"
