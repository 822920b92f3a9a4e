from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ratcli.errors import MeasurementError, UsageError
from ratcli.evaluation.roi import (
    Disc,
    MappedRegions,
    body_mask,
    phantom_body,
    phantom_inserts,
    regions_from_json,
    uniform_patches,
)
from ratcli.scan import Box

BODY = Disc(100.4, 98.2, 80.0)
INSERTS = (Disc(70.2, 80.0, 9.0), Disc(128.0, 120.5, 7.0))


def _phantom(sd: float = 8.0) -> np.ndarray:
    plane = np.full((200, 200), -1000.0)
    plane[BODY.mask(plane.shape)] = 0.0
    plane[INSERTS[0].mask(plane.shape)] = 120.0
    plane[INSERTS[1].mask(plane.shape)] = -100.0
    noise = np.random.default_rng(0).normal(0.0, sd, plane.shape)
    return gaussian_filter(plane, 0.7) + noise


def test_patches_avoid_edges_and_each_other() -> None:
    plane = _phantom()
    patches = uniform_patches(plane, 20, within=(-50, 50))
    taken = np.zeros(plane.shape, int)
    for box in patches:
        taken[box.slices] += 1
    clean = gaussian_filter(_phantom(0.0), 0.1)
    assert len(patches) >= 10
    assert taken.max() == 1
    assert np.abs(clean[taken == 1]).max() < 20.0


def test_patches_show_the_noise_they_were_found_in() -> None:
    plane = _phantom(8.0)
    patches = uniform_patches(plane, 20, within=(-50, 50))
    deviation = np.sqrt(np.mean([plane[box.slices].var(ddof=1) for box in patches]))
    # 4000 pixels or more: the sampling error is about 1 %.
    assert deviation == pytest.approx(8.0, rel=0.04)


def test_patches_stay_inside_a_mask() -> None:
    mask = np.zeros((200, 200), bool)
    mask[:, 100:] = True
    boxes = uniform_patches(_phantom(), 16, mask=mask)
    assert boxes
    assert all(box.left >= 100 for box in boxes)


def test_the_body_of_a_phantom_is_found_to_a_pixel() -> None:
    body = phantom_body(_phantom())
    assert (body.row, body.column) == pytest.approx((BODY.row, BODY.column), abs=0.5)
    assert body.radius == pytest.approx(BODY.radius, abs=1.0)


def test_the_body_keeps_its_cavities_and_leaves_the_table_out() -> None:
    plane = _phantom()
    plane[Disc(100, 60, 15.0).mask(plane.shape)] = -900.0
    plane[190:194, 20:180] = 100.0
    inside = body_mask(plane, -600.0)
    assert inside[100, 60]
    assert not inside[192].any()
    assert inside.sum() == pytest.approx(np.pi * BODY.radius**2, rel=0.02)


def test_a_body_that_is_not_round_is_refused() -> None:
    plane = np.full((120, 120), -1000.0)
    plane[20:100, 40:80] = 0.0
    with pytest.raises(MeasurementError, match="differs from a disc"):
        phantom_body(plane)


def test_bright_and_dark_inserts_are_found() -> None:
    plane = _phantom()
    found = sorted(phantom_inserts(plane, phantom_body(plane)), key=lambda disc: disc.row)
    assert len(found) == 2
    for disc, truth in zip(found, INSERTS, strict=True):
        assert (disc.row, disc.column) == pytest.approx((truth.row, truth.column), abs=0.5)
        assert disc.radius == pytest.approx(truth.radius, abs=1.0)


def test_a_uniform_phantom_has_no_inserts() -> None:
    plane = np.full((200, 200), -1000.0)
    plane[BODY.mask(plane.shape)] = 0.0
    plane += np.random.default_rng(0).normal(0.0, 8.0, plane.shape)
    assert phantom_inserts(plane, BODY) == ()


def test_regions_are_drawn_from_json() -> None:
    text = """{"regions": [
        {"name": "water", "disc": [10, 12, 4], "nominal": 0},
        {"name": "wire", "box": [2, 3, 4, 5], "planes": [1]}]}"""
    regions = regions_from_json(text)
    assert regions.names == {0: "water", 1: "wire"}
    assert regions.nominal == {0: 0.0}
    first, second = (regions.labels(plane, (24, 24)) for plane in (0, 1))
    assert set(np.unique(first)) == {-1, 0}
    assert (second[Box(2, 3, 4, 5).slices] == 1).all()


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"regions": [{"name": "a"}]}', '{"regions": [{"name": "a", "disc": [1, 2]}]}',
     '{"regions": [{"name": "a", "disc": [1, 2, -3]}]}', '{"regions": [{"disc": [1, 2, 3]}]}'],
)  # fmt: skip
def test_regions_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        regions_from_json(text)


def test_a_label_map_leaves_out_its_background() -> None:
    labels = np.array([[0, 1], [2, 0]])
    regions = MappedRegions(lambda plane: labels.astype(np.float32))
    assert regions.labels(0, (2, 2)).tolist() == [[-1, 1], [2, -1]]


def test_a_label_map_of_another_size_is_refused() -> None:
    regions = MappedRegions(lambda plane: np.zeros((4, 4)))
    with pytest.raises(UsageError, match="4 x 4"):
        regions.labels(0, (8, 8))


def test_structure_fainter_than_the_noise_is_no_uniform_patch() -> None:
    _, columns = np.indices((96, 96))
    # Stripes of 12 pixels and +-20: lost in noise of 40, plain in the clean plane.
    clean = 20.0 * np.sign(np.sin(np.pi * columns / 12.0))
    noisy = clean + np.random.default_rng(0).normal(0.0, 40.0, clean.shape)
    assert uniform_patches(noisy, 16)
    assert not uniform_patches(noisy, 16, clean=clean)
    assert uniform_patches(noisy, 16, clean=np.zeros_like(clean))


def test_a_disc_covers_its_area_in_shares_of_pixels() -> None:
    covered = Disc(20.31, 22.17, 9.4).coverage((44, 40))
    assert covered.sum() == pytest.approx(np.pi * 9.4**2, rel=0.003)
    assert covered[20, 22] == 1.0
    assert covered[20, 35] == 0.0
    assert ((covered > 0) & (covered < 1)).any()
