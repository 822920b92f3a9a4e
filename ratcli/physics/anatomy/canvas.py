"""The canvas for anatomy: warped coordinates, textures, shapes with soft edges."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import scipy.fft

from ratcli.scan import FloatArray

Slices = tuple[slice, slice]


def fractal(rng: np.random.Generator, size: int, slope: float, lowest: float = 2.0) -> FloatArray:
    """Return a random field with power `f^-slope`, mean 0 and standard deviation 1.

    Args:
        rng: source of randomness.
        size: rows and columns; the field is periodic.
        slope: 0 is white noise, 2 rough clouds, 4 smooth hills.
        lowest: periods a side below which power is flat.
    """
    f = np.fft.fftfreq(size, 1 / size).astype(np.float32)[:, None]
    g = np.arange(size // 2 + 1, dtype=np.float32)[None, :]
    amplitude = np.maximum(f * f + g * g, lowest**2) ** np.float32(-slope / 4)
    amplitude[0, 0] = 0
    white = rng.standard_normal((size, size), dtype=np.float32)
    field: FloatArray = scipy.fft.irfft2(scipy.fft.rfft2(white) * amplitude, s=(size, size))
    field /= field.std()
    return field


@dataclass(frozen=True)
class Ellipse:
    """An ellipse in mm from the centre of the plane; `tilt` in radians, clockwise on the screen."""

    x: float
    y: float
    rx: float
    ry: float
    tilt: float = 0.0


class Canvas:
    """A plane being drawn: later structures cover earlier ones.

    Attributes:
        rng: source of randomness.
        pixel: pixel pitch in anatomical mm.
        x, y: `(N, N)` coordinates in anatomical mm, bent by a smooth random warp.
        hu, suv: `(N, N)`, what was drawn, as CT and as FDG PET show it.
        labels: `(N, N)`, number of the structure; 0 is the air around.
        tissues: the tissue of each label.
    """

    def __init__(
        self, rng: np.random.Generator, size: int, pixel_mm: float, warp_mm: float
    ) -> None:
        self.rng = rng
        self.size = size
        self.pixel = pixel_mm
        axis = ((np.arange(size) - (size - 1) / 2) * pixel_mm).astype(np.float32)
        bend = [fractal(rng, size, 5.0, lowest=2.0) for _ in range(2)]
        self._reach = 3.5 * warp_mm
        self._axis = axis
        self.x = axis[None, :] + warp_mm * bend[0]
        self.y = axis[:, None] + warp_mm * bend[1]
        self.hu = np.full((size, size), -1000, np.float32)
        self.suv = np.zeros((size, size), np.float32)
        self.labels = np.zeros((size, size), np.int32)
        self.tissues = ["air"]
        self.textures = {
            "fine": fractal(rng, size, 1.2, lowest=8.0),
            "medium": fractal(rng, size, 2.2, lowest=4.0),
            "coarse": fractal(rng, size, 3.2, lowest=4.0),
            "smooth": fractal(rng, size, 5.5, lowest=9.0),
        }

    def everywhere(self) -> Slices:
        """Return the box of the whole plane."""
        return slice(0, self.size), slice(0, self.size)

    def box(self, shape: Ellipse, margin_mm: float = 0.0) -> Slices:
        """Return rows and columns that contain an ellipse, however the warp moves it."""
        reach = max(shape.rx, shape.ry) + self._reach + margin_mm
        low = np.searchsorted(self._axis, (shape.y - reach, shape.x - reach))
        high = np.searchsorted(self._axis, (shape.y + reach, shape.x + reach))
        return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))

    def depth(self, shape: Ellipse, box: Slices) -> FloatArray:
        """Return the depth below an ellipse's edge in a box, in mm; negative outside."""
        dx, dy = self.x[box] - shape.x, self.y[box] - shape.y
        cos, sin = math.cos(shape.tilt), math.sin(shape.tilt)
        u, v = (dx * cos + dy * sin) / shape.rx, (dy * cos - dx * sin) / shape.ry
        radius = np.sqrt(u * u + v * v)
        depth: FloatArray = (1 - radius) * np.float32(min(shape.rx, shape.ry))
        return depth

    def wobble(self, box: Slices, name: str = "smooth") -> FloatArray:
        """Return a box of a texture from a random place, so that each structure has another."""
        field = self.textures[name]
        top, left = self.rng.integers(0, self.size, 2)
        rows = np.arange(box[0].start, box[0].stop) + top
        columns = np.arange(box[1].start, box[1].stop) + left
        taken: FloatArray = field.take(rows, 0, mode="wrap").take(columns, 1, mode="wrap")
        return taken

    def within_body(self, box: Slices, depth: FloatArray) -> FloatArray:
        """Return a depth cut off at the air around."""
        return np.where(self.labels[box] > 0, depth, np.float32(-1e3))

    def paint(
        self,
        box: Slices,
        depth: npt.NDArray[np.floating],
        tissue: str,
        hu: float | None = None,
        suv: float | None = None,
    ) -> npt.NDArray[np.bool_]:
        """Cover where depth is positive, with an edge one pixel soft; return where.

        Args:
            box: where `depth` stands.
            depth: mm below the structure's edge.
            tissue: key of `TISSUES`.
            hu: mean value; None to draw one from the tissue's range.
            suv: uptake; None likewise.
        """
        facts = TISSUES[tissue]
        value = self.rng.uniform(*facts.hu) if hu is None else hu
        uptake = self.rng.uniform(*facts.suv) if suv is None else suv
        cover = np.clip(depth / np.float32(self.pixel) + np.float32(0.5), 0, 1)
        inside: npt.NDArray[np.bool_] = cover >= 0.5
        if facts.texture_hu:
            amplitude = facts.texture_hu * self.rng.uniform(0.5, 1.5)
            filled = np.float32(value) + np.float32(amplitude) * self.wobble(box, facts.texture)
        else:
            filled = np.full_like(depth, value)
        self.hu[box] += cover * (filled - self.hu[box])
        self.suv[box] += cover * (np.float32(uptake) - self.suv[box])
        self.labels[box][inside] = len(self.tissues)
        self.tissues.append(tissue)
        return inside

    def ellipse(
        self,
        shape: Ellipse,
        tissue: str,
        hu: float | None = None,
        wobble_mm: float = 0.0,
        suv: float | None = None,
    ) -> None:
        """Paint an ellipse, its outline shaken by `wobble_mm`."""
        box, depth = self._shaken(shape, wobble_mm)
        if depth.size == 0:
            return
        self.paint(box, depth, tissue, hu, suv)

    def bone(self, shape: Ellipse, shell_mm: float, wobble_mm: float = 0.0) -> None:
        """Paint a bone: a cortical shell around trabecular bone."""
        box, depth = self._shaken(shape, wobble_mm)
        if depth.size == 0:
            return
        self.paint(box, depth, "cortical")
        self.paint(box, depth - np.float32(shell_mm), "trabecular")

    def _shaken(self, shape: Ellipse, wobble_mm: float) -> tuple[Slices, FloatArray]:
        """Return an ellipse's box and the depth below its outline, shaken by `wobble_mm`."""
        box = self.box(shape, 3 * wobble_mm)
        depth = self.depth(shape, box)
        if depth.size and wobble_mm:
            depth = depth + np.float32(wobble_mm) * self.wobble(box)
        return box, depth


