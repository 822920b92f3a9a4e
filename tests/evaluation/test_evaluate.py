from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from arrays import ArrayReader
from scipy.ndimage import gaussian_filter

from ratcli.errors import UnsuitableInputError, UsageError
from ratcli.evaluation.baselines import Baseline
from ratcli.evaluation.comparison import Comparison
from ratcli.evaluation.evaluate import EvaluationSettings, evaluate
from ratcli.evaluation.export import as_dict, as_rows
from ratcli.evaluation.fidelity import RAT_PAPER_WINDOW, score, studio_luma
from ratcli.evaluation.given_regions import Disc, regions_from_json
from ratcli.evaluation.results import Evaluation
from ratcli.evaluation.window import WINDOWS, Window

SIDE = 192
BODY = Disc(96.0, 96.0, 78.0)
DRAWN = regions_from_json(
    json.dumps(
        {
            "regions": [
                {"name": "organ", "disc": [60, 78, 20], "nominal": 80},
                {"name": "insert", "disc": [120, 120, 9], "nominal": -100},
                {"name": "water", "box": [100, 60, 24, 24], "nominal": 0},
            ],
            "edges": [{"name": "insert", "disc": [120, 120, 12]}],
        }
    )
)


def _clean() -> np.ndarray:
    plane = np.full((SIDE, SIDE), -1000.0)
    plane[BODY.mask(plane.shape)] = 0.0
    plane[Disc(60, 78, 24).mask(plane.shape)] = 80.0
    plane[Disc(120, 120, 12).mask(plane.shape)] = -100.0
    return np.repeat(gaussian_filter(plane, 0.9)[None, None], 3, axis=0)


def _noise(sd: float) -> np.ndarray:
    field = gaussian_filter(
        np.random.default_rng(0).normal(size=(3, 1, SIDE, SIDE)), (0, 0, 0.7, 0.7)
    )
    return sd * field / field.std()


CLEAN, NOISE = _clean(), _noise(15.0)


