"""Low-count PET: a sinogram of fewer coincidences, reconstructed as scanners do.

With the system matrix A, attenuation a, sensitivity k and detector blur G, expected prompts are

    y = k a (A G x) + s + r

with scatter s (trues blurred widely) and randoms r (uniform). Counts are Poisson; a fraction d of
them is kept (thinning). OSEM with the same model reconstructs noisy and expected prompts alike, and
the difference is the noise: added to a scan, its anatomy is not blurred again. A scan has noise of
its own, so only the missing part is added.

Sources: Hudson and Larkin, IEEE TMI 13(4):601, 1994 (OSEM); Wang et al., PET Clin. 16(4), 2021.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import binary_fill_holes
from torch import Tensor
from torch.nn import functional as F

from ratcli.physics.system import System, system

TISSUE_PER_MM = 0.00975
"""Linear attenuation of soft tissue at 511 keV."""

_LARGEST = 160
_SCATTER_MM = 60.0
_TINY = 1e-9


@dataclass(frozen=True)
class PetCounts:
    """How a PET scan is degraded.

    Attributes:
        counts: prompts of a plane of the full scan.
        fraction: share of them that is kept.
        randoms: share of randoms among the prompts.
        scatter: share of scatter among prompts without randoms.
        psf_mm: full width at half maximum of the detectors' blur.
        recovery: OSEM knows that blur (resolution recovery: less noise, in larger grains).
        iterations: of OSEM.
        subsets: of OSEM.
        filter_mm: full width at half maximum of the Gaussian after reconstruction.
        original: share of counts that the input was scanned with; None for an input without noise.
    """

    counts: float = 2e6
    fraction: float = 1 / 12
    randoms: float = 0.15
    scatter: float = 0.3
    psf_mm: float = 4.5
    recovery: bool = True
    iterations: int = 3
    subsets: int = 12
    filter_mm: float = 4.0
    original: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction of counts must be in (0, 1], not {self.fraction}")
        if self.original is not None and self.original < self.fraction:
            raise ValueError(f"the input's counts {self.original} are below {self.fraction}")


def sample_counts(rng: np.random.Generator, original: float | None = None) -> PetCounts:
    """Draw a scanner, a protocol and a reduction of counts from the training family."""
    return PetCounts(
        counts=float(np.exp(rng.uniform(np.log(2e5), np.log(4e6)))),
        fraction=float(np.exp(-rng.uniform(np.log(4), np.log(20)))),
        randoms=float(rng.uniform(0.1, 0.2)),
        scatter=float(rng.uniform(0.2, 0.35)),
        psf_mm=float(rng.uniform(3.5, 6.0)),
        recovery=bool(rng.random() < 0.5),
        iterations=int(rng.integers(2, 5)),
        filter_mm=float(rng.uniform(2.0, 6.0)),
        original=original,
    )


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
        small, pitch_mm, place = _shrink(plane.clamp_min(0), spacing_mm)
        mu = _body(small) if maps is None else _shrink(maps[index], spacing_mm, place)[0]
        acquisition = _Acquisition.of(small, mu, pitch_mm, counts)
        pair = acquisition.reconstruct([acquisition.draw(generator), acquisition.expected])
        noise[index] = place.grow(pair[0] - pair[1]) * _missing(counts)
    return noise.view_as(activity)


def simulate_low_count(
    activity: Tensor,
    spacing_mm: float,
    counts: PetCounts,
    generator: torch.Generator | None = None,
    attenuation_per_mm: Tensor | None = None,
) -> Tensor:
    """Return the plane as fewer counts would show it; never below zero, as OSEM's images.

    Arguments as for `low_count_noise`.
    """
    noise = low_count_noise(activity, spacing_mm, counts, generator, attenuation_per_mm)
    return torch.where(noise == 0, activity, (activity + noise).clamp_min(0))


def expected_image(
    activity: Tensor,
    spacing_mm: float,
    counts: PetCounts,
    attenuation_per_mm: Tensor | None = None,
) -> Tensor:
    """Return what endless counts would show of true activity `(N, N)`: blurred, without noise.

    Raises:
        ValueError: the plane is not square, or larger than 160 pixels.
    """
    if activity.shape[0] != activity.shape[1] or activity.shape[0] > _LARGEST:
        raise ValueError(f"planes must be (N, N), N <= {_LARGEST}, not {tuple(activity.shape)}")
    mu = _body(activity) if attenuation_per_mm is None else attenuation_per_mm
    acquisition = _Acquisition.of(activity, mu, spacing_mm, counts)
    return acquisition.reconstruct([acquisition.expected])[0]


def thin(prompts: Tensor, fraction: float, generator: torch.Generator | None = None) -> Tensor:
    """Keep each count with a chance of `fraction`: what a shorter scan would have counted."""
    chance = torch.full_like(prompts, fraction)
    return torch.binomial(prompts, chance, generator=generator)


def gaussian_blur(planes: Tensor, fwhm_px: float) -> Tensor:
    """Blur planes `(B, N, M)` with a Gaussian; its adjoint is itself (zero outside)."""
    if fwhm_px < 0.2:
        return planes
    sigma = fwhm_px / math.sqrt(8 * math.log(2))
    reach = math.ceil(3.5 * sigma)
    at = torch.arange(-reach, reach + 1, device=planes.device, dtype=planes.dtype)
    # A Gaussian's integral over each pixel: right for narrow ones too.
    edge = 1 / (sigma * math.sqrt(2))
    taps = torch.erf((at + 0.5) * edge) - torch.erf((at - 0.5) * edge)
    taps = taps / taps.sum()
    blurred = F.conv2d(planes[:, None], taps.view(1, 1, -1, 1), padding=(reach, 0))
    return F.conv2d(blurred, taps.view(1, 1, 1, -1), padding=(0, reach))[:, 0]


def _missing(counts: PetCounts) -> float:
    """Return the share of noise that an input of `original` counts does not have yet."""
    return 1.0 if counts.original is None else math.sqrt(1 - counts.fraction / counts.original)


@dataclass(frozen=True)
class _Place:
    """Where a shrunk square stands in a plane: factor, box, and the plane's shape."""

    factor: int
    top: int
    left: int
    side: int
    shape: tuple[int, int]

    def cut(self, plane: Tensor) -> Tensor:
        """Cut the square out, zero where it leaves the plane, and pool it."""
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


