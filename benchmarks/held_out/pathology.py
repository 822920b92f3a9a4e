"""Pathology: fields of slides at a quarter of the resolution, in 8 bits, enlarged four times.

Degraded as the literature does (antialiased bicubic), and as a scanner might (blur, sensor noise
and JPEG before and after it).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath

import numpy as np
import torch
from PIL import Image

from held_out.cases import Case, Column, Method
from ratcli.evaluation.baselines import bicubic
from ratcli.evaluation.fidelity import score
from ratcli.evaluation.stain import colour_difference, stain_shift
from ratcli.evaluation.window import WINDOWS
from ratcli.physics.pathology import SlideScan, degrade_slide
from ratcli.scan import FloatArray
from ratcli.training.examples import TargetPlane
from research.pattern import fixed_pattern, grid_power

LUMA = WINDOWS["rgb-y"]
RGB = WINDOWS["rgb"]
SCALE = 4
SCANS: Mapping[str, SlideScan] = {
    "bicubic": SlideScan(SCALE),
    "realistic": SlideScan(SCALE, blur_px=0.85, noise=1.5 / 255, jpeg_quality=80),
}
_FIELD = 512
_BREAKHIS = re.compile(r"-\d+-\d+$")
CONDITIONS = {"x4, bicubic": 0.0, "x4, realistic": 1.0}
ABOUT = {
    "psnr": f"over {LUMA} (full-range BT.601) and {RGB}, all pixels of 8-bit images",
    "ssim": f"over {LUMA}",
    "colour": "CIEDE2000, mean over pixels",
    "density": "change of mean optical density over tissue, mean of red, green and blue",
    "haematoxylin": "change of the mean amount of stain over tissue, in %",
    "grid": "power of the residual at the frequencies of a pattern of 4 pixels over that at "
    "neighbouring frequencies, the largest of them; a checkerboard is far above 1, and so is "
    "the reference's own JPEG, which bicubic's residual shows too",
    "pattern": "standard deviation of the residual's means over the 4 x 4 places in a pixel of the "
    "input, in steps of 1/255: a checkerboard that is the same everywhere",
    "realistic": str(SCANS["realistic"]),
}


def fields(planes: Sequence[TargetPlane], most: int) -> list[TargetPlane]:
    """Cut the fields with most detail out of slides, at most so many of each image."""
    chosen = []
    for plane in planes:
        sides = [min(side, _FIELD) // SCALE * SCALE for side in plane.values.shape[1:]]
        tops, lefts = (
            range(0, whole - side + 1, side)
            for whole, side in zip(plane.values.shape[1:], sides, strict=True)
        )
        cuts = [
            plane.values[:, top : top + sides[0], left : left + sides[1]]
            for top in tops
            for left in lefts
        ]
        cuts.sort(key=lambda cut: -float(cut.mean(axis=0).std()))
        slide = _BREAKHIS.sub("", PurePath(plane.patient).stem)
        chosen += [
            replace(plane, patient=slide, values=np.ascontiguousarray(cut)) for cut in cuts[:most]
        ]
    return chosen


class PathologyJudge:
    """Slides four times as coarse."""

    task = "pathology-sr"
    conditions = CONDITIONS
    columns = (
        Column("psnr_y_db", "PSNR Y", ".2f"),
        Column("psnr_rgb_db", "PSNR RGB", ".2f"),
        Column("ssim_y", "SSIM Y", ".4f"),
        Column("colour", "dE00", ".2f"),
        Column("density", "OD shift", ".4f"),
        Column("density", "worst", ".4f", worst=True),
        Column("haematoxylin", "H %", ".2f"),
        Column("eosin", "E %", ".2f"),
        Column("grid", "grid", ".2f"),
        Column("pattern", "pattern", ".3f"),
    )
    about = ABOUT

    def cases(self, planes: Sequence[TargetPlane], condition: str, first_seed: int) -> list[Case]:
        """Shrink fields and round them to 8 bits."""
        scan = SCANS[condition.split(", ")[1]]
        cases = []
        for number, plane in enumerate(planes):
            generator = torch.Generator().manual_seed(first_seed + number)
            low = degrade_slide(torch.from_numpy(plane.values), scan, generator).numpy()
            cases.append(Case(plane.patient, eight_bits(low), plane.values, 1.0))
        return cases

    def classical(
        self, training: Sequence[TargetPlane], condition: str, names: Sequence[str]
    ) -> Iterator[tuple[str, Method]]:
        """Yield interpolations, which have nothing to tune."""
        yield "bicubic", lambda low: bicubic(low, SCALE)
        yield "lanczos", lanczos

    def measure(self, case: Case, output: FloatArray, method: Method) -> dict[str, float]:
        """Return fidelity, colours, stains, and the residual's grid."""
        restored, reference = eight_bits(output), case.reference
        residual = LUMA.clip(restored)[0] - LUMA.clip(reference)[0]
        luma, rgb = score(restored, reference, LUMA), score(restored, reference, RGB)
        stain = stain_shift(restored, reference)
        return {
            "psnr_y_db": luma.psnr_db,
            "psnr_rgb_db": rgb.psnr_db,
            "ssim_y": luma.ssim,
            "colour": colour_difference(restored, reference).mean,
            "density": float(np.mean(stain.density)),
            "haematoxylin": 100 * stain.haematoxylin_share,
            "eosin": 100 * stain.eosin_share,
            "grid": grid_power(residual, SCALE),
            "pattern": 255 * fixed_pattern(residual, SCALE),
        }


def eight_bits(values: FloatArray) -> FloatArray:
    """Round to what an 8-bit file holds."""
    rounded: FloatArray = np.round(np.clip(values, 0, 1) * 255).astype(np.float32) / np.float32(255)
    return rounded


def lanczos(low: FloatArray) -> FloatArray:
    """Enlarge `(C, h, w)` by Lanczos interpolation over 6 pixels (Pillow's)."""
    size = (low.shape[2] * SCALE, low.shape[1] * SCALE)
    return np.stack(
        [np.asarray(Image.fromarray(c).resize(size, Image.Resampling.LANCZOS)) for c in low]
    )
