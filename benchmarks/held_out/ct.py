"""CT: adds the noise of a lower dose to a slice of full dose.

The noise is simulated in the projections, with `sqrt(1/d - 1)` times the noise of the slice. The
slice of full dose is the reference. It is noisy, too, and the input contains the same noise, so
figures against it reward a method that leaves noise. The error to the noise-free slice is therefore
estimated as well. With the added noise e and c = d/(1 - d), the noise of `full - c e` is
uncorrelated with that of the input. The mean square error against it, minus the variance of its own
noise, `c (1 + c) var(e)`, is an unbiased estimate of the mean square error to the noise-free slice.

Source: Pang et al., Recorrupted-to-Recorrupted, CVPR 2021 (the pair of images).
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
from ratcli.physics.ct import low_dose_noise
from ratcli.physics.ct_dose import CtDose
from ratcli.scan import BoolArray, FloatArray
from ratcli.training.examples import TargetPlane
from ratcli.training.own_noise import FlatPatches, find_flat_patches
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
    "truth_hu": "estimated error to the noise-free slice in soft tissue, root mean square",
    "left": "noise left in flat soft tissue over that of the input",
    "bias_hu": "mean of output minus reference in soft tissue, 0 to 120 HU",
    "f50_usual": "f50 of edges of up to four planted discs over the planted ones', CNR 10 in the "
    "slice of full dose",
    "f50_low": "the same, CNR 10 in the slice of lower dose",
}


@dataclass(frozen=True)
class Pair:
    """A slice at a lower dose beside the usual one, `(H, W)` in HU.

    Attributes:
        patient: whose slice it is.
        low: at the lower dose, whole HU.
        usual: at the usual dose.
        added: the noise that was added.
    """

    patient: str
    low: FloatArray
    usual: FloatArray
    added: FloatArray


def lower_dose(plane: TargetPlane, dose: float, seed: int) -> Pair:
    """Add the noise that a slice would have at a fraction of its dose."""
    usual = plane.values[0]
    own = plane_noise(usual, SOFT)
    added = own * (1 / dose - 1) ** 0.5
    settings = CtDose(fraction=dose, original=1.0, noise_hu=added)
    generator = torch.Generator().manual_seed(seed)
    tensor = low_dose_noise(torch.from_numpy(usual), plane.spacing_mm, settings, generator)
    noise: FloatArray = tensor.numpy()
    return Pair(plane.patient, np.rint(usual + noise).astype(np.float32), usual, noise)


@dataclass(frozen=True)
class Truth:
    """What the error to the noise-free slice is estimated from.

    Attributes:
        independent: `(H, W)` in HU; its noise is uncorrelated with the input's.
        variance: of its noise in the tissue, in HU squared.
        tissue: `(H, W)`, where errors count.
        patches: flat ones, where the noise left is measured; None where there are few.
    """

    independent: FloatArray
    variance: float
    tissue: BoolArray
    patches: FlatPatches | None

    @classmethod
    def of(cls, pair: Pair, dose: float) -> Truth:
        """Make it from a pair at a fraction of the dose."""
        share, tissue = dose / (1 - dose), soft_tissue(pair.usual)
        variance = share * (1 + share) * float((pair.added[tissue] ** 2).mean())
        independent = pair.usual - np.float32(share) * pair.added
        return cls(independent, variance, tissue, find_flat_patches(pair.usual))

    def figures(self, low: FloatArray, output: FloatArray) -> dict[str, float]:
        """Return the error to the truth in HU, root mean square, and the share of noise left."""
        error = (output - self.independent)[self.tissue].astype(np.float64)
        squared = float((error**2).mean()) - self.variance
        found = {"truth_hu": max(0.0, squared) ** 0.5}
        if self.patches is not None:
            found["left"] = self.patches.deviation(output) / self.patches.deviation(low)
        return found


class CtJudge:
    """CT at fractions of the usual dose."""

    task = "ct-denoise"
    conditions = CONDITIONS
    columns = (
        Column("psnr_soft_db", "PSNR soft", ".2f"),
        Column("ssim_soft", "SSIM", ".4f"),
        Column("rmse_soft_hu", "RMSE HU", ".2f"),
        Column("psnr_full_db", "PSNR full", ".2f"),
        Column("truth_hu", "truth HU", ".2f"),
        Column("left", "left", ".2f"),
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
            truth = Truth.of(pair, dose)
            cases.append(replace(case, edges=planted(case, heights), truth=truth))
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
        truth = case.truth.figures(case.low[0], output[0]) if case.truth else {}
        return {
            "psnr_soft_db": soft.psnr_db,
            "ssim_soft": soft.ssim,
            "rmse_soft_hu": soft.rmse,
            "psnr_full_db": full.psnr_db,
            **truth,
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
