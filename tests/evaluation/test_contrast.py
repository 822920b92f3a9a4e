from __future__ import annotations

import json
import math

import numpy as np
import pytest
from arrays import ArrayReader

from ratcli.errors import MeasurementError, UsageError
from ratcli.evaluation.comparison import Comparison
from ratcli.evaluation.contrast import ContrastTally, ring
from ratcli.evaluation.evaluate import EvaluationSettings, evaluate
from ratcli.evaluation.export import as_dict
from ratcli.evaluation.given_regions import Disc, MappedRegions, regions_from_json
from ratcli.evaluation.results import Evaluation

SIDE, NOISE_HU = 128, 10.0
BODY, INSERT = Disc(64, 64, 56), Disc(50, 70, 10)


def _planes(noise_hu: float) -> ArrayReader:
    plane = np.full((SIDE, SIDE), -1000.0)
    plane[BODY.mask(plane.shape)] = 0.0
    plane[INSERT.mask(plane.shape)] = 60.0
    noise = np.random.default_rng(0).normal(size=(3, 1, SIDE, SIDE))
    return ArrayReader(plane + noise_hu * noise)


def _found(regions: object, **settings: object) -> Evaluation:
    comparison = Comparison(_planes(NOISE_HU / 4), input=_planes(NOISE_HU), regions=regions)  # type: ignore[arg-type]
    return evaluate(comparison, EvaluationSettings(shown=0, **settings))  # type: ignore[arg-type]


def _cnr(found: Evaluation) -> dict[tuple[str, str, str], float]:
    return {(row.region, row.background, row.image): row.contrast.cnr for row in found.contrasts}


def test_contrast_to_noise_is_contrast_over_the_backgrounds_deviation() -> None:
    tally = ContrastTally()
    for seed in range(4):
        background = np.random.default_rng(seed).normal(0.0, 10.0, 10_000)
        tally.add(np.full(9, 50.0), background)
    assert tally.result().cnr == pytest.approx(5.0, rel=0.02)


def test_a_drift_between_planes_is_no_noise() -> None:
    tally = ContrastTally()
    for drift in (0.0, 100.0):
        values = drift + np.random.default_rng(0).normal(0.0, 10.0, 10_000)
        tally.add(np.full(9, drift + 50.0), values)
    assert tally.result().noise == pytest.approx(10.0, rel=0.02)


def test_a_constant_background_has_no_contrast_to_noise() -> None:
    tally = ContrastTally()
    tally.add(np.full(9, 50.0), np.zeros(9))
    assert math.isnan(tally.result().cnr)


def test_a_region_without_a_background_is_refused() -> None:
    tally = ContrastTally()
    tally.add(np.full(9, 50.0), np.zeros(0))
    with pytest.raises(MeasurementError, match="background"):
        tally.result()


def test_the_ring_lies_around_a_region_and_holds_free_pixels_alone() -> None:
    free = np.ones((SIDE, SIDE), np.bool_)
    free[:, :60] = False
    around = ring(INSERT.mask(free.shape), free)
    distance = np.hypot(*(np.indices(free.shape) - np.array([50, 70])[:, None, None]))
    assert around.any()
    assert not around[:, :60].any()
    assert distance[around].min() > 11
    assert distance[around].max() < 19


def test_a_named_background_gives_the_contrast_of_a_drawn_region() -> None:
    text = json.dumps(
        {
            "regions": [
                {"name": "insert", "disc": [50, 70, 7], "background": "water"},
                {"name": "water", "box": [80, 40, 24, 24]},
            ]
        }
    )
    found = _cnr(_found(regions_from_json(text)))
    # 60 HU over 10 and over 2.5 HU; 576 pixels in 3 planes tell the noise within 2 %.
    assert found == {
        ("insert", "water", "restored"): pytest.approx(24.0, rel=0.06),
        ("insert", "water", "input"): pytest.approx(6.0, rel=0.06),
    }


def test_a_segment_of_a_map_stands_beside_the_ring_around_it() -> None:
    labels = np.where(INSERT.mask((SIDE, SIDE)), 4, 0)
    found = _cnr(_found(MappedRegions(lambda plane: labels)))
    assert found["region 4", "ring", "input"] == pytest.approx(6.0, rel=0.06)


def test_the_inserts_of_a_phantom_have_a_contrast() -> None:
    found = _cnr(_found(None, phantom=True))
    assert found["insert 1", "ring", "input"] == pytest.approx(6.0, rel=0.06)


def test_the_ratio_is_in_the_json() -> None:
    rows = as_dict(_found(None, phantom=True))["contrasts"]
    assert isinstance(rows, list)
    assert rows[0]["contrast"]["cnr"] > 1.0


def test_a_background_that_is_no_region_is_refused() -> None:
    text = '{"regions": [{"name": "a", "disc": [9, 9, 4], "background": "b"}]}'
    with pytest.raises(UsageError, match="'b' is not among the regions"):
        regions_from_json(text)