def _shrink(
    plane: Tensor, spacing_mm: float, place: _Place | None = None
) -> tuple[Tensor, float, _Place]:
    """Return the square around what is active, at most 160 pixels wide, and its pitch."""
    if place is None:
        place = _place(plane)
    return place.cut(plane), spacing_mm * place.factor, place


def _place(plane: Tensor) -> _Place:
    active = plane > 0.01 * plane.max()
    rows, columns = active.any(1).nonzero()[:, 0], active.any(0).nonzero()[:, 0]
    low = (int(rows[0]), int(columns[0]))
    high = (int(rows[-1]) + 1, int(columns[-1]) + 1)
    extent = max(high[0] - low[0], high[1] - low[1]) + 8
    factor = math.ceil(extent / _LARGEST)
    # Multiples of 32: planes of a scan share their system matrices.
    side = factor * 32 * math.ceil(extent / factor / 32)
    top, left = ((a + b - side) // 2 for a, b in zip(low, high, strict=True))
    return _Place(factor, top, left, side, (plane.shape[0], plane.shape[1]))


def _body(plane: Tensor) -> Tensor:
    """Return soft tissue's attenuation wherever there is uptake, and in what it encloses."""
    level = 0.02 * torch.quantile(plane[plane > 0], 0.95) if bool((plane > 0).any()) else 1.0
    solid = binary_fill_holes((gaussian_blur(plane[None], 2.0)[0] > level).cpu().numpy())
    return torch.from_numpy(solid).to(plane) * TISSUE_PER_MM


@dataclass(frozen=True)
class _Acquisition:
    """Expected prompts of one plane at a reduced dose, and the model that made them.

    Attributes:
        model: system matrix.
        counts: how to degrade.
        spacing_mm: pixel pitch.
        gain: prompts for each unit of a line integral, attenuation included, `(S, R, 1)`.
        additive: expected scatter and randoms, `(S, R, 1)`.
        expected: expected prompts, `(S, R, 1)`.
    """

    model: System
    counts: PetCounts
    spacing_mm: float
    gain: Tensor
    additive: Tensor
    expected: Tensor

    @classmethod
    def of(cls, plane: Tensor, mu: Tensor, spacing_mm: float, counts: PetCounts) -> _Acquisition:
        model = system(plane.shape[-1], counts.subsets, str(plane.device))
        survival = torch.exp(-model.project(mu[None]) * spacing_mm)
        blurred = gaussian_blur(plane[None], counts.psf_mm / spacing_mm)
        trues = survival * model.project(blurred)
        prompts = counts.counts * counts.fraction
        wanted = prompts * (1 - counts.randoms) * (1 - counts.scatter)
        scale = wanted / trues.sum().clamp_min(_TINY)
        trues = trues * scale
        scatter = _scatter(trues, model, spacing_mm)
        scatter = scatter * (wanted * counts.scatter / (1 - counts.scatter) / scatter.sum())
        additive = scatter + prompts * counts.randoms / trues.numel()
        return cls(model, counts, spacing_mm, survival * scale, additive, trues + additive)

    def draw(self, generator: torch.Generator | None) -> Tensor:
        """Draw prompts."""
        return torch.poisson(self.expected, generator=generator)

    def reconstruct(self, prompts: list[Tensor]) -> Tensor:
        """Reconstruct several sinograms with OSEM and filter; returns `(len, N, N)`."""
        data = torch.cat(prompts, -1)  # (S, R, B)
        blur = self.counts.psf_mm / self.spacing_mm if self.counts.recovery else 0.0
        size = self.model.size
        image = data.new_ones(data.shape[-1], size, size)
        start = self.gain.mean() * size
        image *= (data - self.additive).sum((0, 1)).clamp_min(1)[:, None, None] / (
            start * self.gain.numel()
        )
        sensitivity = [
            gaussian_blur((m @ g).mT.view(1, size, size), blur).clamp_min(1e-3 * float(start))
            for m, g in zip(self.model.adjoint, self.gain, strict=True)
        ]
        for _ in range(self.counts.iterations):
            for subset in range(self.model.subsets):
                columns = gaussian_blur(image, blur).flatten(1).mT.contiguous()
                line = self.gain[subset] * (self.model.forward[subset] @ columns)
                ratio = data[subset] / (line + self.additive[subset]).clamp_min(_TINY)
                update = self.model.adjoint[subset] @ (self.gain[subset] * ratio)
                update = gaussian_blur(update.mT.reshape(-1, size, size), blur)
                image = image * update / sensitivity[subset]
        return gaussian_blur(image, self.counts.filter_mm / self.spacing_mm)


def _scatter(trues: Tensor, model: System, spacing_mm: float) -> Tensor:
    """Return the shape of scatter: trues blurred widely over bins and views, `(S, R, 1)`."""
    per_subset = model.views // model.subsets
    views = trues.view(model.subsets, per_subset, model.bins).transpose(0, 1)
    views = views.reshape(1, model.views, model.bins)  # subset s holds views s, s + S, ...
    wide = gaussian_blur(F.pad(views, (0, 0, 20, 20), mode="circular"), _SCATTER_MM / spacing_mm)
    wide = wide[:, 20:-20].view(per_subset, model.subsets, model.bins).transpose(0, 1)
    return wide.reshape(model.subsets, -1, 1).clamp_min(_TINY)
