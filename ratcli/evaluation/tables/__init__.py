"""The tables of a result, made once: the terminal and the report render the same ones.

CSV and JSON do not hold these texts: they take the values from the rows of the result.
"""

from __future__ import annotations

from ratcli.evaluation.results import Evaluation
from ratcli.evaluation.tables.physics import (
    contrast_table,
    detectability_table,
    equivalence_table,
    noise_table,
    phantom_table,
    place_table,
    residual_table,
    transfer_table,
)
from ratcli.evaluation.tables.reference import (
    calibration_table,
    fidelity_table,
    region_table,
    stain_table,
    uptake_table,
)
from ratcli.evaluation.tables.table import FigureTable


def tables(found: Evaluation) -> list[FigureTable]:
    """Return all tables of a scan that have rows."""
    makers = (
        fidelity_table, residual_table, place_table, noise_table, transfer_table, contrast_table,
        equivalence_table, detectability_table, region_table, uptake_table, stain_table,
        phantom_table, calibration_table,
    )  # fmt: skip
    return [table for make in makers if (table := make(found)).rows]
