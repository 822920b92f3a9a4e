"""Noise: its standard deviation, and power spectra over the same uniform patches of all images.

No torch here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ratcli.errors import MeasurementError
from ratcli.evaluation.comparison import RESTORED
from ratcli.evaluation.uniform_patches import uniform_patches
from ratcli.evaluation.views import ComparedView, View, cleanest, named_images
from ratcli.evaluation.window import WINDOWS
from ratcli.physics.local_noise import typical_noise
from ratcli.scan import Box

RealArray = npt.NDArray[np.float64]

FEWEST_PATCHES = 4
_MOST_PATCHES = 400


@dataclass(frozen=True)
class Spectrum:
    """A noise power spectrum, two-dimensional and averaged over directions.

    Attributes:
        power: `(L, L)` in unit² mm² (HU² mm² for CT), zero frequency in the middle.
        axis_per_mm: `(L,)` frequencies of both axes in 1/mm.
        radial_per_mm: `(K,)` frequencies from 0 to the Nyquist frequency in 1/mm.
        radial_power: `(K,)` mean power on rings of those frequencies, in unit² mm².
        variance: of the patches about their plane fits, in unit², to which three
            degrees of freedom of each patch went.
        raw_variance: of the patches about their means, slopes included, in unit².
        patches: number of patches averaged.
    """

    power: RealArray
    axis_per_mm: RealArray
    radial_per_mm: RealArray
    radial_power: RealArray
    variance: float
    raw_variance: float
    patches: int

    @property
    def patch_side_px(self) -> int:
        """Side of a patch in pixels."""
        return len(self.axis_per_mm)

    @property
    def integral(self) -> float:
        """Power integrated over both frequencies, in unit²; equals the variance."""
        step = float(self.axis_per_mm[1] - self.axis_per_mm[0])
        return float(self.power.sum()) * step * step

    @property
    def peak_per_mm(self) -> float:
        """Frequency in 1/mm at which the radial power is highest."""
        return float(self.radial_per_mm[int(np.argmax(self.radial_power))])

    @property
    def mean_per_mm(self) -> float:
        """Mean frequency of the radial curve in 1/mm, from 0 to the Nyquist frequency.

        Source: AAPM Report 233, section on the noise power spectrum (f_avg of the radial NPS).
        """
        return float((self.radial_per_mm * self.radial_power).sum() / self.radial_power.sum())

    @property
    def mean_2d_per_mm(self) -> float:
        """Mean frequency in 1/mm weighted by the two-dimensional power inside Nyquist."""
        radius = _radius(self.axis_per_mm)
        inside = radius <= self.radial_per_mm[-1]
        return float((radius * self.power)[inside].sum() / self.power[inside].sum())

    @property
    def anisotropy(self) -> float:
        """Power along horizontal over that along vertical frequencies; 1 where isotropic."""
        rows, columns = np.meshgrid(self.axis_per_mm, self.axis_per_mm, indexing="ij")
        horizontal = np.abs(columns) > 2.0 * np.abs(rows)
        return float(self.power[horizontal].mean() / self.power[horizontal.T].mean())


def noise_power_spectrum(patches: npt.NDArray[np.floating], spacing_mm: float) -> Spectrum:
    """Estimate the noise power spectrum of uniform patches.

    Args:
        patches: `(N, L, L)` in HU, SUV or any unit, each over one uniform material.
        spacing_mm: pixel pitch, the same in both directions.

    Returns:
        Power in unit² mm² over frequency in 1/mm; its integral is the variance.

    Raises:
        MeasurementError: fewer than four patches, or patches that are constant.
        ValueError: patches are not `(N, L, L)`, or the spacing is not positive.

    Source: ICRU Report 87, eq. 4.8; a first-order surface is subtracted from each patch.
    """
    if patches.ndim != 3 or patches.shape[1] != patches.shape[2] or spacing_mm <= 0:
        raise ValueError(f"patches must be (N, L, L) with a pitch, not {patches.shape}")
    if len(patches) < FEWEST_PATCHES:
        raise MeasurementError(
            f"{len(patches)} uniform patches were found, a noise spectrum needs {FEWEST_PATCHES}",
            hint="Give regions over uniform material, or smaller patches.",
        )
    flat = without_plane(patches.astype(np.float64))
    side = flat.shape[1]
    variance = float((flat**2).sum()) / (len(flat) * (side * side - 3))
    raw_variance = float(patches.astype(np.float64).var(axis=(1, 2), ddof=1).mean())
    if variance == 0.0:
        raise MeasurementError("the patches are constant, so there is no noise to measure")
    transform = np.fft.fftshift(np.fft.fft2(flat), axes=(1, 2))
    power: RealArray = (np.abs(transform) ** 2).mean(axis=0) * (spacing_mm / side) ** 2
    axis = np.fft.fftshift(np.fft.fftfreq(side, spacing_mm))
    radial, radial_power = _radial_mean(power, axis)
    return Spectrum(power, axis, radial, radial_power, variance, raw_variance, len(patches))


def without_plane(patches: RealArray) -> RealArray:
    """Return patches `(N, L, L)` minus the plane that fits each best by least squares."""
    side = patches.shape[-1]
    position = np.arange(side) - (side - 1) / 2.0
    norm = float((position**2).sum()) * side
    mean = patches.mean(axis=(1, 2), keepdims=True)
    down = np.einsum("nij,i->n", patches, position)[:, None, None] / norm
    across = np.einsum("nij,j->n", patches, position)[:, None, None] / norm
    flat: RealArray = patches - mean - down * position[:, None] - across * position[None, :]
    return flat


def _radius(axis: RealArray) -> RealArray:
    """Return `(L, L)`: distance from zero frequency."""
    result: RealArray = np.hypot(axis[:, None], axis[None, :])
    return result


def _radial_mean(power: RealArray, axis: RealArray) -> tuple[RealArray, RealArray]:
    """Average power over rings one frequency step wide, from 0 to Nyquist."""
    step = axis[1] - axis[0]
    ring = np.round(_radius(axis) / step).astype(np.int64).ravel()
    rings = len(axis) // 2 + 1
    sums = np.bincount(ring, power.ravel())[:rings]
    return np.arange(rings) * step, sums / np.bincount(ring)[:rings]


@dataclass(frozen=True)
class NoiseRow:
    """Noise of one image.

    Attributes:
        image: its name.
        noise_by_view: standard deviation in each view, in the scan's unit; nan where it shows none.
        spectrum: over uniform patches of all views, the same ones for each image; or None.
        between_planes: correlation of the noise at the same place in neighbouring planes, over
            uniform patches; nan if there are too few.
    """

    image: str
    noise_by_view: tuple[float, ...]
    spectrum: Spectrum | None
    between_planes: float = math.nan

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

    _before: ComparedView | None = None
    _products: dict[str, list[RealArray]] = field(default_factory=lambda: defaultdict(list))

    def add(self, compared: ComparedView) -> tuple[Box, ...]:
        """Measure the noise of every image of a view, and return the patches that are used."""
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
            self._add_between(compared, boxes)
            if self._enough(side):
                break
        self._before = compared
        return boxes

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
            NoiseRow(name, tuple(noises), self._spectrum(name), self._between(name))
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

    def _between(self, name: str) -> float:
        """Return the correlation of neighbouring planes, nan for fewer than four patches."""
        if len(self._products[name]) < FEWEST_PATCHES:
            return math.nan
        both, one, two = np.sum(self._products[name], axis=0)
        return float(both / math.sqrt(one * two)) if one * two > 0 else math.nan

    def _spectrum(self, name: str) -> Spectrum | None:
        side = next((side for side in self.sides_px if self._enough(side)), None)
        if self.spacing_mm is None or side is None:
            return None
        try:
            return noise_power_spectrum(np.stack(self._patches[side][name]), self.spacing_mm)
        except MeasurementError:
            return None
