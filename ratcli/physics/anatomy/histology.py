"""Procedural slides: nuclei, cytoplasm and stroma in haematoxylin and eosin.

Stains are drawn as optical densities and become colour at the end (Beer and Lambert), so any pair
of stain vectors gives consistent colours.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from ratcli.physics.anatomy.canvas import fractal
from ratcli.regions import LabelArray
from ratcli.scan import FloatArray

# Ruifrok and Johnston, Anal. Quant. Cytol. Histol. 23:291, 2001.
_HAEMATOXYLIN = (0.65, 0.70, 0.29)
_EOSIN = (0.07, 0.99, 0.11)


def he_slide(
    rng: np.random.Generator, size: int = 256, pixel_um: float = 0.25
) -> tuple[FloatArray, LabelArray]:
    """Draw a field of a slide stained with haematoxylin and eosin.

    Args:
        rng: source of randomness; the same seed draws the same field.
        size: rows and columns.
        pixel_um: pixel pitch in micrometres; 0.25 is 40x.

    Returns:
        RGB `(3, N, N)`, 0 to 1, and labels `(N, N)`: 0 glass, 1 stroma, 2 cytoplasm, then one
        number for each nucleus and cell.
    """
    field = _Field(rng, size, pixel_um)
    field.ground()
    for _ in range(int(rng.integers(0, 4))):
        field.gland()
    field.scatter_cells()
    field.openings()
    return field.colour(), field.labels


class _Field:
    """A field being drawn: densities of both stains, and labels."""

    def __init__(self, rng: np.random.Generator, size: int, pixel_um: float) -> None:
        self.rng = rng
        self.size = size
        self.pixel = pixel_um
        axis = ((np.arange(size) - (size - 1) / 2) * pixel_um).astype(np.float32)
        self.half = float(-axis[0])
        bend = 0.03 * size * pixel_um
        self.x = axis[None, :] + np.float32(bend) * fractal(rng, size, 4.5)
        self.y = axis[:, None] + np.float32(bend) * fractal(rng, size, 4.5)
        self.axis = axis
        # Chromatin's grain is about a micrometre, outlines bend over a few.
        self.fine = fractal(rng, size, 2.6, lowest=min(size / 4, size * pixel_um / 3))
        self.outline = fractal(rng, size, 5.0, lowest=min(size / 8, size * pixel_um / 8))
        self.medium = fractal(rng, size, 2.4, lowest=5.0)
        self.smooth = fractal(rng, size, 4.0, lowest=3.0)
        self.haematoxylin = np.zeros((size, size), np.float32)
        self.eosin = np.zeros((size, size), np.float32)
        self.labels = np.zeros((size, size), np.int32)
        self.next_label = 3

    def ground(self) -> None:
        """Draw stroma as wavy fibres, and islands of cytoplasm."""
        rng = self.rng
        angle = rng.uniform(0, math.pi)
        across = self.x * np.float32(math.sin(angle)) + self.y * np.float32(math.cos(angle))
        period = rng.uniform(1.5, 5)
        phase = across * np.float32(2 * math.pi / period) + 0.5 * self.medium + 6 * self.smooth
        fibres = np.float32(0.5) + np.float32(0.5) * np.sin(phase)
        strength = rng.uniform(0.25, 0.6)
        self.eosin += np.float32(strength) * (
            0.5 + np.float32(rng.uniform(0.1, 0.7)) * fibres**2 + 0.1 * self.medium
        )
        self.haematoxylin += np.float32(rng.uniform(0.02, 0.12)) * (1 + 0.4 * self.fine)
        self.labels[:] = 1
        island = self.smooth > rng.uniform(-0.5, 1.5)
        grain = np.float32(rng.uniform(0.2, 0.5)) * (1 + 0.2 * self.fine + 0.1 * self.medium)
        self.eosin[island] = grain[island]
        self.haematoxylin[island] += np.float32(rng.uniform(0.02, 0.15))
        self.labels[island] = 2

    def openings(self) -> None:
        """Cut clefts, lumina and fat cells: bare glass."""
        rng = self.rng
        if rng.random() < 0.5:
            cleft = np.abs(np.roll(self.medium, 37, 0)) - np.float32(rng.uniform(0.01, 0.05))
            everywhere = (slice(None), slice(None))
            self._clear(everywhere, np.minimum(-cleft, np.roll(self.smooth, 51, 1) - 0.4) * 6)
        if rng.random() < 0.2:
            for _ in range(int(rng.integers(1, 6))):
                x, y = rng.uniform(-self.half, self.half, 2)
                r = rng.uniform(8, 0.4 * self.half)
                self._clear(*self._depth(x, y, r, r * rng.uniform(0.7, 1.2), 0.0))

    def _clear(self, box: tuple[slice, slice], depth: FloatArray) -> None:
        cover = np.clip(depth / np.float32(self.pixel) + np.float32(0.5), 0, 1).astype(np.float32)
        self.eosin[box] *= 1 - cover
        self.haematoxylin[box] *= 1 - cover
        self.labels[box][cover > 0.5] = 0

    def gland(self) -> None:
        """Draw a gland: a lumen within a ring of cells whose nuclei stand side by side."""
        rng = self.rng
        x, y = rng.uniform(-self.half, self.half, 2)
        r, squeeze = rng.uniform(18, 60), rng.uniform(0.6, 1.0)
        thick = rng.uniform(9, 18)
        box, depth = self._depth(x, y, r + thick, (r + thick) * squeeze, 0.0)
        if depth.size == 0:
            return
        depth = depth + np.float32(0.08 * r) * self.smooth[box]
        grain = np.float32(rng.uniform(0.25, 0.55)) * (1 + 0.15 * self.medium[box])
        inside = depth > 0
        self.eosin[box][inside] = grain[inside]
        self.haematoxylin[box][inside] += np.float32(rng.uniform(0.03, 0.15))
        self.labels[box][inside] = 2
        self._clear(box, depth - np.float32(thick))
        kind = self._kind("epithelial")
        count = int(2 * math.pi * r / rng.uniform(5, 8))
        for k in range(count):
            angle = 2 * math.pi * (k + rng.uniform(-0.3, 0.3)) / count
            out = r + thick * rng.uniform(0.55, 0.8)
            at = (x + out * math.cos(angle), y + out * squeeze * math.sin(angle))
            self.nucleus(*at, kind, math.atan2(squeeze * math.sin(angle), math.cos(angle)))

    def scatter_cells(self) -> None:
        """Strew cells over the field: epithelium, lymphocytes, fibroblasts, red blood cells."""
        rng = self.rng
        area = (2 * self.half) ** 2
        for name, most in (("epithelial", 6e-3), ("lymphocyte", 7e-3), ("fibroblast", 2.5e-3)):
            kind = self._kind(name)
            density = most * rng.random() ** 2
            flow = rng.uniform(0, math.pi)
            for _ in range(int(density * area)):
                x, y = rng.uniform(-self.half, self.half, 2)
                tilt = rng.normal(flow, 0.4) if name == "fibroblast" else rng.uniform(0, math.pi)
                self.nucleus(x, y, kind, tilt)
        if rng.random() < 0.35:
            for _ in range(int(3e-3 * area * rng.random() ** 2)):
                self._red_cell(*rng.uniform(-self.half, self.half, 2))

    def _kind(self, name: str) -> dict[str, float]:
        """Draw what the nuclei of one kind have in common; lengths in micrometres."""
        rng = self.rng
        radius, stretch, dense = {
            "epithelial": (rng.uniform(3.2, 5.5), rng.uniform(1.0, 1.8), rng.uniform(0.5, 1.2)),
            "lymphocyte": (rng.uniform(2.4, 3.4), 1.1, rng.uniform(1.0, 1.9)),
            "fibroblast": (rng.uniform(1.2, 2.0), rng.uniform(2.5, 6), rng.uniform(0.7, 1.4)),
        }[name]
        return {
            "radius": radius, "stretch": stretch, "dense": dense,
            "spread": rng.uniform(0.05, 0.3), "chromatin": rng.uniform(0.1, 0.45),
            "rim": rng.uniform(0.0, 0.4), "nucleolus": rng.uniform(0, 1) ** 2,
        }  # fmt: skip

    def nucleus(self, x: float, y: float, kind: dict[str, float], tilt: float) -> None:
        """Draw a nucleus: chromatin, a darker rim, now and then a nucleolus."""
        rng = self.rng
        row, column = np.searchsorted(self.axis, (y, x)).clip(0, self.size - 1)
        if self.labels[row, column] == 0:  # glass
            return
        r = kind["radius"] * math.exp(kind["spread"] * rng.standard_normal())
        long = r * kind["stretch"] * rng.uniform(0.85, 1.15)
        box, depth = self._depth(x, y, long, r, tilt)
        if depth.size == 0:
            return
        depth = depth + np.float32(0.1 * r) * self._anywhere(self.outline, depth.shape)
        cover = np.clip(depth / np.float32(self.pixel) + np.float32(0.5), 0, 1)
        grain = self._anywhere(self.fine, depth.shape)
        chromatin = 1 + np.float32(kind["chromatin"]) * np.clip(grain, -2, 2)
        rim = np.float32(kind["rim"]) * np.exp(-np.maximum(depth, 0) / np.float32(0.4))
        dense = np.float32(kind["dense"] * rng.uniform(0.8, 1.2))
        self.haematoxylin[box] += cover * (dense * (chromatin + rim) - self.haematoxylin[box])
        self.eosin[box] *= 1 - np.float32(0.6) * cover
        self.labels[box][cover > 0.5] = self.next_label
        self.next_label += 1
        if rng.random() < kind["nucleolus"]:
            near = rng.normal(0, 0.3 * r, 2)
            small, spot = self._depth(x + near[0], y + near[1], 0.22 * r, 0.22 * r, 0.0)
            dot = np.clip(spot / np.float32(self.pixel) + np.float32(0.5), 0, 1)
            self.haematoxylin[small] += np.float32(0.6) * dense * dot

    def _anywhere(self, texture: FloatArray, shape: tuple[int, ...]) -> FloatArray:
        """Return a piece of a texture from a random place."""
        top, left = self.rng.integers(0, self.size, 2)
        rows = np.arange(top, top + shape[0]) % self.size
        piece: FloatArray = texture[rows][:, np.arange(left, left + shape[1]) % self.size]
        return piece

    def _red_cell(self, x: float, y: float) -> None:
        r = self.rng.uniform(2.8, 3.8)
        box, depth = self._depth(x, y, r, r * self.rng.uniform(0.7, 1), self.rng.uniform(0, 3))
        cover = np.clip(depth / np.float32(self.pixel) + np.float32(0.5), 0, 1)
        self.eosin[box] += cover * (np.float32(self.rng.uniform(0.7, 1.1)) - self.eosin[box])
        self.haematoxylin[box] *= 1 - cover
        self.labels[box][cover > 0.5] = self.next_label
        self.next_label += 1

    def _box(self, x: float, y: float, reach: float) -> tuple[slice, slice]:
        reach *= 1.5
        low = np.searchsorted(self.axis, (y - reach, x - reach))
        high = np.searchsorted(self.axis, (y + reach, x + reach))
        return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))

    def _depth(
        self, x: float, y: float, rx: float, ry: float, tilt: float
    ) -> tuple[tuple[slice, slice], FloatArray]:
        """Return an ellipse's box and the depth below its edge there, in micrometres."""
        box = self._box(x, y, max(rx, ry))
        dx = self.axis[None, box[1]] - np.float32(x)
        dy = self.axis[box[0], None] - np.float32(y)
        cos, sin = np.float32(math.cos(tilt)), np.float32(math.sin(tilt))
        radius = np.hypot(
            (dx * cos + dy * sin) / np.float32(rx), (dy * cos - dx * sin) / np.float32(ry)
        )
        return box, ((1 - radius) * np.float32(min(rx, ry))).astype(np.float32)

    def colour(self) -> FloatArray:
        """Turn densities into light: exp(-density) through both stains, on bright glass."""
        rng = self.rng
        # Eosin runs from magenta to orange.
        eosin = (_EOSIN[0], _EOSIN[1], _EOSIN[2] + rng.uniform(0, 0.6))
        stains = [_vary(rng, stain) for stain in (_HAEMATOXYLIN, eosin)]
        glass = rng.uniform(0.88, 0.99) * rng.uniform(0.97, 1.0, 3)
        depth = rng.uniform(0.7, 2.0)
        density = sum(
            vector[:, None, None] * np.maximum(amount, 0)[None]
            for vector, amount in zip(stains, (self.haematoxylin, self.eosin), strict=True)
        )
        light = glass[:, None, None] * np.exp(-depth * density)
        # Objectives of 20x and 40x blur by about a third of a micrometre.
        sigma = rng.uniform(0.1, 0.2) / self.pixel
        light = np.stack([gaussian_filter(band, sigma) for band in light])
        return np.clip(light, 0, 1).astype(np.float32)


def _vary(rng: np.random.Generator, stain: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    """Return a stain's vector, moved as laboratories differ, of unit length."""
    vector = np.maximum(np.array(stain) + rng.normal(0, 0.035, 3), 0.02)
    moved: npt.NDArray[np.float64] = vector / np.linalg.norm(vector)
    return moved
