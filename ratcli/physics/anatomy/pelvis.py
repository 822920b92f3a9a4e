"""The pelvis. The front is up."""

from __future__ import annotations

from ratcli.physics.anatomy.canvas import Canvas, Ellipse
from ratcli.physics.anatomy.trunk import bowel, wall


def pelvis(c: Canvas, a: float, b: float) -> None:
    """Draw a slice through the pelvis."""
    rng = c.rng
    cavity = wall(c, a, b)
    everywhere = c.everywhere()
    c.paint(everywhere, cavity, "fat")
    for _ in range(int(rng.integers(2, 9))):
        bowel(c, rng.uniform(-0.4, 0.4) * a, rng.uniform(-0.6, 0) * b, rng.uniform(8, 16))
    for side in (-1, 1):
        c.ellipse(
            Ellipse(side * 0.55 * a, 0.45 * b, 0.3 * a, 0.3 * b, side * 0.3), "muscle", wobble_mm=4
        )
        c.ellipse(Ellipse(side * 0.62 * a, -0.1 * b, 0.17 * a, 0.3 * b), "muscle", wobble_mm=3)
    low = rng.random() < 0.5
    for side in (-1, 1):
        if low:  # hip joints
            c.bone(Ellipse(side * 0.5 * a, 0.1 * b, 33, 34), 4, 3)
            c.ellipse(Ellipse(side * 0.53 * a, 0.08 * b, 26.5, 26.5), "cartilage")
            c.bone(Ellipse(side * 0.53 * a, 0.08 * b, 24, 24), 1.3)
        else:  # iliac wings
            c.bone(Ellipse(side * 0.5 * a, 0.15 * b, 9, 52, -side * rng.uniform(0.4, 0.8)), 2, 2)
        c.ellipse(
            Ellipse(side * 0.4 * a, -0.35 * b, 7, 7), "enhanced" if rng.random() < 0.4 else "blood"
        )
        c.ellipse(Ellipse(side * 0.45 * a, -0.33 * b, 8, 7), "blood")
    if rng.random() < 0.7:
        c.ellipse(
            Ellipse(0, -0.2 * b, rng.uniform(25, 50), rng.uniform(20, 38)), "wall", wobble_mm=1
        )
        c.ellipse(
            Ellipse(0, -0.2 * b, rng.uniform(20, 46), rng.uniform(16, 34)), "urine", wobble_mm=1
        )
    if rng.random() < 0.7:
        c.ellipse(
            Ellipse(0, 0.12 * b, rng.uniform(18, 30), rng.uniform(14, 24)), "organ", wobble_mm=2
        )
    bowel(c, rng.uniform(-8, 8), 0.38 * b, rng.uniform(11, 17))
    c.bone(Ellipse(0, 0.68 * b, rng.uniform(14, 50), rng.uniform(7, 16)), 2, 2)
