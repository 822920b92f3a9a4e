"""Noise of each image: its standard deviation, and spectra over the same uniform patches.

No torch here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ratcli.errors import MeasurementError
from ratcli.evaluation.comparison import INPUT, REFERENCE, RESTORED
from ratcli.evaluation.spectrum import (
    FEWEST_PATCHES,
    RealArray,
    Spectrum,
    noise_power_spectrum,
    without_plane,
)
from ratcli.evaluation.uniform_patches import uniform_patches
from ratcli.evaluation.views import ComparedView, View, cleanest, named_images
from ratcli.evaluation.window import WINDOWS
from ratcli.physics.local_noise import typical_noise
from ratcli.scan import Box

DIFFERENCE = "input − reference"
"""What a spectrum of the input is measured in where its own patches show structure."""
_MOST_PATCHES = 400
_MOST_TIMES_NOISE = 2.0


@dataclass(frozen=True)
class NoiseRow:
    """Noise of one image.

    Attributes:
        image: its name.
        noise_by_view: standard deviation in each view, in the scan's unit; nan where it shows none.
        spectrum: over uniform patches of all views, the same ones for each image; or None.
        between_planes: correlation of the noise at the same place in neighbouring planes, over
            uniform patches; nan if there are too few.
        source: what the spectrum is measured in, `patches` or `DIFFERENCE`.
    """

    image: str
    noise_by_view: tuple[float, ...]
    spectrum: Spectrum | None
    between_planes: float = math.nan
    source: str = "patches"

    @property
    def trusted(self) -> Spectrum | None:
        """The spectrum, None if there is none that shows noise alone."""
        return None if self.doubt else self.spectrum

    @property
    def doubt(self) -> str:
        """Why the spectrum shows more than noise; empty if it does not."""
        if self.spectrum is None:
            return ""
        spread = math.sqrt(self.spectrum.integral)
        if spread > _MOST_TIMES_NOISE * self.noise > 0.0:
            return f"the patches vary {spread / self.noise:.1f} times as much as the noise"
        return "its power is highest at the lowest frequency" if self.spectrum.is_falling else ""

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

    _found: dict[int, dict[View, tuple[Box, ...]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    _before: ComparedView | None = None
    _products: dict[str, list[RealArray]] = field(default_factory=lambda: defaultdict(list))

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
        images = {name: image[0] for name, image in named_images(compared).items()}
        if {INPUT, REFERENCE} <= images.keys():
            images[DIFFERENCE] = images[INPUT] - images[REFERENCE]
        for side in self.sides_px:
            boxes = self._boxes(compared, within, side)
            self._found[side][compared.view] = boxes
            for name, image in images.items():
                kept = self._patches[side][name]
                room = _MOST_PATCHES - len(kept)
                kept += [image[box.slices].astype(np.float64) for box in boxes[:room]]
            self._add_between(compared, boxes)
            if self._enough(side):
                break
        self._before = compared

    def patches(self, plane: int) -> tuple[Box, ...]:
        """Return the patches of a plane in which the spectra are measured."""
        side = self._side
        return () if side is None else self._found[side].get(View(plane), ())

    def _add_between(self, compared: ComparedView, boxes: Sequence[Box]) -> None:
        """Compare patches with the same ones of the plane before."""
        before = self._before
        if before is None or compared.view != View(before.view.plane + 1):
            return
        earlier = named_images(before)
        for name, image in named_images(compared).items():
            for box in boxes if name in earlier else ():
                pair = np.stack([each[0][box.slices] for each in (earlier[name], image)])
                one, two = without_plane(pair.astype(np.float64))
                sums = np.array([(one * two).sum(), (one**2).sum(), (two**2).sum()])
                self._products[name].append(sums)

    @property
    def _side(self) -> int | None:
        """Side of the patches that are used, None if too few are found."""
        return next((side for side in self.sides_px if self._enough(side)), None)

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
        return tuple(self._row(name, tuple(noises)) for name, noises in self._noise.items())

    def _row(self, name: str, noises: tuple[float, ...]) -> NoiseRow:
        row = NoiseRow(name, noises, self._spectrum(name), self._between(name))
        if name != INPUT or not row.doubt:
            return row
        other = replace(row, spectrum=self._spectrum(DIFFERENCE), source=DIFFERENCE)
        return row if other.trusted is None else other

    def notes(self) -> tuple[str, ...]:
        """Return why there is no spectrum, if there is none."""
        if self.spacing_mm is None:
            return ("No noise spectrum: the pixel spacing is not known, or not square.",)
        if self._noise and self._side is None:
            return (
                f"No noise spectrum: fewer than {FEWEST_PATCHES} uniform patches of "
                f"{self.sides_px[-1]} pixels were found.",
            )
        return tuple(
            f"The noise spectrum of {row.image} is not trusted, because {row.doubt}: it holds "
            "structure."
            for row in self.rows()
            if row.doubt
        )

    def _between(self, name: str) -> float:
        """Return the correlation of neighbouring planes, nan for fewer than four patches."""
        if len(self._products[name]) < FEWEST_PATCHES:
            return math.nan
        both, one, two = np.sum(self._products[name], axis=0)
        return float(both / math.sqrt(one * two)) if one * two > 0 else math.nan

    def _spectrum(self, name: str) -> Spectrum | None:
        side = self._side
        if self.spacing_mm is None or side is None or not self._patches[side][name]:
            return None
        try:
            return noise_power_spectrum(np.stack(self._patches[side][name]), self.spacing_mm)
        except MeasurementError:
            return None
