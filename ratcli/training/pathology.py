"""Examples for pathology: real and procedural slides, degraded to a quarter of the resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from ratcli.partition import Partitioner, get_partitioner
from ratcli.physics.anatomy.histology import he_slide
from ratcli.physics.pathology import bicubic_downsample, degrade_slide, sample_slide_scan
from ratcli.scan import FloatArray
from ratcli.task import Task
from ratcli.training.examples import Example, PatientPlanes, TargetPlane, make_example
from ratcli.training.recipe import Recipe

_SIZE = 384
_SHRINK = 2


class PathologyExamples:
    """Fields of slides; a slide is drawn in proportion to the square root of its pixels.

    Args:
        task: `pathology-sr`.
        recipe: seed, share of procedural fields, share of realistic scans, partitioner.
        planes: slides in RGB, 0 to 1.
    """

    def __init__(self, task: Task, recipe: Recipe, planes: Sequence[TargetPlane]) -> None:
        self._task = task
        self._recipe = recipe
        self._partitioner: Partitioner = get_partitioner(recipe.partition)
        self._slides = PatientPlanes(planes)

    def make(self, index: int) -> Example:
        """Return the example of an index."""
        rng = np.random.default_rng((self._recipe.seed, index))
        if not self._slides or rng.random() < self._recipe.procedural:
            rgb, _ = he_slide(rng, _SIZE, float(rng.uniform(0.22, 0.6)))
            field = TargetPlane("procedural", rgb, 1.0)
        else:
            field = _field(rng, self._slides.draw_by_size(rng), self._task.scale)
        scan = replace(sample_slide_scan(rng, self._recipe.realistic), scale=self._task.scale)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        degraded = degrade_slide(torch.from_numpy(field.values), scan, generator).numpy()
        return make_example(self._task, self._partitioner, degraded, field)


def _field(rng: np.random.Generator, slide: TargetPlane, scale: int) -> TargetPlane:
    """Cut a field out of a slide, sometimes at half its magnification, and vary its stain."""
    whole = slide.values.shape[1:]
    shrink = _SHRINK if min(whole) >= _SHRINK * _SIZE and rng.random() < 0.3 else 1
    sides = [min(side // shrink, _SIZE) // scale * scale * shrink for side in whole]
    top, left = (int(rng.integers(n - side + 1)) for n, side in zip(whole, sides, strict=True))
    values = slide.values[:, top : top + sides[0], left : left + sides[1]]
    if shrink > 1:
        smaller = bicubic_downsample(torch.from_numpy(values)[None], shrink)[0]
        values = smaller.clamp(0, 1).numpy()
    return replace(slide, values=_restained(rng, values))


def _restained(rng: np.random.Generator, values: FloatArray) -> FloatArray:
    """Vary the density of each colour, as stains and lamps differ; white stays white."""
    power = rng.uniform(0.85, 1.2, 3).astype(np.float32)[:, None, None]
    return np.ascontiguousarray(values**power)
