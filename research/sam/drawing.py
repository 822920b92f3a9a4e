"""Pictures drawn from a seed: random regions in random contrasts, for training a SAM.

Shapes are the argmax of smooth random fields (large organs), and blobs and ellipses over them
(lesions, nuclei, vessels). Contrasts, blur, texture and stain are drawn again each time, so that
a network learns where structures end, not what they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ratcli.regions import LabelArray
from ratcli.scan import FloatArray


@dataclass(frozen=True)
class DrawnPlane:
    """A picture and its regions.

    Attributes:
        values: float32 `(1 or 3, H, W)` in the network's units.
        labels: int32 `(H, W)`.
    """

    values: FloatArray
    labels: LabelArray


def draw_gray(rng: np.random.Generator, size: int) -> DrawnPlane:
    """Draw a gray plane from 0 to about 1, as PET is shown."""
    labels = draw_labels(rng, size)
    levels = rng.uniform(0.02, 1.0, labels.max() + 1)
    levels[rng.integers(levels.size)] = 0.0
    plane = _textured(rng, levels[labels].astype(np.float32))
    return DrawnPlane(np.clip(plane, 0, None)[None], labels)


def draw_stained(rng: np.random.Generator, size: int) -> DrawnPlane:
    """Draw an RGB plane of two stains that absorb light, as H&E."""
    labels = draw_labels(rng, size)
    stains = np.array([[0.65, 0.70, 0.29], [0.10, 0.95, 0.25]]) + rng.normal(0, 0.06, (2, 3))
    amounts = rng.gamma(2.0, 0.35, (labels.max() + 1, 2))
    amounts[rng.random(len(amounts)) < 0.15] = 0.02
    layers = [_textured(rng, amounts[labels, stain].astype(np.float32)) for stain in (0, 1)]
    density = np.einsum("shw,sc->chw", np.stack(layers).clip(0), stains)
    light = np.exp(-density)
    noise = rng.normal(0, rng.uniform(0, 3 / 255), light.shape)
    return DrawnPlane(np.clip(light + noise, 0, 1).astype(np.float32), labels)


def draw_labels(rng: np.random.Generator, size: int) -> LabelArray:
    """Draw a label map `(size, size)`: 2 to 12 areas, and up to 60 things upon them."""
    areas = int(rng.integers(2, 13))
    roughness = size / rng.uniform(3, 14)
    fields = np.stack([smooth_noise(rng, size, roughness) for _ in range(areas)])
    labels = fields.argmax(axis=0).astype(np.int32)
    things = int(rng.integers(0, 60))
    scale = size / rng.uniform(12, 60)
    for number in range(areas, areas + things):
        _add_ellipse(rng, labels, number, scale)
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)


def smooth_noise(rng: np.random.Generator, size: int, scale: float) -> FloatArray:
    """Draw a random field `(size, size)` of variance about 1 that varies over `scale` pixels."""
    from scipy.ndimage import zoom

    coarse = rng.standard_normal((max(4, round(size / scale) + 3),) * 2)
    field: FloatArray = zoom(coarse, size / (coarse.shape[0] - 2), order=3)[:size, :size]
    return field.astype(np.float32)


def _add_ellipse(rng: np.random.Generator, labels: LabelArray, number: int, scale: float) -> None:
    """Draw an ellipse over what is there, with a wavy edge."""
    size = labels.shape[0]
    a, b = scale * rng.uniform(0.4, 2.0, 2)
    y0, x0, turn = rng.uniform(0, size), rng.uniform(0, size), rng.uniform(0, np.pi)
    reach = int(1.4 * max(a, b)) + 2
    top, left = max(0, int(y0) - reach), max(0, int(x0) - reach)
    window = labels[top : int(y0) + reach, left : int(x0) + reach]
    y, x = np.indices(window.shape)
    dy, dx = y + top - y0, x + left - x0
    u = (dx * np.cos(turn) + dy * np.sin(turn)) / a
    v = (dy * np.cos(turn) - dx * np.sin(turn)) / b
    angle = np.arctan2(v, u)
    waves = 0.12 * np.cos(3 * angle + rng.uniform(0, 7)) + 0.08 * np.cos(
        5 * angle + rng.uniform(0, 7)
    )
    window[np.hypot(u, v) < 1 + waves] = number


def _textured(rng: np.random.Generator, values: FloatArray) -> FloatArray:
    """Blur a plane `(H, W)` a little, and add shading, texture and correlated noise."""
    from scipy.ndimage import gaussian_filter

    size = values.shape[0]
    blurred = gaussian_filter(values, rng.uniform(0.3, 2.0))
    shading = 1 + rng.uniform(0, 0.15) * smooth_noise(rng, size, size / 2)
    grain = smooth_noise(rng, size, rng.uniform(2, 8)) * rng.uniform(0, 0.06)
    noise = gaussian_filter(rng.standard_normal(values.shape), rng.uniform(0.3, 1.5))
    noise *= rng.uniform(0.0, 0.15) / max(float(noise.std()), 1e-6)
    textured: npt.NDArray[np.float64] = blurred * shading + grain + noise
    return textured.astype(np.float32)
