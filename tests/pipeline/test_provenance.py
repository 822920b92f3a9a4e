"""What the writers of a restored scan record."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from memory_scan import MemoryScan

from ratcli.pipeline.model import Model
from ratcli.scan import FloatArray

Load = Callable[..., Model]


def slices(planes: int = 2, height: int = 48, width: int = 40) -> FloatArray:
    rng = np.random.default_rng(3)
    return np.rint(rng.normal(40, 100, (planes, 1, height, width))).astype(np.float32)


def test_a_pane_is_recorded_and_a_tile_beside_it(load: Load) -> None:
    info = MemoryScan(slices(1, 100, 90)).info
    settings = load(pane=64, tile=32).provenance(info).restored().settings
    assert "pane=64,16" in settings
    assert "tile=32" in settings
    plain = load().provenance(info).restored().settings
    assert not any(setting.startswith(("pane", "tile")) for setting in plain)


def test_the_provenance_names_weights_and_all_that_shapes_the_result(load: Load) -> None:
    info = MemoryScan(slices()).info
    models = load(), load(), load(strength=0.5)
    first, same, other = (model.provenance(info).restored() for model in models)
    assert first == same
    assert first.settings != other.settings
    assert first.weights_sha256 in first.description
