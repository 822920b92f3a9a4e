"""Which skips are fine where all tools are meant to be there: those for want of the real scans."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

SCANS = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
ABSENT_SCANS = ("no scan at", "no slide at", "no image at", "the real ", "the shared scans")


def refused_skips(reasons: Iterable[str], *, scans_are_here: bool) -> list[str]:
    """Return the reasons for which no test may be skipped.

    Args:
        reasons: of the tests that were skipped.
        scans_are_here: whether the real scans are on this machine.
    """
    allowed = () if scans_are_here else ABSENT_SCANS
    return [reason for reason in reasons if not any(words in reason for words in allowed)]