@dataclass(frozen=True)
class Tissue:
    """A tissue's range of values; a structure draws one of them.

    Attributes:
        hu: lowest and highest Hounsfield units, with and without contrast medium.
        texture_hu: standard deviation of its structure.
        texture: name of the canvas's field that structure follows: `fine`, `medium` or `coarse`.
        suv: lowest and highest uptake of FDG an hour after injection, by body weight.
    """

    hu: tuple[float, float]
    texture_hu: float
    texture: str
    suv: tuple[float, float]


# Hounsfield units: Hofer, CT Teaching Manual; Kalender, Computed Tomography, ch. 1.
# Uptake: Wang et al., J. Nucl. Med. 48:1462, 2007; Zincirkeser et al., 2007 (normal organs).
TISSUES: MappingProxyType[str, Tissue] = MappingProxyType(
    {
        "air": Tissue((-1000, -1000), 0, "fine", (0, 0)),
        "gas": Tissue((-1000, -930), 0, "fine", (0.1, 0.2)),
        "skin": Tissue((0, 60), 10, "fine", (0.4, 0.7)),
        "fat": Tissue((-118, -85), 5, "medium", (0.2, 0.4)),
        "muscle": Tissue((42, 72), 7, "medium", (0.5, 0.9)),
        "liver": Tissue((40, 125), 4, "fine", (1.7, 2.8)),
        "spleen": Tissue((42, 140), 3, "fine", (1.4, 2.2)),
        "pancreas": Tissue((30, 110), 10, "medium", (1.0, 1.8)),
        "kidney": Tissue((28, 200), 4, "fine", (2.0, 5.0)),
        "organ": Tissue((10, 90), 5, "medium", (0.8, 2.2)),
        "blood": Tissue((35, 60), 2, "medium", (1.2, 1.8)),
        "enhanced": Tissue((100, 340), 3, "medium", (1.2, 1.8)),
        "heart": Tissue((50, 130), 4, "medium", (1.0, 10.0)),
        "fluid": Tissue((-5, 22), 1, "medium", (0.3, 1.0)),
        "urine": Tissue((-5, 15), 1, "medium", (8.0, 40.0)),
        "wall": Tissue((25, 85), 5, "medium", (0.8, 2.5)),
        "contents": Tissue((-10, 60), 25, "medium", (0.5, 1.5)),
        "oral": Tissue((120, 420), 20, "coarse", (0.5, 1.5)),
        "lung": Tissue((-905, -760), 22, "fine", (0.25, 0.6)),
        "cartilage": Tissue((70, 140), 8, "medium", (0.5, 0.9)),
        "cortical": Tissue((650, 1500), 40, "medium", (0.5, 1.0)),
        "trabecular": Tissue((90, 320), 55, "fine", (0.9, 1.8)),
        "disc": Tissue((60, 110), 6, "medium", (0.5, 1.0)),
        "grey": Tissue((34, 42), 1.5, "medium", (6.0, 9.0)),
        "white": Tissue((24, 31), 1.0, "medium", (1.6, 2.2)),
        "csf": Tissue((0, 12), 1, "medium", (0.1, 0.4)),
        "lesion": Tissue((-10, 110), 4, "medium", (3.0, 18.0)),
        "calcification": Tissue((200, 1300), 0, "fine", (0.3, 0.8)),
        "metal": Tissue((2200, 3071), 0, "fine", (0.1, 0.3)),
        "table": Tissue((-250, 60), 0, "fine", (0, 0)),
        "foam": Tissue((-980, -880), 0, "fine", (0, 0)),
    }
)
