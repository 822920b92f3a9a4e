"""What was not measured in one of the scans counts in no figure, and spoils none beside it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from arrays import ArrayReader
from scipy.ndimage import gaussian_filter

from ratcli.evaluation.baselines import Baseline
from ratcli.evaluation.comparison import Comparison
from ratcli.evaluation.evaluate import EvaluationSettings, evaluate
from ratcli.evaluation.results import Evaluation
from ratcli.evaluation.window import WINDOWS

SIDE = 128
SCANS = ("restored", "reference", "input")
BASELINES = tuple(
    Baseline(name, {"sigma_px": 0.9, "strength": 0.8}, WINDOWS["ct-soft"])
    for name in ("gaussian", "total-variation")
)


def holes() -> np.ndarray:
    """Return `(H, W)`: islands of 1 to 36 pixels, 3 % of the plane."""
    found = np.zeros((SIDE, SIDE), np.bool_)
    for number, (row, column) in enumerate(np.ndindex(9, 9)):
        side = (1, 2, 6)[number % 3]
        found[14 + 12 * row :, 14 + 12 * column :][:side, :side] = True
    return found


def ct_scans() -> dict[str, np.ndarray]:
    rows, columns = np.indices((SIDE, SIDE)) - SIDE / 2
    clean = np.where(np.hypot(rows, columns) < 62, 40.0 + 20 * (rows > 0), -1000.0)
    clean = gaussian_filter(clean, 0.9)
    noise, other = (
        gaussian_filter(np.random.default_rng(seed).normal(size=(SIDE, SIDE)), 0.7)
        for seed in (0, 1)
    )
    noise, other = 15 * noise / noise.std(), 3 * other / other.std()
    return {"restored": clean + 0.2 * noise, "reference": clean + other, "input": clean + noise}


def figures(found: Evaluation) -> dict[str, float]:
    """Return root mean square errors, similarities, noise, and the least and largest bias."""
    rows = {}
    for row in found.pooled:
        name = f"{row.image} {row.fidelity.window.name}"
        rows |= {f"{name} rmse": row.fidelity.rmse, f"{name} ssim": row.fidelity.ssim}
    rows |= {f"{row.image} noise": row.noise for row in found.noise}
    biases = [row.bias.bias for row in found.regions]
    return rows | {"least bias": min(biases), "largest bias": max(biases)}


def evaluated(
    scans: dict[str, np.ndarray], masks: dict[str, np.ndarray], unit: str = "HU"
) -> Evaluation:
    readers = {
        name: ArrayReader(plane.reshape(1, -1, SIDE, SIDE), unit, padding=masks.get(name))
        for name, plane in scans.items()
    }
    baselines = BASELINES if unit == "HU" else ()
    return evaluate(Comparison(**readers), EvaluationSettings(baselines=baselines))


@pytest.mark.parametrize("value", [math.nan, math.inf, -2000.0, 0.0, 3000.0])
@pytest.mark.parametrize("where", [SCANS, ("input",), ("reference",)], ids="+".join)
def test_holes_change_no_figure_of_ct(value: float, where: tuple[str, ...]) -> None:
    scans, hidden = ct_scans(), holes()
    without = figures(evaluated(scans, {}))
    spoiled = {
        name: np.where(hidden, value, plane) if name in where else plane
        for name, plane in scans.items()
    }
    # The padding value counts only where a header names it; NaN is found without.
    masks = dict.fromkeys(where, hidden) if math.isfinite(value) else {}
    found = figures(evaluated(spoiled, masks))
    assert found.keys() == without.keys()
    for name, figure in found.items():
        # Of 3 % fewer pixels, the noise differs by its own uncertainty; a hole of 1000 HU that a
        # filter met would add some hundred HU.
        close = pytest.approx(without[name], rel=0.08, abs=0.6)
        assert figure == close, name


def test_holes_change_no_figure_of_a_slide() -> None:
    clean = _tissue()
    scans = {
        "restored": gaussian_filter(clean, (0, 0.7, 0.7)),
        "reference": clean,
        "input": clean,
    }
    hidden = holes()
    without = evaluated(scans, {}, "RGB").stain
    spoiled = {name: np.where(hidden, 0.0, image) for name, image in scans.items()}
    spoiled["restored"] = np.where(hidden, 1.0, scans["restored"])
    found = evaluated(spoiled, dict.fromkeys(SCANS, hidden), "RGB").stain
    for one, other in zip(found, without, strict=True):
        assert one.colour.mean == pytest.approx(other.colour.mean, rel=0.05)
        assert one.sharpness == pytest.approx(other.sharpness, rel=0.05)
        assert one.stain.tissue_share == pytest.approx(other.stain.tissue_share, rel=0.05)


def _tissue() -> np.ndarray:
    """Return RGB `(3, H, W)` of blotches of stain."""
    blotches = gaussian_filter(np.random.default_rng(0).normal(size=(3, SIDE, SIDE)), (0, 2, 2))
    blotches /= blotches.std()
    tints = np.array([0.75, 0.45, 0.7])[:, None, None]
    return np.clip(tints + 0.12 * blotches, 0, 1)
