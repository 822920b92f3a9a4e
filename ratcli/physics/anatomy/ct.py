"""Procedural CT planes: anatomy in Hounsfield units with a label for every structure."""

from __future__ import annotations

import math
from types import MappingProxyType

import numpy as np

from ratcli.physics.anatomy.abdomen import abdomen, pelvis
from ratcli.physics.anatomy.canvas import Canvas, Ellipse
from ratcli.physics.anatomy.chest import chest
from ratcli.physics.anatomy.extremity import head, limbs
from ratcli.physics.draws import log_uniform
from ratcli.regions import LabelArray
from ratcli.scan import FloatArray

_PLANS = MappingProxyType(
    {"abdomen": abdomen, "chest": chest, "pelvis": pelvis, "head": head, "limbs": limbs}
)
# Half width and half height in mm, lowest and highest, and how often a region is drawn.
_SIZES = MappingProxyType(
    {
        "abdomen": ((140, 205), (0.62, 0.8), 0.42),
        "chest": ((150, 210), (0.6, 0.75), 0.25),
        "pelvis": ((150, 205), (0.6, 0.75), 0.15),
        "head": ((68, 80), (1.15, 1.35), 0.1),
        "limbs": ((110, 180), (0.6, 0.8), 0.08),
    }
)
REGIONS = tuple(_PLANS)


def ct_slice(
    rng: np.random.Generator,
    size: int = 512,
    spacing_mm: float = 0.75,
    region: str | None = None,
) -> tuple[FloatArray, LabelArray]:
    """Draw a plane of CT without noise and without blur.

    Args:
        rng: source of randomness; the same seed draws the same plane.
        size: rows and columns.
        spacing_mm: pixel pitch; anatomy is scaled to fill two thirds of the field or more.
        region: one of `REGIONS`; None to draw one.

    Returns:
        Hounsfield units `(N, N)`, -1024 to 3071, and labels `(N, N)`: 0 for the air around, then
        one number for each structure in the order of drawing.

    Raises:
        ValueError: no such region.
    """
    canvas = draw_body(rng, size, spacing_mm, region)
    return np.clip(canvas.hu, -1024, 3071), canvas.labels


def draw_body(
    rng: np.random.Generator, size: int, spacing_mm: float, region: str | None = None
) -> Canvas:
    """Draw a plane and return the canvas: Hounsfield units, FDG uptake, labels, tissues."""
    if region is None:
        region = str(rng.choice(REGIONS, p=[_SIZES[name][2] for name in REGIONS]))
    if region not in _PLANS:
        raise ValueError(f"no region {region!r}; there are {', '.join(REGIONS)}")
    widths, ratios, _ = _SIZES[region]
    a = rng.uniform(*widths)
    b = a * rng.uniform(*ratios)
    # Anatomical mm for each mm of the plane: the body fills the field, and sometimes exceeds it.
    fill = (
        rng.uniform(0.66, 1.2 if rng.random() < 0.1 else 0.93) * size * spacing_mm / 2 / max(a, b)
    )
    canvas = Canvas(rng, size, spacing_mm / fill, rng.uniform(0.005, 0.035) * a)
    if region != "head":
        _table(canvas, a, b)
    _PLANS[region](canvas, a, b)
    _lesions(canvas)
    # A brain's contrasts are a third of a belly's.
    _inserts(canvas, 0.3 if region == "head" else 1.0)
    return canvas


def _table(c: Canvas, a: float, b: float) -> None:
    """Draw the couch: a thin shell around foam, below the body."""
    if c.rng.random() < 0.25:
        return
    everywhere = c.everywhere()
    curve = c.rng.uniform(300, 900)
    top = b * c.rng.uniform(0.93, 1.0)
    sag = c.y - np.float32(top) + (c.x**2 / np.float32(2 * curve))
    thick = np.float32(c.rng.uniform(12, 35))
    depth = np.minimum(np.minimum(sag, thick - sag), np.float32(a * 1.05) - np.abs(c.x))
    c.paint(everywhere, depth.astype(np.float32), "table")
    c.paint(everywhere, depth.astype(np.float32) - np.float32(c.rng.uniform(1, 2.5)), "foam")


def _places(
    c: Canvas, count: int, lowest_hu: float, highest_hu: float
) -> list[tuple[float, float, float]]:
    """Return random points of tissue in a range of HU: x, y and the value there."""
    rows, columns = np.nonzero(
        (c.hu[::3, ::3] > lowest_hu) & (c.hu[::3, ::3] < highest_hu) & (c.labels[::3, ::3] > 0)
    )
    if not len(rows):
        return []
    picks = c.rng.integers(0, len(rows), count)
    at = [(rows[pick] * 3, columns[pick] * 3) for pick in picks]
    return [(float(c.x[p]), float(c.y[p]), float(c.hu[p])) for p in at]


def _lesions(c: Canvas) -> None:
    """Draw masses, cysts, nodules and calcifications."""
    rng = c.rng
    for x, y, hu in _places(c, int(rng.integers(0, 7)), -100, 250):
        r = log_uniform(rng, 1.5, 16)
        shape = Ellipse(x, y, r * rng.uniform(0.8, 1.3), r, rng.uniform(0, math.pi))
        value = hu + float(rng.choice([-1, 1])) * rng.uniform(8, 60)
        _inside(c, shape, "lesion", value, 0.12 * r)
    for x, y, _ in _places(c, int(rng.integers(0, 4)), -980, -600):
        r = rng.uniform(1.5, 9)
        _inside(c, Ellipse(x, y, r, r), "lesion", float(rng.uniform(-100, 80)), 0.15 * r)
    for x, y, _ in _places(c, int(rng.integers(0, 4)), 0, 300):
        c.ellipse(Ellipse(x, y, rng.uniform(0.6, 3), rng.uniform(0.6, 3)), "calcification")
    if rng.random() < 0.03:
        for x, y, _ in _places(c, 1, 0, 2000):
            c.ellipse(
                Ellipse(x, y, rng.uniform(0.8, 5), rng.uniform(0.8, 5), rng.uniform(0, 3)), "metal"
            )


def _inside(c: Canvas, shape: Ellipse, tissue: str, hu: float, wobble_mm: float) -> None:
    """Draw an ellipse as far as it lies in the body."""
    box = c.box(shape, 3 * wobble_mm)
    depth = c.depth(shape, box)
    if depth.size:
        depth = depth + np.float32(wobble_mm) * c.wobble(box)
        c.paint(box, c.within_body(box, depth), tissue, hu)


def _inserts(c: Canvas, contrast: float) -> None:
    """Draw ellipses of low contrast and any size, so that a network sees edges of any shape."""
    rng = c.rng
    for x, y, hu in _places(c, int(rng.integers(3, 24)), -140, 250):
        r = log_uniform(rng, 1.0, 22) * (0.5 + 0.5 * contrast)
        shape = Ellipse(x, y, r * rng.uniform(0.5, 2), r, rng.uniform(0, math.pi))
        step = rng.uniform(3, 25) if rng.random() < 0.6 else rng.uniform(25, 120)
        _inside(c, shape, "organ", hu + float(rng.choice([-1, 1])) * step * contrast, 0.1 * r)
