from __future__ import annotations

import numpy as np
import pytest
from phantoms import BODY, INSERTS, drawn_phantom

from ratcli.errors import MeasurementError
from ratcli.evaluation.given_regions import Disc
from ratcli.evaluation.phantom import phantom_body, phantom_inserts
from ratcli.evaluation.views import body_mask


def test_the_body_of_a_phantom_is_found_to_a_pixel() -> None:
    body = phantom_body(drawn_phantom())
    assert (body.row, body.column) == pytest.approx((BODY.row, BODY.column), abs=0.5)
    assert body.radius == pytest.approx(BODY.radius, abs=1.0)


def test_the_body_keeps_its_cavities_and_leaves_the_table_out() -> None:
    plane = drawn_phantom()
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
    plane = drawn_phantom()
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
