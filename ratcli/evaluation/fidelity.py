"""Fidelity to a reference: PSNR, SSIM and RMSE at named windows.

Every figure carries its window, because the same pair of images gives 46.6 dB over
[-1024, 3072] HU and 28.4 dB over [-160, 240] HU. The rules, the same everywhere:

- both images are clipped to the window, and `data_range` is the window's width;
- SSIM is scikit-image's with `gaussian_weights=True`, `sigma=1.5`, `use_sample_covariance=False`
  (an 11 x 11 window), averaged without the outer 5 pixels;
- a volume's PSNR and RMSE come from the squared error pooled over its planes, its SSIM from the
  planes' maps.

No torch here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from skimage.metrics import structural_similarity

from ratcli.errors import MeasurementError
from ratcli.evaluation.comparison import RESTORED
from ratcli.evaluation.views import ComparedView
from ratcli.evaluation.window import Window
from ratcli.scan import BoolArray, FloatArray

RealArray = npt.NDArray[np.float64]

SSIM_SETTINGS = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
_SSIM_BORDER = 5
RAT_PAPER_WINDOW = Window("rat-paper", 0.0, 255.0, "8-bit Y")
NATIVE, RAT_PAPER = "native", "rat-paper"


@dataclass(frozen=True)
class Fidelity:
    """How close an image is to a reference, in one window.

    Attributes:
        window: where it was scored; its `data_range` belongs to every figure.
        psnr_db: 10 log10(data_range² / mean squared error), infinite for equal images.
        ssim: mean structural similarity; nan where no pixel is 5 pixels from the border.
        rmse: root of the mean squared error, in the window's unit.
        pixels: number of pixels scored.
    """

    window: Window
    psnr_db: float
    ssim: float
    rmse: float
    pixels: int


@dataclass(frozen=True)
class ErrorMaps:
    """Error and similarity of a plane, pixel by pixel.

    Attributes:
        window: where it was scored.
        squares: `(H, W)` squared error, the mean over channels.
        similarity: `(H, W)` SSIM, nan within 5 pixels of the border.
        where: `(H, W)`, true where to score.
    """

    window: Window
    squares: RealArray
    similarity: RealArray
    where: BoolArray

    def over(self, region: BoolArray) -> Fidelity:
        """Return the figures over a region `(H, W)`.

        Raises:
            MeasurementError: no pixel of it is to be scored.
        """
        tally = FidelityTally(self.window)
        tally.add_maps(self.inside(region))
        return tally.result()

    def inside(self, region: BoolArray) -> ErrorMaps:
        """Return the same maps, to be scored inside a region `(H, W)` alone."""
        return ErrorMaps(self.window, self.squares, self.similarity, self.where & region)


def error_maps(
    image: FloatArray, reference: FloatArray, window: Window, mask: BoolArray | None = None
) -> ErrorMaps:
    """Compare a plane with its reference, pixel by pixel; see `score`."""
    return ErrorMaps(window, *_maps(image, reference, window, mask))


@dataclass
class FidelityTally:
    """Adds up squared errors and SSIM plane by plane, so that no volume is held in memory.

    Attributes:
        window: where to score.
    """

    window: Window
    _squares: float = field(default=0.0, repr=False)
    _pixels: int = field(default=0, repr=False)
    _similarity: float = field(default=0.0, repr=False)
    _similarity_pixels: int = field(default=0, repr=False)

    def add_maps(self, maps: ErrorMaps) -> None:
        """Add a plane that has been compared."""
        self._squares += float(maps.squares[maps.where].sum())
        self._pixels += int(maps.where.sum())
        inner = maps.where & np.isfinite(maps.similarity)
        self._similarity += float(maps.similarity[inner].sum())
        self._similarity_pixels += int(inner.sum())

    def result(self) -> Fidelity:
        """Return the figures of all planes added.

        Raises:
            MeasurementError: no pixel was scored.
        """
        if self._pixels == 0:
            raise MeasurementError("no pixel lies inside the mask, so that nothing can be scored")
        return _fidelity(
            self.window,
            self._squares / self._pixels,
            self._similarity / self._similarity_pixels if self._similarity_pixels else math.nan,
            self._pixels,
        )


def score(
    image: FloatArray, reference: FloatArray, window: Window, mask: BoolArray | None = None
) -> Fidelity:
    """Score a plane against its reference.

    Args:
        image: `(C, H, W)` or `(H, W)` in the window's unit.
        reference: the same shape.
        window: clips both; its width is the data range.
        mask: `(H, W)`, true where to score; everywhere if None.

    Raises:
        MeasurementError: nothing to score, or values that are not finite.
        ValueError: shapes differ.

    Source: Wang et al., IEEE TIP 13(4), 2004, for SSIM.
    """
    tally = FidelityTally(window)
    tally.add_maps(error_maps(image, reference, window, mask))
    return tally.result()


def studio_luma(plane: FloatArray, window: Window) -> FloatArray:
    """Return the luma `(1, H, W)` from which the authors' script scores; 16 to 235.

    The window is mapped to 0..255, rounded, and turned to the studio-range luma
    Y = 16 + 65.481 R + 128.553 G + 24.966 B. This scales a gray error by 219/255, which alone adds
    1.322 dB, so that such figures compare with the authors' tables only.

    Args:
        plane: `(C, H, W)` in the window's unit.
        window: mapped to 8 bits.

    Source: the authors' evaluation of 8-bit PNG files, Y channel of ITU-R BT.601.
    """
    clipped = window.clip(plane)
    levels = np.round((clipped - window.low) / window.data_range * 255.0) / 255.0
    if levels.shape[0] == 1:
        levels = np.repeat(levels, 3, axis=0)
    weights = np.asarray((65.481, 128.553, 24.966))
    luma: RealArray = 16.0 + np.einsum("chw,c->hw", levels, weights)[None]
    return luma.astype(np.float32)


def _maps(
    image: FloatArray, reference: FloatArray, window: Window, mask: BoolArray | None
) -> tuple[RealArray, RealArray, BoolArray]:
    """Return squared error and SSIM maps `(H, W)`, SSIM nan at the border, and the mask."""
    if image.shape != reference.shape:
        raise ValueError(f"shapes differ: {image.shape} and {reference.shape}")
    where = np.ones(image.shape[-2:], np.bool_) if mask is None else np.asarray(mask, np.bool_)
    pair = []
    for values in (image, reference):
        finite: BoolArray = np.isfinite(np.atleast_3d(values.T).T).all(axis=0)
        if not finite[where].all():
            raise MeasurementError(
                f"{int((~finite & where).sum())} pixels to score are not finite numbers",
                hint="Exclude them with a mask, or repair the scan.",
            )
        # Not finite outside the mask: the window's low end, or SSIM would spread the gap.
        pair.append(window.clip(np.where(finite, values, window.low)))
    squares = ((pair[0] - pair[1]) ** 2).mean(axis=0)
    return squares, _similarity_map(pair[0], pair[1], window.data_range), where


def _similarity_map(image: RealArray, reference: RealArray, data_range: float) -> RealArray:
    """Return `(H, W)`: SSIM averaged over channels, nan within 5 pixels of the border."""
    result = np.full(image.shape[1:], np.nan)
    inner = slice(_SSIM_BORDER, -_SSIM_BORDER)
    if min(result.shape) <= 2 * _SSIM_BORDER:
        return result
    _, full = structural_similarity(  # type: ignore[no-untyped-call]
        image, reference, channel_axis=0, data_range=data_range, full=True, **SSIM_SETTINGS
    )
    result[inner, inner] = full.mean(axis=0)[inner, inner]
    return result


def _fidelity(window: Window, mean_square: float, similarity: float, pixels: int) -> Fidelity:
    """Return the figures that follow from a mean squared error and a mean SSIM."""
    if mean_square == 0.0:
        peak = math.inf
    else:
        peak = 10.0 * math.log10(window.data_range**2 / mean_square)
    return Fidelity(window, peak, similarity, math.sqrt(mean_square), pixels)


@dataclass(frozen=True)
class FidelityRow:
    """Fidelity of one image to the reference.

    Attributes:
        image: `restored`, `input`, or a baseline's name.
        plane: which, None for all of them pooled.
        fidelity: the figures, with their window.
    """

    image: str
    plane: int | None
    fidelity: Fidelity


@dataclass
class FidelityRows:
    """Fidelity of every image, by plane and pooled."""

    windows: tuple[Window, ...]
    protocol: str
    _tallies: dict[tuple[str, int | None, Window], FidelityTally] = field(default_factory=dict)

    def add(self, compared: ComparedView) -> tuple[ErrorMaps, ...]:
        """Score a view; return the restored image's maps, one for each window."""
        if compared.reference is None:
            return ()
        kept = []
        for window in self.windows:
            for name, image in compared.images.items():
                maps = self._maps(image, compared.reference, compared.mask, window)
                for plane in (compared.view.plane, None):
                    key = (name, plane, maps.window)
                    self._tallies.setdefault(key, FidelityTally(maps.window)).add_maps(maps)
                if name == RESTORED:
                    kept.append(maps)
        return tuple(kept)

    def rows(self) -> tuple[FidelityRow, ...]:
        """Return a row for each image, plane and window, and for all planes pooled."""
        return tuple(
            FidelityRow(name, plane, tally.result())
            for (name, plane, _), tally in self._tallies.items()
        )

    def _maps(
        self, image: FloatArray, reference: FloatArray, mask: BoolArray, window: Window
    ) -> ErrorMaps:
        if self.protocol == NATIVE:
            return error_maps(image, reference, window, mask)
        luma = replace(RAT_PAPER_WINDOW, name=f"rat-paper of {window}")
        return error_maps(studio_luma(image, window), studio_luma(reference, window), luma, mask)
