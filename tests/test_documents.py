"""The documents for people: links and file names in them lead somewhere, and README stays short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "weights").glob("*.md")]
)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]+)?\)|src=\"([^\"]+)\"")
FILE = re.compile(r"`((?:ratcli|research|benchmarks|scripts|tests|docs|recipes)/[\w./-]+)`")
MOST_README_LINES = 120


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).strip().replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for path, anchor, picture in LINK.findall(text_of(page)):
        target = page.parent / (path or picture) if path or picture else page
        assert target.exists(), target
        assert not anchor or anchor[1:] in anchors(target), anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    assert [name for name in FILE.findall(text_of(page)) if not (ROOT / name).exists()] == []


def test_the_readme_stays_short() -> None:
    assert len(text_of(ROOT / "README.md").splitlines()) < MOST_README_LINES


def test_the_first_commands_of_the_readme_are_those_that_ci_runs() -> None:
    first, second = re.findall(r"^```sh\n(.+?)\n```$", text_of(ROOT / "README.md"), re.M | re.S)[:2]
    assert "rat restore examples/ct_phantom.dcm" in first
    assert second.endswith("pytest")
