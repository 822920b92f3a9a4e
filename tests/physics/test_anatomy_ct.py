from __future__ import annotations

import numpy as np
import pytest

from ratcli.physics.anatomy.canvas import TISSUES
from ratcli.physics.anatomy.ct import REGIONS, ct_slice, draw_body


@pytest.mark.parametrize("region", REGIONS)
def test_a_body_stands_in_air_and_has_many_structures(region: str) -> None:
    hu, labels = ct_slice(np.random.default_rng(1), 160, 2.4, region)
    assert hu.shape == labels.shape == (160, 160)
    assert hu.dtype == np.float32
    assert labels.dtype == np.int32
    assert hu.min() >= -1024
    assert hu.max() <= 3071
    # Edge pixels covered by less than half keep the label of air.
    assert (hu[labels == 0] < -300).all()
    assert 0.1 < (labels > 0).mean() < 1
    assert len(np.unique(labels)) >= 10


@pytest.mark.parametrize("region", REGIONS)
def test_the_same_seed_draws_the_same_plane(region: str) -> None:
    first, second = (ct_slice(np.random.default_rng(9), 96, 4.0, region) for _ in range(2))
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    other, _ = ct_slice(np.random.default_rng(10), 96, 4.0, region)
    assert not np.array_equal(first[0], other)


def test_regions_are_drawn_in_turn_by_chance() -> None:
    planes = [ct_slice(np.random.default_rng(seed), 48, 8.0)[0] for seed in range(6)]
    assert len({plane.tobytes() for plane in planes}) == 6


def test_an_unknown_region_is_refused() -> None:
    with pytest.raises(ValueError, match="no region 'tail'"):
        ct_slice(np.random.default_rng(0), 32, 8.0, "tail")


def test_every_label_has_a_tissue_and_uptake() -> None:
    canvas = draw_body(np.random.default_rng(2), 96, 4.0, "abdomen")
    assert canvas.labels.max() < len(canvas.tissues)
    assert set(canvas.tissues) <= set(TISSUES)
    assert canvas.suv.min() >= 0
    # A tenth above the highest uptake of the table: edges mix, nothing adds.
    assert canvas.suv.max() <= 1.1 * max(tissue.suv[1] for tissue in TISSUES.values())


def test_soft_tissue_dominates_an_abdomen() -> None:
    hu, labels = ct_slice(np.random.default_rng(4), 160, 2.4, "abdomen")
    body = hu[labels > 0]
    assert 0.3 < ((body > -160) & (body < 240)).mean() <= 1
