"""H&E: what a restoration did to stain, colour and sharpness. No torch here."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from skimage.color import deltaE_ciede2000, rgb2lab

from ratcli.errors import MeasurementError
from ratcli.evaluation.views import ComparedView
from ratcli.scan import BoolArray, FloatArray

RealArray = npt.NDArray[np.float64]

# Optical density of red, green and blue light per unit of stain (Ruifrok and Johnston 2001).
_HAEMATOXYLIN = (0.650, 0.704, 0.286)
_EOSIN = (0.072, 0.990, 0.105)
_LUMA = (0.299, 0.587, 0.114)
_TISSUE_DENSITY = 0.15


@dataclass(frozen=True)
class StainShift:
    """Change of stain between an image and its reference, over tissue.

    Attributes:
        density: change of mean optical density of red, green and blue.
        haematoxylin: change of the mean amount of haematoxylin, in optical density.
        eosin: of eosin.
        haematoxylin_share: the same over the reference's amount.
        eosin_share: of eosin.
        tissue_share: share of the pixels that are tissue.
    """

    density: tuple[float, float, float]
    haematoxylin: float
    eosin: float
    haematoxylin_share: float
    eosin_share: float
    tissue_share: float


@dataclass(frozen=True)
class ColourDifference:
    """CIEDE2000 between an image and its reference; below about 1 it cannot be seen.

    Attributes:
        mean: over all pixels.
        high: its 95th percentile.
    """

    mean: float
    high: float


def optical_density(rgb: FloatArray) -> RealArray:
    """Return optical density `(3, H, W)` of RGB `(3, H, W)` from 0 to 1: -log10(I / I0).

    The transmitted light is counted in 256 steps from 1, so that black stays finite.
    """
    levels = np.clip(rgb.astype(np.float64), 0.0, 1.0) * 255.0
    density: RealArray = -np.log10((levels + 1.0) / 256.0)
    return density


def stain_shift(
    image: FloatArray, reference: FloatArray, mask: BoolArray | None = None
) -> StainShift:
    """Compare the amounts of stain over tissue.

    Args:
        image: RGB `(3, H, W)` from 0 to 1.
        reference: the same; tissue is where its mean optical density passes 0.15.
        mask: `(H, W)`, true where to look; everywhere if None.

    Raises:
        MeasurementError: the reference shows no tissue.
        ValueError: not RGB, or shapes differ.

    Source: Ruifrok and Johnston, Anal Quant Cytol Histol 23(4), 2001.
    """
    _check_rgb(image, reference)
    one, two = optical_density(image), optical_density(reference)
    where = _everywhere(image) if mask is None else mask
    tissue = (two.mean(axis=0) > _TISSUE_DENSITY) & where
    if not tissue.any():
        raise MeasurementError("the reference shows no tissue, so there is no stain to compare")
    means = [density[:, tissue].mean(axis=1) for density in (one, two)]
    stains = [_unmix(mean) for mean in means]
    change = stains[0] - stains[1]
    share = change / np.where(np.abs(stains[1]) > 1e-9, stains[1], np.nan)
    return StainShift(
        density=_triple(means[0] - means[1]),
        haematoxylin=float(change[0]),
        eosin=float(change[1]),
        haematoxylin_share=float(share[0]),
        eosin_share=float(share[1]),
        tissue_share=float(tissue.sum() / where.sum()),
    )


def colour_difference(
    image: FloatArray, reference: FloatArray, mask: BoolArray | None = None
) -> ColourDifference:
    """Return the colour difference of RGB images `(3, H, W)` from 0 to 1, taken as sRGB.

    Args:
        image: one image.
        reference: the other.
        mask: `(H, W)`, true where to look; everywhere if None.

    Raises:
        ValueError: not RGB, or shapes differ.

    Source: CIE 142:2001 (CIEDE2000).
    """
    _check_rgb(image, reference)
    first, second = (
        rgb2lab(np.moveaxis(np.clip(rgb.astype(np.float64), 0.0, 1.0), 0, -1))
        for rgb in (image, reference)
    )
    difference = np.asarray(
        deltaE_ciede2000(first, second)  # type: ignore[no-untyped-call]
    )[_everywhere(image) if mask is None else mask]
    return ColourDifference(float(difference.mean()), float(np.percentile(difference, 95)))


def sharpness(image: FloatArray, reference: FloatArray, mask: BoolArray | None = None) -> float:
    """Return the image's fine detail over the reference's: 1 as sharp, below 1 smoother.

    Detail is the standard deviation of luma minus its Gaussian mean over a pixel. Noise counts as
    detail: more than 1 may be noise.

    Args:
        image: RGB `(3, H, W)` from 0 to 1.
        reference: the same.
        mask: `(H, W)`, true where to look; everywhere if None.

    Raises:
        MeasurementError: the reference has no detail.
        ValueError: not RGB, or shapes differ.
    """
    _check_rgb(image, reference)
    where = _everywhere(image) if mask is None else mask
    one, two = (
        _detail(np.einsum("chw,c->hw", rgb.astype(np.float64), np.asarray(_LUMA)), where)
        for rgb in (image, reference)
    )
    if two == 0.0:
        raise MeasurementError("the reference has no detail, so sharpness cannot be measured")
    return one / two


def _detail(luma: RealArray, where: BoolArray) -> float:
    return math.sqrt(float(((luma - gaussian_filter(luma, 1.0))[where] ** 2).mean()))


def _everywhere(image: FloatArray) -> BoolArray:
    return np.ones(image.shape[1:], np.bool_)


def _unmix(density: RealArray) -> RealArray:
    """Return amounts `(3,)` of haematoxylin, eosin and what is neither, from density `(3,)`."""
    both = np.array([_HAEMATOXYLIN, _EOSIN])
    stains = np.vstack([both, np.cross(both[0], both[1])])
    stains /= np.linalg.norm(stains, axis=1, keepdims=True)
    amounts: RealArray = density @ np.linalg.inv(stains)
    return amounts


def _triple(values: RealArray) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _check_rgb(image: FloatArray, reference: FloatArray) -> None:
    if image.shape != reference.shape or image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"both must be (3, H, W), not {image.shape} and {reference.shape}")


@dataclass(frozen=True)
class StainRow:
    """H&E figures of one image in one view."""

    image: str
    plane: int
    stain: StainShift
    colour: ColourDifference
    sharpness: float


def stain_rows(compared: ComparedView) -> tuple[StainRow, ...]:
    """Return H&E figures of every image of a view against the reference."""
    reference = compared.reference
    if reference is None:
        return ()
    rows = []
    for name, image in compared.images.items():
        try:
            stain = stain_shift(image, reference, compared.mask)
        except MeasurementError:
            continue
        colour = colour_difference(image, reference, compared.mask)
        sharp = sharpness(image, reference, compared.mask)
        rows.append(StainRow(name, compared.view.plane, stain, colour, sharp))
    return tuple(rows)
