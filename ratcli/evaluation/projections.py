"""A coronal plane and, of PET, a maximum projection, gathered while planes are read.

No torch here.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from ratcli.evaluation.results import CORONAL, MIP, Sample
from ratcli.evaluation.views import ComparedView, named_images
from ratcli.scan import BoolArray, FloatArray

_FEWEST_PLANES = 8


@dataclass
class Projections:
    """Lines of each plane that make up pictures across all planes, the last plane on top.

    Attributes:
        is_pet: whether to project, too: the highest value of each column of a plane.
    """

    is_pet: bool
    _middle: dict[str, list[FloatArray]] = field(default_factory=lambda: defaultdict(list))
    _highest: dict[str, list[FloatArray]] = field(default_factory=lambda: defaultdict(list))
    _masks: list[BoolArray] = field(default_factory=list)

    def add(self, compared: ComparedView) -> None:
        """Keep the lines of a plane."""
        if compared.view.box is not None:
            return
        row = compared.mask.shape[0] // 2
        for name, image in named_images(compared).items():
            self._middle[name].append(image[0, row].copy())
            if self.is_pet:
                self._highest[name].append(image[0].max(axis=0))
        self._masks.append(compared.mask[row].copy())

    def samples(self) -> tuple[Sample, ...]:
        """Return the pictures; none of fewer than eight planes."""
        if len(self._masks) < _FEWEST_PLANES:
            return ()
        mask = np.stack(self._masks)[::-1]
        found = [_sample(CORONAL, self._middle, mask)]
        if self.is_pet:
            found.append(_sample(MIP, self._highest, np.ones_like(mask)))
        return tuple(found)


def _sample(view: str, lines: dict[str, list[FloatArray]], mask: BoolArray) -> Sample:
    images = {name: np.stack(each)[None, ::-1] for name, each in lines.items()}
    return Sample(0, images, mask, np.full(mask.shape, -1, np.int32), view=view)
