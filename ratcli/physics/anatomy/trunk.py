"""What every slice of the trunk has: wall, spine, ribs, bowel, vessels. The front is up."""

from __future__ import annotations

import math

import numpy as np

from ratcli.physics.anatomy.canvas import Canvas, Ellipse
from ratcli.scan import FloatArray


def wall(c: Canvas, a: float, b: float) -> FloatArray:
    """Draw skin, fat and the muscle wall; return the depth below the cavity's edge, in mm.

    Args:
        c: canvas.
        a: half the body's width in mm.
        b: half its height.
    """
    rng = c.rng
    power = rng.uniform(2.0, 3.0)
    radius = (np.abs(c.x / a) ** power + np.abs(c.y / b) ** power) ** (1 / power)
    depth = ((1 - radius) * min(a, b)).astype(np.float32)
    everywhere = c.everywhere()
    c.paint(everywhere, depth, "skin")
    c.paint(everywhere, depth - rng.uniform(1.2, 2.5), "fat")
    fat = rng.uniform(4, 32) * (1 + 0.2 * c.wobble(everywhere))
    # The back and the flanks carry more fat than the front.
    fat = fat * (1 + 0.3 * np.clip(c.y / b, -1, 1))
    muscle = depth - np.maximum(fat, 3.0).astype(np.float32)
    c.paint(everywhere, muscle, "muscle")
    # Streaks of fat between the wall's layers
    c.paint(
        everywhere,
        _layer(muscle, rng.uniform(4, 7), 0.7) - 0.4 * np.abs(c.wobble(everywhere, "coarse")),
        "fat",
    )
    cavity: FloatArray = muscle - np.float32(rng.uniform(9, 16))
    return cavity


def _layer(depth: FloatArray, at: float, half: float) -> FloatArray:
    layer: FloatArray = np.float32(half) - np.abs(depth - np.float32(at))
    return layer


def spine(c: Canvas, y: float, scale: float = 1.0) -> None:
    """Draw a vertebra with its canal, processes and the muscles beside it, at height `y`."""
    rng = c.rng
    width, height = scale * rng.uniform(20, 26), scale * rng.uniform(14, 19)
    for side in (-1, 1):
        away = width + rng.uniform(8, 14) * scale
        muscle = Ellipse(side * away, y + 22 * scale, 24 * scale, 17 * scale, side * 0.4)
        c.ellipse(muscle, "muscle", wobble_mm=1.5)
    back = y + height + 7 * scale
    c.bone(Ellipse(0, back + 18 * scale, 3.5, 16 * scale), 1.8)
    for side in (-1, 1):
        tilt = side * rng.uniform(0.2, 0.5)
        c.bone(Ellipse(side * 24 * scale, back + 2, 20 * scale, 5 * scale, tilt), 1.8, 0.6)
    c.bone(Ellipse(0, back, 17 * scale, 13 * scale), 3.0, 0.5)
    if rng.random() < 0.2:
        c.ellipse(Ellipse(0, y, width, height), "disc", wobble_mm=0.5)
    else:
        c.bone(Ellipse(0, y, width, height), rng.uniform(1.2, 2.2), 0.7)
    canal = Ellipse(0, back - 1, 11 * scale, 8.5 * scale)
    c.ellipse(canal, "fat")
    c.ellipse(
        Ellipse(0, back - 1, 8.5 * scale, 6.5 * scale), "fluid", hu=float(rng.uniform(15, 40))
    )


def ribs(c: Canvas, a: float, b: float, count: int, inset: float) -> None:
    """Draw cut ribs around the cage."""
    rng = c.rng
    for k in range(count):
        for side in (-1, 1):
            angle = math.pi * (0.1 + 0.8 * (k + rng.uniform(-0.2, 0.2)) / max(1, count - 1))
            x, y = side * math.sin(angle) * (a - inset), math.cos(angle) * (b - inset)
            tangent = math.atan2(
                -math.sin(angle) * (b - inset), side * math.cos(angle) * (a - inset)
            )
            long = rng.uniform(7, 22)
            c.bone(Ellipse(x, y, long, rng.uniform(4, 6.5), tangent), rng.uniform(1, 2))


def bowel(c: Canvas, x: float, y: float, r: float) -> None:
    """Draw a loop of bowel: wall, contents, often gas on top."""
    rng = c.rng
    shape = Ellipse(x, y, r * rng.uniform(0.8, 1.5), r * rng.uniform(0.7, 1.1), rng.uniform(0, 3))
    box = c.box(shape, r)
    depth = c.depth(shape, box)
    if depth.size == 0:
        return
    depth = depth + np.float32(0.12 * r) * c.wobble(box)
    c.paint(box, depth, "wall")
    inner = depth - np.float32(rng.uniform(1.5, 4))
    c.paint(
        box, inner, str(rng.choice(["contents", "fluid", "oral", "wall"], p=[0.5, 0.25, 0.1, 0.15]))
    )
    kind = rng.random()
    if kind < 0.4:  # a level of gas over what lies below
        level = np.float32(y + r * rng.uniform(-0.5, 0.3)) - c.y[box]
        c.paint(box, np.minimum(inner, level), "gas")
    elif kind < 0.55:  # gas mixed into faeces
        c.paint(box, np.minimum(inner, 2 * c.wobble(box, "medium") - 1.5), "gas")


def tree(
    c: Canvas, count: int, spread: tuple[float, float], inside: FloatArray, tissue: str
) -> None:
    """Draw cut vessels: many small, few large, within where `inside` is positive."""
    rng = c.rng
    rows, columns = np.nonzero(inside[::4, ::4] > 3)
    if not len(rows):
        return
    value = None
    for pick in rng.integers(0, len(rows), count):
        row, column = rows[pick] * 4, columns[pick] * 4
        r = float(rng.pareto(2.2) + 0.6) * rng.uniform(*spread)
        shape = Ellipse(
            float(c.x[row, column]), float(c.y[row, column]),
            min(r, 7.0) * rng.uniform(1, 3.5), min(r, 7.0), rng.uniform(0, math.pi),
        )  # fmt: skip
        c.ellipse(shape, tissue, value)


def great_vessels(c: Canvas, y: float) -> str:
    """Draw aorta and vena cava in front of the spine; return what blood looks like here."""
    rng = c.rng
    blood = "enhanced" if rng.random() < 0.6 else "blood"
    r = rng.uniform(8, 13)
    at = Ellipse(rng.uniform(4, 14), y - r, r, r * rng.uniform(0.9, 1.1))
    c.ellipse(at, blood)
    if rng.random() < 0.5:  # a calcified plaque
        angle = rng.uniform(0, 2 * math.pi)
        plaque = Ellipse(
            at.x + r * math.cos(angle), at.y + r * math.sin(angle), 2.5, 1, angle + 1.6
        )
        c.ellipse(plaque, "calcification")
    c.ellipse(Ellipse(-rng.uniform(12, 20), y - r, r * 1.2, r * rng.uniform(0.6, 1)), blood)
    return blood
