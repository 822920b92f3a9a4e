"""Chest, abdomen and pelvis. The front is up; the patient's right is on the left of the plane."""

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
