"""Calibrates the uncertainty of a network on patients that no training saw.

    python benchmarks/calibration.py --task TASK --data DIR [--planes 2] [--json DIR]

DIR holds the scans that `recipes/TASK.toml` names. Held-out planes are degraded as in
`benchmarks/quality.py` and restored in eight views. Pixels are grouped by the standard deviation of
the views. The true error of a group follows from the difference to the reference, corrected for the
noise in the reference (see `held_out/uncertainty_fit.py`). Prints a table for each condition, and
the values for the registry of weights, `uncertainty_scale` and `uncertainty_floor` or
`uncertainty_share`, fitted to the groups. Writes `calibration-TASK.json`.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from held_out.cases import Case, Judge, spread
from held_out.ct import CtJudge
from held_out.pathology import PathologyJudge, fields
from held_out.pet import PetJudge
from held_out.uncertainty_fit import Calibration, Row, Sample, fit, groups_of, pooled
from scipy.ndimage import uniform_filter

from ratcli.network.engine import load_engine
from ratcli.network.rat import typical_value
from ratcli.network.registry import WeightsEntry, find_weights
from ratcli.network.settings import EngineSettings
from ratcli.pipeline import RestoreSettings
from ratcli.pipeline.model import Model, load_partitioner
from ratcli.pipeline.settings import VIEWS
from ratcli.pipeline.uncertainty import over_neighbours
from ratcli.scan import BoolArray, FloatArray
from ratcli.tasks import get_task
from ratcli.training.data import read_patients
from ratcli.training.examples import TargetPlane
from ratcli.training.recipe import read_recipe

_FIELD = 256


@dataclass(frozen=True)
class Bench:
    """How a task's uncertainty is judged.

    Attributes:
        judge: degrades its planes.
        unit: of all figures.
        added: by condition, the variance of the added noise over that of noise in the reference.
        fitted: the conditions that are fitted; the others are a check.
        body: reference -> pixels that count.
        level: degraded plane -> what figures are divided by.
        with_share: whether the part of the error that the views do not show is proportional to the
            value.
    """

    judge: Judge
    unit: str
    added: Mapping[str, float]
    fitted: tuple[str, ...]
    body: Callable[[FloatArray], BoolArray]
    level: Callable[[FloatArray], float] = lambda low: 1.0
    with_share: bool = False


def _ct_body(reference: FloatArray) -> BoolArray:
    body: BoolArray = uniform_filter(reference, (0, 9, 9)) > -900.0
    return body


def _pet_body(reference: FloatArray) -> BoolArray:
    body: BoolArray = uniform_filter(reference, (0, 5, 5)) > 0.05
    return body


def _pet_level(low: FloatArray) -> float:
    return float(typical_value(torch.from_numpy(np.maximum(low, 0))[None]))


BENCHES = {
    "ct-denoise": Bench(
        CtJudge(),
        "HU, pixels in the body",
        {"dose 1/4": 1 / 0.25 - 1, "dose 1/10": 1 / 0.1 - 1},
        ("dose 1/4", "dose 1/10"),
        _ct_body,
    ),
    "pet-synthesis": Bench(
        PetJudge(),
        "the plane's level, pixels in the body",
        {
            "counts 1/4": 3.0,
            "counts 1/12": 11.0,
            "procedural, counts 1/4": math.inf,
            "procedural, counts 1/12": math.inf,
        },
        ("counts 1/4", "counts 1/12"),
        _pet_body,
        _pet_level,
        with_share=True,
    ),
    "pathology-sr": Bench(
        PathologyJudge(),
        "RGB from 0 to 1",
        {"x4, bicubic": math.inf, "x4, realistic": math.inf},
        ("x4, bicubic", "x4, realistic"),
        lambda reference: np.ones(reference.shape, bool),
    ),
}


def uncalibrated(task: str, weights: str, arguments: argparse.Namespace) -> Model:
    """Load a network without a calibration of its uncertainty."""
    settings = RestoreSettings(
        task=get_task(task),
        partition=arguments.partition,
        weights=(weights,),
        views=VIEWS,
        engine=EngineSettings(device=arguments.device, threads=arguments.threads),
    )
    entry = replace(
        find_weights(weights), uncertainty_scale=1.0, uncertainty_floor=0.0, uncertainty_share=0.0
    )
    engine = load_engine(entry, settings.engine)
    return Model(settings, [engine], [entry], load_partitioner(settings))


def restored_sample(model: Model, bench: Bench, condition: str, case: Case) -> Sample:
    """Restore a plane in eight views, and keep its pixels that count."""
    restored = model.restore([case.low], [np.zeros(case.low.shape[1:], bool)])[0]
    assert restored.uncertainty is not None
    scale, level = get_task(bench.judge.task).scale, np.float32(bench.level(case.low))
    counted = bench.body(case.reference) & (restored.uncertainty > 0)
    added = bench.added[condition]
    noise = case.low - case.reference if scale == 1 else np.zeros_like(case.reference)
    columns = (
        restored.uncertainty,
        over_neighbours(restored.values, scale),
        restored.values - case.reference,
        noise,
    )
    uncertainty, value, difference, noise = (column[counted] / level for column in columns)
    return Sample(case.patient, condition, uncertainty, value, difference, noise, added)


def held_out_planes(arguments: argparse.Namespace) -> list[TargetPlane]:
    """Read the held-out planes; of slides, small fields, as eight views of each are restored."""
    recipe = read_recipe(arguments.recipes / f"{arguments.task}.toml")
    planes = read_patients(arguments.data, recipe.held_out, get_task(arguments.task))
    if arguments.task != "pathology-sr":
        return spread(planes, arguments.planes)
    return [
        replace(plane, values=np.ascontiguousarray(plane.values[:, :_FIELD, :_FIELD]))
        for plane in fields(planes, 1)
    ]


def rows_of(bench: Bench, samples: Sequence[Sample]) -> list[Row]:
    """Return the groups of every condition, by uncertainty, and by value if a share is fitted."""
    rows = []
    for condition in dict.fromkeys(sample.condition for sample in samples):
        own = [sample for sample in samples if sample.condition == condition]
        rows += groups_of(own)
        rows += groups_of(own, "value") if bench.with_share else []
    return rows


def fitted(bench: Bench, rows: Sequence[Row]) -> Calibration:
    """Fit to the groups of the fitted conditions."""
    return fit([row for row in rows if row.condition in bench.fitted], bench.with_share)


def show(rows: Sequence[Row], found: Calibration, about: str) -> None:
    """Print groups of one condition: the predicted error beside the true one."""
    print(f"\n{about}")
    print(
        f"{'pixels':>9} {'views':>8} {'value':>8} {'predicted':>10} {'error':>8} "
        f"{'error / predicted':>18} {'from reference':>15}"
    )
    for row in rows:
        print(
            f"{row.pixels:9d} {row.uncertainty:8.4g} {row.value:8.4g} {found.predicted(row):10.4g} "
            f"{row.error:8.4g} {found.ratio(row):18.2f} {row.difference:15.4g}",
            flush=True,
        )


def of_patients(bench: Bench, samples: Sequence[Sample]) -> dict[str, dict[str, float]]:
    """Return, by condition and patient, the error over the prediction of a fit to the others."""
    found: dict[str, dict[str, float]] = {}
    for patient in dict.fromkeys(sample.patient for sample in samples):
        own = [sample for sample in samples if sample.patient == patient]
        without = fitted(bench, rows_of(bench, [s for s in samples if s.patient != patient]))
        for condition in dict.fromkeys(sample.condition for sample in own):
            row = pooled([sample for sample in own if sample.condition == condition])
            found.setdefault(condition, {})[patient] = without.ratio(row)
    return found


def show_all(
    bench: Bench, samples: Sequence[Sample], rows: Sequence[Row], found: Calibration
) -> None:
    """Print a table for each condition, and how patients differ."""
    for condition in dict.fromkeys(row.condition for row in rows):
        own = [sample for sample in samples if sample.condition == condition]
        of = f"{len(own)} planes of {len({sample.patient for sample in own})} patients"
        for key in dict.fromkeys(row.sorted_by for row in rows):
            some = [row for row in rows if (row.condition, row.sorted_by) == (condition, key)]
            name = "uncertainty" if key == "uncertainty" else "value"
            about = f"{condition}, {of}, groups by {name}; root mean squares in {bench.unit}"
            show([*some, pooled(own)], found, about)
    print("\nerror / predicted of each patient, by a fit to the others")
    for condition, ratios in of_patients(bench, samples).items():
        print(f"  {condition}: {' '.join(f'{ratio:.2f}' for ratio in ratios.values())}")


def result(
    bench: Bench, entry: WeightsEntry, arguments: argparse.Namespace, samples: Sequence[Sample]
) -> dict[str, object]:
    """Fit, print, and return what the JSON holds."""
    rows = rows_of(bench, samples)
    found = fitted(bench, rows)
    show_all(bench, samples, rows, found)
    print()
    for name, value in asdict(found).items():
        if value:
            print(f"uncertainty_{name} = {value:.3g}")
    return {
        "task": arguments.task,
        "weights": entry.name,
        "weights_sha256": entry.sha256,
        "partition": arguments.partition or get_task(arguments.task).partition,
        "unit": bench.unit,
        **{f"uncertainty_{name}": value for name, value in asdict(found).items()},
        "fitted_to": list(bench.fitted),
        "error_over_predicted_by_a_fit_to_the_others": {
            condition: list(ratios.values())
            for condition, ratios in of_patients(bench, samples).items()
        },
        "groups": [{**asdict(row), "predicted": found.predicted(row)} for row in rows],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=BENCHES, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipes", type=Path, default=Path("recipes"))
    parser.add_argument("--weights", default="", help="the task's own if left out")
    parser.add_argument("--partition", default="", help="the task's own if left out")
    parser.add_argument("--planes", type=int, default=2, help="most planes of a patient")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", type=Path, help="folder of the results")
    arguments = parser.parse_args()
    bench, weights = BENCHES[arguments.task], arguments.weights or get_task(arguments.task).weights
    model = uncalibrated(arguments.task, weights, arguments)
    planes = held_out_planes(arguments)
    samples = [
        restored_sample(model, bench, condition, case)
        for condition in bench.added
        for case in bench.judge.cases(planes, condition, first_seed=0)
    ]
    facts = result(bench, find_weights(weights), arguments, samples)
    if arguments.json:
        path = arguments.json / f"calibration-{arguments.task}.json"
        path.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
