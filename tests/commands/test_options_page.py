"""The page of options says what the dataclasses say."""

from __future__ import annotations

import runpy
from pathlib import Path

from ratcli.commands.options import MAIN, described
from ratcli.commands.restore_options import RestoreOptions

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_that_of_the_options_of_today() -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "make_options_page.py"))["page"]()
    told = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    assert told == made, "run python scripts/make_options_page.py"


def test_restore_shows_at_most_eight_options_before_its_groups() -> None:
    main = [each.name for each in described(RestoreOptions) if each.option.group == MAIN]
    assert main[:2] == ["task", "strength"]
    assert len(main) <= 8