def _comparison(**changes: object) -> Comparison:
    scans = {
        "restored": ArrayReader(CLEAN + 0.2 * NOISE),
        "reference": ArrayReader(CLEAN),
        "input": ArrayReader(CLEAN + NOISE),
    }
    return Comparison(**{**scans, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def found() -> Evaluation:
    baseline = Baseline("gaussian", {"sigma_px": 0.9}, WINDOWS["ct-soft"])
    settings = EvaluationSettings(baselines=(baseline,), phantom=True, shown=2)
    return evaluate(_comparison(regions=DRAWN), settings)


def test_every_image_is_scored_in_every_window_and_plane(found: Evaluation) -> None:
    assert len(found.fidelity) == 3 * 3 * (3 + 1)
    images = {row.image for row in found.pooled}
    assert images == {"restored", "input", "gaussian"}


def test_pooled_figures_are_those_of_the_whole_volume(found: Evaluation) -> None:
    row = next(
        row
        for row in found.pooled
        if (row.image, row.fidelity.window.name) == ("restored", "ct-soft")
    )
    low, high = (np.clip(scan, -160, 240) for scan in (CLEAN + 0.2 * NOISE, CLEAN))
    expected = math.sqrt(((low.astype(np.float32) - high.astype(np.float32)) ** 2).mean())
    assert row.fidelity.rmse == pytest.approx(expected, rel=1e-5)


def test_noise_falls_by_the_share_that_was_taken(found: Evaluation) -> None:
    rows = {row.image: row for row in found.noise}
    assert rows["restored"].noise / rows["input"].noise == pytest.approx(0.2, rel=0.05)
    assert rows["input"].spectrum is not None
    assert rows["restored"].spectrum is not None
    ratio = rows["restored"].spectrum.integral / rows["input"].spectrum.integral
    assert ratio == pytest.approx(0.04, rel=0.01)


def test_the_residual_of_a_linear_blend_passes(found: Evaluation) -> None:
    assert len(found.residual) == 3
    assert not found.suspicious
    assert "In all 3 planes" in found.verdict


def test_given_regions_are_pooled_and_compared_with_their_nominal_values(
    found: Evaluation,
) -> None:
    pooled = {(row.name, row.against): row for row in found.regions if row.plane is None}
    assert pooled["organ", "reference"].bias.bias == pytest.approx(0.0, abs=0.5)
    assert pooled["organ", "nominal"].bias.mean == pytest.approx(80.0, abs=0.5)
    assert not pooled["organ", "reference"].bias.differs
    line = next(row.linearity for row in found.phantoms if row.linearity)
    assert line.slope == pytest.approx(1.0, abs=0.01)


def test_resolution_is_measured_at_given_edges_and_at_the_phantom(found: Evaluation) -> None:
    edges = {row.edge for row in found.transfers}
    assert {"insert", "body"} <= edges
    transfer = next(
        row.transfer for row in found.transfers if (row.image, row.edge) == ("reference", "insert")
    )
    # A blur of 0.9 pixels of 0.7 mm, and the pixels of a disc drawn without partial volumes.
    expected = math.sqrt(math.log(2) / 2) / (math.pi * 0.9 * 0.7)
    assert transfer.f50_per_mm == pytest.approx(expected, rel=0.08)


def test_uniformity_is_measured_in_the_phantom(found: Evaluation) -> None:
    row = next(row for row in found.phantoms if row.image == "input")
    assert row.uniformity is not None
    assert row.uniformity.noise == pytest.approx(15.0, rel=0.2)


def test_agreement_compares_region_means(found: Evaluation) -> None:
    assert found.agreement is not None
    assert len(found.agreement.means) == 3


def test_samples_are_kept_for_the_report(found: Evaluation) -> None:
    assert [sample.plane for sample in found.samples] == [0, 2]
    assert set(found.samples[0].images) == {"restored", "input", "gaussian", "reference"}


def test_the_result_is_json_without_pixels(found: Evaluation) -> None:
    text = json.dumps(as_dict(found), allow_nan=False)
    assert len(text) < 300_000
    content = json.loads(text)
    assert "samples" not in content
    assert content["pooled"] if "pooled" in content else content["fidelity"]
    assert content["noise"][0]["spectrum"]["integral"] > 0


def test_the_table_has_one_row_a_plane_and_region_with_equal_columns(found: Evaluation) -> None:
    rows = list(as_rows(found))
    assert len({tuple(row) for row in rows}) == 1
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    regions = [row for row in rows if row["region"] == "organ" and row["against"] == "reference"]
    assert [row["plane"] for row in regions] == [1, 2, 3, "all"]
    assert "psnr_db ct-soft [-160, 240] HU" in rows[0]


def test_without_a_reference_physics_and_residual_remain() -> None:
    result = evaluate(_comparison(reference=None))
    assert result.fidelity == ()
    assert any("no reference" in note for note in result.notes)
    assert {row.against for row in result.regions} == {"input"}
    assert result.noise
    assert result.residual


def test_a_restored_scan_alone_still_has_noise() -> None:
    result = evaluate(_comparison(reference=None, input=None))
    assert result.residual == ()
    assert result.noise[0].noise == pytest.approx(3.0, rel=0.1)
    assert "was not checked" in result.verdict


def test_a_shift_of_an_organ_is_found_in_the_right_planes() -> None:
    shifted = CLEAN + 0.2 * NOISE
    shifted[1, 0][Disc(60, 78, 24).mask((SIDE, SIDE))] += 5.0
    result = evaluate(_comparison(restored=ArrayReader(shifted), reference=None, regions=DRAWN))
    assert [row.plane for row in result.suspicious] == [1]
    assert "plane 2" in result.verdict


def test_padding_counts_nowhere() -> None:
    padding = np.zeros((SIDE, SIDE), bool)
    padding[:, :40] = True
    spoiled = CLEAN + 0.2 * NOISE
    spoiled[..., :40] = -2000.0
    restored = ArrayReader(spoiled, padding=padding)
    window = Window("all", -4000.0, 4000.0, "HU")
    result = evaluate(_comparison(restored=restored), EvaluationSettings(windows=(window,)))
    assert result.pooled[0].fidelity.rmse < 10.0
    assert not result.suspicious


def test_the_paper_protocol_is_not_mixed_with_other_figures() -> None:
    soft = WINDOWS["ct-soft"]
    result = evaluate(_comparison(), EvaluationSettings(windows=(soft,), protocol="rat-paper"))
    assert {row.fidelity.window.unit for row in result.fidelity} == {"8-bit Y"}
    restored = (CLEAN + 0.2 * NOISE)[0].astype(np.float32)
    luma = [studio_luma(plane, soft) for plane in (restored, CLEAN[0])]
    expected = score(*luma, RAT_PAPER_WINDOW)
    row = next(row for row in result.fidelity if (row.image, row.plane) == ("restored", 0))
    assert row.fidelity.psnr_db == pytest.approx(expected.psnr_db, abs=1e-6)


def test_the_paper_protocol_needs_a_window() -> None:
    with pytest.raises(UsageError, match="maps one window"):
        evaluate(_comparison(), EvaluationSettings(protocol="rat-paper"))


def test_scans_of_other_sizes_are_refused() -> None:
    with pytest.raises(UnsuitableInputError, match="the reference has 2 planes"):
        evaluate(_comparison(reference=ArrayReader(CLEAN[:2])))


def test_scans_in_other_units_are_refused() -> None:
    with pytest.raises(UnsuitableInputError, match="the reference is in SUV"):
        evaluate(_comparison(reference=ArrayReader(CLEAN, unit="SUV")))


def test_an_unknown_unit_needs_a_window() -> None:
    scans = {name: ArrayReader(CLEAN, unit=None) for name in ("restored", "reference", "input")}
    with pytest.raises(UnsuitableInputError, match="nothing says what the unit"):
        evaluate(_comparison(**scans))


def test_uncertainty_is_set_beside_the_error() -> None:
    given = np.full_like(CLEAN, 3.0)
    result = evaluate(_comparison(uncertainty=ArrayReader(given)))
    assert sum(row.pixels for row in result.calibration) == CLEAN.size
    assert result.calibration[0].uncertainty == pytest.approx(3.0)
    assert result.calibration[0].error == pytest.approx(3.0, rel=0.02)


def test_uncertainty_of_colours_is_that_of_all_channels() -> None:
    fine = np.full((1, 3, 64, 64), 0.5)
    wrong, given = (
        np.asarray(size)[None, :, None, None] for size in ((0, 0.03, 0.06), (0, 0, 0.06))
    )
    readers = [ArrayReader(v, "RGB") for v in (fine + wrong, fine, np.zeros_like(fine) + given)]
    result = evaluate(Comparison(readers[0], readers[1], uncertainty=readers[2]))
    row = result.calibration[0]
    assert row.uncertainty == pytest.approx(0.06 / 3**0.5, rel=1e-4)
    assert row.error == pytest.approx((0.0045 / 3) ** 0.5, rel=1e-4)


def test_uptake_is_measured_in_given_regions_of_a_volume() -> None:
    volume = np.ones((9, 1, 64, 64))
    volume[:, 0][:, Disc(30, 30, 8).mask((64, 64))] = 4.0
    text = '{"regions": [{"name": "lesion", "disc": [30, 30, 8]}]}'
    scans = [ArrayReader(v, "Bq/ml", (4.0, 4.0, 4.0)) for v in (1000 * volume, 2000 * volume)]
    for scan in scans:
        scan.info = replace(scan.info, suv_factor=0.001)
    result = evaluate(Comparison(scans[0], scans[1], regions=regions_from_json(text)))
    assert result.unit == "SUV"
    row = result.uptake[0]
    assert row.restored.mean == pytest.approx(4.0)
    assert row.reference is not None
    assert row.reference.peak == pytest.approx(8.0)


def test_slides_have_stain_figures_and_a_bicubic_baseline() -> None:
    random = np.random.default_rng(0)
    fine = gaussian_filter(random.uniform(0.2, 0.9, (1, 3, 96, 96)), (0, 0, 2, 2))
    coarse = fine.reshape(1, 3, 24, 4, 24, 4).mean(axis=(3, 5))
    comparison = Comparison(
        ArrayReader(fine, "RGB", (None, 0.001, 0.001)),
        ArrayReader(fine, "RGB", (None, 0.001, 0.001)),
        ArrayReader(coarse, "RGB", (None, 0.004, 0.004)),
    )
    result = evaluate(comparison)
    assert {row.image for row in result.stain} == {"restored", "bicubic"}
    assert {row.fidelity.window.name for row in result.pooled} == {"rgb", "rgb-y"}
    bicubic = next(row for row in result.stain if row.image == "bicubic")
    assert bicubic.sharpness < 1.0


def test_rmse_of_the_input_is_the_noise_that_was_added(found: Evaluation) -> None:
    wide = [row for row in found.pooled if row.fidelity.window.name == "ct-full"]
    value = next(row.fidelity.rmse for row in wide if row.image == "input")
    noisy = (CLEAN + NOISE)[0, 0].astype(np.float32)
    expected = score(noisy, CLEAN[0, 0], WINDOWS["ct-full"]).rmse
    assert value == pytest.approx(expected, rel=0.02)
