"""Low-dose CT: noise of fewer photons, made in the projections and reconstructed.

For the line integral p of a ray, photons I0, dose fraction d, bowtie b and tube current m:

    y  = Poisson(I0 d b m exp(-q)) + normal(0, s_e^2),    p = q + beta q^2   (beam hardening)
    q' = ln(I0 d b m / max(y, 1))

The noise (1 + 2 beta q)(q' - q) is reconstructed with the scan's kernel and added to the image, so
anatomy keeps its sharpness. Its mean is subtracted, as scanners correct for it. An input that is a
scan of dose 1 already has noise, so only the missing variance is added.

Sources: Zeng et al., IEEE Trans. Nucl. Sci. 62(5):2226, 2015; Yu et al., J. Comput. Assist. Tomogr.
36(4):477, 2012 (bowtie, tube current, electronic noise, adding to a scan).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ratcli.physics.ct_acquisition import WATER_PER_MM, CtAcquisition, hu_to_mu, mu_to_hu
from ratcli.physics.ct_dose import CtDose, sample_dose, sample_kernel
from ratcli.physics.gridding import PITCH_PX, RadialGrid, radial_grid
from ratcli.physics.kernels import Kernel
from ratcli.physics.projector import Geometry, ramp

__all__ = [
    "PADDING_BELOW_HU",
    "WATER_PER_MM",
    "CtDose",
    "blur_with_kernel",
    "calibrate_photons",
    "hu_to_mu",
    "low_dose_noise",
    "mu_to_hu",
    "sample_dose",
    "sample_kernel",
]

PADDING_BELOW_HU = -1500.0
"""Lower values mark pixels outside the reconstructed field."""


def low_dose_noise(
    hu: Tensor, spacing_mm: float, dose: CtDose, generator: torch.Generator | None = None
) -> Tensor:
    """Simulate the noise that fewer photons add to a slice.

    Args:
        hu: float `(B, H, W)` or `(H, W)` in HU.
        spacing_mm: pixel pitch.
        dose: how to degrade.
        generator: source of randomness, on the device of `hu`. Planes draw one after another, so
            that a batch gives the same noise as single planes.

    Returns:
        Noise in HU, of the shape of `hu`; zero in padding (below -1500 HU).
    """
    planes = hu if hu.ndim == 3 else hu[None]
    square, top, left = _pad_square(planes)
    grid = radial_grid(square.shape[-1], str(hu.device))
    scan = CtAcquisition.of(square, spacing_mm, grid, dose)
    noise = torch.stack([scan.noise(index, generator) for index in range(len(square))])
    image = grid.reconstruct(noise, _filter(grid, spacing_mm, dose.kernel))
    image = image * (1000 / WATER_PER_MM)
    image = image[:, top : top + planes.shape[1], left : left + planes.shape[2]]
    return image.masked_fill(planes < PADDING_BELOW_HU, 0.0).view_as(hu)


def calibrate_photons(hu: Tensor, spacing_mm: float, dose: CtDose, noise_hu: float) -> CtDose:
    """Set the photons so that noise in soft tissue has a standard deviation.

    Args:
        hu: one slice `(H, W)`.
        spacing_mm: pixel pitch.
        dose: how to degrade; its `photons` is replaced.
        noise_hu: wanted standard deviation over pixels of -160 to 240 HU.

    Returns:
        The dose with `photons` set and `noise_hu` None.
    """
    square, _, _ = _pad_square(hu[None])
    grid = radial_grid(square.shape[-1], str(hu.device))
    asked = replace(dose, noise_hu=noise_hu)
    photons = float(CtAcquisition.of(square, spacing_mm, grid, asked).photons[0])
    return replace(dose, photons=photons, noise_hu=None)


def blur_with_kernel(hu: Tensor, spacing_mm: float, kernel: Kernel) -> Tensor:
    """Return noise-free planes as a kernel would show them, `(..., H, W)` in HU."""
    height, width = hu.shape[-2:]
    fy = torch.fft.fftfreq(height, spacing_mm, device=hu.device)[:, None]
    fx = torch.fft.rfftfreq(width, spacing_mm, device=hu.device)[None, :]
    gain = kernel.response(torch.hypot(fy.expand(-1, fx.shape[1]), fx.expand(height, -1)))
    blurred: Tensor = torch.fft.irfft2(torch.fft.rfft2(hu) * gain, s=(height, width))
    return blurred


def _pad_square(planes: Tensor) -> tuple[Tensor, int, int]:
    """Return planes padded with air to squares, and where they stand in them."""
    height, width = planes.shape[1:]
    size = max(height, width)
    top, left = (size - height) // 2, (size - width) // 2
    edges = (left, size - width - left, top, size - height - top)
    return F.pad(planes, edges, value=-1000.0), top, left


def _filter(grid: RadialGrid, spacing_mm: float, kernel: Kernel) -> Tensor:
    rays = Geometry(grid.views, grid.bins, PITCH_PX * spacing_mm)
    gain = ramp(rays, grid.length, grid.phase.device)
    return gain * kernel.response(grid.frequencies() / spacing_mm)
