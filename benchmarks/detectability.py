"""Detectability on patients that no training used, at lower doses: every method in one table.

    python benchmarks/detectability.py --data DIR [--json benchmarks/results/detectability.json]

DIR holds the scans that `recipes/ct-denoise.toml` names. In one plane of each held-out patient,
discs of 10 HU are planted at uniform places, at simulated doses (see `docs/evaluation.md`), and a
channelised Hotelling observer looks for them: in the input, after tuned classical methods, after
the network at three strengths, and at the full dose. Prints means over patients with 95 % bootstrap
intervals, each patient counted once. Takes about 20 minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from held_out.cases import spread

from ratcli.batch.planting import Planted
from ratcli.commands.restore_options import STRENGTHS
from ratcli.errors import MeasurementError
from ratcli.evaluation.baselines import usual_baseline
from ratcli.evaluation.detectability import DetectabilityRow
from ratcli.evaluation.planted import PlantedDesign, PlantedResults, Readouts
from ratcli.network.settings import EngineSettings
from ratcli.pipeline import RestoreSettings
from ratcli.pipeline.model import Model, RestoredPlane
from ratcli.scan import BoolArray, FloatArray
from ratcli.tasks import get_task
from ratcli.training.data import read_patients
from ratcli.training.recipe import read_recipe

DOSES = (0.1, 0.25)
DESIGN = PlantedDesign(DOSES, tuple(STRENGTHS.items()), 12, contrasts_hu=(10.0,))
BASELINES = ("gaussian", "nl-means")
_DRAWS = 10_000


@dataclass(frozen=True)
class Classical:
    """A classical method in the place of the networks."""

    name: str
    batch: int = 1

    def restore(
        self, values: Sequence[FloatArray], padding: Sequence[BoolArray]
    ) -> list[RestoredPlane]:
        """Return planes `(1, H, W)` in HU, denoised."""
        method = usual_baseline(self.name, "HU", None)
        return [RestoredPlane(method(plane), 1, 0.0, 0.0) for plane in values]


def measured(planted: Planted, repeats: int) -> tuple[DetectabilityRow, ...]:
    """Return d' of all discs in one plane, for one method and for the input."""
    found = Readouts.of([planted.readouts(repeat) for repeat in range(repeats)])
    return PlantedResults(planted.design, found).rows()


def of_patient(
    values: FloatArray, spacing_mm: float, model: Model, repeats: int
) -> Iterator[tuple[str, DetectabilityRow]]:
    """Yield method and row of one plane `(H, W)` in HU."""
    padding = ~np.isfinite(values)
    design = replace(DESIGN, repeats=repeats)
    planted = Planted.of(values, padding, spacing_mm, design, model)
    for row in measured(planted, repeats):
        yield row.image, row
    whole = replace(design, strengths=(("", 1.0),))
    for name in BASELINES:
        rows = measured(replace(planted, design=whole, model=Classical(name)), repeats)
        for row in rows:
            if row.image != "input":
                yield name, row


def summary(by_patient: Mapping[str, float]) -> tuple[float, float, float]:
    """Return the mean over patients and its 95 % bootstrap interval."""
    values = np.array(list(by_patient.values()))
    drawn = np.random.default_rng(0).choice(values, (_DRAWS, len(values))).mean(1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(values.mean()), float(low), float(high)


def table(found: Mapping[tuple[float, str], Mapping[str, list[DetectabilityRow]]]) -> list[dict]:
    """Print a row for each dose and method, and return what the JSON holds."""
    sizes = DESIGN.diameters_mm
    titles = " | ".join(f"d' {size:g} mm" for size in sizes)
    print(f"| dose | method | {titles} | d', mean (95 % interval) | AUC, mean |")
    print("|---" * (len(sizes) + 4) + "|")
    listed = []
    for (dose, method), patients in sorted(found.items(), key=lambda item: item[0][0]):
        d_primes = [
            float(
                np.mean(
                    [row.found.d_prime for rows in patients.values() for row in rows
                     if row.diameter_mm == size]
                )
            )
            for size in sizes
        ]  # fmt: skip
        mean, low, high = summary(
            {name: np.mean([row.found.d_prime for row in rows]) for name, rows in patients.items()}
        )
        auc = float(np.mean([row.found.auc for rows in patients.values() for row in rows]))
        cells = " | ".join(f"{value:.2f}" for value in d_primes)
        print(
            f"| {dose:g} | {method} | {cells} | {mean:.2f} ({low:.2f} to {high:.2f}) | {auc:.3f} |"
        )
        by_size = dict(zip(map(str, sizes), d_primes, strict=True))
        listed.append(
            {"dose": dose, "method": method, "patients": len(patients), "d_prime": by_size,
             "mean": mean, "low": low, "high": high, "auc": auc}
        )  # fmt: skip
    return listed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", help="those of ct-denoise if left out")
    parser.add_argument("--patients", type=int, default=100, help="most patients")
    parser.add_argument("--repeats", type=int, default=DESIGN.repeats)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    task = get_task("ct-denoise")
    recipe = read_recipe(Path("recipes/ct-denoise.toml"))
    planes = spread(read_patients(arguments.data, recipe.held_out[: arguments.patients], task), 1)
    weights = () if arguments.weights is None else (arguments.weights,)
    model = Model.load(RestoreSettings(task=task, weights=weights, engine=EngineSettings()))
    found: dict[tuple[float, str], dict[str, list[DetectabilityRow]]] = defaultdict(dict)
    for plane in planes:
        try:
            for method, row in of_patient(
                plane.values[0], plane.spacing_mm, model, arguments.repeats
            ):
                if row.dose in DOSES or row.dose == 1:
                    found[row.dose, method].setdefault(plane.patient, []).append(row)
        except MeasurementError as error:
            print(f"{plane.patient} is left out: {error}")
    listed = table(found)
    if arguments.json:
        arguments.json.write_text(json.dumps(listed, indent=1) + "\n")


if __name__ == "__main__":
    main()
