"""Head and limbs."""

from __future__ import annotations

import math

import numpy as np

from ratcli.physics.anatomy.canvas import Canvas, Ellipse
from ratcli.scan import FloatArray


def head(c: Canvas, a: float, b: float) -> None:
    """Draw a slice through the head: scalp, skull, and the brain or the skull's base."""
    rng = c.rng
    everywhere = c.everywhere()
    outer = c.depth(Ellipse(0, 0, a, b), everywhere)
    c.paint(everywhere, outer, "skin")
    c.paint(everywhere, outer - 2, "fat")
    scalp = rng.uniform(4, 8)
    c.paint(everywhere, outer - np.float32(scalp - 1.5), "muscle")
    skull = outer - np.float32(scalp)
    thick = np.float32(rng.uniform(4, 8)) * (1 + 0.15 * c.wobble(everywhere))
    c.paint(everywhere, skull, "cortical")
    c.paint(everywhere, np.minimum(skull - 1.5, thick - 1.5 - skull), "trabecular")
    brain: FloatArray = (skull - thick).astype(np.float32)
    c.paint(everywhere, brain, "csf")
    _brain(c, brain, a, b)
    if rng.random() < 0.4:
        _base(c, a, b)
    if rng.random() < 0.3:  # a bleed or a calcified plexus
        x, y = rng.uniform((-0.5 * a, -0.5 * b), (0.5 * a, 0.5 * b))
        shape = Ellipse(x, y, rng.uniform(2, 16), rng.uniform(2, 12), rng.uniform(0, 3))
        c.ellipse(shape, "blood", float(rng.uniform(55, 85)), wobble_mm=1.5)


def _brain(c: Canvas, brain: FloatArray, a: float, b: float) -> None:
    """Draw folded grey matter around white, deep nuclei, ventricles."""
    rng = c.rng
    everywhere = c.everywhere()
    # Furrows run along the zeros of a smooth field; grey matter lines them.
    folds = np.abs(c.wobble(everywhere) + np.float32(0.3) * c.wobble(everywhere, "coarse"))
    reach = np.exp(-((np.maximum(brain, 0) / np.float32(rng.uniform(16, 26))) ** 2))
    furrow = np.float32(rng.uniform(0.01, 0.09)) * reach - np.float32(0.5) * folds
    cortex = np.minimum(brain - np.float32(0.8), -furrow * 25).astype(np.float32)
    c.paint(everywhere, cortex, "grey")
    lining = (folds - np.float32(rng.uniform(0.7, 1.1)) * reach) * 12
    white = np.minimum(np.minimum(brain - np.float32(4), lining), cortex - 1)
    c.paint(everywhere, white.astype(np.float32), "white")
    # The falx's cleft between the hemispheres
    cleft = np.minimum(np.float32(rng.uniform(0.6, 1.6)) - np.abs(c.x), brain)
    ahead = np.abs(c.y) - np.float32(0.35 * b)
    c.paint(everywhere, np.minimum(cleft, ahead).astype(np.float32), "csf")
    grow = rng.uniform(0.5, 1.5)
    for side in (-1, 1):
        c.ellipse(Ellipse(side * 0.2 * a, 0, 0.12 * a, 0.16 * b, -side * 0.4), "grey", wobble_mm=1)
        c.ellipse(
            Ellipse(side * 0.1 * a, -0.18 * b, 5 * grow, 14 * grow, -side * 0.4),
            "csf",
            wobble_mm=0.7,
        )
        c.ellipse(
            Ellipse(side * 0.22 * a, 0.22 * b, 4 * grow, 14 * grow, side * 0.4),
            "csf",
            wobble_mm=0.7,
        )


def _base(c: Canvas, a: float, b: float) -> None:
    """Draw petrous bones, sinuses, orbits over the brain."""
    rng = c.rng
    for side in (-1, 1):
        c.bone(Ellipse(side * 0.48 * a, 0.12 * b, 0.32 * a, 9, -side * 0.6), 3, 2)
        for _ in range(int(rng.integers(3, 12))):  # mastoid air cells
            x, y = rng.normal((side * 0.68 * a, 0.2 * b), 7)
            c.ellipse(Ellipse(x, y, rng.uniform(1, 3), rng.uniform(1, 3)), "gas")
        c.ellipse(Ellipse(side * 0.42 * a, -0.7 * b, 20, 22), "fat", wobble_mm=2)
        c.ellipse(Ellipse(side * 0.42 * a, -0.74 * b, 12, 12), "fluid")
    box = Ellipse(0, -0.62 * b, 14, 26)
    c.bone(Ellipse(0, box.y, 17, 29), 1.5, 1)
    c.ellipse(box, "gas", wobble_mm=3)


def limbs(c: Canvas, a: float, b: float) -> None:
    """Draw one or two thighs, calves or upper arms."""
    rng = c.rng
    two = rng.random() < 0.6
    r = (0.46 if two else 0.8) * a
    for side in (-1, 1) if two else (0,):
        _limb(c, side * (r + 3), rng.uniform(-0.1, 0.1) * b, r)


def _limb(c: Canvas, x: float, y: float, r: float) -> None:
    rng = c.rng
    everywhere = c.everywhere()
    depth = c.depth(Ellipse(x, y, r, r * rng.uniform(0.9, 1.15)), everywhere)
    c.paint(everywhere, depth, "skin")
    c.paint(everywhere, depth - 1.5, "fat")
    muscle = depth - np.float32(rng.uniform(3, 0.3 * r))
    c.paint(everywhere, muscle, "muscle")
    septa = _septa(c, x, y, r, int(rng.integers(5, 12)))
    c.paint(everywhere, np.minimum(septa, muscle).astype(np.float32), "fat")
    for k in range(2 if rng.random() < 0.3 else 1):
        at = Ellipse(
            x + 0.35 * r * k + rng.uniform(-6, 6), y + rng.uniform(-6, 6), 14 - 5 * k, 14 - 5 * k
        )
        box = c.box(at)
        bone = c.depth(at, box)
        if bone.size:
            c.paint(box, bone, "cortical")
            c.paint(box, bone - np.float32(rng.uniform(3, 7)), "fat")
    for _ in range(6):
        angle, out = rng.uniform(0, 2 * math.pi), r * rng.uniform(0.3, 0.7)
        r1, r2 = rng.uniform(1.5, 4.5, 2)
        at = Ellipse(x + out * math.cos(angle), y + out * math.sin(angle), r1, r2)
        c.ellipse(at, "enhanced" if rng.random() < 0.3 else "blood")


def _septa(c: Canvas, x: float, y: float, r: float, count: int) -> FloatArray:
    """Return mm inside the seams between muscles: a Voronoi diagram's edges."""
    near = np.full_like(c.x, np.inf)
    second = near.copy()
    for px, py in c.rng.uniform((x - r, y - r), (x + r, y + r), (count, 2)):
        distance = np.hypot(c.x - np.float32(px), c.y - np.float32(py))
        second = np.minimum(second, np.maximum(near, distance))
        near = np.minimum(near, distance)
    seam: FloatArray = np.float32(c.rng.uniform(0.5, 1.5)) - (second - near) / 2
    return seam
