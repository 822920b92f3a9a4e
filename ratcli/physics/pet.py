"""Low-count PET: simulates a sinogram of fewer coincidences and reconstructs it by OSEM.

With the system matrix A, attenuation a, sensitivity k and detector blur G, expected prompts are

    y = k a (A G x) + s + r

with scatter s (trues blurred widely) and randoms r (uniform). Counts are Poisson; a fraction d of
them is kept (thinning). OSEM with the same model reconstructs noisy and expected prompts alike, and
the difference is the noise. Adding it to a scan does not blur the anatomy again. A scan already has
noise, so only the missing part is added.

Sources: Hudson and Larkin, IEEE TMI 13(4):601, 1994 (OSEM); Wang et al., PET Clin. 16(4), 2021.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.ndimage import binary_fill_holes
from torch import Tensor
from torch.nn import functional as F

from ratcli.physics.blur import gaussian_blur
from ratcli.physics.pet_acquisition import PetAcquisition, PetCounts

TISSUE_PER_MM = 0.00975
"""Linear attenuation of soft tissue at 511 keV."""
LARGEST = 160
"""Rows and columns of the largest square that is reconstructed."""


def low_count_noise(
    activity: Tensor,
    spacing_mm: float,
    counts: PetCounts,
    generator: torch.Generator | None = None,
    attenuation_per_mm: Tensor | None = None,
) -> Tensor:
    """Simulate the noise that fewer counts add to a plane.

    Args:
        activity: `(B, H, W)` or `(H, W)` in SUV or Bq/ml; the noise has the same unit.
        spacing_mm: pixel pitch.
        counts: how to degrade.
        generator: source of randomness, on the device of `activity`.
        attenuation_per_mm: at 511 keV, of the shape of `activity`; None for soft tissue wherever
            there is uptake.

    Returns:
        Noise, of the shape of `activity`; zero for a plane without activity.
    """
    planes = activity if activity.ndim == 3 else activity[None]
    noise = torch.zeros_like(planes)
    maps = None if attenuation_per_mm is None else attenuation_per_mm.view_as(planes)
    for index, plane in enumerate(planes):
        if not bool((plane > 0).any()):
            continue
        square = ActiveSquare.around(plane.clamp_min(0))
        small = square.cut(plane.clamp_min(0))
        mu = _body(small) if maps is None else square.cut(maps[index])
        acquisition = PetAcquisition.of(small, mu, spacing_mm * square.factor, counts)
        pair = acquisition.reconstruct([acquisition.draw(generator), acquisition.expected])
        noise[index] = square.grow(pair[0] - pair[1]) * _missing(counts)
    return noise.view_as(activity)


def simulate_low_count(
    activity: Tensor,
    spacing_mm: float,
    counts: PetCounts,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return the plane with the noise of fewer counts; never below zero, like images of OSEM.

    Arguments as for `low_count_noise`.
    """
    noise = low_count_noise(activity, spacing_mm, counts, generator)
    return torch.where(noise == 0, activity, (activity + noise).clamp_min(0))


def expected_image(
    activity: Tensor,
    spacing_mm: float,
    counts: PetCounts,
    attenuation_per_mm: Tensor | None = None,
) -> Tensor:
    """Return the image of true activity `(N, N)` without noise: blurred by the scanner and OSEM.

    Raises:
        ValueError: the plane is not square, or larger than 160 pixels.
    """
    if activity.shape[0] != activity.shape[1] or activity.shape[0] > LARGEST:
        raise ValueError(f"planes must be (N, N), N <= {LARGEST}, not {tuple(activity.shape)}")
    mu = _body(activity) if attenuation_per_mm is None else attenuation_per_mm
    acquisition = PetAcquisition.of(activity, mu, spacing_mm, counts)
    return acquisition.reconstruct([acquisition.expected])[0]


def _missing(counts: PetCounts) -> float:
    """Return the share of noise that an input of `original` counts does not have yet."""
    return 1.0 if counts.original is None else math.sqrt(1 - counts.fraction / counts.original)


def _body(plane: Tensor) -> Tensor:
    """Return the attenuation of soft tissue for pixels with uptake and those that they enclose."""
    level = 0.02 * torch.quantile(plane[plane > 0], 0.95) if bool((plane > 0).any()) else 1.0
    solid = binary_fill_holes((gaussian_blur(plane[None], 2.0)[0] > level).cpu().numpy())
    return torch.from_numpy(solid).to(plane) * TISSUE_PER_MM


@dataclass(frozen=True)
class ActiveSquare:
    """Where a shrunk square stands in a plane.

    Attributes:
        factor: pixels of the plane for each one of the shrunk square and axis.
        top: first row of the square, negative where it leaves the plane.
        left: first column.
        side: rows and columns before shrinking.
        shape: rows and columns of the plane.
    """

    factor: int
    top: int
    left: int
    side: int
    shape: tuple[int, int]

    @classmethod
    def around(cls, plane: Tensor) -> ActiveSquare:
        """Return the square around the active pixels of a plane `(H, W)`."""
        active = plane > 0.01 * plane.max()
        rows, columns = active.any(1).nonzero()[:, 0], active.any(0).nonzero()[:, 0]
        low = (int(rows[0]), int(columns[0]))
        high = (int(rows[-1]) + 1, int(columns[-1]) + 1)
        extent = max(high[0] - low[0], high[1] - low[1]) + 8
        factor = math.ceil(extent / LARGEST)
        # Multiples of 32: planes of a scan share their system matrices.
        side = factor * 32 * math.ceil(extent / factor / 32)
        top, left = ((a + b - side) // 2 for a, b in zip(low, high, strict=True))
        return cls(factor, top, left, side, (plane.shape[0], plane.shape[1]))

    def cut(self, plane: Tensor) -> Tensor:
        """Cut the square out, with zeros outside the plane, and average it to its shrunk size."""
        height, width = self.shape
        low_y, low_x = max(0, self.top), max(0, self.left)
        part = plane[low_y : self.top + self.side, low_x : self.left + self.side]
        edges = (
            low_x - self.left, max(0, self.left + self.side - width),
            low_y - self.top, max(0, self.top + self.side - height),
        )  # fmt: skip
        square = F.pad(part, edges)
        return square if self.factor == 1 else F.avg_pool2d(square[None], self.factor)[0]

    def grow(self, small: Tensor) -> Tensor:
        """Put a shrunk square back into a plane of zeros."""
        square = small
        if self.factor > 1:
            square = F.interpolate(
                small[None, None], scale_factor=self.factor, mode="bicubic", align_corners=False
            )[0, 0]
        plane = small.new_zeros(self.shape)
        low_y, low_x = max(0, self.top), max(0, self.left)
        high_y = min(self.shape[0], self.top + self.side)
        high_x = min(self.shape[1], self.left + self.side)
        plane[low_y:high_y, low_x:high_x] = square[
            low_y - self.top : high_y - self.top, low_x - self.left : high_x - self.left
        ]
        return plane
