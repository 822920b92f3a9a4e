"""The abdomen and the pelvis. The front is up; the patient's right is on the left of the plane."""

from __future__ import annotations

import math

import numpy as np

from ratcli.physics.anatomy.canvas import Canvas, Ellipse
from ratcli.physics.anatomy.trunk import bowel, great_vessels, ribs, spine, tree, wall
from ratcli.scan import FloatArray


def abdomen(c: Canvas, a: float, b: float) -> None:
    """Draw a slice through the abdomen."""
    rng = c.rng
    cavity = wall(c, a, b)
    everywhere = c.everywhere()
    ribs(c, a, b, int(rng.integers(0, 7)), rng.uniform(18, 30))
    c.paint(everywhere, cavity, "fat")
    back = b - rng.uniform(62, 75)
    for _ in range(int(rng.integers(4, 16))):
        x, y = rng.uniform((-0.6 * a, -0.6 * b), (0.6 * a, 0.35 * b))
        bowel(c, x, y, rng.uniform(8, 20))
    tree(c, int(rng.integers(10, 60)), (0.8, 1.6), cavity, "blood")
    if rng.random() < 0.8:
        liver(c, a, b, cavity)
    if rng.random() < 0.7:
        box = everywhere
        shape = Ellipse(
            0.62 * a, 0.2 * b, 0.2 * a, rng.uniform(0.25, 0.45) * b, rng.uniform(-0.3, 0.3)
        )
        depth = np.minimum(c.depth(shape, box) + 3 * c.wobble(box), cavity - 2)
        c.paint(box, depth.astype(np.float32), "spleen")
    for side in (-1, 1):
        if rng.random() < 0.75:
            kidney(c, side * rng.uniform(52, 66), back + rng.uniform(-12, 10))
    if rng.random() < 0.6:
        shape = Ellipse(
            rng.uniform(-10, 30), back - 45, rng.uniform(25, 55), rng.uniform(8, 13), 0.2
        )
        c.ellipse(shape, "pancreas", wobble_mm=4)
    great_vessels(c, back - 18)
    for side in (-1, 1):
        c.ellipse(
            Ellipse(side * rng.uniform(34, 42), back + 4, 14, 19, side * 0.3),
            "muscle",
            wobble_mm=1.5,
        )
    spine(c, back)


def liver(c: Canvas, a: float, b: float, cavity: FloatArray) -> None:
    """Draw the liver with its vessels, and often the gall bladder."""
    rng = c.rng
    box = c.everywhere()
    grow = rng.uniform(0.55, 1.1)
    right = c.depth(Ellipse(-0.42 * a, -0.05 * b, 0.5 * a * grow, 0.72 * b * grow, 0.2), box)
    left = c.depth(Ellipse(0.05 * a, -0.4 * b, 0.45 * a * grow, 0.32 * b * grow, -0.2), box)
    depth = np.minimum(np.maximum(right, left) + 4 * c.wobble(box), cavity - 2).astype(np.float32)
    value = float(rng.uniform(40, 125))
    c.paint(box, depth, "liver", value)
    veins = value + float(rng.choice([-15, 1])) * rng.uniform(0, 1) + float(rng.choice([0, 50]))
    rows, columns = np.nonzero(depth[::4, ::4] > 6)
    for pick in rng.integers(0, max(1, len(rows)), 24 if len(rows) else 0):
        x, y = c.x[rows[pick] * 4, columns[pick] * 4], c.y[rows[pick] * 4, columns[pick] * 4]
        r = rng.uniform(1, 4)
        vein = Ellipse(float(x), float(y), r * rng.uniform(1, 6), r, rng.uniform(0, math.pi))
        c.ellipse(vein, "blood", veins, wobble_mm=0.5)
    if rng.random() < 0.5:
        c.ellipse(
            Ellipse(-0.25 * a, -0.15 * b, 14, rng.uniform(14, 30), 0.5), "fluid", wobble_mm=1.5
        )


def kidney(c: Canvas, x: float, y: float) -> None:
    """Draw a kidney: cortex, medulla, and the fat or urine at its hilum."""
    rng = c.rng
    value = float(rng.uniform(28, 200))
    tilt = math.copysign(rng.uniform(0.2, 0.7), x)
    shape = Ellipse(x, y, rng.uniform(22, 30), rng.uniform(26, 36), tilt)
    c.ellipse(shape, "kidney", value, wobble_mm=2)
    inward = x - math.copysign(10, x)
    c.ellipse(Ellipse(inward, y, 13, 18, tilt), "kidney", value * rng.uniform(0.6, 1), wobble_mm=3)
    hilum = "fat" if rng.random() < 0.7 else "urine"
    c.ellipse(Ellipse(inward - math.copysign(4, x), y, 11, 8, tilt), hilum, wobble_mm=3)


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
