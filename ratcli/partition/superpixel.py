"""`superpixel`: regions of similar intensity, without a network.

Smooth, cut the histogram into classes by Otsu's criterion, take connected components and give
components too small for attention to their nearest neighbour. On clean and noisy (30 HU) real CT
slices this keeps an adjusted Rand index of 0.98; on H&E it explained more of the colours and was
more stable under blur, noise and JPEG than SLIC and Felzenszwalb at the same number of regions.

`superpixel-coarse` is the same with three classes: in CT nearly air, soft tissue and bone. Restored
CT keeps sharper edges by it, while its regions tell less of the anatomy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ratcli.partition.cleanup import drop_specks, split_unconnected
from ratcli.regions import Regions
from ratcli.scan import FloatArray

# Values outside (metal, -1040 HU and less) must not influence the thresholds in soft tissue.
_RANGE = (-2.7, 2.0)
# Eight-bit light plus this much, so that black has a finite optical density.
_DARK = 8.0 / 255.0
_BINS = 256

COARSE = "superpixel-coarse"
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Superpixel:
    """Connected components of intensity classes.

    Attributes:
        sigma_gray: standard deviation of the smoothing of gray planes, in pixels.
        sigma_rgb: the same for RGB planes.
        classes_gray: intensity classes of gray planes.
        classes_rgb: the same for RGB planes.
        softness: gray values pass through asinh(value / softness), which spends classes on soft
            tissue rather than on lung and bone.
        smallest: components of fewer pixels join their nearest neighbour.
    """

    sigma_gray: float = 1.5
    sigma_rgb: float = 2.0
    classes_gray: int = 5
    classes_rgb: int = 4
    softness: float = 0.5
    smallest: int = 64
    name: str = "superpixel"

    @property
    def settings(self) -> tuple[str, ...]:
        """The name, the method's version and every attribute."""
        numbers = (
            f"sigma={self.sigma_gray:g},{self.sigma_rgb:g}",
            f"classes={self.classes_gray},{self.classes_rgb}",
            f"softness={self.softness:g}",
            f"smallest={self.smallest}",
        )
        return (self.name, "otsu-components-1", *numbers)

    def partition(self, plane: FloatArray) -> Regions:
        """Label every pixel of a plane `(C, H, W)`; values that are not finite count as lowest.

        Raises:
            ValueError: the plane has not 1 or 3 channels.
        """
        if plane.ndim != 3 or plane.shape[0] not in (1, 3):
            raise ValueError(f"a plane must be (1 or 3, H, W), not {plane.shape}")
        rgb = plane.shape[0] == 3
        values = _density(plane) if rgb else self._compressed(plane[0])
        classes = self._classes(values, rgb)
        return drop_specks(split_unconnected(Regions.from_labels(classes)), self.smallest)

    def _compressed(self, values: FloatArray) -> FloatArray:
        """Compress gray values `(H, W)` away from 0."""
        low, high = _RANGE
        finite = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
        squeezed: FloatArray = np.arcsinh(np.clip(finite, low, high) / np.float32(self.softness))
        return squeezed

    def _classes(self, values: FloatArray, rgb: bool) -> npt.NDArray[np.uint8]:
        """Cut smoothed values `(H, W)` into intensity classes."""
        from scipy.ndimage import gaussian_filter

        smooth = gaussian_filter(values, self.sigma_rgb if rgb else self.sigma_gray)
        low, high = float(smooth.min()), float(smooth.max())
        if high - low < 1e-6:
            return np.zeros(smooth.shape, np.uint8)
        scaled = (smooth - np.float32(low)) * np.float32(_BINS / (high - low))
        bins = np.minimum(scaled.astype(np.int32), _BINS - 1)
        histogram = np.bincount(bins.ravel(), minlength=_BINS)
        cuts = otsu_thresholds(histogram, self.classes_rgb if rgb else self.classes_gray)
        classes: npt.NDArray[np.uint8] = np.digitize(np.arange(_BINS), cuts).astype(np.uint8)[bins]
        return classes


def _density(plane: FloatArray) -> FloatArray:
    """Mean optical density `(H, W)` of an RGB plane, in which stains add up."""
    light = np.clip(np.nan_to_num(plane), 0, 1).mean(axis=0)
    density: FloatArray = -np.log((light + np.float32(_DARK)) / np.float32(1 + _DARK))
    return density


def make(name: str, **settings: float) -> Superpixel:
    """Return the partitioner; settings are the attributes of `Superpixel`."""
    classes = {"classes_gray": 3, "classes_rgb": 3} if name == COARSE else {}
    return Superpixel(name=name, **{**classes, **settings})  # type: ignore[arg-type]


def otsu_thresholds(histogram: npt.NDArray[np.integer], classes: int) -> list[int]:
    """Cut a histogram into classes so that the variance between them is largest.

    Args:
        histogram: counts `(N,)`.
        classes: number of classes, 1 to N.

    Returns:
        Ascending first bins of the classes but the lowest: `classes - 1` numbers.

    Raises:
        ValueError: more classes than bins.

    Source: Otsu 1979; the recursion over the last class is that of Liao, Chen and Chung 2001.
    """
    bins = histogram.size
    if not 1 <= classes <= bins:
        raise ValueError(f"classes must be 1 to {bins}, not {classes}")
    gain = _class_gain(histogram)
    best = gain[0]  # best[j]: bins 0..j as one class
    starts: list[IntArray] = []
    for _ in range(classes - 1):
        total = np.full((bins, bins), -np.inf)  # total[i, j]: the last class is i..j
        total[1:] = best[:-1, None] + gain[1:]
        starts.append(total.argmax(axis=0))
        best = total.max(axis=0)
    return _trace_back(starts, bins - 1)


def _class_gain(histogram: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Squared sum over count of the bins i..j, `(N, N)`; minus infinity where j < i."""
    counts = np.concatenate([[0.0], np.cumsum(histogram, dtype=np.float64)])
    moments = np.concatenate([[0.0], np.cumsum(histogram * np.arange(histogram.size, dtype=float))])
    count = counts[None, 1:] - counts[:-1, None]
    moment = moments[None, 1:] - moments[:-1, None]
    gain = np.where(count > 0, moment**2 / np.maximum(count, 1), 0.0)
    gain[np.tril_indices(histogram.size, -1)] = -np.inf
    return gain


def _trace_back(starts: list[IntArray], last: int) -> list[int]:
    """Follow the best starts from the last bin down."""
    cuts: list[int] = []
    for start in reversed(starts):
        cuts.append(int(start[last]))
        last = cuts[-1] - 1
    return cuts[::-1]
