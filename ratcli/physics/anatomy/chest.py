"""The chest. The front is up; the patient's right is on the left of the plane."""

from __future__ import annotations

import numpy as np

from ratcli.physics.anatomy.canvas import Canvas, Ellipse
from ratcli.physics.anatomy.trunk import ribs, spine, tree, wall
from ratcli.scan import FloatArray


def chest(c: Canvas, a: float, b: float) -> None:
    """Draw a slice through the chest."""
    rng = c.rng
    cavity = wall(c, a, b)
    everywhere = c.everywhere()
    if rng.random() < 0.6:
        for side in (-1, 1):  # shoulder blade, pectoral and back muscles
            c.ellipse(
                Ellipse(side * 0.72 * a, 0.55 * b, 0.2 * a, 0.1 * b, -side * 0.6),
                "muscle",
                wobble_mm=2,
            )
            c.bone(Ellipse(side * 0.7 * a, 0.57 * b, 0.17 * a, 4, -side * 0.6), 1.5, 0.5)
            c.ellipse(
                Ellipse(side * 0.55 * a, -0.72 * b, 0.25 * a, 0.09 * b, side * 0.4),
                "muscle",
                wobble_mm=2,
            )
    c.paint(everywhere, cavity, "fat")
    back = b - rng.uniform(50, 62)
    widen = rng.uniform(0.85, 1.05)
    value = float(rng.uniform(-905, -770))
    for side in (-1, 1):
        shape = Ellipse(
            side * 0.47 * a, 0, 0.34 * a * widen, 0.72 * b * widen, side * rng.uniform(-0.1, 0.2)
        )
        depth = np.minimum(c.depth(shape, everywhere) + 3 * c.wobble(everywhere), cavity - 1)
        lung(c, depth.astype(np.float32), value)
    mediastinum(c, a, b, back)
    ribs(c, a * 0.97, b * 0.97, int(rng.integers(5, 10)), rng.uniform(14, 24))
    c.bone(Ellipse(0, -b + rng.uniform(18, 28), rng.uniform(14, 24), 6), 1.5, 0.5)
    spine(c, back, 0.85)


def lung(c: Canvas, depth: FloatArray, value: float) -> None:
    """Draw a lung: parenchyma denser at the back, vessels, airways, fissures."""
    rng = c.rng
    everywhere = c.everywhere()
    c.paint(everywhere, depth, "lung", value)
    slope = rng.uniform(0, 0.6)
    inside = depth > 0
    c.hu[inside] += (slope * c.y[inside]).astype(np.float32)
    c.paint(
        everywhere,
        np.minimum(depth, 0.45 - 2.5 * np.abs(c.wobble(everywhere, "coarse"))),
        "lung",
        value + 90,
    )
    tree(c, int(rng.integers(60, 260)), (0.5, 1.3), depth, "blood")
    rows, columns = np.nonzero(depth[::4, ::4] > 8)
    for pick in rng.integers(0, max(1, len(rows)), int(rng.integers(2, 9)) if len(rows) else 0):
        x, y = c.x[rows[pick] * 4, columns[pick] * 4], c.y[rows[pick] * 4, columns[pick] * 4]
        r = rng.uniform(1.5, 4)
        c.ellipse(Ellipse(float(x), float(y), r, r), "wall")
        c.ellipse(Ellipse(float(x), float(y), r - 1, r - 1), "gas")
    if rng.random() < 0.3:  # consolidation or ground glass
        cloud = np.minimum(depth, 6 * (c.wobble(everywhere, "coarse") - 1.2))
        c.paint(everywhere, cloud.astype(np.float32), "lung", float(rng.uniform(-700, 20)))


def mediastinum(c: Canvas, a: float, b: float, back: float) -> None:
    """Draw heart or great arteries, trachea, oesophagus, aorta."""
    rng = c.rng
    blood = "enhanced" if rng.random() < 0.5 else "blood"
    if rng.random() < 0.6:
        heart = Ellipse(
            0.12 * a, -0.25 * b, rng.uniform(0.28, 0.4) * a, rng.uniform(0.35, 0.5) * b, 0.5
        )
        c.ellipse(heart, "fat", wobble_mm=3)
        c.ellipse(Ellipse(heart.x, heart.y, heart.rx - 4, heart.ry - 4, 0.5), "heart", wobble_mm=2)
        for x, y in ((0.08, -0.1), (-0.1, 0.02), (0.15, 0.1), (-0.05, -0.15)):
            r = rng.uniform(0.07, 0.13) * a
            c.ellipse(
                Ellipse(heart.x + x * a, heart.y + y * b, r, r * 0.8, 0.5), blood, wobble_mm=2
            )
    else:
        c.ellipse(Ellipse(0, -0.2 * b, 0.2 * a, 0.45 * b), "fat", wobble_mm=4)
        for x, y, r in ((-0.1, -0.4, 9), (0.08, -0.3, 15), (-0.06, -0.1, 12), (0.1, -0.05, 11)):
            c.ellipse(Ellipse(x * a, y * b, r, r * rng.uniform(0.7, 1.2)), blood, wobble_mm=1)
        for side in (-1, 1) if rng.random() < 0.5 else (0,):
            c.ellipse(Ellipse(side * 14, 0.05 * b, 10, 9), "wall")
            c.ellipse(Ellipse(side * 14, 0.05 * b, 8.5, 7.5), "gas")
    c.ellipse(Ellipse(rng.uniform(5, 20), back - 28, 12, 12), blood)
    c.ellipse(Ellipse(rng.uniform(-6, 4), back - 32, 8, 6), "wall", wobble_mm=0.7)
