"""Slides at a quarter of the resolution: blur of the optics, bicubic, sensor noise, JPEG.

With blur, noise and compression off, this is the degradation of the literature: MATLAB's
`imresize(image, 1/4)`, bicubic with antialiasing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ratcli.physics.blur import gaussian_taps


@dataclass(frozen=True)
class SlideScan:
    """How a slide is degraded.

    Attributes:
        scale: pixels of the input for each one of the output and axis.
        blur_px: standard deviation of the optics' Gaussian, in pixels of the input.
        noise: standard deviation of the sensor's noise at full brightness, values from 0 to 1.
        jpeg_quality: quality of a JPEG (4:2:0); None for none.
    """

    scale: int = 4
    blur_px: float = 0.0
    noise: float = 0.0
    jpeg_quality: int | None = None


def sample_slide_scan(rng: np.random.Generator, realistic: float = 0.4) -> SlideScan:
    """Draw a degradation: bicubic alone, or with a chance of `realistic` blur, noise and JPEG."""
    if rng.random() >= realistic:
        return SlideScan()
    return SlideScan(
        blur_px=float(rng.uniform(0.2, 1.5)),
        noise=float(rng.uniform(0, 3 / 255)),
        jpeg_quality=int(rng.integers(60, 96)) if rng.random() < 0.8 else None,
    )


def degrade_slide(rgb: Tensor, scan: SlideScan, generator: torch.Generator | None = None) -> Tensor:
    """Return slides as a scan of a lower magnification would show them.

    Args:
        rgb: `(B, 3, H, W)` or `(3, H, W)`, 0 to 1.
        scan: how to degrade.
        generator: source of randomness, on the device of `rgb`.

    Returns:
        The same number of axes, `H / scale` by `W / scale`, 0 to 1.

    Raises:
        ValueError: sides are not multiples of the scale.
    """
    images = rgb if rgb.ndim == 4 else rgb[None]
    low = bicubic_downsample(_blur(images, scan.blur_px), scan.scale).clamp(0, 1)
    if scan.noise > 0:
        normal = torch.randn(low.shape, generator=generator, device=low.device, dtype=low.dtype)
        # Shot noise: its variance follows the light.
        low = (low + scan.noise * low.clamp_min(0.02).sqrt() * normal).clamp(0, 1)
    if scan.jpeg_quality is not None:
        low = torch.stack([_jpeg(image, scan.jpeg_quality) for image in low])
    return low if rgb.ndim == 4 else low[0]


def bicubic_downsample(images: Tensor, scale: int) -> Tensor:
    """Shrink images `(B, C, H, W)` by bicubic interpolation with antialiasing, edges mirrored.

    Not clipped: sharp edges overshoot.

    Raises:
        ValueError: sides are not multiples of the scale.

    Source: Keys, IEEE TASSP 29(6):1153, 1981 (a = -0.5), stretched by the scale, as `imresize`.
    """
    if images.shape[-1] % scale or images.shape[-2] % scale:
        raise ValueError(f"sides of {tuple(images.shape[-2:])} are not multiples of {scale}")
    taps = torch.from_numpy(_cubic_taps(scale)).to(images)
    channels = images.shape[1]
    for axis in (2, 3):
        reach = (len(taps) - scale) // 2
        padded = _mirror(images, reach, axis)
        shape = (1, 1, len(taps), 1) if axis == 2 else (1, 1, 1, len(taps))
        stride = (scale, 1) if axis == 2 else (1, scale)
        kernel = taps.view(shape).expand(channels, *shape[1:])
        images = F.conv2d(padded, kernel, stride=stride, groups=channels)
    return images


@lru_cache(maxsize=8)
def _cubic_taps(scale: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the weights of an output pixel's neighbours, centred on it."""
    count = 4 * scale if scale % 2 == 0 else 4 * scale - 1
    x = np.abs((np.arange(count) - (count - 1) / 2) / scale)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    weights = np.where(x <= 1, near, np.where(x < 2, far, 0))
    taps: np.ndarray[tuple[int], np.dtype[np.float64]] = weights / weights.sum()
    return taps


def _mirror(images: Tensor, reach: int, axis: int) -> Tensor:
    """Pad an axis by mirroring with the edge pixel repeated, as often as it takes."""
    size = images.shape[axis]
    index = torch.arange(-reach, size + reach, device=images.device) % (2 * size)
    index = torch.where(index < size, index, 2 * size - 1 - index)
    return images.index_select(axis, index)


def _blur(images: Tensor, sigma: float) -> Tensor:
    if sigma < 0.05:
        return images
    taps = gaussian_taps(sigma, images)
    reach = len(taps) // 2
    channels = images.shape[1]
    for axis, shape in ((2, (1, 1, -1, 1)), (3, (1, 1, 1, -1))):
        kernel = taps.view(shape).expand(channels, -1, -1, -1)
        images = F.conv2d(_mirror(images, reach, axis), kernel, groups=channels)
    return images


def _jpeg(image: Tensor, quality: int) -> Tensor:
    """Encode and decode an image `(3, H, W)` as JPEG with halved chroma."""
    import imagecodecs

    samples = (image * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    coded = imagecodecs.jpeg8_encode(
        np.ascontiguousarray(samples), level=quality, subsampling="420"
    )
    decoded = torch.from_numpy(imagecodecs.jpeg8_decode(coded).copy())
    return decoded.permute(2, 0, 1).to(image) / 255
