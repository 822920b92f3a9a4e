"""Rows of noise: its standard deviation, and spectra over the same patches of all images.

No torch here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ratcli.errors import MeasurementError
from ratcli.evaluation.comparison import RESTORED
from ratcli.evaluation.noise import FEWEST_PATCHES, Spectrum, noise_power_spectrum
from ratcli.evaluation.uniform_patches import uniform_patches
from ratcli.evaluation.views import ComparedView, cleanest, named_images
from ratcli.evaluation.window import WINDOWS
from ratcli.physics.local_noise import typical_noise
from ratcli.scan import Box

RealArray = npt.NDArray[np.float64]

_MOST_PATCHES = 400


@dataclass(frozen=True)
class NoiseRow:
    """Noise of one image.

    Attributes:
        image: its name.
        noise_by_view: standard deviation in each view, in the scan's unit; nan where it shows none.
        spectrum: over uniform patches of all views, the same ones for each image; or None.
    """

    image: str
    noise_by_view: tuple[float, ...]
    spectrum: Spectrum | None

    @property
    def noise(self) -> float:
        """Median over the views, nan if none shows noise."""
        finite = [noise for noise in self.noise_by_view if math.isfinite(noise)]
        return float(np.median(finite)) if finite else math.nan


@dataclass
class NoiseRows:
    """Noise of each image, and spectra over patches that are the same for all images.

    Attributes:
        unit: of the scan; CT is measured in soft tissue.
        spacing_mm: pixel pitch, None where rows and columns differ or it is unknown.
        sides_px: sides of patches to look for; the first of which four are found is used.
    """

    unit: str | None
    spacing_mm: float | None
    # Below 14 pixels the plane fit takes more than 1.5 % of the variance.
    sides_px: tuple[int, ...] = (32, 16, 14)
    _noise: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _patches: dict[int, dict[str, list[RealArray]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def add(self, compared: ComparedView) -> None:
        """Measure the noise of every image of a view."""
        soft = WINDOWS["ct-soft"]
        within = (soft.low, soft.high) if self.unit == "HU" else None
        for name, image in named_images(compared).items():
            try:
                noise = typical_noise(image[0], within, compared.trusted)
            except MeasurementError:
                noise = math.nan
            self._noise[name].append(noise)
        for side in self.sides_px:
            boxes = self._boxes(compared, within, side)
            for name, image in named_images(compared).items():
                kept = self._patches[side][name]
                room = _MOST_PATCHES - len(kept)
                kept += [image[0][box.slices].astype(np.float64) for box in boxes[:room]]
            if self._enough(side):
                break

    def _enough(self, side: int) -> bool:
        return any(len(kept) >= FEWEST_PATCHES for kept in self._patches[side].values())

    def _boxes(
        self, compared: ComparedView, within: tuple[float, float] | None, side: int
    ) -> tuple[Box, ...]:
        """Find patches in the image that shows structure best.

        A simulated image may have no noise, against which structure is judged: then patches are
        found in a noisier image, where the first one is flat.
        """
        best = cleanest(compared)[0]
        others = [compared.images[RESTORED], *compared.images.values()]
        for image, clean in ((best, None), *((other[0], best) for other in others)):
            try:
                boxes = uniform_patches(image, side, within, compared.trusted, clean)
            except MeasurementError:
                continue
            if boxes:
                return boxes
        return ()

    def rows(self) -> tuple[NoiseRow, ...]:
        """Return a row for each image."""
        return tuple(
            NoiseRow(name, tuple(noises), self._spectrum(name))
            for name, noises in self._noise.items()
        )

    def notes(self) -> tuple[str, ...]:
        """Return why there is no spectrum, if there is none."""
        if self.spacing_mm is None:
            return ("No noise spectrum: the pixel spacing is not known, or not square.",)
        if self._noise and not any(self._enough(side) for side in self.sides_px):
            return (
                f"No noise spectrum: fewer than {FEWEST_PATCHES} uniform patches of "
                f"{self.sides_px[-1]} pixels were found.",
            )
        return ()

    def _spectrum(self, name: str) -> Spectrum | None:
        side = next((side for side in self.sides_px if self._enough(side)), None)
        if self.spacing_mm is None or side is None:
            return None
        try:
            return noise_power_spectrum(np.stack(self._patches[side][name]), self.spacing_mm)
        except MeasurementError:
            return None
