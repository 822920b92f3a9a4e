"""Finds the settings of a classical method on training scans, for benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ratcli.errors import UsageError
from ratcli.evaluation.baselines import BASELINES, Baseline, MethodSettings
from ratcli.evaluation.fidelity import score
from ratcli.evaluation.window import Window
from ratcli.scan import FloatArray

PlanePair = tuple[FloatArray, FloatArray]

GRIDS: dict[str, dict[str, tuple[float, ...]]] = {
    "gaussian": {"sigma_px": (0.3, 0.5, 0.7, 0.9, 1.2, 1.6, 2.2)},
    "nl-means": {
        "strength": (0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0),
        "sigma": (0.0, 0.4, 0.7, 0.9, 1.1),
        "patch_px": (3, 5, 7, 9),
        "distance_px": (5, 8, 11),
    },
    "total-variation": {"strength": (0.2, 0.4, 0.7, 1.0, 1.4, 2.0, 3.0)},
    "bm3d": {"strength": (0.5, 0.8, 1.2, 1.8, 2.7)},
}
"""Values to try for each setting of a method, in rising order; the first one is its strength."""


def start(name: str) -> dict[str, float]:
    """Return the settings of a method before tuning: the middle of each grid."""
    return {setting: values[len(values) // 2] for setting, values in GRIDS[name].items()}


def strength(name: str) -> str:
    """Return the setting of a method that is refined between its grid values at the end."""
    return next(iter(GRIDS[name]))


def tune(name: str, pairs: Sequence[PlanePair], window: Window) -> Baseline:
    """Find the settings with the least squared error in a window, on training scans.

    One setting after the other over its grid until none improves, then the strength between its
    grid values.

    Args:
        name: as in `BASELINES`.
        pairs: degraded plane and reference, both `(C, H, W)` or `(H, W)`, of training patients
            only; crops of some 200 pixels a side serve as well as whole planes.
        window: where to score.

    Raises:
        UsageError: no such method, or its package is not installed.
        ValueError: no pairs.
    """
    if name not in BASELINES:
        raise UsageError(f"there is no baseline '{name}'", hint=f"Known: {', '.join(BASELINES)}.")
    if not pairs:
        raise ValueError("tuning needs at least one pair of planes")
    search = _CoordinateDescent(name, pairs, window)
    best = search.descend(start(name), GRIDS[name])
    fine = strength(name)
    for step in (1.25, 1.1, 1.04):
        middle = best[fine]
        best = search.descend(best, {fine: (middle / step, middle, middle * step)})
    return Baseline(name, best, window)


class _CoordinateDescent:
    """Changes one setting at a time, and remembers the scores of all that it tried."""

    def __init__(self, name: str, pairs: Sequence[PlanePair], window: Window) -> None:
        self._name, self._pairs, self._window = name, pairs, window
        self._known: dict[tuple[tuple[str, float], ...], float] = {}

    def descend(
        self, start: MethodSettings, grid: Mapping[str, tuple[float, ...]]
    ) -> dict[str, float]:
        """Return the best settings found from a start, changing one at a time."""
        best = dict(start)
        improved = True
        while improved:
            before = self._loss(best)
            for name, values in grid.items():
                best = min(({**best, name: value} for value in values), key=self._loss)
            improved = self._loss(best) < before
        return best

    def _loss(self, settings: MethodSettings) -> float:
        """Return the mean squared error over all pairs."""
        key = tuple(sorted(settings.items()))
        if key not in self._known:
            run = Baseline(self._name, settings, self._window)
            figures = [
                score(run(image), reference, self._window) for image, reference in self._pairs
            ]
            self._known[key] = float(np.mean([figure.rmse**2 for figure in figures]))
        return self._known[key]
