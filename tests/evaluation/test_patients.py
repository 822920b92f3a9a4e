from __future__ import annotations

import math

import pytest

from ratcli.evaluation.fidelity import Fidelity, FidelityRow
from ratcli.evaluation.patients import Figure, over_patients
from ratcli.evaluation.quantitation import RegionBias
from ratcli.evaluation.regions import RegionRow
from ratcli.evaluation.results import Evaluation
from ratcli.evaluation.window import WINDOWS

SOFT = WINDOWS["ct-soft"]


def _scan(psnr_db: float, bias: float, plane: int | None = None) -> Evaluation:
    fidelity = Fidelity(SOFT, psnr_db, 0.9, 5.0, 100)
    region = RegionBias(1, 50, 60.0 + bias, 60.0, 5.0, 5.0, bias, bias - 1.0, bias + 1.0)
    return Evaluation(
        1, 64, 64, (None, None, None), "HU",
        fidelity=(FidelityRow("restored", None, fidelity),),
        regions=(RegionRow("liver", plane, "reference", region, (fidelity,)),),
    )  # fmt: skip


def _psnr(region: str) -> Figure:
    return Figure("restored", region, str(SOFT), "psnr_db")


def test_a_patient_of_several_scans_counts_once() -> None:
    over = over_patients([("a", _scan(30.0, 0)), ("a", _scan(32.0, 0)), ("b", _scan(35.0, 0))])
    assert over[_psnr("all")].count == 2
    assert over[_psnr("all")].mean == pytest.approx(33.0)


def test_given_regions_have_their_figures_over_patients() -> None:
    over = over_patients(
        [(name, _scan(30.0, bias)) for name, bias in zip("abc", (1, 2, 3), strict=True)]
    )
    summary = over[Figure("restored", "liver", "HU", "bias")]
    assert (summary.mean, summary.sd, summary.count) == (2.0, 1.0, 3)
    assert 1.0 <= summary.low < 2.0 < summary.high <= 3.0
    assert _psnr("liver") in over


def test_regions_of_single_planes_are_no_figure_of_a_patient() -> None:
    over = over_patients([("a", _scan(30.0, 1.0, plane=0))])
    assert {figure.region for figure in over} == {"all"}


def test_infinite_figures_are_left_out() -> None:
    over = over_patients([("a", _scan(math.inf, 0)), ("b", _scan(30.0, 0))])
    assert (over[_psnr("all")].count, over[_psnr("all")].mean) == (1, 30.0)
