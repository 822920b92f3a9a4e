"""An evaluation comes back from JSON as it was."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from arrays import ArrayReader

from ratcli.evaluation.comparison import Comparison
from ratcli.evaluation.evaluate import EvaluationSettings, evaluate
from ratcli.evaluation.export import as_dict, as_rows, from_text, to_text
from ratcli.evaluation.given_regions import Disc, regions_from_json
from ratcli.evaluation.report import PageFacts, render
from ratcli.evaluation.results import Evaluation

SIDE = 128


def _ct() -> Evaluation:
    clean = np.full((2, 1, SIDE, SIDE), -1000.0)
    clean[:, 0][:, Disc(64, 64, 52).mask((SIDE, SIDE))] = 20.0
    noise = np.random.default_rng(0).normal(0.0, 20.0, clean.shape)
    scans = (ArrayReader(values) for values in (clean + 0.2 * noise, clean, clean + noise))
    restored, reference, input_ = scans
    uncertainty = ArrayReader(np.full_like(clean, 4.0))
    comparison = Comparison(restored, reference, input_, uncertainty=uncertainty)
    return evaluate(comparison, EvaluationSettings(phantom=True))


def _pet() -> Evaluation:
    volume = np.full((9, 1, 64, 64), 0.5)
    volume[:, 0][:, Disc(30, 30, 8).mask((64, 64))] = 4.0
    scan = ArrayReader(volume, "SUV", (4.0, 4.0, 4.0))
    regions = regions_from_json('{"regions": [{"name": "lesion", "disc": [30, 30, 6]}]}')
    return evaluate(Comparison(scan, scan, scan, regions=regions))


def _slide() -> Evaluation:
    rgb = np.random.default_rng(0).uniform(0.3, 0.9, (1, 3, 64, 64))
    scan = ArrayReader(rgb, "RGB", (None, None, None))
    return evaluate(Comparison(scan, scan))


@pytest.mark.parametrize("make", [_ct, _pet, _slide])
def test_all_figures_come_back(make: object) -> None:
    found = make()  # type: ignore[operator]
    again = from_text(to_text(found))
    assert json.dumps(as_dict(again)) == json.dumps(as_dict(found))
    assert list(map(repr, as_rows(again))) == list(map(repr, as_rows(found)))
    bare = replace(found, samples=())
    assert render(again, PageFacts("scan", "9")) == render(bare, PageFacts("scan", "9"))


def test_data_of_another_version_are_refused() -> None:
    with pytest.raises(ValueError, match="height"):
        from_text('{"planes": 1, "sharpness": 3}')
    with pytest.raises(ValueError, match="no figures named sharpness"):
        from_text(to_text(_slide())[:-1] + ', "sharpness": 3}')
    with pytest.raises(ValueError, match="object"):
        from_text("3")
