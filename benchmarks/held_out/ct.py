"""CT: adds the noise of a lower dose to a slice of full dose.

The noise is simulated in the projections, with `sqrt(1/d - 1)` times the noise of the slice. The
slice of full dose is the reference, which is noisy, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import uniform_filter

from held_out.cases import Case, Column, Method, tuned
from held_out.edges import edge_kept, planted
from ratcli.evaluation.baselines import plane_noise
from ratcli.evaluation.fidelity import score
from ratcli.evaluation.window import WINDOWS
from ratcli.physics.ct import CtDose, low_dose_noise
from ratcli.scan import BoolArray, FloatArray
from ratcli.training.examples import TargetPlane
from research.bias import mean_bias

SOFT = WINDOWS["ct-soft"]
FULL = WINDOWS["ct-full"]
TISSUE_HU = (0.0, 120.0)
CNR = 10.0
_CROP = 200
CONDITIONS = {"dose 1/4": 0.25, "dose 1/10": 0.1}
ABOUT = {
    "soft": str(SOFT),
    "full": str(FULL),
    "ssim": f"over {SOFT}",
    "bias_hu": "mean of output minus reference in soft tissue, 0 to 120 HU",
    "f50_usual": "f50 of edges of up to four planted discs over the planted ones', CNR 10 in the "
    "slice of usual dose",
    "f50_low": "the same, CNR 10 in the slice of lower dose",
}


@dataclass(frozen=True)
class Pair:
    """A slice at a lower dose beside the usual one, `(H, W)` in HU."""

    patient: str
    low: FloatArray
    usual: FloatArray


def lower_dose(plane: TargetPlane, dose: float, seed: int) -> Pair:
    """Add the noise that a slice would have at a fraction of its dose."""
    usual = plane.values[0]
    own = plane_noise(usual, SOFT)
    added = own * (1 / dose - 1) ** 0.5
    settings = CtDose(fraction=dose, original=1.0, noise_hu=added)
    generator = torch.Generator().manual_seed(seed)
    noise = low_dose_noise(torch.from_numpy(usual), plane.spacing_mm, settings, generator)
    return Pair(plane.patient, np.rint(usual + noise.numpy()).astype(np.float32), usual)


class CtJudge:
    """CT at fractions of the usual dose."""

    task = "ct-denoise"
    conditions = CONDITIONS
    columns = (
        Column("psnr_soft_db", "PSNR soft", ".2f"),
        Column("ssim_soft", "SSIM", ".4f"),
        Column("rmse_soft_hu", "RMSE HU", ".2f"),
        Column("psnr_full_db", "PSNR full", ".2f"),
        Column("bias_hu", "bias HU", ".2f"),
        Column("bias_hu", "worst", ".2f", worst=True),
        Column("f50_usual", "f50 usual", ".2f"),
        Column("f50_low", "f50 low", ".2f"),
    )
    about = ABOUT

    def cases(self, planes: Sequence[TargetPlane], condition: str, first_seed: int) -> list[Case]:
        """Lower the dose of slices, and plant edges."""
        dose, cases = self.conditions[condition], []
        for number, plane in enumerate(planes):
            pair = lower_dose(plane, dose, first_seed + number)
            case = Case(pair.patient, pair.low[None], pair.usual[None], plane.spacing_mm)
            own = plane_noise(pair.usual, SOFT)
            heights = {"f50_usual": CNR * own, "f50_low": CNR * own / dose**0.5}
            cases.append(replace(case, edges=planted(case, heights)))
        return cases

    def classical(
        self, training: Sequence[TargetPlane], condition: str, names: Sequence[str]
    ) -> Iterator[tuple[str, Method]]:
        """Tune on the middles of training slices."""
        pairs = [
            lower_dose(plane, self.conditions[condition], 1000 + number)
            for number, plane in enumerate(training)
        ]
        yield from tuned([(middle(pair.low), middle(pair.usual)) for pair in pairs], SOFT, names)

    def measure(self, case: Case, output: FloatArray, method: Method) -> dict[str, float]:
        """Return fidelity, bias of soft tissue, and what is left of edges."""
        soft, full = score(output, case.reference, SOFT), score(output, case.reference, FULL)
        edges = case.edges or {}
        return {
            "psnr_soft_db": soft.psnr_db,
            "ssim_soft": soft.ssim,
            "rmse_soft_hu": soft.rmse,
            "psnr_full_db": full.psnr_db,
            "bias_hu": mean_bias(output[0], case.reference[0], soft_tissue(case.reference[0])),
            **{name: edge_kept(case, edge, output, method) for name, edge in edges.items()},
        }


def soft_tissue(reference: FloatArray) -> BoolArray:
    """Return pixels whose surroundings are nearly all soft tissue.

    Where both are averaged over the same pixels, choosing them by the noisy reference shifts its
    mean; its neighbours tell the tissue without that.
    """
    tissue = (reference > TISSUE_HU[0]) & (reference < TISSUE_HU[1])
    return uniform_filter(tissue.astype(np.float32), 9) > 0.8


def middle(values: FloatArray) -> FloatArray:
    """Cut the middle out of a slice, for tuning."""
    top, left = (max(0, (side - _CROP) // 2) for side in values.shape)
    return values[top : top + _CROP, left : left + _CROP]
