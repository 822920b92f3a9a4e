"""How much of the residual a restored CT keeps: each part of the rule, on noise and on edges.

    python benchmarks/residual_kept.py --data DIR [--patients train] [--seed 0] [--json FILE]

Planes are restored once and then keep different shares; see `ratcli/pipeline/kept_residual.py`.

1. Slices of real patients at lower doses: the table of `quality.py`. The numbers in the registry
   were chosen on training patients.
2. Procedural slices with a known noise-free version: gain over the input in dB, PSNR over [-160,
   240] HU, mean and lowest.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from held_out.cases import Case, Method, spread
from held_out.ct import CtJudge
from held_out.networks import facts, installed_weights, method
from held_out.rows import judge, show
from robustness import Slice, measure, procedural

from ratcli.network.engine import Engine, load_engine
from ratcli.network.registry import ResidualKept, WeightsEntry, find_weights
from ratcli.network.settings import EngineSettings
from ratcli.partition import get_partitioner
from ratcli.pipeline import RestoreSettings
from ratcli.pipeline.model import Model
from ratcli.regions import LabelArray
from ratcli.scan import FloatArray
from ratcli.tasks import get_task
from ratcli.training.data import read_patients
from ratcli.training.recipe import read_recipe

TASK = get_task("ct-denoise")
NOISES_HU = (1.0, 2.0, 3.0, 4.0, 6.0, 10.0, 20.0, 40.0, 80.0)
# Neither training's nor robustness.py's.
_PROCEDURAL_SEED = 11


class Remembered(Engine):
    """An engine that does not run twice on a plane."""

    def __init__(self, engine: Engine) -> None:
        self.__dict__.update(vars(engine))
        self._found: dict[bytes, FloatArray] = {}

    def restore(
        self, planes: Sequence[FloatArray], labels: Sequence[LabelArray]
    ) -> list[FloatArray]:
        """Restore planes that were not seen before."""
        for plane, regions in zip(planes, labels, strict=True):
            key = plane.tobytes()
            if key not in self._found:
                self._found[key] = super().restore([plane], [regions])[0]
        return [self._found[plane.tobytes()] for plane in planes]


def variants(entry: WeightsEntry) -> Mapping[str, ResidualKept | None]:
    """Return what is compared, the weights' own last."""
    own = entry.residual_kept
    if own is None:
        raise SystemExit(f"the registry has no residual_kept for {entry.name}")
    least = replace(own, error=0.0, slope=0.0, along_px=0.0)
    return {
        "nothing": None,
        "a twentieth": replace(least, least=0.05),
        "the least share": least,
        "and by the error": replace(least, error=own.error),
        "and by the slope": replace(own, along_px=0.0),
        "and along edges": own,
    }


def methods(weights: str, threads: int) -> dict[str, Method]:
    """Return models that keep different shares of the residual, by one network."""
    entry = find_weights(weights)
    engine = Remembered(load_engine(entry, EngineSettings(device="cpu", threads=threads)))
    partitioner = get_partitioner(TASK.partition)
    return {
        name: method(
            Model(
                RestoreSettings(task=TASK, weights=(weights,)),
                [engine],
                [replace(entry, residual_kept=how)],
                partitioner,
            )
        )
        for name, how in variants(entry).items()
    }


def real(
    named: Mapping[str, Method], cases: Mapping[str, Sequence[Case]]
) -> list[dict[str, object]]:
    """Print the table of real slices; return its rows. Seconds are those without the network."""
    bench, rows = CtJudge(), []
    for condition, some in cases.items():
        for case in some:
            named["nothing"](case.low)
        found = [judge(bench, condition, one, some) for one in named.items()]
        show(found, bench.columns, f"{condition}: {len(some)} planes")
        rows += [asdict(row) for row in found]
    return rows


def drawn(named: Mapping[str, Method], slices: Sequence[Slice]) -> list[dict[str, object]]:
    """Print the table of procedural slices; return its rows."""
    print(f"\n{'gain dB, mean (least)':24}" + "".join(f"{n:>11g} HU" for n in NOISES_HU))
    rows: list[dict[str, object]] = []
    for name, one in named.items():
        found = [measure("procedural", slices, noise, one) for noise in NOISES_HU]
        cells = [f"{row.gain_db[0]:.2f} ({row.least_gain_soft_db:.2f})" for row in found]
        print(f"{name:24}" + "".join(f"{cell:>14}" for cell in cells), flush=True)
        rows += [{"variant": name, **asdict(row)} for row in found]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", type=Path, default=Path("recipes/ct-denoise.toml"))
    parser.add_argument("--patients", choices=["train", "held-out"], default="train")
    parser.add_argument("--weights", default="ct-denoise")
    parser.add_argument("--seed", type=int, default=0, help="of the first plane's noise")
    parser.add_argument("--planes", type=int, default=1, help="most planes of a patient")
    parser.add_argument("--procedural", type=int, default=5, help="procedural slices")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    recipe, bench = read_recipe(arguments.recipe), CtJudge()
    entries = recipe.train if arguments.patients == "train" else recipe.held_out
    planes = spread(read_patients(arguments.data, entries, TASK), arguments.planes)
    named = methods(arguments.weights, arguments.threads)
    cases = {
        condition: bench.cases(planes, condition, arguments.seed) for condition in bench.conditions
    }
    print(f"{arguments.weights}, regions by {TASK.partition}, patients: {arguments.patients}")
    result = {
        **facts(installed_weights(TASK.name, [arguments.weights]), arguments.threads),
        "patients": list(entries),
        "variants": {
            name: how and asdict(how)
            for name, how in variants(find_weights(arguments.weights)).items()
        },
        "real": real(named, cases),
        "procedural": drawn(named, procedural(arguments.procedural, _PROCEDURAL_SEED)),
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
