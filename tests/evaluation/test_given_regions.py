from __future__ import annotations

import numpy as np
import pytest

from ratcli.errors import UsageError
from ratcli.evaluation.given_regions import MappedRegions, regions_from_json
from ratcli.scan import Box


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
