"""Rows of the residual check, and one sentence on all of them. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from ratcli.evaluation.findings import ResidualCheck


@dataclass(frozen=True)
class ResidualRow:
    """The residual check of one plane."""

    plane: int
    check: ResidualCheck
